package ipam

import (
	"errors"
	"net/netip"
	"testing"
)

// What is refused says why, and changes nothing.
func TestRefusalsChangeNothing(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("b=10.1.0.0/24/26"))
	r.settings.env.Pools[1].Disabled = true
	a, err := r.assign("host1", "h", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr
	release := func(releases ...Release) func() error {
		return func() error { _, err := r.Release(t.Context(), "host1", releases); return err }
	}
	block := func(work func(s *Step, cidr netip.Prefix) error, cidr string) func() error {
		return func() error { return r.do(func(s *Step) error { return work(s, netip.MustParsePrefix(cidr)) }) }
	}
	give := func(s *Step, cidr netip.Prefix) error { return s.AssignBlock("host2", cidr) }
	take := func(s *Step, cidr netip.Prefix) error { return s.ReleaseBlock("host1", cidr, IfEmpty) }
	for _, c := range []struct {
		name string
		do   func() error
		kind error
		want string
	}{
		{"assigned twice", func() error { _, err := r.assign("host1", "other", "10.0.0.1"); return err },
			ErrAddressInUse, "10.0.0.1: address in use by handle h"},
		{"assigned twice, from elsewhere", func() error { _, err := r.other().assign("host2", "other", "10.0.0.1"); return err },
			ErrAddressInUse, "10.0.0.1: address in use by handle h"},
		{"in no pool", func() error { _, err := r.assign("host1", "h", "192.0.2.1"); return err },
			ErrNotInPool, "192.0.2.1: address is in no pool"},
		{"stale sequence", release(Release{Address: a.Address, Handle: "h", Sequence: a.Sequence + 7}),
			ErrStale, `10.0.0.1: address was given out again: held by handle h with sequence number 1, not sequence number 8`},
		{"another's handle", release(Release{Address: a.Address, Handle: "other"}),
			ErrStale, `10.0.0.1: address was given out again: held by handle h with sequence number 1, not handle other`},
		{"one of two stale", release(Release{Address: a.Address}, Release{Address: a.Address, Sequence: 99}, Release{Address: at("192.0.2.1")}),
			ErrNotInPool, "192.0.2.1: address is in no pool"},
		{"no such handle", func() error { _, err := r.ReleaseHandle(t.Context(), "host1", "nobody"); return err },
			ErrNoHandle, "handle nobody: no such handle"},
		{"a handle of somebody else", func() error {
			_, err := r.Assign(t.Context(), AssignRequest{Address: at("10.0.0.2"), Node: "host1", Handle: "h", Owner: Owner{OwnerEndpoint, "r/e"}})
			return err
		}, ErrHandleOwner, "handle h: handle has another owner: external"},
		{"a disabled pool", func() error {
			_, err := r.Allocate(t.Context(), Request{Node: "host1", Handle: "i", Owner: external(), IPv4: 1, Pools: []string{"b"}})
			return err
		}, ErrNoPool, "no pool is for this request of IPv4 on node host1 (b: disabled)"},
		{"block of another size", block(give, "10.0.0.64/27"), ErrBadBlock, "block 10.0.0.64/27: not a block of a pool: blocks of pool a are /26, and it is part of one"},
		{"address as block", block(give, "10.0.0.65/26"), ErrBadBlock, "block 10.0.0.65/26: not a block of a pool: the block of this address is 10.0.0.64/26"},
		{"block in use", block(give, "10.0.0.0/26"), ErrBlockInUse, "block 10.0.0.0/26: in use: 1 addresses are held, and it belongs to host:host1"},
		{"release of a block in use", block(take, "10.0.0.0/26"), ErrBlockInUse, "block 10.0.0.0/26: in use: 1 of its addresses are held: drained it goes with the last of them"},
		{"release of no block", block(take, "10.0.0.1/26"), ErrBadBlock, "block 10.0.0.1/26: not a block of a pool: the block of this address is 10.0.0.0/26"},
		{"pool in use", func() error { _, err := r.dropPool(r.settings.env.Pools[0]); return err },
			ErrPoolInUse, "pool a: 1 addresses are held, such as 10.0.0.1 by handle h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := r.memory.Revision(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.do(); !errors.Is(err, c.kind) || err.Error() != c.want {
				t.Errorf("got    %v\nwanted %s", err, c.want)
			}
			if after, err := r.memory.Revision(t.Context()); err != nil || after != before {
				t.Errorf("the store is at revision %d, was at %d, %v", after, before, err)
			}
		})
	}
	r.consistent()
}
