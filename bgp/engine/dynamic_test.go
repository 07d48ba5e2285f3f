package engine

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// within is a session for whoever connects from the routers i/bits.
func (g *ground) within(i, bits int, change ...func(*bgp.Session)) bgp.Session {
	s := g.to(i, change...)
	s.Peer, s.Range = netip.Addr{}, netip.PrefixFrom(g.router(i), bits)
	return s
}

// TestRange: who connects from a range is a peer while its session is up or its
// paths are kept, the longest range counts, and an address of its own before
// any.
func TestRange(t *testing.T) {
	t.Parallel()
	g := newGround(t, 8)
	client := func(s *bgp.Session) { s.ClusterID, s.ReflectorClient = modelCluster, true }
	anyExternal := func(s *bgp.Session) { s.Name, s.PeerAS, s.ClusterID = "tor", 0, modelCluster }
	list := []bgp.Session{g.to(2, client), g.within(0, 24, client), g.within(64, 26, anyExternal)}
	list[1].Name = "clients"
	g.sessions(list...)
	if n := len(g.Peers()); n != 1 {
		t.Errorf("%d peers before anybody came", n)
	}
	g.dial(2, modelAS)
	r, other, tor := g.dial(3, modelAS), g.dial(4, modelAS), g.dial(65, 65001)
	for i, want := range map[int]string{2: "router2", 3: "clients/" + g.router(3).String(), 65: "tor/" + g.router(65).String()} {
		if p := g.peer(i); p.Session.Name != want || p.State != bgp.Established {
			t.Errorf("router %d: session %q, %s; want %q", i, p.Session.Name, p.State, want)
		}
	}
	if p := g.peer(65); p.Session.PeerAS != 65001 || p.Range != list[2].Range {
		t.Errorf("AS %d, range %s", p.Session.PeerAS, p.Range)
	}
	if g.dialWith(66, modelAS, session.Config{}) != nil {
		t.Error("a peer of our own AS came into a range of external ones")
	}
	r.announce(wire.Attributes{}, "10.2.0.3/32")
	wait(t, "reflection among clients", func() bool { _, ok := other.held("10.2.0.3/32"); return ok })
	wait(t, "the path at the external peer", func() bool { _, ok := tor.held("10.2.0.3/32"); return ok })

	r.cut()
	wait(t, "stale path", func() bool { p := g.peer(3); return p.State != bgp.Established && p.GracefulRestart.Stale == 1 })
	other.cut()
	wait(t, "the peer without paths to vanish", func() bool { return g.peer(4).Session.Name == "" })
	g.hangUp(4)
	other = g.dial(4, modelAS)
	if gr := other.open.Capabilities.GracefulRestart; gr.Restarting || !gr.Forwarding.Has(bgp.IPv4Unicast) {
		t.Errorf("one that had our routes was told %+v", gr)
	}
	if gr := tor.open.Capabilities.GracefulRestart; gr.Restarting || gr.Forwarding != 0 {
		t.Errorf("one that was never there was told %+v", gr)
	}
	other.cut()
	wait(t, "it to vanish again", func() bool { return g.peer(4).Session.Name == "" })
	r = g.dial(3, modelAS)
	if p := g.peer(3); p.Established != 2 {
		t.Errorf("the peer that came back is another: up %d times", p.Established)
	}
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "the stale path to go", func() bool { return g.peer(3).Received == 0 })
	if len(g.Peers()) != 3 {
		t.Errorf("%d peers", len(g.Peers()))
	}
	wait(t, "forgotten peers to be gone", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.peers) == 3
	})
}

// hangUp lets router i, of a range, come and go before its session is up.
func (g *ground) hangUp(i int) {
	g.t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.router(i), 0))}
	wait(g.t, "an OPEN", func() bool {
		conn, err := d.DialContext(g.t.Context(), "tcp", netip.AddrPortFrom(g.at, bgp.DefaultPort).String())
		if err != nil {
			return false
		}
		defer conn.Close()
		kind, _, err := (&far{conn: conn}).read()
		return err == nil && kind == wire.TypeOpen
	})
	wait(g.t, "the router to be forgotten", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.byAddr[g.router(i)]) == 0
	})
}

// TestRangeChanges: labels and limits change in place; an address that gets a
// session of its own, or loses its range, is closed, and no other.
func TestRangeChanges(t *testing.T) {
	t.Parallel()
	g := newGround(t, 9)
	g.sessions(g.within(0, 24))
	r, other := g.dial(2, modelAS), g.dial(3, modelAS)
	g.sessions(g.within(0, 24, func(s *bgp.Session) { s.Name, s.RangeLimit = "renamed", 2 }))
	if p := g.peer(2); p.Session.Name != "renamed/"+g.router(2).String() || p.Established != 1 || p.State != bgp.Established {
		t.Errorf("session %q is %s, came up %d times", p.Session.Name, p.State, p.Established)
	}
	if g.dialWith(4, modelAS, session.Config{}) != nil {
		t.Error("a third session in a range of two")
	}
	g.mu.Lock()
	said := g.saidFull
	g.mu.Unlock()
	if g.dialWith(4, modelAS, session.Config{}) != nil || said.IsZero() {
		t.Error("again a third session in a range of two, or nothing was said of the first")
	}
	g.mu.Lock()
	if d := g.saidFull.Sub(said); d != 0 && d < fullEvery {
		t.Error("a range that is full is logged for everyone who connects")
	}
	g.mu.Unlock()
	g.sessions(g.within(0, 24, func(s *bgp.Session) { s.Name, s.RangeLimit = "renamed", 2 }), g.to(2))
	wait(t, "the session of the range to end", func() bool { _, gone := r.ended(); return gone })
	g.dial(2, modelAS)
	if p := g.peer(2); p.Range.IsValid() || p.Session.Name != "router2" {
		t.Errorf("session %q of range %s", p.Session.Name, p.Range)
	}
	if p := g.peer(3); p.State != bgp.Established || p.Established != 1 {
		t.Errorf("the other session is %s, came up %d times", p.State, p.Established)
	}
	g.sessions(g.to(2))
	wait(t, "the session without a range to end", func() bool { _, gone := other.ended(); return gone })
	if err := g.SetSessions([]bgp.Session{g.within(0, 24), g.within(0, 24)}); err == nil {
		t.Error("one range twice: no error")
	}
}

// TestRangeRestart: a restarted reflector waits for the clients of a range as
// long as it may, since it cannot know them, also if there is nobody else.
func TestRangeRestart(t *testing.T) {
	t.Parallel()
	g := newGround(t, 10, func(s *bgp.Settings) {
		s.Restarting, s.Deferral = map[bgp.Family]bool{bgp.IPv4Unicast: true}, 2*time.Second
	})
	g.sessions(g.within(0, 24, func(s *bgp.Session) { s.ClusterID, s.ReflectorClient = modelCluster, true }))
	r := g.dial(2, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.2/32")
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "End-of-RIB of the client", func() bool { return g.peer(2).EndOfRIB != 0 })
	wait(t, "our End-of-RIB", func() bool { return r.synced().Has(bgp.IPv4Unicast) })
	late := g.dial(3, modelAS)
	wait(t, "the route", func() bool { _, ok := late.held("10.2.0.2/32"); return ok })
}
