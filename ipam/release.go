package ipam

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Release names an address to be given back, and who is believed to hold it.
type Release struct {
	Address  netip.Addr
	Handle   string // empty: whoever holds it
	Sequence uint64 // with which it was given out; zero: any
	// Block that it lies in; not needed while its pool exists.
	Block netip.Prefix
}

// block returns the block that the address lies in, invalid if there is no
// telling.
func (r Release) block(env *Env) netip.Prefix {
	if r.Block.IsValid() {
		return r.Block
	}
	a := r.Address.Unmap().WithZone("")
	if pool := env.poolOf(a); pool != nil {
		return pool.blockOf(a)
	}
	return netip.Prefix{}
}

// Release gives back one address. Errors: *AddressError (in no pool, nobody
// holds it), *StaleError, *BlockError (cannot be read). Who goes on although
// nobody holds it, or somebody else, writes only if that is still so: the block
// may be remembered, and have changed since.
func (s *Step) Release(r Release) error {
	err := s.attempt(func() error { return s.release(r) })
	if errors.Is(err, ErrNotAllocated) || errors.Is(err, ErrStale) {
		s.guardBlock(r.block(s.Env))
	}
	return err
}

func (s *Step) release(r Release) error {
	a := r.Address.Unmap().WithZone("")
	cidr := r.block(s.Env)
	if !cidr.IsValid() {
		return &AddressError{ErrNotInPool, a}
	}
	b, err := s.block(cidr)
	if err != nil {
		return err
	}
	s.guardBlock(cidr)
	if b == nil {
		return &AddressError{ErrNotAllocated, a}
	}
	h, held := b.Holding(a)
	switch {
	case !held:
		return &AddressError{ErrNotAllocated, a}
	case r.Handle != "" && r.Handle != h.Handle, r.Sequence != 0 && r.Sequence != h.Sequence:
		return &StaleError{h, r.Handle, r.Sequence}
	}
	if err := s.need([]string{store.HandleKey(h.Handle)}, nil); err != nil {
		return err
	}
	if err := s.free(b, []Holding{h}); err != nil {
		return err
	}
	handle, err := s.handle(h.Handle)
	if err != nil {
		return unlessNeed(err) // a handle that cannot be read keeps no address
	}
	if handle == nil || handle.Blocks[b.CIDR] == 0 {
		return nil
	}
	s.putHandle(handle.ID, handle.add(b.CIDR, -1))
	return nil
}

// putHandle stages a handle, or its end.
func (s *Step) putHandle(id string, h *Handle) {
	if h == nil {
		s.delete(store.HandleKey(id))
		return
	}
	s.put(store.HandleKey(id), h)
}

// Released is the outcome of ReleaseHandle.
type Released struct {
	Addresses []netip.Addr
	More      bool         // there are more, and no room for them in one transaction:
	Left      []netip.Addr // these
}

// ReleaseHandle gives back all addresses of a handle. Errors: *HandleError (no
// such handle), *BlockError (cannot be read).
func (s *Step) ReleaseHandle(id string) (*Released, error) {
	var out *Released
	err := s.attempt(func() (err error) {
		out, err = s.releaseHandle(id)
		return err
	})
	return out, err
}

func (s *Step) releaseHandle(id string) (*Released, error) {
	if err := s.need([]string{store.HandleKey(id)}, nil); err != nil {
		return nil, err
	}
	h, err := s.handle(id)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, &HandleError{Kind: ErrNoHandle, ID: id}
	}
	blocks := h.blocks()
	if err := s.needBlocks(blocks); err != nil {
		return nil, err
	}
	out, left := &Released{}, h
	for _, cidr := range blocks {
		b, err := s.block(cidr)
		if err != nil {
			return nil, err
		}
		if out.More = out.More || s.full(); out.More {
			if b != nil {
				out.Left = append(out.Left, addressesOf(b.held(id))...)
			}
			continue
		}
		s.guardBlock(cidr) // or an address that it got meanwhile would be lost
		if b != nil {
			held := b.held(id)
			if err := s.free(b, held); err != nil {
				return nil, err
			}
			out.Addresses = append(out.Addresses, addressesOf(held)...)
		}
		left = left.add(cidr, -left.Blocks[cidr])
	}
	s.putHandle(id, left)
	return out, nil
}

func addressesOf(held []Holding) []netip.Addr {
	list := make([]netip.Addr, len(held))
	for i, h := range held {
		list[i] = h.Address
	}
	return list
}

// Renew writes a handle again as it is: whoever releases it beside the
// transaction decides again. A handle that is not there, or cannot be read, is
// nobody's to release.
func (s *Step) Renew(id string) error {
	return s.attempt(func() error {
		if err := s.need([]string{store.HandleKey(id)}, nil); err != nil {
			return err
		}
		h, err := s.handle(id)
		if err != nil {
			return unlessNeed(err)
		}
		if h != nil {
			s.putHandle(id, h)
		}
		return nil
	})
}

// free gives back addresses of a block. A block that is left empty and belongs
// to nobody goes, and so does one whose affinity ends with its last address.
func (s *Step) free(b *Block, held []Holding) error {
	if len(held) == 0 {
		return nil
	}
	c := s.edit(b)
	for _, h := range held {
		ordinal, _ := c.ordinal(h.Address)
		c.release([]int{ordinal}, s.Env.Now.Unix())
	}
	s.putBlock(c)
	if !c.Empty() {
		return nil
	}
	if c.Affinity == "" {
		s.dropBlock(c)
		return nil
	}
	a, err := s.affinity(c.Affinity.Node(), c.CIDR)
	if err != nil {
		return unlessNeed(err)
	}
	if a == nil {
		return nil
	}
	key := store.HostBlockKey(a.Node, a.CIDR)
	s.guardKey(key) // or it could be marked for deletion meanwhile
	if a.State == PendingDeletion {
		s.delete(key)
		s.dropBlock(c)
	}
	return nil
}

// dropBlock removes an empty block, unless addresses of it are cooling: then it
// stays without affinity, for the next who claims it.
func (s *Step) dropBlock(b *Block) {
	if b.unused(s.Env) {
		s.delete(store.BlockKey(b.CIDR))
		return
	}
	b = s.edit(b)
	b.Affinity = ""
	s.putBlock(b)
}

// ReleaseAll gives back addresses, each as by Release, and returns those that
// nobody holds. Any other error is of the first that has one, and leaves all as
// they were.
func (s *Step) ReleaseAll(releases []Release) (unallocated []netip.Addr, err error) {
	var cidrs []netip.Prefix
	for _, r := range releases {
		if cidr := r.block(s.Env); cidr.IsValid() && !slices.Contains(cidrs, cidr) {
			cidrs = append(cidrs, cidr)
		}
	}
	if err := s.needBlocks(cidrs); err != nil {
		return nil, err
	}
	err = s.attempt(func() error {
		for _, r := range releases {
			err := s.release(r)
			if errors.Is(err, ErrNotAllocated) {
				unallocated = append(unallocated, r.Address)
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unallocated, nil
}
