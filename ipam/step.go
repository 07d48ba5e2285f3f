package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Step decides what to write. Several operations on one Step see each other's
// outcome and make one transaction: an endpoint's new addresses with the
// release of its old ones, or hundreds of allocations.
//
// An operation that fails leaves the Step as it was before. With a *NeedError
// the Step is of no use: fill its Reads and make a new one. It belongs to one
// goroutine.
type Step struct {
	Env   *Env
	reads *Reads

	staged map[string]encoder // by key; nil: to be deleted
	order  []string           // of staged, as they came
	guards map[string]int64   // compared and not written

	compares []store.Compare // of others, see Join
	ops      []store.Op
}

// encoder is an object of the store.
type encoder interface{ encode() ([]byte, error) }

// NewStep returns a Step on what was read.
func NewStep(reads *Reads, env *Env) *Step {
	return &Step{Env: env, reads: reads, staged: make(map[string]encoder), guards: make(map[string]int64)}
}

// Join adds writes of others to the transaction.
func (s *Step) Join(compares []store.Compare, ops []store.Op) {
	s.compares = append(s.compares, compares...)
	s.ops = append(s.ops, ops...)
}

// Txn returns the transaction: every key that is written, or was decided upon,
// is compared with what was read. No operations: nothing is to be done.
func (s *Step) Txn() ([]store.Compare, []store.Op, error) {
	compares, ops := slices.Clone(s.compares), slices.Clone(s.ops)
	for _, key := range s.order {
		revision := s.revision(key)
		object := s.staged[key]
		if object == nil {
			compares = append(compares, store.Compare{Key: key, ModRevision: revision})
			if revision != 0 {
				ops = append(ops, store.Op{Key: key, Delete: true})
			}
			continue
		}
		value, err := object.encode()
		if err != nil {
			return nil, nil, err
		}
		compares = append(compares, store.Compare{Key: key, ModRevision: revision})
		ops = append(ops, store.Op{Key: key, Value: value})
	}
	if len(ops) == 0 {
		return nil, nil, nil
	}
	for _, key := range slices.Sorted(maps.Keys(s.guards)) {
		if _, written := s.staged[key]; !written {
			compares = append(compares, store.Compare{Key: key, ModRevision: s.guards[key]})
		}
	}
	return append(compares, s.Env.Guards...), ops, nil
}

// full tells whether the step should write no more blocks: it leaves room for
// those who join it.
func (s *Step) full() bool { return s.keys() > maxKeys || s.weight() > maxWeight }

// keys returns how many keys the step itself compares.
func (s *Step) keys() int {
	n := len(s.order)
	for key := range s.guards {
		if _, written := s.staged[key]; !written {
			n++
		}
	}
	return n
}

// weight returns about how many bytes the step itself writes.
func (s *Step) weight() int {
	n := 0
	for _, object := range s.staged {
		if b, ok := object.(*Block); ok {
			n += b.weight()
		}
	}
	return n
}

// Fits tells whether the transaction has room for so many compares more.
func (s *Step) Fits(compares int) bool {
	return s.keys()+len(s.compares)+len(s.Env.Guards)+storeOwn+compares <= store.MaxOps
}

// attempt runs an operation whole or not at all.
func (s *Step) attempt(op func() error) error {
	staged, order, guards := maps.Clone(s.staged), slices.Clone(s.order), maps.Clone(s.guards)
	err := op()
	if err != nil {
		s.staged, s.order, s.guards = staged, order, guards
	}
	return err
}

func (s *Step) revision(key string) int64 {
	if found, ok := s.reads.known(key); ok {
		return found.kv.ModRevision
	}
	return 0 // guessed
}

func (s *Step) put(key string, object encoder) {
	if _, again := s.staged[key]; !again {
		s.order = append(s.order, key)
	}
	s.staged[key] = object
}

func (s *Step) delete(key string) { s.put(key, nil) }

// guard makes the transaction depend on a key that it does not write.
func (s *Step) guard(key string, revision int64) { s.guards[key] = revision }

// guardKey makes the transaction depend on a key as it was read.
func (s *Step) guardKey(key string) { s.guard(key, s.revision(key)) }

// guardBlock makes the transaction depend on a block as it was read.
func (s *Step) guardBlock(cidr netip.Prefix) { s.guardKey(store.BlockKey(cidr)) }

// guardAffinity makes the transaction depend on the affinity that a block
// names, as it was read.
func (s *Step) guardAffinity(b *Block) {
	if b.Affinity != "" {
		s.guardKey(store.HostBlockKey(b.Affinity.Node(), b.CIDR))
	}
}

// need returns a *NeedError for what has not been read of some keys and
// ranges.
func (s *Step) need(keys, prefixes []string) error {
	var need NeedError
	for _, prefix := range prefixes {
		if s.reads.ranges[prefix] == 0 {
			need.Prefixes = append(need.Prefixes, prefix)
		}
	}
	for _, key := range keys {
		if _, ok := s.staged[key]; ok {
			continue
		}
		if _, ok := s.reads.known(key); !ok && !slices.Contains(need.Keys, key) {
			need.Keys = append(need.Keys, key)
		}
	}
	if len(need.Keys)+len(need.Prefixes) == 0 {
		return nil
	}
	return &need
}

// needBlocks makes sure that blocks have been read.
func (s *Step) needBlocks(cidrs []netip.Prefix) error {
	keys := make([]string, len(cidrs))
	for i, cidr := range cidrs {
		keys[i] = store.BlockKey(cidr)
	}
	return s.need(keys, nil)
}

// block returns a block as the step leaves it; nil when there is none. One that
// cannot be read is a *BlockError.
func (s *Step) block(cidr netip.Prefix) (*Block, error) {
	key := store.BlockKey(cidr)
	if object, ok := s.staged[key]; ok {
		b, _ := object.(*Block)
		return b, nil
	}
	object, err := s.object(key, func(data []byte) (any, error) { return DecodeBlock(data) })
	if err != nil {
		var need *NeedError
		if errors.As(err, &need) {
			return nil, err
		}
		return nil, &BlockError{ErrBadBlock, cidr, err.Error()}
	}
	b, _ := object.(*Block)
	if b != nil && b.CIDR != cidr {
		return nil, &BlockError{ErrBadBlock, cidr, fmt.Sprintf("its key holds %s", b.CIDR)}
	}
	return b, nil
}

// edit returns a copy of a block to be changed and put. The first edit of what
// was read gives it a new sequence number.
func (s *Step) edit(b *Block) *Block {
	c := b.edit()
	if found := s.reads.keys[store.BlockKey(b.CIDR)]; found != nil && found.object == any(b) {
		c.Sequence++
	}
	return c
}

func (s *Step) putBlock(b *Block) { s.put(store.BlockKey(b.CIDR), b) }

// affinity returns a node's affinity to a block; nil when it has none.
func (s *Step) affinity(node string, cidr netip.Prefix) (*BlockAffinity, error) {
	key := store.HostBlockKey(node, cidr)
	if object, ok := s.staged[key]; ok {
		a, _ := object.(*BlockAffinity)
		return a, nil
	}
	object, err := s.object(key, func(data []byte) (any, error) { return DecodeAffinity(data) })
	a, _ := object.(*BlockAffinity)
	return a, err
}

func (s *Step) putAffinity(a *BlockAffinity) { s.put(store.HostBlockKey(a.Node, a.CIDR), a) }

// handle returns a handle; nil when there is none, or when it was not read and
// may be guessed.
func (s *Step) handle(id string) (*Handle, error) {
	key := store.HandleKey(id)
	if object, ok := s.staged[key]; ok {
		h, _ := object.(*Handle)
		return h, nil
	}
	if _, ok := s.reads.known(key); !ok && s.reads.guess {
		return nil, nil
	}
	object, err := s.object(key, func(data []byte) (any, error) { return DecodeHandle(data) })
	h, _ := object.(*Handle)
	return h, err
}

// object returns what a key holds, as it was read; nil when it is absent.
func (s *Step) object(key string, decode func([]byte) (any, error)) (any, error) {
	found, ok := s.reads.known(key)
	if !ok {
		return nil, &NeedError{Keys: []string{key}}
	}
	object, err := found.decode(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return object, nil
}

// affinities returns the affinities below a prefix of keys, a node's or
// everybody's, as the step leaves them, in order of keys. One that cannot be
// read counts as confirmed: its block is not for others.
func (s *Step) affinities(prefix string) ([]*BlockAffinity, error) {
	if s.reads.ranges[prefix] == 0 && s.reads.ranges[store.HostsPrefix] == 0 {
		return nil, &NeedError{Prefixes: []string{prefix}}
	}
	keys := s.reads.below(prefix)
	for _, key := range s.order {
		if node, _, err := store.ParseHostBlockKey(key); err == nil && s.revision(key) == 0 &&
			(prefix == store.HostsPrefix || store.HostBlockPrefix(node) == prefix) {
			keys = append(keys, key)
		}
	}
	var out []*BlockAffinity
	for _, key := range keys {
		node, cidr, err := store.ParseHostBlockKey(key)
		if err != nil {
			continue // no affinity of ours
		}
		a, err := s.affinity(node, cidr)
		switch {
		case err != nil:
			out = append(out, &BlockAffinity{Node: node, CIDR: cidr, State: Confirmed})
		case a != nil:
			out = append(out, a)
		}
	}
	return out, nil
}
