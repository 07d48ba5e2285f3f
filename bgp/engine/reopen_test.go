package engine

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

func holding(d time.Duration) func(*bgp.Session) { return func(s *bgp.Session) { s.Hold = d } }

// silent waits for the end of the connection, which is without a word.
func (r *far) silent(t *testing.T) {
	t.Helper()
	wait(t, "the end of the connection", func() bool { _, gone := r.ended(); return gone })
	if n, _ := r.ended(); n != nil {
		t.Errorf("the router was told %s", n.Error())
	}
}

// TestReopened: a session whose connection changes is closed without a word, the
// paths of the families that remain are kept, and the next OPEN says that
// forwarding went on. What is not told again goes.
func TestReopened(t *testing.T) {
	t.Parallel()
	g := newGround(t, 67)
	g.originate("10.1.0.1/32", "fd00::1/128")
	g.sessions(g.to(2, both), g.to(3))
	r, other := g.dial(2, modelAS), g.dial(3, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32")
	r.announce(wire.Attributes{NextHop: wire.NextHop{Addr: netip.MustParseAddr("2001:db8::2")}}, "fd00::2/128")
	r.sendEndOfRIB(bgp.IPv4Unicast, bgp.IPv6Unicast)
	wait(t, "paths", func() bool { return g.peer(2).Accepted == 3 && g.peer(2).EndOfRIB == bothFamilies })
	told := g.Drain()
	if len(told) != 3 {
		t.Fatalf("told %+v", told)
	}

	g.sessions(g.to(2, holding(30*time.Second)), g.to(3)) // and of one family only
	r.silent(t)
	if p := g.peer(2); p.State == bgp.Established || p.Received != 2 || p.GracefulRestart.Stale != 2 || p.Established != 1 {
		t.Errorf("state %+v", p)
	}
	// Another change while the peer is away keeps what there is.
	g.sessions(g.to(2, holding(60*time.Second), func(s *bgp.Session) { s.AddPathReceive = true }), g.to(3))
	if p := g.peer(2); p.GracefulRestart.Stale != 2 {
		t.Errorf("state %+v", p)
	}
	r = g.dial(2, modelAS)
	if gr := r.open.Capabilities.GracefulRestart; gr.Restarting || gr.Forwarding != bgp.FamiliesOf(bgp.IPv4Unicast) || r.open.HoldTime != time.Minute {
		t.Errorf("hold time %s, graceful restart %+v", r.open.HoldTime, gr)
	}
	wait(t, "our path and End-of-RIB", func() bool {
		return r.synced().Has(bgp.IPv4Unicast) && slices.Equal(r.prefixes(), []string{"10.1.0.1/32"})
	})
	r.announce(wire.Attributes{}, "10.2.0.1/32")
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "what was not told again to go", func() bool { p := g.peer(2); return p.Received == 1 && p.GracefulRestart.Stale == 0 })
	var gone []string
	for _, set := range g.Drain() {
		if gone = append(gone, set.Prefix.String()); len(set.Paths) > 0 {
			t.Errorf("flapped: %+v", set)
		}
	}
	if !slices.Equal(gone, []string{"10.2.0.2/32", "fd00::2/128"}) {
		t.Errorf("gone are %v", gone)
	}
	if _, ended := other.ended(); ended || g.peer(2).Established != 2 {
		t.Errorf("the other session ended: %t; this one came up %d times", ended, g.peer(2).Established)
	}
}

// TestReopenedFromRange: so does one of a range, whose router comes again.
func TestReopenedFromRange(t *testing.T) {
	t.Parallel()
	g := newGround(t, 68)
	g.sessions(g.within(0, 24))
	r := g.dial(2, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.1/32")
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "path", func() bool { return g.peer(2).Accepted == 1 })
	g.sessions(g.within(0, 24, holding(30*time.Second)))
	r.silent(t)
	if e := g.paths("10.2.0.1/32"); len(e) != 1 || !e[0].Stale {
		t.Errorf("paths %+v", e)
	}
	r = g.dial(2, modelAS)
	if gr := r.open.Capabilities.GracefulRestart; gr.Forwarding == 0 || gr.Restarting || r.open.HoldTime != 30*time.Second {
		t.Errorf("hold time %s, graceful restart %+v", r.open.HoldTime, gr)
	}
	r.announce(wire.Attributes{}, "10.2.0.1/32")
	r.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "a fresh path", func() bool { e := g.paths("10.2.0.1/32"); return len(e) == 1 && !e[0].Stale })
}

// TestNotReopened: without graceful restart, for another AS or address, and to
// be shut down, a session ends with a NOTIFICATION, and its paths with it.
func TestNotReopened(t *testing.T) {
	t.Parallel()
	g := newGround(t, 69)
	plain := func(o *wire.Open) { o.Capabilities.GracefulRestart = nil }
	keep := func(*wire.Open) {}
	for i, c := range []struct {
		name    string
		open    func(*wire.Open)
		change  func(*bgp.Session)
		subcode wire.Subcode
	}{
		{"no graceful restart", plain, holding(30 * time.Second), wire.OtherConfigurationChange},
		{"another AS", keep, func(s *bgp.Session) { s.PeerAS = 65009 }, wire.OtherConfigurationChange},
		{"ourselves of another AS", keep, func(s *bgp.Session) { s.LocalAS = 65009 }, wire.OtherConfigurationChange},
		{"another address", keep, func(s *bgp.Session) { s.Local = g.router(200) }, wire.OtherConfigurationChange},
		{"shut down", keep, func(s *bgp.Session) { s.Shutdown = true }, wire.AdministrativeShutdown},
	} {
		n := 2 + i
		g.sessions(g.to(n))
		r := g.dial(n, modelAS, c.open)
		r.announce(wire.Attributes{}, "10.2.0.1/32")
		wait(t, "path", func() bool { return g.peer(n).Accepted == 1 })
		g.sessions(g.to(n, c.change))
		if e := g.paths("10.2.0.1/32"); len(e) != 0 {
			t.Errorf("%s: paths %+v", c.name, e)
		}
		wait(t, "the end of the connection", func() bool { _, gone := r.ended(); return gone })
		said, _ := r.ended()
		if said != nil {
			if inner, ok := said.Encapsulated(); ok {
				said = inner
			}
		}
		if said == nil || said.Code != wire.Cease || said.Subcode != c.subcode {
			t.Errorf("%s: told %v", c.name, said)
		}
	}
}

// TestReopenedLongLived: long-lived paths outlast the change, for as long as the
// session says now.
func TestReopenedLongLived(t *testing.T) {
	t.Parallel()
	g := newGround(t, 70)
	lasts := func(d time.Duration) func(*bgp.Session) { return func(s *bgp.Session) { s.LongLived = d } }
	g.sessions(g.to(2, lasts(time.Hour)))
	r := g.dial(2, modelAS, longLives(0, time.Hour))
	r.announce(wire.Attributes{}, "10.2.0.1/32")
	wait(t, "path", func() bool { return g.peer(2).Accepted == 1 })
	r.cut()
	wait(t, "a long-lived path", func() bool { e := g.paths("10.2.0.1/32"); return len(e) == 1 && e[0].LongLived })
	g.sessions(g.to(2, lasts(30*time.Minute)))
	if f := g.peer(2).Families[0]; f.Stale != 1 || f.LongLivedUntil.After(time.Now().Add(30*time.Minute)) {
		t.Errorf("state %+v", f)
	}
	g.sessions(g.to(2))
	wait(t, "the path to go", func() bool { return len(g.paths("10.2.0.1/32")) == 0 })
}

// TestReopenedByUs: one that did not restart need not say that it forwarded on
// when it is we who went; one that says it restarted must.
func TestReopenedByUs(t *testing.T) {
	t.Parallel()
	g := newGround(t, 71)
	plain := func(o *wire.Open) { o.Capabilities.GracefulRestart.Forwarding = 0 }
	for _, restarted := range []bool{false, true} {
		g.sessions(g.to(2))
		r := g.dial(2, modelAS, plain)
		r.announce(wire.Attributes{}, "10.2.0.1/32")
		r.sendEndOfRIB(bgp.IPv4Unicast)
		wait(t, "path", func() bool { return g.peer(2).Accepted == 1 })
		g.sessions(g.to(2, holding(30*time.Second)))
		r.silent(t)
		r = g.dial(2, modelAS, plain, func(o *wire.Open) { o.Capabilities.GracefulRestart.Restarting = restarted })
		if kept := len(g.paths("10.2.0.1/32")) == 1; kept == restarted {
			t.Errorf("restarted %t, kept %t", restarted, kept)
		}
		r.cut()
		g.sessions()
	}
}

// TestTurned: who is to dial now does, and who was up stays up.
func TestTurned(t *testing.T) {
	t.Parallel()
	g := newGround(t, 72)
	g.sessions(g.to(2), g.to(3))
	r := g.dial(2, modelAS)
	l, err := net.Listen("tcp", netip.AddrPortFrom(g.router(3), bgp.DefaultPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	active := func(s *bgp.Session) { s.Passive = false }
	g.sessions(g.to(2, active), g.to(3, active))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, gone := r.ended(); gone || g.peer(2).Established != 1 {
		t.Error("the session that was up is not the same")
	}
}
