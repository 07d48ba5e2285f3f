package ipam

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// between is a Store that something happens to whenever a range was read.
type between struct {
	Store
	prefix string
	then   func()
}

func (b *between) List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error) {
	p, err := b.Store.List(ctx, prefix, opts)
	b.read(prefix)
	return p, err
}

func (b *between) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	found, err := b.Store.Read(ctx, keys, prefixes)
	b.read(prefixes...)
	return found, err
}

func (b *between) read(prefixes ...string) {
	if slices.Contains(prefixes, b.prefix) {
		b.then()
	}
}

// beforeTxn is a Store that something happens to before its first transaction.
type beforeTxn struct {
	Store
	then func()
}

func (b *beforeTxn) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	b.then()
	return b.Store.Txn(ctx, compares, ops)
}

// What changes after the collector has checked it again, and before it writes,
// stays.
func TestCollectorLosesRaces(t *testing.T) {
	endpoint, node := store.ResourceKey("WorkloadEndpoint", "", "e"), store.ResourceKey("Node", "", "host1")
	nothing := func(*cluster, Allocation) {}
	for _, race := range []struct {
		name          string
		found, change func(c *cluster, e Allocation) // the node of endpoint e has an empty block beside
		want          Collected
	}{
		{"the owner is back", func(c *cluster, e Allocation) { c.remove("e", e) },
			func(c *cluster, _ Allocation) { c.put(endpoint, "") }, Collected{Spared: 1, Empty: 1}},
		{"the node is back", func(c *cluster, _ Allocation) { c.delete(node) },
			func(c *cluster, _ Allocation) { c.put(node, "") }, Collected{Spared: 2}},
		{"the empty block is used", nothing,
			func(c *cluster, _ Allocation) { c.other().allocate(ask("host1", "x", 64)) }, Collected{Spared: 1}},
		{"the empty block is assigned", nothing, func(c *cluster, e Allocation) {
			blocks := c.read().Blocks
			i := slices.IndexFunc(blocks, func(b *Block) bool { return b.CIDR != e.Block })
			if err := c.other().do(func(s *Step) error { return s.AssignBlock("host1", blocks[i].CIDR) }); err != nil {
				c.Fatal(err)
			}
		}, Collected{Spared: 1}},
	} {
		t.Run(race.name, func(t *testing.T) {
			c := newCluster(t, pool("a=10.0.0.0/25/26"))
			e := c.endpoint("host1", "e")
			c.one(ask("host1", "all", 127))
			if _, err := c.ReleaseHandle(t.Context(), "host1", "all"); err != nil {
				t.Fatal(err)
			}
			race.found(c, e)
			c.round()
			c.pass(time.Hour)
			g := c.round()
			c.Client = NewClient(&beforeTxn{c.memory, sync.OnceFunc(func() { race.change(c, e) })}, c.settings)
			c.collect(g, race.want)
		})
	}
}

// leaked returns a cluster with a leaked address, which the next round finds
// ready.
func leaked(t *testing.T, name string) (*cluster, Allocation) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	return c, c.leak(name)[0]
}

// An endpoint that is registered again, with the address that its handle has,
// while a round reads: the a/ keys of before do not tell, and the endpoint does
// not change until the release.
func TestRegisteredDuringARound(t *testing.T) {
	for _, prefix := range []string{store.HostsPrefix, store.AddressPrefix, store.KindPrefix("Node")} {
		t.Run(prefix, func(t *testing.T) {
			c, a := leaked(t, "back")
			key := store.ResourceKey("WorkloadEndpoint", "", "back")
			c.reader = &between{c.reader, prefix, sync.OnceFunc(func() {
				ops := []store.Op{{Key: key}, {Key: store.AddressKey(a.Address), Value: []byte(key)}}
				if _, err := c.memory.Txn(c.Context(), nil, ops); err != nil {
					t.Error(err)
				}
			})}
			g := c.round()
			c.collect(g, Collected{Spared: len(g.Leaks)})
			if n := len(c.read().Handles); n != 1 {
				t.Error("the address of an endpoint that is there was released")
			}
		})
	}
}

// What a handle got after it was judged saves all of it.
func TestHandleThatGrowsIsSpared(t *testing.T) {
	c, a := leaked(t, "grows")
	g := c.round()
	if len(g.Leaks) != 1 {
		t.Fatalf("garbage %+v", g)
	}
	c.one(Request{Node: "host2", Handle: "grows", Owner: g.Leaks[0].Owner, IPv4: 1})
	c.collect(g, Collected{Spared: 1})
	if b := c.read().Blocks; len(b) != 2 || b[0].Empty() || b[1].Empty() {
		t.Errorf("%s was released without the other one", a.Address)
	}
}

// leakedBlocks returns a cluster in which addresses of as many blocks wait to be
// collected, because their owner is not there.
func leakedBlocks(t *testing.T, owner Owner, n int) *cluster {
	c := newCluster(t, pool("a=10.0.0.0/24/32"))
	c.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: n}
	c.allocate(Request{Node: "host1", Handle: "gone", Owner: owner, IPv4: n})
	c.round()
	c.pass(time.Hour)
	return c
}

// All that an endpoint can have goes in one transaction.
func TestLeakOfManyBlocksGoesAtOnce(t *testing.T) {
	c := leakedBlocks(t, Owner{OwnerEndpoint, store.ResourceKey("WorkloadEndpoint", "", "gone")}, 48)
	g := c.round()
	count := &counting{Store: c.memory}
	c.Client = NewClient(count, c.settings)
	c.collect(g, Collected{Addresses: 48})
	if count.txns != 1 {
		t.Errorf("%d transactions", count.txns)
	}
}

// What one transaction does not hold goes by and by.
func TestLeakOfTooManyBlocks(t *testing.T) {
	c := leakedBlocks(t, Owner{OwnerLoadBalancer, store.ResourceKey("Service", "", "gone")}, 200)
	c.collect(c.round(), Collected{Addresses: 200, LoadBalancers: 200})
	if n := len(c.read().Handles); n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

// What is external, says no owner, or is of a newer version stays for ever; of
// what is known it goes with the owner, and not before.
func TestWhatIsCollectedByOwner(t *testing.T) {
	service, node := store.ResourceKey("Service", "ns", "s"), store.ResourceKey("Node", "", "host1")
	for _, c := range []struct {
		name string
		Owner
		want Collected
	}{
		{"external", external(), Collected{}},
		{"without an owner", Owner{}, Collected{}},
		{"endpoint without a key", Owner{Kind: OwnerEndpoint}, Collected{}},
		{"of a newer version", Owner{"gateway", "r/Gateway/ns/g"}, Collected{}},
		{"tunnel of a node", Owner{OwnerTunnel, node}, Collected{}},
		{"tunnel of a node that is gone", Owner{OwnerTunnel, store.ResourceKey("Node", "", "host9")}, Collected{Addresses: 1, Tunnels: 1}},
		{"service", Owner{OwnerLoadBalancer, service}, Collected{}},
		{"service that is gone", Owner{OwnerLoadBalancer, service + "2"}, Collected{Addresses: 1, LoadBalancers: 1}},
		{"endpoint of a kind of a newer version", Owner{OwnerEndpoint, "r/VirtualMachine/ns/m"}, Collected{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCluster(t, pool("a=10.0.0.0/24/26"))
			k.put(service, "")
			k.put("r/VirtualMachine/ns/m", "")
			k.one(ask("host1", "h", 1))
			h := *k.read().Handles["h"]
			h.Owner = c.Owner
			k.write(store.HandleKey("h"), &h)
			k.round()
			k.pass(time.Hour)
			k.collect(k.round(), c.want)
		})
	}
}

// What cannot be read, as what a newer version wrote, is nobody's garbage, and
// holds up nothing.
func TestUnreadableHoldsUpNothing(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	key := store.ResourceKey("WorkloadEndpoint", "", "gone")
	first := c.one(Request{Node: "host1", Handle: "gone", Owner: Owner{OwnerEndpoint, key}, IPv4: 1})
	second := c.one(ask("host2", "h", 1))
	if _, err := c.ReleaseHandle(t.Context(), "host2", "h"); err != nil {
		t.Fatal(err)
	}
	c.put(store.BlockKey(first.Block), "\xff")
	c.put(store.HostBlockKey("host2", second.Block), "\xff")
	a := c.endpoint("host3", "leaks")
	c.remove("leaks", a)
	c.put(store.ResourceKey("Node", "", "host3"), "")
	before := len(c.read().Unreadable)
	c.round()
	c.pass(time.Hour)
	got, err := c.Collect(t.Context(), c.round())
	if err != nil || got != (Collected{Addresses: 1}) {
		t.Errorf("collected %+v, %v", got, err)
	}
	if now := c.read(); len(now.Unreadable) != before || now.Handles["gone"] == nil {
		t.Errorf("%d of %d keys that cannot be read are left, handle %v", len(now.Unreadable), before, now.Handles["gone"])
	}
}

// What fails by itself when it is taken away leaves the rest to go.
func TestBadGarbageHoldsUpNothing(t *testing.T) {
	c, a := leaked(t, "leaks")
	g := c.round()
	bad := netip.MustParsePrefix("10.0.9.0/26")
	c.put(store.BlockKey(bad), "\xff")
	g.Leaks = slices.Insert(g.Leaks, 0, LeakedHandle{ID: "leaks", Owner: g.Leaks[0].Owner,
		Releases: []Release{{Address: a.Address, Handle: "leaks", Block: bad}}})
	got, err := c.Collect(t.Context(), g)
	if !errors.Is(err, ErrBadBlock) || got != (Collected{Addresses: 1}) {
		t.Errorf("collected %+v, %v", got, err)
	}
}

// A store that is away ends the round at once.
func TestCollectEndsWithTheStore(t *testing.T) {
	c, _ := leaked(t, "leaks")
	g := c.round()
	away := store.NewMemory()
	away.Disconnect()
	got, err := NewClient(away, c.settings).Collect(t.Context(), g)
	if !errors.Is(err, store.ErrUnavailable) || got != (Collected{}) {
		t.Errorf("collected %+v, %v", got, err)
	}
}

// What was tried and stayed comes after all the rest.
func TestWhatStaysComesLast(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	c.collector.Max = 1
	c.leak("e0", "e1", "e2")
	var got []string
	for range 3 {
		for _, l := range c.round().Leaks { // and it is not collected
			got = append(got, l.ID)
		}
	}
	if !slices.Equal(got, []string{"e0", "e1", "e2"}) {
		t.Errorf("ready one after the other: %q", got)
	}
	c.collect(c.round(), Collected{}) // all are watched anew
}

// A store that was restored from a backup is another one.
func TestBackupIsLookedAtAnew(t *testing.T) {
	c, _ := leaked(t, "leaks")
	w, err := ReadWorld(t.Context(), c.memory, c.settings)
	if err != nil {
		t.Fatal(err)
	}
	w.Revision--
	c.collector.revision = w.Revision
	if g := c.collector.Round(w); len(g.Leaks) != 1 {
		t.Fatalf("garbage %+v", g)
	}
	c, _ = leaked(t, "leaks")
	w.Revision = c.collector.revision - 1
	if g := c.collector.Round(w); len(g.Leaks) != 0 || c.collector.Suspects().Leaks != 1 {
		t.Errorf("garbage %+v, suspects %+v", g, c.collector.Suspects())
	}
}

// A handle that no block holds anything for goes, unless its owner is there or it
// is external.
func TestEmptyHandles(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"))
	a := c.endpoint("host1", "here")
	c.remove("gone", c.endpoint("host1", "gone"))
	c.one(ask("host1", "outside", 1))
	c.delete(store.BlockKey(a.Block)) // by somebody who should not
	c.delete(store.HostBlockKey("host1", a.Block))
	c.round()
	c.pass(time.Hour)
	g := c.round()
	if len(g.Leaks) != 1 || g.Leaks[0].ID != "gone" {
		t.Fatalf("garbage %+v", g)
	}
	if _, err := c.Collect(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if got := c.read().Handles; got["gone"] != nil || got["here"] == nil || got["outside"] == nil {
		t.Errorf("handles %v", got)
	}
}

// Of blocks that give their node nothing none is kept: those of a pool that went
// from under them, and those that name a node which does not have them.
func TestUselessBlocks(t *testing.T) {
	c := newCluster(t, pool("a=10.0.0.0/24/26"), pool("b=10.1.0.0/24/26"))
	for _, p := range []string{"a", "b"} {
		for _, node := range []string{"host1", "host2"} {
			c.one(Request{Node: node, Handle: p + node, Owner: external(), IPv4: 1, Pools: []string{p}})
			if _, err := c.ReleaseHandle(t.Context(), node, p+node); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.settings.env.Pools = c.settings.env.Pools[1:]
	for _, a := range c.read().Affinities {
		if a.Node == "host2" {
			c.delete(store.HostBlockKey(a.Node, a.CIDR))
		}
	}
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{Empty: 3})
	if got := c.read().Blocks; len(got) != 1 || got[0].Affinity != "host:host1" || got[0].CIDR.Addr().As4()[1] != 1 {
		t.Errorf("left are %+v", got)
	}
}

// Without IPv4 all is the same.
func TestCollectsIPv6(t *testing.T) {
	c := newCluster(t, pool("six=fd00::/120/122"))
	for _, name := range []string{"here", "gone"} {
		key := store.ResourceKey("WorkloadEndpoint", "", name)
		got := c.allocate(Request{Node: "host1", Handle: name, Owner: Owner{OwnerEndpoint, key}, IPv6: 40})
		if name == "gone" {
			continue
		}
		c.put(key, "")
		for _, a := range got.Allocations {
			c.put(store.AddressKey(a.Address), key)
		}
	}
	c.delete(store.ResourceKey("Node", "", "host2"))
	c.one(Request{Node: "host2", Handle: "x", Owner: external(), IPv6: 1})
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{Addresses: 40, Dead: 1})
	c.round()
	c.pass(time.Hour)
	c.collect(c.round(), Collected{Empty: 1}) // the other block of host1 is in use
	if h := c.read().Handles; len(h) != 2 || h["here"] == nil || h["x"] == nil {
		t.Errorf("handles %v", h)
	}
}
