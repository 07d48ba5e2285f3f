package ipam

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

func TestHostLocal(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"))
	block := netip.MustParsePrefix("10.0.0.4/30")
	assign := func(node string, cidr netip.Prefix) error {
		return r.do(func(s *Step) error { return s.AssignBlock(node, cidr) })
	}
	r.one(ask("host1", "before", 1)) // a block that it claimed by itself
	if err := assign("host1", block); err != nil {
		t.Fatal(err)
	}
	if err := assign("host1", block); err != nil {
		t.Errorf("the same again: %v", err)
	}
	got := r.allocate(ask("host1", "h", 5))
	wantShort(t, got, 4, ErrHostLocal)
	for _, a := range got.Allocations {
		if a.Block != block {
			t.Errorf("%s of block %s", a.Address, a.Block)
		}
	}
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Hour)
	// Nobody else uses it: neither when it is empty nor by address.
	r.allocate(ask("host2", "all", 16))
	for _, b := range r.read().Blocks {
		if b.CIDR == block && !b.Empty() {
			t.Error("the assigned block is used by another")
		}
	}
	var e *BlockError
	if _, err := r.assign("host2", "i", "10.0.0.5"); !errors.As(err, &e) {
		t.Errorf("an address of it: %v", err)
	}
	if err := assign("host2", block); !errors.Is(err, ErrBlockInUse) {
		t.Errorf("to another node: %v", err)
	}
	if err := assign("host3", netip.MustParsePrefix("10.0.0.8/31")); !errors.Is(err, ErrBadBlock) {
		t.Errorf("of another size: %v", err)
	}
	if err := assign("host3", netip.MustParsePrefix("10.9.0.0/30")); !errors.Is(err, ErrBadBlock) {
		t.Errorf("in no pool: %v", err)
	}
	r.consistent()
}

// TestNoBlock: what is wrong with a prefix is told with what would help.
func TestNoBlock(t *testing.T) {
	small := pool("small=10.0.2.0/28/26") // as it may be while it gives nothing out
	small.Disabled = true
	r := newRig(t, pool("a=10.0.0.0/24/26"), small)
	for cidr, want := range map[string]string{
		"10.0.0.0/24":         "blocks of pool a are /26: assign them one by one, or make a pool of this blockSize",
		"10.0.0.0/8":          "blocks of pool a are /26: assign them one by one, or make a pool of this blockSize",
		"10.0.0.0/27":         "blocks of pool a are /26, and it is part of one",
		"10.0.0.1/26":         "the block of this address is 10.0.0.0/26",
		"10.0.1.0/26":         "it lies in no pool",
		"10.0.2.0/26":         "pool small, 10.0.2.0/28, is smaller than one of its blocks, /26",
		"10.0.2.0/28":         "pool small, 10.0.2.0/28, is smaller than one of its blocks, /26",
		"fd00::/122":          "it lies in no pool",
		"::ffff:10.0.0.0/122": "it lies in no pool",
	} {
		err := r.do(func(s *Step) error { return s.AssignBlock("host1", netip.MustParsePrefix(cidr)) })
		var e *BlockError
		if !errors.As(err, &e) || !errors.Is(err, ErrBadBlock) || e.Reason != want {
			t.Errorf("%s: %v", cidr, err)
		}
	}
	if c := r.read(); len(c.Blocks)+len(c.Affinities) != 0 {
		t.Errorf("something was made: %+v", c)
	}
}

// TestHostLocalNamedAddress: an address that is named must be of the blocks
// assigned as well, unless the handle has it already.
func TestHostLocalNamedAddress(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"), pool("six=fd00::/124/126"))
	before := r.one(ask("host1", "before", 1))
	var others []netip.Prefix
	for i := range 4 {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(4 * i)}), 30); p != before.Block {
			others = append(others, p)
		}
	}
	block := others[0]
	if _, err := r.assign("host2", "lent", others[1].Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := r.do(func(s *Step) error { return s.AssignBlock("host1", block) }); err != nil {
		t.Fatal(err)
	}
	claimed := len(r.read().Affinities)
	its := before.Address.Next()
	if !before.Block.Contains(its) {
		its = before.Address.Prev()
	}
	for what, address := range map[string]netip.Addr{
		"a block it claimed": its, "another's": others[1].Addr().Next(), "nobody's": others[2].Addr(),
	} {
		_, err := r.assign("host1", "i", address.String())
		var e *BlockError
		if !errors.As(err, &e) || !errors.Is(err, ErrHostLocal) || e.Reason != "host1 has "+block.String() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if a, err := r.assign("host1", "before", before.Address.String()); err != nil || !a.Existed {
		t.Errorf("what the handle has: %+v, %v", a, err)
	}
	if a, err := r.assign("host1", "j", block.Addr().Next().String()); err != nil || a.Borrowed {
		t.Errorf("of the block assigned: %+v, %v", a, err)
	}
	if _, err := r.assign("host1", "k", "fd00::5"); err != nil { // which claims a block
		t.Errorf("of the other family: %v", err)
	}
	if got := len(r.read().Affinities); got != claimed+1 {
		t.Errorf("affinities %q", r.affinities())
	}
	r.consistent()
}

// TestHostLocalOfOtherPools: a request that names pools without an assigned block
// is told so.
func TestHostLocalOfOtherPools(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"), pool("b=10.1.0.0/28/30"))
	for _, node := range []string{"host1", "host2"} {
		i := int(node[4] - '1')
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(4 * i)}), 30)
		if err := r.do(func(s *Step) error { return s.AssignBlock(node, cidr) }); err != nil {
			t.Fatal(err)
		}
	}
	req := ask("host1", "h", 1)
	req.Pools, req.Partial = []string{"b"}, false
	_, err := r.Allocate(t.Context(), req)
	want := "0 of 1 IPv4 addresses for node host1 from pools [b]: the node uses assigned blocks only: none of them is of these pools: assign it one"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := r.do(func(s *Step) error { return s.ReleaseBlock("host1", netip.MustParsePrefix("10.0.0.4/30"), IfEmpty) }); !errors.Is(err, ErrBlockInUse) {
		t.Errorf("a block of another: %v", err)
	}
	if got := len(r.read().Affinities); got != 2 {
		t.Errorf("affinities %q", r.affinities())
	}
}

// TestAssignedBlockIsMadeAgain: where the block of a claim is missing, as after a
// damaged import, a named address makes it, and it stays assigned.
func TestAssignedBlockIsMadeAgain(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"))
	block := netip.MustParsePrefix("10.0.0.4/30")
	r.write(store.HostBlockKey("host1", block), &BlockAffinity{Node: "host1", CIDR: block, State: Confirmed, Assigned: true})
	if _, err := r.assign("host1", "h", "10.0.0.5"); err != nil {
		t.Fatal(err)
	}
	if c := r.read(); len(c.Affinities) != 1 || !c.Affinities[0].Assigned || c.Blocks[0].Affinity != AffinityOf("host1") {
		t.Errorf("got %+v of %+v", c.Affinities[0], c.Blocks[0])
	}
}

// TestHostLocalEnds: a node whose last assigned block is taken from it claims
// blocks again; one that is given back while it is in use gives out no more until
// then.
func TestHostLocalEnds(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"))
	block := netip.MustParsePrefix("10.0.0.4/30")
	if err := r.do(func(s *Step) error { return s.AssignBlock("host1", block) }); err != nil {
		t.Fatal(err)
	}
	r.one(ask("host1", "h", 1))
	release := func(mode ReleaseMode) error {
		return r.do(func(s *Step) error { return s.ReleaseBlock("host1", block, mode) })
	}
	if err := release(IfEmpty); !errors.Is(err, ErrBlockInUse) {
		t.Errorf("a block in use: %v", err)
	}
	if err := release(Drain); err != nil {
		t.Fatal(err)
	}
	wantShort(t, r.allocate(ask("host1", "i", 1)), 0, ErrHostLocal)
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	if a := r.one(ask("host1", "i", 1)); a.Borrowed {
		t.Errorf("got %+v", a)
	}
	r.consistent()
}

// What one process assigns is honoured by another that remembers the node's
// blocks.
func TestAssignedBlockIsNoticed(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/30"))
	r.one(ask("host1", "before", 1))
	block := netip.MustParsePrefix("10.0.0.0/30")
	if r.read().Blocks[0].CIDR == block {
		block = netip.MustParsePrefix("10.0.0.4/30")
	}
	if err := r.other().do(func(s *Step) error { return s.AssignBlock("host1", block) }); err != nil {
		t.Fatal(err)
	}
	if a := r.one(ask("host1", "h", 1)); a.Block != block {
		t.Errorf("%s of block %s", a.Address, a.Block)
	}
}

func TestReleaseBlock(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	a := r.one(ask("host1", "h", 1))
	release := func(mode ReleaseMode) error {
		return r.do(func(s *Step) error { return s.ReleaseBlock("host1", a.Block, mode) })
	}
	if err := release(IfEmpty); !errors.Is(err, ErrBlockInUse) {
		t.Errorf("a block in use: %v", err)
	}
	if err := release(Drain); err != nil {
		t.Fatal(err)
	}
	wantShort(t, r.allocate(ask("host1", "i", 1)), 0, ErrPoolsExhausted)
	if _, err := r.ReleaseHandle(t.Context(), "", "h"); err != nil {
		t.Fatal(err)
	}
	if c := r.read(); len(c.Blocks)+len(c.Affinities) != 0 {
		t.Errorf("drained and left: %+v", c)
	}
	r.one(ask("host1", "h", 1))
	if err := release(Force); err != nil {
		t.Fatal(err)
	}
	if got := r.one(ask("host2", "i", 1)); got.Block != a.Block || got.Borrowed {
		t.Errorf("the block that was left behind: %+v", got)
	}
	r.consistent()
}

// A block that is assigned to its node, or drained, between the look at it and the
// transaction gives nothing to others any more.
func TestBorrowBesideAChange(t *testing.T) {
	for name, change := range map[string]func(*Step, netip.Prefix) error{
		"assigned": func(s *Step, b netip.Prefix) error { return s.AssignBlock("host1", b) },
		"drained":  func(s *Step, b netip.Prefix) error { return s.ReleaseBlock("host1", b, Drain) },
	} {
		r := newRig(t, pool("a=10.0.0.0/30/30"))
		block := r.one(ask("host1", "h", 1)).Block
		tries := 0
		_, err := r.Do(t.Context(), "host2", func(_ context.Context, s *Step) error {
			_, err := s.Allocate(Request{Node: "host2", Handle: "i", Owner: external(), IPv4: 1})
			if err == nil && tries == 0 {
				tries++
				if err := r.other().do(func(s *Step) error { return change(s, block) }); err != nil {
					t.Fatal(err)
				}
			}
			return err
		})
		if !errors.Is(err, ErrPoolsExhausted) || tries != 1 {
			t.Errorf("%s: %v", name, err)
		}
		r.consistent()
	}
}

// A block that is drained while its last address is released goes all the same.
func TestDrainBesideTheLastRelease(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	a := r.one(ask("host1", "h", 1))
	drained := false
	err := r.do(func(s *Step) error {
		_, err := s.ReleaseHandle("h")
		if err == nil && !drained {
			drained = true
			if err := r.other().do(func(s *Step) error { return s.ReleaseBlock("host1", a.Block, Drain) }); err != nil {
				t.Fatal(err)
			}
		}
		return err
	})
	if c := r.read(); err != nil || len(c.Blocks)+len(c.Affinities)+len(c.Handles) != 0 {
		t.Errorf("left: %+v, %v", c, err)
	}
}
