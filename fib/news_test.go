package fib_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
)

// disturbed is a kernel where something happens just after a change was made,
// before it is known to be.
type disturbed struct {
	*fibtest.Kernel
	by func(fib.Change) // nil: no more
}

func (k *disturbed) Apply(ctx context.Context, changes []fib.Change) []error {
	errs := k.Kernel.Apply(ctx, changes)
	for i, c := range changes {
		if k.by != nil && (errs == nil || errs[i] == nil) {
			k.by(c)
		}
	}
	k.Kernel.Apply(ctx, nil) // tells of it
	return errs
}

// TestNewsWhileWriting: whatever becomes of a route or of its next hops while the
// kernel is at them, the table knows, and brings back what is wanted. It never
// reads back by the clock.
func TestNewsWhileWriting(t *testing.T) {
	const ours, host = "10.0.0.1/32", "10.0.0.1/32 dev up0 src 192.168.0.9 proto 118 metric 118"
	const network, learned = "10.1.0.0/24", "10.1.0.0/24 group(via 192.168.0.2 dev up0) proto 120 metric 118"
	stranger := fib.Entry{
		Prefix: pfx(ours), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: 42, Kind: fib.KindBlackhole,
	}
	member := func(c fib.Change) bool { return c.Object != nil && !c.Object.IsGroup }
	of := func(prefix string) func(fib.Change) bool {
		return func(c fib.Change) bool { return c.Object == nil && c.Entry.Prefix == pfx(prefix) }
	}
	for name, test := range map[string]struct {
		after func(fib.Change) bool
		do    func(*fibtest.Kernel, fib.Change)
		want  []string
	}{
		"a stranger replaces the route": {of(ours), func(k *fibtest.Kernel, _ fib.Change) {
			k.Interfere(fib.Change{Op: fib.Replace, Entry: stranger})
		}, []string{"10.0.0.1/32 blackhole proto 42 metric 118", learned}},
		"the route is deleted": {of(ours), func(k *fibtest.Kernel, c fib.Change) {
			k.Interfere(fib.Change{Op: fib.Delete, Entry: c.Entry})
		}, []string{host, learned}},
		"a stranger replaces the next hop": {member, func(k *fibtest.Kernel, c fib.Change) {
			theirs := *c.Object
			theirs.Protocol, theirs.Hop = 42, fib.Hop{Index: c.Object.Hop.Index}
			k.Interfere(fib.Change{Op: fib.Replace, Object: &theirs})
		}, []string{host, learned, "unused object dev up0"}},
		"the next hop is deleted": {member, func(k *fibtest.Kernel, c fib.Change) {
			k.Interfere(fib.Change{Op: fib.Delete, Object: c.Object})
		}, []string{host, learned}},
		"the carrier is lost for a moment": {member, func(k *fibtest.Kernel, _ fib.Change) {
			k.SetCarrier("up0", false)
			k.SetCarrier("up0", true)
		}, []string{host, learned}},
		"the group goes with the carrier": {func(c fib.Change) bool { return c.Object != nil && c.Object.IsGroup },
			func(k *fibtest.Kernel, _ fib.Change) {
				k.SetCarrier("up0", false)
				k.SetCarrier("up0", true)
			}, []string{host, learned}},
		"the link is down for a moment": {of(ours), func(k *fibtest.Kernel, _ fib.Change) {
			k.SetUp("up0", false)
			k.SetUp("up0", true)
		}, []string{host, learned}},
		"the source is gone for a moment": {of(ours), func(k *fibtest.Kernel, _ fib.Change) {
			k.DeleteAddress("up0", pfx("192.168.0.9/24"))
			k.AddAddress("up0", pfx("192.168.0.9/24"))
		}, []string{host, learned}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &disturbed{Kernel: newKernel()}
				k.AddAddress("up0", pfx("192.168.0.9/24"))
				table := run(t, k, fib.Options{ReadBack: -1})
				k.by = func(c fib.Change) {
					if test.after(c) {
						k.by = nil
						test.do(k.Kernel, c)
					}
				}
				route := toUp0()
				route.Src = netip.MustParseAddr("192.168.0.9")
				table.Put(fib.Workload, pfx(ours), route)
				table.SetGroup("x", []fib.NextHop{{Gateway: netip.MustParseAddr("192.168.0.2"), Interface: "up0"}})
				table.Put(fib.BGP, pfx(network), fib.Route{Group: "x"})
				time.Sleep(time.Minute) // what was refused meanwhile is tried again
				expect(t, k, test.want...)
				for _, prefix := range []string{ours, network} {
					if s := table.Get(pfx(prefix)); s.Programmed != (test.want[0] == host || prefix == network) {
						t.Errorf("%s is said to be programmed: %t", prefix, s.Programmed)
					}
				}
			})
		})
	}
}

// TestUnusedWhileRemoving: a group that comes to be of no use while another one is
// removed does not stay.
func TestUnusedWhileRemoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &disturbed{Kernel: newKernel()}
		table := run(t, k, fib.Options{ReadBack: -1})
		for i, group := range []fib.GroupKey{"x", "y"} {
			gateway := netip.AddrFrom4([4]byte{192, 168, 0, byte(2 + i)})
			table.SetGroup(group, []fib.NextHop{{Gateway: gateway, Interface: "up0"}})
		}
		table.Put(fib.BGP, pfx("10.1.0.0/24"), fib.Route{Group: "x"})
		expect(t, k, "10.1.0.0/24 group(via 192.168.0.2 dev up0) proto 120 metric 118")
		k.by = func(c fib.Change) {
			if c.Op == fib.Delete && c.Object != nil {
				k.by = nil
				table.Put(fib.BGP, pfx("10.2.0.0/24"), fib.Route{Group: "y"})
				k.Interfere(fib.Change{Op: fib.Create, Entry: fib.Entry{
					Prefix: pfx("10.2.0.0/24"), Table: fib.DefaultTable, Metric: 7, Protocol: 42, Kind: fib.KindBlackhole,
				}})
			}
		}
		table.Delete(fib.BGP, pfx("10.1.0.0/24"))
		expect(t, k, "10.2.0.0/24 blackhole proto 42 metric 7")
	})
}

// told is a kernel whose observer is told of more than happens.
type told struct {
	*fibtest.Kernel
	watcher fib.Observer
}

func (k *told) Watch(ctx context.Context, table uint32, ready func(), o fib.Observer) error {
	k.watcher = o
	return k.Kernel.Watch(ctx, table, ready, o)
}

// TestCarrierThatWasNotMissed: a link that has its carrier again before the kernel
// has looked keeps its objects, and none is left over.
func TestCarrierThatWasNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &told{Kernel: newKernel()}
		k.AddLink("up1")
		k.AddAddress("up1", pfx("172.20.0.1/24"))
		table := run(t, k, fib.Options{ReadBack: -1})
		table.SetGroup("x", []fib.NextHop{
			{Gateway: netip.MustParseAddr("192.168.0.2"), Interface: "up0"}, {Gateway: netip.MustParseAddr("172.20.0.2"), Interface: "up1"},
		})
		table.Put(fib.BGP, pfx("10.1.0.0/24"), fib.Route{Group: "x"})
		synctest.Wait()
		for _, carrier := range []bool{false, true} {
			k.watcher.ObserveLink(fib.Link{Index: k.Index("up1"), Name: "up1", Up: true, Carrier: carrier}, fib.Present)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		expect(t, k, "10.1.0.0/24 group(via 172.20.0.2 dev up1 + via 192.168.0.2 dev up0) proto 120 metric 118")
	})
}
