package ipam

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// cluster is a store with endpoints and nodes, and a collector.
type cluster struct {
	*rig
	collector Collector
}

func newCluster(t *testing.T, pools ...Pool) *cluster {
	c := &cluster{rig: newRig(t, pools...)}
	for _, node := range []string{"host1", "host2"} {
		c.put(store.ResourceKey("Node", "", node), "")
	}
	return c
}

func (c *cluster) put(key, value string) {
	c.Helper()
	kv, _, _ := c.memory.Get(c.Context(), key)
	if _, err := c.memory.Txn(c.Context(), []store.Compare{{Key: key, ModRevision: kv.ModRevision}}, []store.Op{{Key: key, Value: []byte(value)}}); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) delete(key string) {
	c.Helper()
	if _, err := c.memory.Txn(c.Context(), nil, []store.Op{{Key: key, Delete: true}}); err != nil {
		c.Fatal(err)
	}
}

// endpoint gives an endpoint that exists an address.
func (c *cluster) endpoint(node, name string) Allocation {
	c.Helper()
	key := store.ResourceKey("WorkloadEndpoint", "", name)
	a := c.one(Request{Node: node, Handle: name, Owner: Owner{OwnerEndpoint, key}, IPv4: 1})
	c.put(key, a.Address.String())
	c.put(store.AddressKey(a.Address), key)
	return a
}

// remove deletes an endpoint and leaves its address, as no step of ours does.
func (c *cluster) remove(name string, a Allocation) {
	c.delete(store.ResourceKey("WorkloadEndpoint", "", name))
	c.delete(store.AddressKey(a.Address))
}

// leak makes endpoints on host1 that go and leave their addresses, which wait to
// be collected then.
func (c *cluster) leak(names ...string) (all []Allocation) {
	for _, name := range names {
		a := c.endpoint("host1", name)
		c.remove(name, a)
		all = append(all, a)
	}
	c.round()
	c.pass(time.Hour)
	return all
}

func (c *cluster) round() *Garbage {
	c.Helper()
	w, err := ReadWorld(c.Context(), c.reader, c.settings)
	if err != nil {
		c.Fatal(err)
	}
	return c.collector.Round(w)
}

func (c *cluster) collect(g *Garbage, want Collected) {
	c.Helper()
	got, err := c.Collect(c.Context(), g)
	if err != nil || got != want {
		c.Errorf("collected %+v, %v; wanted %+v", got, err, want)
	}
	for _, p := range c.read().Check(&c.settings.env).Problems {
		if p.Kind != NoEndpoint { // a leak that has not been collected yet
			c.Errorf("check: %s", p)
		}
	}
}

func TestLeakIsCollected(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	a := c.endpoint("host1", "gone")
	c.endpoint("host1", "here")
	c.one(ask("host1", "of somebody outside", 1))
	c.remove("gone", a)
	c.collect(c.round(), Collected{}) // seen once
	c.pass(5*time.Minute - time.Second)
	c.collect(c.round(), Collected{}) // the grace period
	c.pass(time.Second)
	c.collect(c.round(), Collected{Addresses: 1})
	c.pass(time.Hour)
	c.collect(c.round(), Collected{})
	if n := len(c.read().Handles); n != 2 {
		t.Errorf("%d handles are left, wanted 2", n)
	}
}

// An owner that exists and does not have the address leaks it as well.
func TestAddressOfAnotherSpecIsCollected(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	a := c.endpoint("host1", "e")
	c.delete(store.AddressKey(a.Address))
	c.put(store.ResourceKey("WorkloadEndpoint", "", "e"), "10.0.0.99")
	c.round()
	c.pass(5 * time.Minute)
	g := c.round()
	if len(g.Leaks) != 1 || g.Leaks[0].Revision == 0 {
		t.Fatalf("garbage %+v", g)
	}
	// It changes once more before the collector writes: it is judged again.
	c.put(store.ResourceKey("WorkloadEndpoint", "", "e"), "10.0.0.98")
	got, err := c.Collect(t.Context(), g)
	if err != nil || got != (Collected{Spared: 1}) {
		t.Errorf("collected %+v, %v", got, err)
	}
}

// Between the decision and the write everything may have changed.
func TestCollectorChecksAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*cluster, Allocation)
	}{
		{"the owner is back", func(c *cluster, _ Allocation) {
			c.put(store.ResourceKey("WorkloadEndpoint", "", "gone"), "10.0.0.1")
		}},
		{"the address was released", func(c *cluster, a Allocation) {
			if _, err := c.Release(c.Context(), "", []Release{{Address: a.Address}}); err != nil {
				c.Fatal(err)
			}
		}},
		{"the address was given out again", func(c *cluster, a Allocation) {
			if _, err := c.Release(c.Context(), "", []Release{{Address: a.Address}}); err != nil {
				c.Fatal(err)
			}
			if _, err := c.Assign(c.Context(), AssignRequest{Address: a.Address, Node: "host1", Handle: "gone", Owner: Owner{OwnerEndpoint, "r/new"}}); err != nil {
				c.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCluster(t, pool("a=10.0.0.0/24/26"))
			a := k.endpoint("host1", "gone")
			k.remove("gone", a)
			k.round()
			k.pass(time.Hour)
			g := k.round()
			if len(g.Leaks) != 1 {
				t.Fatalf("garbage %+v", g)
			}
			c.change(k, a)
			got, err := k.Collect(t.Context(), g)
			if err != nil || got != (Collected{Spared: 1}) {
				t.Errorf("collected %+v, %v", got, err)
			}
		})
	}
}

// An endpoint with an address that it has and one that it has not keeps both.
func TestHandleIsCollectedWholeOrNotAtAll(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	c.endpoint("host1", "e")
	key := store.ResourceKey("WorkloadEndpoint", "", "e")
	c.one(Request{Node: "host1", Handle: "e", Owner: Owner{OwnerEndpoint, key}, IPv4: 1})
	c.round()
	c.pass(time.Hour)
	if g := c.round(); len(g.Leaks) != 0 {
		t.Errorf("garbage %+v", g)
	}
}

func TestBlocksOfDeadNodes(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	a := c.endpoint("host2", "left behind")
	c.one(ask("host2", "b", 64)) // a second block
	if _, err := c.ReleaseHandle(t.Context(), "host2", "b"); err != nil {
		t.Fatal(err)
	}
	c.endpoint("host1", "e")
	c.delete(store.ResourceKey("Node", "", "host2"))
	c.collector.Grace = time.Minute
	c.round()
	c.pass(time.Minute)
	g := c.round()
	c.collect(g, Collected{Dead: 2})
	for _, b := range c.read().Blocks {
		switch {
		case b.CIDR == a.Block && (b.Affinity != "" || b.Empty()):
			t.Errorf("block with an address in use: %+v", b)
		case b.CIDR != a.Block && b.Affinity != "host:host1":
			t.Errorf("block %s of %q is left", b.CIDR, b.Affinity)
		}
	}
	// Another node adopts what is left of the block, and finds all of it.
	got := c.allocate(ask("host1", "all", 255))
	wantShort(t, got, 254, ErrPoolsExhausted)
}

func TestDeadNodeComesBack(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	c.endpoint("host2", "e")
	c.delete(store.ResourceKey("Node", "", "host2"))
	c.round()
	c.pass(time.Hour)
	g := c.round()
	c.put(store.ResourceKey("Node", "", "host2"), "")
	c.collect(g, Collected{Spared: 1})
}

// Empty blocks go, but one of each node and family.
func TestEmptyBlocks(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"), pool("b=10.9.0.0/26/26"))
	c.one(ask("host1", "many", 192))
	if _, err := c.ReleaseHandle(t.Context(), "host1", "many"); err != nil {
		t.Fatal(err)
	}
	if err := c.do(func(s *Step) error { return s.AssignBlock("host2", netip.MustParsePrefix("10.9.0.0/26")) }); err != nil {
		t.Fatal(err)
	}
	c.round()
	c.pass(5 * time.Minute)
	c.collect(c.round(), Collected{Empty: 2})
	c.pass(time.Hour)
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{})
	if got := c.affinities(); len(got) != 2 {
		t.Errorf("affinities %q", got)
	}
}

// Assigned blocks and reserves are empty on purpose.
func TestBlocksEmptyOnPurpose(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"), pool("b=10.9.0.0/25/26"))
	c.one(ask("host1", "full", 64))
	if err := c.KeepSpare(t.Context(), Request{Node: "host1", IPv4: 1}); err != nil {
		t.Fatal(err)
	}
	for _, cidr := range []string{"10.9.0.0/26", "10.9.0.64/26"} {
		if err := c.do(func(s *Step) error { return s.AssignBlock("host2", netip.MustParsePrefix(cidr)) }); err != nil {
			t.Fatal(err)
		}
	}
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{})
	if got := c.affinities(); len(got) != 4 {
		t.Errorf("affinities %q", got)
	}
}

// A node with assigned blocks uses no other: it keeps none that it claimed before.
func TestEmptyBlocksBesideAssigned(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"), pool("b=10.9.0.0/25/26"))
	a := c.endpoint("host1", "w")
	if err := c.do(func(s *Step) error { return s.AssignBlock("host1", netip.MustParsePrefix("10.9.0.0/26")) }); err != nil {
		t.Fatal(err)
	}
	c.remove("w", a)
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{Addresses: 1})
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{Empty: 1})
	if got := c.affinities(); len(got) != 1 || !strings.Contains(got[0], "10.9.0.0/26") {
		t.Errorf("affinities %q", got)
	}
}

// Claims that no block explains go, of nodes that are there, too; unless they are
// made good meanwhile, or assigned.
func TestUnexplainedClaims(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	others := c.one(ask("host2", "h", 1)).Block
	claim := func(cidr netip.Prefix, state State, assigned bool) {
		a := &BlockAffinity{Node: "host1", CIDR: cidr, State: state, Assigned: assigned}
		c.write(store.HostBlockKey("host1", cidr), a)
	}
	var free []netip.Prefix
	for _, text := range []string{"10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26", "10.0.0.192/26"} {
		if p := netip.MustParsePrefix(text); p != others {
			free = append(free, p)
		}
	}
	claim(others, Confirmed, false)
	claim(free[0], PendingDeletion, false)
	claim(free[1], Confirmed, false)
	claim(free[2], Confirmed, true)
	c.round()
	c.pass(time.Hour)
	g := c.round()
	if len(g.Empty) != 3 {
		t.Errorf("garbage %+v", g)
	}
	for _, cidr := range free[1:] {
		b := newBlock(cidr, 1)
		b.Affinity = AffinityOf("host1")
		c.write(store.BlockKey(cidr), b)
	}
	c.collect(g, Collected{Empty: 2, Spared: 1})
	want := []string{"host1 " + free[1].String() + " confirmed", "host1 " + free[2].String() + " confirmed", "host2 " + others.String() + " confirmed"}
	if got := c.affinities(); !slices.Equal(got, want) {
		t.Errorf("affinities %q, want %q", got, want)
	}
}

// A block that is used and freed between two rounds is not the same.
func TestEmptyBlockIsSeenTwiceTheSame(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/31/32"))
	c.one(ask("host1", "a", 2))
	for range 3 {
		if _, err := c.ReleaseHandle(t.Context(), "host1", "a"); err != nil {
			t.Fatal(err)
		}
		if g := c.round(); len(g.Empty) != 0 {
			t.Errorf("garbage %+v", g)
		}
		c.one(ask("host1", "a", 2))
		c.pass(time.Hour)
	}
}

func TestCollectorIsBounded(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	c.collector.Max = 3
	c.leak("e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7")
	var left []int
	for range 3 {
		g := c.round()
		left = append(left, g.Left)
		c.collect(g, Collected{Addresses: min(3, 8-3*(len(left)-1))})
	}
	if !slices.Equal(left, []int{5, 2, 0}) {
		t.Errorf("left for later %v", left)
	}
}
