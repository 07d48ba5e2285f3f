package ipam

import (
	"fmt"

	"github.com/projectvrouter/vrouter/internal/store"
)

// PoolInUseError is a pool that addresses are held of.
type PoolInUseError struct {
	Pool    string
	Held    int     // addresses
	Example Holding // one of them
}

// Error names one of the addresses.
func (e *PoolInUseError) Error() string {
	return fmt.Sprintf("pool %s: %d addresses are held, such as %s by handle %s", e.Pool, e.Held, e.Example.Address, e.Example.Handle)
}

// Unwrap returns ErrPoolInUse.
func (e *PoolInUseError) Unwrap() error { return ErrPoolInUse }

// DropPool removes the blocks of a pool that is to be deleted, and refuses while
// addresses of it are held. More says that there are more blocks than one
// transaction takes: commit, and go on; the pool itself is deleted in the last
// one, which fails if a block was used or made meanwhile. New blocks are made
// only while the pool's key is as it was (Pool.Key), so that none appears after
// that. Errors: *PoolInUseError, *BlockError.
func (s *Step) DropPool(pool *Pool) (more bool, err error) {
	err = s.attempt(func() error {
		if err := s.need(nil, []string{store.BlockPrefix, store.HostsPrefix}); err != nil {
			return err
		}
		more, err = s.dropPool(pool)
		return err
	})
	if err == nil && !more {
		s.Join([]store.Compare{{Key: store.BlockPrefix, ModRevision: s.reads.ranges[store.BlockPrefix], Below: true}}, nil)
	}
	return more, err
}

func (s *Step) dropPool(pool *Pool) (more bool, err error) {
	var blocks []*Block
	used := &PoolInUseError{Pool: pool.Name}
	for _, key := range s.reads.below(store.BlockPrefix) {
		cidr, err := store.ParseBlockKey(key)
		if err != nil || !pool.CIDR.Overlaps(cidr) {
			continue
		}
		b, err := s.block(cidr)
		if err != nil {
			return false, err
		}
		if b == nil {
			continue
		}
		if held := b.Holdings(); len(held) > 0 {
			used.Held, used.Example = used.Held+len(held), held[0]
		}
		blocks = append(blocks, b)
	}
	if used.Held > 0 {
		return false, used
	}
	for _, b := range blocks {
		if s.full() {
			return true, nil
		}
		s.delete(store.BlockKey(b.CIDR))
		if b.Affinity != "" {
			s.delete(store.HostBlockKey(b.Affinity.Node(), b.CIDR))
		}
	}
	return false, nil
}
