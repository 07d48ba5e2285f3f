package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

var bothFamilies = bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast)

func both(s *bgp.Session) {
	s.Families, s.NextHop6 = bothFamilies, netip.MustParseAddr("2001:db8::1")
}

// TestBothFamilies: one connection carries both families, each with its own
// End-of-RIB, counts, restart and refresh.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	g := newGround(t, 1)
	g.originate("10.1.0.1/32", "fd00::1/128")
	g.sessions(g.to(2, both), g.to(3, both))
	r, narrow := g.dial(2, modelAS), g.dial(3, modelAS, func(o *wire.Open) {
		o.Capabilities.Families = bgp.FamiliesOf(bgp.IPv4Unicast)
	})
	wait(t, "End-of-RIB of both families", func() bool { return r.synced() == bothFamilies })
	wait(t, "End-of-RIB of one family", func() bool { return narrow.synced() == bgp.FamiliesOf(bgp.IPv4Unicast) })
	if got := r.prefixes(); !slices.Equal(got, []string{"10.1.0.1/32", "fd00::1/128"}) {
		t.Errorf("the router holds %v", got)
	}
	if got := narrow.prefixes(); !slices.Equal(got, []string{"10.1.0.1/32"}) {
		t.Errorf("the router of one family holds %v", got)
	}
	if a, _ := r.held("fd00::1/128"); a.NextHop.Addr != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("next hop %s over IPv4", a.NextHop.Addr)
	}
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32")
	r.announce(wire.Attributes{NextHop: wire.NextHop{Addr: netip.MustParseAddr("2001:db8::2")}}, "fd00::2/128")
	r.sendEndOfRIB(bgp.IPv6Unicast)
	wait(t, "paths of both families", func() bool { return g.peer(2).Received == 3 && g.peer(2).EndOfRIB != 0 })
	want := []bgp.FamilyState{
		{Family: bgp.IPv4Unicast, Up: true, Received: 2, Accepted: 2, Advertised: 1},
		{Family: bgp.IPv6Unicast, Up: true, Received: 1, Accepted: 1, Advertised: 1, EndOfRIB: true},
	}
	if p := g.peer(2); !slices.Equal(p.Families, want) || p.Accepted != 3 || p.Advertised != 2 {
		t.Errorf("state %+v, want families %+v", p, want)
	}
	if f := g.peer(3).Families[1]; f.Up || f.Advertised != 0 {
		t.Errorf("family that the router does not carry: %+v", f)
	}

	// Back with one family told to have been kept: the other's paths go.
	r.cut()
	wait(t, "stale paths", func() bool { return g.peer(2).GracefulRestart.Stale == 3 })
	r = g.dial(2, modelAS, func(o *wire.Open) {
		o.Capabilities.GracefulRestart.Forwarding = bgp.FamiliesOf(bgp.IPv6Unicast)
	})
	wait(t, "one stale path", func() bool { return g.peer(2).GracefulRestart.Stale == 1 })
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "End-of-RIB of IPv4", func() bool { return g.peer(2).EndOfRIB == bgp.FamiliesOf(bgp.IPv4Unicast) })
	if n := len(g.paths("fd00::2/128")); n != 1 {
		t.Errorf("%d paths of IPv6 after the End-of-RIB of IPv4", n)
	}
	r.sendEndOfRIB(bgp.IPv6Unicast)
	wait(t, "the stale path to go", func() bool { return g.peer(2).Received == 0 })

	wait(t, "the first transfer", func() bool { return r.synced() == bothFamilies })
	r.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: bgp.IPv6Unicast}))
	wait(t, "BoRR, the route and EoRR", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.refreshes) == 2
	})
	g.mu.Lock()
	out := g.byAddr[g.router(2)][0].status().Out
	g.mu.Unlock()
	if out.Refreshes != 2 {
		t.Errorf("%d refreshes counted, %d updates", out.Refreshes, out.Updates)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.kinds[len(r.kinds)-3:]
	if !slices.Equal(last, []wire.MessageType{wire.TypeRouteRefresh, wire.TypeUpdate, wire.TypeRouteRefresh}) {
		t.Errorf("a refresh was answered with %v", last)
	}
	if r.refreshes[0] != (wire.RouteRefresh{Family: bgp.IPv6Unicast, Kind: wire.RefreshBegin}) ||
		r.refreshes[1] != (wire.RouteRefresh{Family: bgp.IPv6Unicast, Kind: wire.RefreshEnd}) {
		t.Errorf("refreshes %+v", r.refreshes)
	}
}

// TestExtendedNextHop: IPv4 over a session between IPv6 addresses has IPv6 next
// hops where that was agreed on, and nothing of ours elsewhere; and one with a
// link-local address beside it comes through as it is (RFC 8950, RFC 2545 §3).
func TestExtendedNextHop(t *testing.T) {
	t.Parallel()
	here, there, plain := bgptest.Address(232, bgp.IPv6Unicast), bgptest.Address(233, bgp.IPv6Unicast), bgptest.Address(234, bgp.IPv6Unicast)
	g := newGround(t, 2, func(s *bgp.Settings) { s.ListenAddresses = append(s.ListenAddresses, here) })
	g.originate("10.1.0.1/32", "fd00::1/128")
	offer := func(i int, peer netip.Addr) bgp.Session {
		return g.to(i, func(s *bgp.Session) {
			s.Peer, s.Local, s.Families, s.ExtendedNextHop = peer, here, bothFamilies, true
			s.ClusterID, s.ReflectorClient = modelCluster, true
		})
	}
	g.sessions(offer(2, there), offer(3, plain))
	connect := func(from netip.Addr, id byte, extended bool) *far {
		o := wire.Open{AS: modelAS, HoldTime: 90 * time.Second, RouterID: netip.AddrFrom4([4]byte{192, 0, 2, id}), Capabilities: capable()}
		o.Capabilities.ExtendedNextHop = extended
		var r *far
		wait(t, "session over IPv6", func() bool { r = tryDial(t, from, here, o); return r != nil })
		t.Cleanup(r.cut)
		return r
	}
	r, other := connect(there, 2, true), connect(plain, 3, false)
	wait(t, "End-of-RIB", func() bool { return r.synced() == bothFamilies && other.synced() == bothFamilies })
	if a, _ := r.held("10.1.0.1/32"); a.NextHop.Addr != here {
		t.Errorf("IPv4 with next hop %s, want %s", a.NextHop.Addr, here)
	}
	if got := other.prefixes(); !slices.Equal(got, []string{"fd00::1/128"}) {
		t.Errorf("the router without the capability holds %v", got)
	}
	two := wire.NextHop{Addr: there, LinkLocal: netip.MustParseAddr("fe80::2")}
	r.announce(wire.Attributes{NextHop: two}, "10.2.0.1/32", "fd00::2/128")
	wait(t, "the path of IPv6", func() bool { _, ok := other.held("fd00::2/128"); return ok })
	if a, _ := other.held("fd00::2/128"); a.NextHop != two {
		t.Errorf("next hop %+v was reflected as %+v", two, a.NextHop)
	}
	if e := g.paths("10.2.0.1/32"); len(e) != 1 || e[0].NextHop != there || e[0].Refused != "" {
		t.Errorf("IPv4 over IPv6: %+v", e)
	}
	if _, ok := other.held("10.2.0.1/32"); ok {
		t.Error("IPv4 with an IPv6 next hop was reflected to a router that cannot take it")
	}
}

// TestNoHoldTime: a session without hold time comes up, whoever wants it so.
func TestNoHoldTime(t *testing.T) {
	t.Parallel()
	g := newGround(t, 3)
	g.sessions(g.to(2), g.to(3, func(s *bgp.Session) { s.Hold = -1 }))
	g.dial(2, modelAS, func(o *wire.Open) { o.HoldTime = 0 })
	g.dial(3, modelAS)
	for _, i := range []int{2, 3} {
		wait(t, "session", func() bool { return g.peer(i).State == bgp.Established })
		if p := g.peer(i); p.Hold != 0 || p.Keepalive != 0 {
			t.Errorf("router %d: hold time %s, keepalive %s", i, p.Hold, p.Keepalive)
		}
	}
}
