package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// AssignRequest asks for one address and no other. It may be reserved, cooling,
// or of a pool that is disabled or Manual: whoever names an address knows why.
type AssignRequest struct {
	Address    netip.Addr
	Node       string // that it is used on, or "virtual:NAME"
	NodeLabels map[string]string
	MaxBlocks  int // of a family that the node may have; zero: as configured

	Handle     string // holds the address
	Owner      Owner
	Attributes map[string]string // text for people
	// HeldBy are other handles that may hold the address already: then it stays
	// with them.
	HeldBy []string
}

// Assign gives out one address. Its handle may hold it already, or one of
// HeldBy. Errors: *RequestError, *AddressError (in no pool), *InUseError,
// *ExhaustedError (strict affinity, limit of blocks), *BlockError (of a block
// assigned to another node, of none that is assigned to a node that has such, or
// that cannot be read), *HandleError.
func (s *Step) Assign(req AssignRequest) (Allocation, error) {
	req.Address = req.Address.Unmap().WithZone("")
	bad := slices.Concat(checkNode(req.Node), checkHolder(req.Handle, req.Owner), checkAttributes(req.Attributes))
	if req.MaxBlocks < 0 {
		bad = append(bad, Problem{"maxBlocks", fmt.Sprintf("%d is negative", req.MaxBlocks)})
	}
	if !req.Address.IsValid() {
		bad = append(bad, Problem{"address", "is needed"})
	}
	if len(bad) > 0 {
		return Allocation{}, &RequestError{bad}
	}
	var out Allocation
	err := s.attempt(func() (err error) {
		out, err = s.assign(&req)
		return err
	})
	return out, err
}

func (s *Step) assign(req *AssignRequest) (Allocation, error) {
	pool := s.Env.poolOf(req.Address)
	if pool == nil || pool.BlockSize < pool.CIDR.Bits() {
		return Allocation{}, &AddressError{ErrNotInPool, req.Address}
	}
	cidr := pool.blockOf(req.Address)
	b, err := s.block(cidr)
	if err != nil {
		return Allocation{}, err
	}
	if b != nil {
		if h, held := b.Holding(req.Address); held {
			if h.Handle != req.Handle && !slices.Contains(req.HeldBy, h.Handle) {
				return Allocation{}, &InUseError{h}
			}
			s.guardBlock(cidr) // or it could be released meanwhile
			a := s.allocation(b, h, req.Node)
			a.Existed = true
			return a, nil
		}
	}
	handle, err := s.holder(req.Handle, req.Owner)
	if err != nil {
		return Allocation{}, err
	}
	if b, err = s.assignable(req, pool, b); err != nil {
		return Allocation{}, err
	}
	of, err := newAttribute(req.Handle, req.Attributes)
	if err != nil {
		return Allocation{}, err
	}
	b = s.edit(b)
	ordinal, _ := b.ordinal(req.Address)
	b.take(ordinal, of)
	s.putBlock(b)
	a := s.allocation(b, b.holding(ordinal), req.Node)
	s.hold(handle, []Allocation{a})
	return a, nil
}

// assignable returns the block to take the address from: the node's, if it can
// be, else any that strict affinity lets it use.
func (s *Step) assignable(req *AssignRequest, pool *Pool, b *Block) (*Block, error) {
	f := &search{Step: s, req: &Request{Node: req.Node, NodeLabels: req.NodeLabels, MaxBlocks: req.MaxBlocks},
		family: FamilyOf(req.Address), wanted: 1, pools: []*Pool{pool}}
	cidr, me := pool.blockOf(req.Address), AffinityOf(req.Node)
	var err error
	if f.own, err = f.ownBlocks(); err != nil {
		return nil, err
	}
	var mine *BlockAffinity
	var assigned []string
	for _, a := range f.own {
		if a.CIDR == cidr {
			mine = a
		}
		if a.Assigned {
			assigned = append(assigned, a.CIDR.String())
		}
	}
	if len(assigned) > 0 && (mine == nil || !mine.Assigned) {
		return nil, &BlockError{ErrHostLocal, cidr, fmt.Sprintf("%s has %s", req.Node, strings.Join(assigned, ", "))}
	}
	if b != nil && b.Affinity != "" {
		return b, s.shareable(f, b, me)
	}
	var kind error // why the node cannot claim the block
	switch {
	case mine != nil:
	case s.Env.Config.NoAutoAllocate:
		kind = ErrNoAutoAllocate
	case pool.Disabled || !pool.selectsNode(req.Node, req.NodeLabels):
		kind = ErrStrictAffinity
	default:
		more, err := f.mayHaveMore()
		if err != nil {
			return nil, err
		}
		if !more {
			kind = ErrBlockLimit
		}
	}
	if kind != nil && s.Env.Config.StrictAffinity {
		return nil, f.short(kind)
	}
	return s.assignedBlock(f, b, cidr, kind == nil, mine)
}

// shareable tells whether an address of a block with affinity may go to the
// node.
func (s *Step) shareable(f *search, b *Block, me Affinity) error {
	a, err := s.affinity(b.Affinity.Node(), b.CIDR)
	if err != nil {
		return unlessNeed(err) // it cannot be read; the block decides
	}
	s.guardAffinity(b)
	switch {
	case b.Affinity == me:
		if a != nil && a.State == Pending {
			confirmed := *a
			confirmed.State = Confirmed
			s.putAffinity(&confirmed)
		}
		return nil
	case a != nil && a.Assigned:
		return &BlockError{ErrBlockInUse, b.CIDR, "it is assigned to node " + a.Node + ", which alone uses it"}
	case s.Env.Config.StrictAffinity:
		return f.short(ErrStrictAffinity)
	}
	if a != nil && a.State == Pending { // it is in use from now on
		confirmed := *a
		confirmed.State = Confirmed
		s.putAffinity(&confirmed)
	}
	return nil
}

// assignedBlock makes the block of an address that nobody has, for the node if
// it claims it, which is mine if it has done so before, else for nobody.
func (s *Step) assignedBlock(f *search, b *Block, cidr netip.Prefix, claim bool, mine *BlockAffinity) (*Block, error) {
	var err error
	if b == nil {
		if b, err = f.create(cidr); err != nil {
			return nil, err
		}
	} else {
		b = s.edit(b)
	}
	if !claim {
		b.Affinity = ""
		return b, nil
	}
	b.Affinity, b.ClaimedAt = AffinityOf(f.req.Node), s.Env.Now
	confirmed := BlockAffinity{Node: f.req.Node, CIDR: cidr}
	if mine != nil {
		confirmed = *mine
	} else {
		s.putClaims(f.req.Node, cidr)
	}
	confirmed.State = Confirmed
	s.putAffinity(&confirmed)
	return b, nil
}
