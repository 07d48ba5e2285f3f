package ipam

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

const (
	// maxKeys is how many keys a step compares or writes by itself, of the
	// store.MaxOps of a transaction, but for the few of a last block.
	maxKeys = store.MaxOps - 32
	// maxWeight is how many bytes, roughly: half of what a request to etcd may
	// have.
	maxWeight = 3 << 18
)

// Allocate gives out addresses: from the node's own blocks, then from one it
// claims, then from an empty one of another node, then single ones borrowed
// from others' blocks. Errors: *RequestError, *NoPoolError, *ExhaustedError
// (unless Partial), *HandleError.
func (s *Step) Allocate(req Request) (*Result, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	var result *Result
	err := s.attempt(func() (err error) {
		result, err = s.allocate(&req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (s *Step) allocate(req *Request) (*Result, error) {
	handle, err := s.holder(req.Handle, req.Owner)
	if err != nil {
		return nil, err
	}
	of, err := newAttribute(req.Handle, req.Attributes)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	if req.Resume {
		if err := s.resume(req, handle, result); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		family Family
		wanted int
	}{{IPv4, req.IPv4}, {IPv6, req.IPv6}} {
		have := 0
		for _, a := range result.Allocations {
			if FamilyOf(a.Address) == f.family {
				have++
			}
		}
		if have >= f.wanted {
			continue
		}
		search := &search{Step: s, req: req, family: f.family, wanted: f.wanted - have, attribute: of}
		short, err := search.run()
		if err != nil {
			return nil, err
		}
		result.Allocations = append(result.Allocations, search.got...)
		result.More = result.More || search.more
		result.Low = result.Low || search.wantsSpare()
		if short != nil && (!req.Partial || s.reads.guess) {
			return nil, short
		}
		if short != nil {
			result.Short = append(result.Short, short)
		}
	}
	s.hold(handle, result.Allocations)
	return result, nil
}

// holder returns a handle, made if there is none, for an owner that it must
// have.
func (s *Step) holder(id string, owner Owner) (*Handle, error) {
	h, err := s.handle(id)
	switch {
	case err != nil:
		return nil, err
	case h == nil:
		return &Handle{ID: id, Owner: owner}, nil
	case h.Owner != owner:
		return nil, &HandleError{ErrHandleOwner, id, h.Owner}
	}
	return h, nil
}

// hold counts addresses that were given out in their handle.
func (s *Step) hold(h *Handle, allocations []Allocation) {
	changed := false
	for _, a := range allocations {
		if !a.Existed {
			h, changed = h.add(a.Block, 1), true
		}
	}
	if changed {
		s.put(store.HandleKey(h.ID), h)
	}
}

// resume finds what a handle holds already.
func (s *Step) resume(req *Request, handle *Handle, result *Result) error {
	blocks := handle.blocks()
	if err := s.needBlocks(blocks); err != nil {
		return err
	}
	for _, cidr := range blocks {
		b, err := s.block(cidr)
		if err != nil {
			return err
		}
		s.guardBlock(cidr)
		if b == nil {
			continue
		}
		for _, h := range b.held(handle.ID) {
			a := s.allocation(b, h, req.Node)
			a.Existed = true
			result.Allocations = append(result.Allocations, a)
		}
	}
	slices.SortStableFunc(result.Allocations, func(a, b Allocation) int { return a.Address.Compare(b.Address) })
	return nil
}

// allocation describes an address that is held.
func (s *Step) allocation(b *Block, h Holding, node string) Allocation {
	a := Allocation{Address: h.Address, Block: b.CIDR, Handle: h.Handle, Sequence: h.Sequence,
		Borrowed: b.Affinity != AffinityOf(node)}
	if p := s.Env.poolOfBlock(b.CIDR); p != nil {
		a.Pool = p.Name
	}
	return a
}

// search looks for addresses of one family.
type search struct {
	*Step
	req       *Request
	family    Family
	wanted    int
	attribute *attribute

	pools  []*Pool
	own    []*BlockAffinity // of the node, in this family
	got    []Allocation
	more   bool                  // no room for what was found
	held   int                   // addresses of own blocks that are reserved or cooling
	others []*BlockAffinity      // of other nodes, in these pools, shuffled; see foreign
	asked  bool                  // others were looked for
	taken  map[netip.Prefix]bool // blocks with an affinity, or of no use; see claim
	walks  map[*Pool]*walk

	surveyed bool // taken has those of all nodes
}

// run finds addresses; what is missing comes back as an *ExhaustedError.
func (f *search) run() (*ExhaustedError, error) {
	var err error
	if f.pools, err = f.Env.choose(f.req, f.family); err != nil {
		return nil, err
	}
	if f.own, err = f.ownBlocks(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(f.own, func(a *BlockAffinity) bool { return a.Assigned }) {
		f.own = slices.DeleteFunc(f.own, func(a *BlockAffinity) bool { return !a.Assigned || f.chosen(a.CIDR) == nil })
		if err := f.fromOwn(); err != nil {
			return nil, err
		}
		return f.short(ErrHostLocal), nil
	}
	if err := f.dropUnselected(); err != nil {
		return nil, err
	}
	if err := f.fromOwn(); err != nil {
		return nil, err
	}
	return f.fromElsewhere()
}

// fromElsewhere goes on when the node's own blocks have nothing left.
func (f *search) fromElsewhere() (*ExhaustedError, error) {
	for !f.done() && !f.Env.Config.NoAutoAllocate {
		more, err := f.mayHaveMore()
		if err != nil {
			return nil, err
		}
		if !more {
			return f.short(ErrBlockLimit), nil
		}
		found, err := f.claim()
		if err == nil && !found {
			found, err = f.reclaim()
		}
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
	}
	switch {
	case f.done():
		return nil, nil
	case f.Env.Config.NoAutoAllocate:
		return f.short(ErrNoAutoAllocate), nil
	case f.Env.Config.StrictAffinity:
		return f.short(ErrStrictAffinity), nil
	}
	if err := f.borrow(); err != nil {
		return nil, err
	}
	return f.short(ErrPoolsExhausted), nil
}

// done tells whether the search is at its end: everything was found, or no
// more fits.
func (f *search) done() bool { return len(f.got) == f.wanted || f.more }

// short describes what is missing; nil when nothing is, as far as one
// transaction goes.
func (f *search) short(kind error) *ExhaustedError {
	if f.done() {
		return nil
	}
	e := &ExhaustedError{Kind: kind, Family: f.family, Node: f.req.Node, Wanted: f.wanted, Got: len(f.got),
		Blocks: len(f.own), Limit: f.Env.Config.limit(f.req.MaxBlocks), Reserved: f.held}
	for _, p := range f.pools {
		e.Pools = append(e.Pools, p.Name)
	}
	return e
}

// chosen returns which of the chosen pools a block is of, or nil.
func (f *search) chosen(cidr netip.Prefix) *Pool {
	p := f.Env.poolOfBlock(cidr)
	if p == nil || !slices.Contains(f.pools, p) {
		return nil
	}
	return p
}

// fill takes what there is of a block, which with that becomes confirmed if it
// is the node's.
func (f *search) fill(b *Block, a *BlockAffinity) {
	if f.done() || b.usable(f.Env) == 0 {
		return
	}
	if f.full() {
		f.more = true
		return
	}
	f.take(b)
	if a != nil && a.State != Confirmed {
		confirmed := *a
		confirmed.State = Confirmed
		f.putAffinity(&confirmed)
	}
}

// take takes what there is of a block, and stages it.
func (f *search) take(b *Block) {
	b = f.edit(b)
	for _, ordinal := range b.takeAny(f.wanted-len(f.got), f.Env, f.attribute) {
		f.got = append(f.got, f.allocation(b, b.holding(ordinal), f.req.Node))
	}
	f.putBlock(b)
	f.guardAffinity(b) // it may have become a reserve, or assigned
}

// fromOwn takes addresses from the node's own blocks: the pools in their order,
// in each the blocks in use before the reserve.
func (f *search) fromOwn() error {
	var blocks []netip.Prefix
	for _, a := range f.own {
		if f.chosen(a.CIDR) != nil && a.State != PendingDeletion {
			blocks = append(blocks, a.CIDR)
		}
	}
	if err := f.needBlocks(blocks); err != nil {
		return err
	}
	for _, pool := range f.pools {
		for _, state := range []State{Confirmed, Pending} {
			for _, a := range slices.Clone(f.own) {
				if a.State != state || f.chosen(a.CIDR) != pool || f.done() {
					continue
				}
				if err := f.fromOwnBlock(a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fromOwnBlock takes addresses from one block of the node. The block decides
// whose it is: without one the claim is finished, another's is given up.
func (f *search) fromOwnBlock(a *BlockAffinity) error {
	b, err := f.block(a.CIDR)
	if err != nil {
		return unlessNeed(err) // it cannot be read: nothing comes from it
	}
	if b == nil || b.Affinity != AffinityOf(a.Node) {
		f.guardBlock(a.CIDR)
		f.guardKey(store.HostBlockKey(a.Node, a.CIDR))
	}
	switch {
	case b == nil:
		if b, err = f.create(a.CIDR); err != nil {
			return err
		}
	case b.Affinity == "":
		b = f.edit(b)
		b.Affinity, b.ClaimedAt = AffinityOf(a.Node), f.Env.Now
	case b.Affinity != AffinityOf(a.Node):
		f.forget(a)
		return nil
	}
	f.fill(b, a)
	for _, i := range b.idle {
		if !f.Env.usable(b, i) {
			f.held++
		}
	}
	return nil
}

// forget removes an affinity of the node.
func (f *search) forget(a *BlockAffinity) {
	f.delete(store.HostBlockKey(a.Node, a.CIDR))
	f.own = slices.DeleteFunc(f.own, func(o *BlockAffinity) bool { return o.CIDR == a.CIDR })
}

// create returns a new block of the node, which has been read as absent.
func (f *search) create(cidr netip.Prefix) (*Block, error) {
	found, ok := f.reads.known(store.BlockKey(cidr))
	if !ok {
		return nil, fmt.Errorf("create block %s: it was not read", cidr)
	}
	base, err := f.sequenceBase()
	if err != nil {
		return nil, err
	}
	b := newBlock(cidr, base+uint64(found.at))
	b.Affinity, b.ClaimedAt = AffinityOf(f.req.Node), f.Env.Now
	if p := f.Env.poolOfBlock(cidr); p != nil && p.Key != "" {
		f.guard(p.Key, p.Revision)
	}
	return b, nil
}

// maxDropped is how many blocks of pools that no longer select the node one
// request gives back.
const maxDropped = 4

// dropUnselected gives back the node's unused blocks in pools that are not for
// it any more.
func (f *search) dropUnselected() error {
	var drop []*BlockAffinity
	for _, a := range f.own {
		p := f.Env.poolOfBlock(a.CIDR)
		selected := p != nil && !p.Disabled && p.selectsNode(f.req.Node, f.req.NodeLabels)
		if !selected && f.chosen(a.CIDR) == nil && len(drop) < maxDropped {
			drop = append(drop, a)
		}
	}
	for _, a := range drop {
		b, err := f.block(a.CIDR)
		if err != nil {
			if err := unlessNeed(err); err != nil {
				return err
			}
			continue
		}
		f.guardBlock(a.CIDR)
		if b != nil && b.Affinity == AffinityOf(a.Node) {
			if !b.unused(f.Env) {
				continue
			}
			f.delete(store.BlockKey(a.CIDR))
		}
		f.forget(a)
	}
	return nil
}
