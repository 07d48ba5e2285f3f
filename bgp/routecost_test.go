package bgp

import (
	"net/netip"
	"testing"
)

// metrics resolves to a metric.
type metrics map[netip.Addr]uint32

func (m metrics) Resolve(a netip.Addr) (Resolution, bool) {
	metric, ok := m[a]
	return Resolution{Hops: []Hop{{Interface: "eth0"}}, Metric: metric}, ok
}

// TestRouteCost: the cost of a next hop is that of the kernel's way, or of the
// nearest over BGP routes, which may not lead to themselves.
func TestRouteCost(t *testing.T) {
	r := NewRoutes(metrics{addr("192.0.2.1"): 5, addr("192.0.2.2"): 3})
	put := func(p string, hops ...string) {
		set := PathSet{Prefix: prefix(p)}
		for _, h := range hops {
			set.Paths = append(set.Paths, Path{Prefix: set.Prefix, NextHop: addr(h)})
		}
		r.Put(set)
	}
	check := func(hop string, cost uint32, reachable, nested bool) {
		t.Helper()
		if c, ok := r.Cost(addr(hop)); c != cost || ok != reachable {
			t.Errorf("%s: cost %d, reached %t", hop, c, ok)
		}
		if got := r.Nested(); got != nested {
			t.Errorf("%s: over BGP routes %t", hop, got)
		}
	}
	check("192.0.2.1", 5, true, false)
	check("198.51.100.1", 0, false, true)
	put("198.51.100.0/24", "192.0.2.1", "192.0.2.2")
	check("198.51.100.1", 3, true, true)
	put("203.0.113.0/24", "203.0.113.1") // leads to itself
	check("203.0.113.1", 0, false, true)
}

// TestDiscard: a prefix whose best path discards has no group, and goes.
func TestDiscard(t *testing.T) {
	r := NewRoutes(metrics{addr("192.0.2.1"): 0})
	p := Path{Prefix: prefix("10.0.0.1/32"), NextHop: addr("192.0.2.1")}
	for _, c := range []struct {
		discard, gone bool
		want          Route
	}{
		{false, false, Route{p.Prefix, "192.0.2.1", false}},
		{true, false, Route{Prefix: p.Prefix, Discard: true}},
		{true, true, Route{Prefix: p.Prefix}},
		{true, false, Route{Prefix: p.Prefix, Discard: true}},
		{false, false, Route{p.Prefix, "192.0.2.1", false}},
	} {
		set := PathSet{Prefix: p.Prefix}
		if p.Discard = c.discard; !c.gone {
			set.Paths = []Path{p}
		}
		r.Put(set)
		changes := r.Drain()
		if len(changes.Routes) != 1 || changes.Routes[0] != c.want {
			t.Errorf("%+v: %+v, want %+v", c, changes.Routes, c.want)
		}
		for _, key := range changes.Gone {
			if key == discardKey {
				t.Error("a group is gone that was never told")
			}
		}
	}
}
