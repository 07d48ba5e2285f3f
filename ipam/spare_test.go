package ipam

import (
	"fmt"
	"testing"
)

func (r *rig) keepSpare(req Request) bool {
	r.Helper()
	changed := false
	err := r.do(func(s *Step) (err error) {
		changed, err = s.KeepSpare(req)
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return changed
}

// A node whose blocks are nearly full has a reserve, which becomes its block
// with the first address: one transaction, as for any address.
func TestSpare(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/28"))
	if r.keepSpare(ask("host1", "", 1)) {
		t.Error("a reserve for a node without a block")
	}
	if r.allocate(ask("host1", "h", 12)).Low {
		t.Error("low, with a quarter of a block left")
	}
	if r.keepSpare(ask("host1", "", 1)) {
		t.Error("a reserve for a node with a quarter of a block left")
	}
	if !r.allocate(ask("host1", "i", 1)).Low {
		t.Error("not low, with less than a quarter of a block left")
	}
	if !r.keepSpare(ask("host1", "", 1)) || r.keepSpare(ask("host1", "", 1)) {
		t.Error("not one reserve, once")
	}
	r.consistent()
	if got := r.affinities(); len(got) != 2 {
		t.Errorf("affinities %q", got)
	}
	if r.allocate(ask("host1", "last", 3)).Low {
		t.Error("low, with a reserve")
	}
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	if a := r.one(ask("host1", "next", 1)); a.Borrowed || count.txns != 1 {
		t.Errorf("%+v in %d transactions", a, count.txns)
	}
	for _, a := range r.read().Affinities {
		if a.State != Confirmed {
			t.Errorf("affinity %+v", a)
		}
	}
	r.consistent()
}

// Reserves end where no more than a quarter of the blocks is unclaimed.
func TestSpareOfAScarcePool(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/29/32")) // eight blocks
	use := func(n int) {
		for range n {
			r.one(ask(fmt.Sprint("other", len(r.read().Blocks)), fmt.Sprint("h", len(r.read().Blocks)), 1))
		}
	}
	r.one(ask("host1", "h", 1))
	use(4)
	if r.keepSpare(ask("host1", "", 1)) {
		t.Error("a reserve that leaves a quarter")
	}
	if _, err := r.ReleaseHandle(t.Context(), "", "h1"); err != nil {
		t.Fatal(err)
	}
	for _, b := range r.read().Blocks {
		if b.Empty() {
			if err := r.do(func(s *Step) error { return s.ReleaseBlock(b.Affinity.Node(), b.CIDR, IfEmpty) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !r.keepSpare(ask("host1", "", 1)) {
		t.Error("no reserve with half of the blocks unclaimed")
	}
	use(1)
	if !r.keepSpare(ask("host1", "", 1)) {
		t.Error("the reserve stays in a scarce pool")
	}
	if got := r.read().Affinities; len(got) != 5 {
		t.Errorf("%d affinities, wanted 5", len(got))
	}
	r.consistent()
}

// A node without a block takes another's reserve at once, if nothing is left to
// claim.
func TestSpareIsGivenUp(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/32")) // four blocks
	r.settings.env.Config.StrictAffinity = true
	r.one(ask("host1", "a", 1))
	if !r.keepSpare(ask("host1", "", 1)) {
		t.Fatal("no reserve")
	}
	r.one(ask("host2", "b", 1))
	r.one(ask("host3", "c", 1))
	if a := r.one(ask("host4", "d", 1)); a.Borrowed {
		t.Errorf("got %+v", a)
	}
	for _, a := range r.read().Affinities {
		if a.State != Confirmed {
			t.Errorf("affinity %+v", a)
		}
	}
	r.consistent()
}

// A reserve does not stand against the limit of blocks: it goes where another
// pool is asked for.
func TestSpareWithinTheLimit(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/30"), pool("b=10.1.0.0/24/30"))
	r.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: 2}
	r.one(ask("host1", "h", 4))
	if !r.keepSpare(ask("host1", "", 1)) {
		t.Fatal("no reserve")
	}
	req := ask("host1", "i", 5)
	req.Pools = []string{"b"}
	wantShort(t, r.allocate(req), 4, ErrBlockLimit)
	for _, a := range r.read().Affinities {
		if a.State != Confirmed {
			t.Errorf("affinity %+v", a)
		}
	}
	r.consistent()
}
