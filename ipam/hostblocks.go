package ipam

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// KeepSpare keeps a reserve for a node: a block with a pending affinity, for
// when its blocks are nearly full, so that the next allocation finds one
// without looking. It is kept only while more than a quarter of its pool's
// blocks are unclaimed, and given up otherwise. The request says for whom and
// in which families; its handle is not used. It tells whether anything changes.
func (s *Step) KeepSpare(req Request) (bool, error) {
	changed := false
	err := s.attempt(func() error {
		for _, family := range []Family{IPv4, IPv6} {
			if family == IPv4 && req.IPv4 == 0 || family == IPv6 && req.IPv6 == 0 {
				continue
			}
			f := &search{Step: s, req: &req, family: family}
			did, err := f.keepSpare()
			if err != nil {
				return err
			}
			changed = changed || did
		}
		return nil
	})
	return changed, err
}

func (f *search) keepSpare() (bool, error) {
	var err error
	if f.pools, err = f.Env.choose(f.req, f.family); err != nil {
		return false, err
	}
	own, err := f.ownBlocks()
	if err != nil {
		return false, err
	}
	var spare, used []*BlockAffinity
	for _, a := range own {
		switch {
		case a.Assigned || f.Env.Config.NoAutoAllocate:
			return false, nil
		case a.State == Pending:
			spare = append(spare, a)
		case f.chosen(a.CIDR) != nil:
			used = append(used, a)
		}
		f.own = append(f.own, a)
	}
	if len(spare) > 0 {
		return f.giveUp(spare)
	}
	low, err := f.low(used)
	if err != nil || !low || len(f.own) >= f.Env.Config.limit(f.req.MaxBlocks) {
		return false, err
	}
	return f.reserve()
}

// wantsSpare tells whether the node will soon need a block and has no reserve,
// as far as the search has seen.
func (f *search) wantsSpare() bool {
	if f.Env.Config.NoAutoAllocate {
		return false
	}
	var used []*BlockAffinity
	for _, a := range f.own {
		now, err := f.affinity(a.Node, a.CIDR)
		if err != nil || now == nil {
			continue
		}
		if now.Assigned || now.State == Pending {
			return false
		}
		if f.chosen(a.CIDR) != nil {
			used = append(used, a)
		}
	}
	low, err := f.low(used)
	return err == nil && low && len(f.own) < f.Env.Config.limit(f.req.MaxBlocks)
}

// low tells whether a node that uses blocks has less than a quarter of one
// left.
func (f *search) low(used []*BlockAffinity) (bool, error) {
	var cidrs []netip.Prefix
	for _, a := range used {
		cidrs = append(cidrs, a.CIDR)
	}
	if err := f.needBlocks(cidrs); err != nil {
		return false, err
	}
	left, size := 0, 0
	for _, cidr := range cidrs {
		b, err := f.block(cidr)
		if err != nil {
			if err := unlessNeed(err); err != nil {
				return false, err
			}
			continue
		}
		if b != nil {
			left, size = left+b.usable(f.Env), b.Size()
		}
	}
	return len(used) > 0 && left < max(1, size/4), nil
}

// plenty tells whether more than a quarter of a pool's blocks are unclaimed
// after so many more were claimed.
func (f *search) plenty(pool *Pool, more uint64) bool {
	count, claimed := f.walk(pool).count, more
	for cidr := range f.taken {
		if f.Env.poolOfBlock(cidr) == pool {
			claimed++
		}
	}
	return claimed < count && 4*(count-claimed) > count
}

// reserve claims a block that stays pending.
func (f *search) reserve() (bool, error) {
	if err := f.survey(); err != nil {
		return false, err
	}
	var pools []*Pool
	for _, p := range f.pools {
		if f.plenty(p, 1) {
			pools = append(pools, p)
		}
	}
	f.pools = pools
	b, err := f.unclaimed()
	if err != nil || b == nil {
		return false, err
	}
	if !b.Empty() { // one that was left behind is used, or not claimed
		return false, nil
	}
	f.putBlock(b)
	f.claimed(b.CIDR, Pending)
	return true, nil
}

// giveUp ends reserves in pools that have become scarce.
func (f *search) giveUp(spare []*BlockAffinity) (bool, error) {
	if err := f.survey(); err != nil {
		return false, err
	}
	changed := false
	for _, a := range spare {
		if p := f.Env.poolOfBlock(a.CIDR); p != nil && f.plenty(p, 0) {
			continue
		}
		ended, err := f.endReserve(a)
		if err != nil {
			return changed, err
		}
		changed = changed || ended
	}
	return changed, nil
}

// endReserve ends an affinity of the node that is pending. It tells whether it
// was.
func (f *search) endReserve(a *BlockAffinity) (bool, error) {
	now, err := f.affinity(a.Node, a.CIDR)
	if err != nil || now == nil || now.State != Pending {
		return false, unlessNeed(err)
	}
	b, err := f.block(a.CIDR)
	if err != nil {
		return false, err
	}
	f.guardBlock(a.CIDR)
	if b != nil && b.Affinity == AffinityOf(a.Node) {
		if !b.Empty() {
			return false, nil
		}
		f.dropBlock(b)
	}
	f.forget(a)
	return true, nil
}

// mayHaveMore tells whether the limit lets the node have another block. A
// reserve gives way: where there are addresses of it, they have been taken.
func (f *search) mayHaveMore() (bool, error) {
	limit := f.Env.Config.limit(f.req.MaxBlocks)
	for _, a := range slices.Clone(f.own) {
		if len(f.own) < limit {
			break
		}
		if _, err := f.endReserve(a); err != nil {
			return false, err
		}
	}
	return len(f.own) < limit, nil
}

// AssignBlock gives a node a block by decision of an operator or orchestrator
// (host-local mode, a podCIDR): the node then uses assigned blocks only, and
// nobody else uses this one. It must have the size of its pool's blocks.
// Errors: *BlockError.
func (s *Step) AssignBlock(node string, cidr netip.Prefix) error {
	return s.attempt(func() error { return s.assignBlock(node, cidr) })
}

func (s *Step) assignBlock(node string, cidr netip.Prefix) error {
	if bad := checkNode(node); bad != nil {
		return &RequestError{bad}
	}
	if err := s.need([]string{claimsKey(node), store.BlockKey(cidr), store.HostBlockKey(node, cidr)}, nil); err != nil {
		return err
	}
	switch pool := s.Env.poolOf(cidr.Addr()); {
	case cidr != cidr.Masked():
		return notMasked(cidr)
	case pool == nil:
		return &BlockError{ErrBadBlock, cidr, "it lies in no pool"}
	case pool.CIDR.Bits() > pool.BlockSize: // a disabled one may be
		return &BlockError{ErrBadBlock, cidr, fmt.Sprintf("pool %s, %s, is smaller than one of its blocks, /%d",
			pool.Name, pool.CIDR, pool.BlockSize)}
	case cidr.Bits() < pool.BlockSize:
		return &BlockError{ErrBadBlock, cidr, fmt.Sprintf("blocks of pool %s are /%d: assign them one by one, or make a pool of this blockSize",
			pool.Name, pool.BlockSize)}
	case cidr.Bits() > pool.BlockSize:
		return &BlockError{ErrBadBlock, cidr, fmt.Sprintf("blocks of pool %s are /%d, and it is part of one", pool.Name, pool.BlockSize)}
	}
	b, err := s.block(cidr)
	if err != nil {
		return err
	}
	f := &search{Step: s, req: &Request{Node: node}}
	me := AffinityOf(node)
	switch {
	case b == nil:
		if b, err = f.create(cidr); err != nil {
			return err
		}
		s.putBlock(b)
	case b.Affinity != me:
		if b.Affinity != "" && !b.Empty() {
			return &BlockError{ErrBlockInUse, cidr, fmt.Sprintf("%d addresses are held, and it belongs to %s", b.Size()-b.Free(), b.Affinity)}
		}
		if b.Affinity != "" {
			if err := s.endAffinity(b.Affinity.Node(), cidr); err != nil {
				return err
			}
		}
		c := s.edit(b)
		c.Affinity, c.ClaimedAt = me, s.Env.Now
		s.putBlock(c)
	}
	a, err := s.affinity(node, cidr)
	if err != nil {
		return err
	}
	if a != nil && a.Assigned && a.State == Confirmed {
		return nil
	}
	s.putAffinity(&BlockAffinity{Node: node, CIDR: cidr, State: Confirmed, Assigned: true})
	s.putClaims(node, cidr)
	return nil
}

// notMasked refuses what has bits behind its length.
func notMasked(cidr netip.Prefix) error {
	return &BlockError{ErrBadBlock, cidr, "the block of this address is " + cidr.Masked().String()}
}

// endAffinity removes the affinity of somebody who must lose an empty block;
// one that was assigned stays.
func (s *Step) endAffinity(node string, cidr netip.Prefix) error {
	a, err := s.affinity(node, cidr)
	if err != nil {
		return err
	}
	if a != nil && a.Assigned {
		return &BlockError{ErrBlockInUse, cidr, "it is assigned to node " + node}
	}
	if a != nil {
		s.delete(store.HostBlockKey(node, cidr))
	}
	return nil
}

// ReleaseMode says what becomes of a block with addresses in use when its node
// gives it up.
type ReleaseMode int

// The modes of ReleaseBlock.
const (
	IfEmpty ReleaseMode = iota // nothing: it is refused
	Drain                      // it gives out no more, and goes with its last address
	Force                      // it stays, with its addresses, and belongs to nobody
)

// ReleaseBlock ends a node's affinity to a block, and the block if nothing of
// it is in use. An affinity that is not there is no error. Errors: *BlockError.
func (s *Step) ReleaseBlock(node string, cidr netip.Prefix, mode ReleaseMode) error {
	return s.attempt(func() error { return s.releaseBlock(node, cidr, mode) })
}

func (s *Step) releaseBlock(node string, cidr netip.Prefix, mode ReleaseMode) error {
	if cidr != cidr.Masked() {
		return notMasked(cidr)
	}
	if err := s.need([]string{store.HostBlockKey(node, cidr), store.BlockKey(cidr), claimsKey(node)}, nil); err != nil {
		return err
	}
	b, err := s.block(cidr)
	if err != nil {
		return err
	}
	a, err := s.affinity(node, cidr)
	if err != nil && mode != Force {
		return err
	}
	s.guardBlock(cidr)
	if b == nil || b.Affinity != AffinityOf(node) {
		if b != nil && b.Affinity != "" && s.revision(store.HostBlockKey(node, cidr)) == 0 {
			return &BlockError{ErrBlockInUse, cidr, fmt.Sprintf("it belongs to %s, not to node %s", b.Affinity, node)}
		}
		s.delete(store.HostBlockKey(node, cidr))
		return nil
	}
	switch {
	case b.Empty():
		s.dropBlock(b)
	case mode == IfEmpty:
		return &BlockError{ErrBlockInUse, cidr, fmt.Sprintf("%d of its addresses are held: drained it goes with the last of them", b.Size()-b.Free())}
	case mode == Drain:
		drained := BlockAffinity{Node: node, CIDR: cidr}
		if a != nil {
			drained = *a
		}
		drained.State = PendingDeletion
		s.putAffinity(&drained)
		s.putClaims(node, cidr)
		return nil
	default:
		c := s.edit(b)
		c.Affinity = ""
		s.putBlock(c)
	}
	s.delete(store.HostBlockKey(node, cidr))
	return nil
}
