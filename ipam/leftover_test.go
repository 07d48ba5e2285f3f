package ipam

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// What others left half done, such as an imported state, is finished or undone
// by whoever meets it; the block decides.
func TestHalfDoneClaims(t *testing.T) {
	first := netip.MustParsePrefix("10.0.0.0/30")
	affinity := func(node string, state State) *BlockAffinity {
		return &BlockAffinity{Node: node, CIDR: first, State: state}
	}
	owned := func(node string) *Block {
		b := newBlock(first, 1)
		if node != "" {
			b.Affinity = AffinityOf(node)
		}
		return b
	}
	for _, c := range []struct {
		name     string
		block    *Block
		affinity *BlockAffinity
		node     string // that asks
		want     string // the affinity that is left
	}{
		{"own claim without its block", nil, affinity("host1", Pending), "host1", "host1 10.0.0.0/30 confirmed"},
		{"own confirmed without its block", nil, affinity("host1", Confirmed), "host1", "host1 10.0.0.0/30 confirmed"},
		{"another's claim without its block", nil, affinity("host2", Pending), "host1", "host1 10.0.0.0/30 confirmed"},
		{"own claim to another's block", owned("host2"), affinity("host1", Pending), "host2", "host2 10.0.0.0/30 confirmed"},
		{"own claim with the block", owned("host1"), affinity("host1", Pending), "host1", "host1 10.0.0.0/30 confirmed"},
		{"own claim to nobody's block", owned(""), affinity("host1", Confirmed), "host1", "host1 10.0.0.0/30 confirmed"},
		{"own block without its affinity", owned("host1"), nil, "host1", "host1 10.0.0.0/30 confirmed"},
		{"nobody's block", owned(""), nil, "host1", "host1 10.0.0.0/30 confirmed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, pool("a=10.0.0.0/30/30"))
			if c.block != nil {
				r.write(store.BlockKey(first), c.block)
			}
			if c.affinity != nil {
				r.write(store.HostBlockKey(c.affinity.Node, first), c.affinity)
			}
			if c.name == "own claim to another's block" { // who has no right finds out first
				r.allocate(ask("host1", "in vain", 1))
			}
			r.allocate(ask(c.node, "h", 1))
			if got := r.affinities(); !slices.Equal(got, []string{c.want}) {
				t.Errorf("affinities %q", got)
			}
			r.consistent()
		})
	}
}

// A claim that a newer version has written in a way that is not understood keeps
// its block from others; its node goes on with it.
func TestClaimThatCannotBeRead(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	a := r.one(ask("host1", "h", 1))
	key := store.HostBlockKey("host1", a.Block)
	r.write(key, &BlockAffinity{Node: "host1", CIDR: a.Block, State: "guarded"})
	wantShort(t, r.other().allocate(ask("host2", "i", 1)), 0, ErrPoolsExhausted)
	if b := r.other().one(ask("host1", "j", 1)); b.Borrowed {
		t.Errorf("got %+v", b)
	}
	for _, handle := range []string{"h", "j"} {
		if _, err := r.ReleaseHandle(t.Context(), "host1", handle); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(time.Hour)
	wantShort(t, r.other().allocate(ask("host2", "i", 1)), 0, ErrPoolsExhausted)
	if kv, _, err := r.memory.Get(t.Context(), key); err != nil || !strings.Contains(string(kv.Value), "guarded") {
		t.Errorf("the claim is now %q, %v", kv.Value, err)
	}
}

// A reserve of which addresses are held, as nothing of ours leaves it, is no
// reserve to be given up.
func TestReserveInUse(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	a := r.one(ask("host1", "h", 1))
	r.write(store.HostBlockKey("host1", a.Block), &BlockAffinity{Node: "host1", CIDR: a.Block, State: Pending})
	if r.other().keepSpare(ask("host1", "", 1)) {
		t.Error("given up")
	}
	if h, held := r.read().Blocks[0].Holding(a.Address); !held || h.Handle != "h" {
		t.Errorf("held is %+v", h)
	}
}
