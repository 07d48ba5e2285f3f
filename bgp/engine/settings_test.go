package engine

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// dialWith brings a session up over a connection with the socket options of c;
// nil: nobody answers, or not for long.
func (g *ground) dialWith(i int, as uint32, c session.Config) *far {
	return g.dialFor(time.Minute, i, as, c)
}

// dialFor is dialWith that waits so long for an answer to the first segment.
func (g *ground) dialFor(limit time.Duration, i int, as uint32, c session.Config) *far {
	c.Peer, c.Local = netip.AddrPortFrom(g.at, bgp.DefaultPort), netip.AddrPortFrom(g.router(i), 0)
	ctx, cancel := context.WithTimeout(g.t.Context(), limit)
	defer cancel()
	conn, err := session.Dial(ctx, c)
	if err != nil {
		return nil
	}
	g.t.Cleanup(func() { conn.Close() })
	return greet(g.t, conn, wire.Open{AS: as, HoldTime: 90 * time.Second, RouterID: g.router(i), Capabilities: capable()})
}

// TestPasswords: each peer and each range has a key of its own; to change one
// touches no other session, and one that is gone opens no door.
func TestPasswords(t *testing.T) {
	t.Parallel()
	g := newGround(t, 4)
	secret := func(w bgp.Password) func(*bgp.Session) { return func(s *bgp.Session) { s.Password = w } }
	within := g.to(128, secret("range"), func(s *bgp.Session) { s.Peer, s.Range = netip.Addr{}, netip.PrefixFrom(g.router(128), 25) })
	up := func(i int, key bgp.Password) {
		t.Helper()
		var r *far
		wait(t, "session with its key", func() bool {
			r = g.dialWith(i, modelAS, session.Config{Password: key})
			return r != nil
		})
		wait(t, "it at our end", func() bool { return g.has(r) })
	}
	refused := func(i int, key bgp.Password) {
		t.Helper()
		if g.dialFor(time.Second, i, modelAS, session.Config{Password: key}) != nil {
			t.Errorf("router %d came in with the password %q", i, string(key))
		}
	}
	g.sessions(g.to(2, secret("two")), g.to(3, secret("three")), within)
	refused(2, "three")
	refused(200, "")
	up(2, "two")
	up(3, "three")
	up(200, "range")

	g.sessions(g.to(2, secret("new")), g.to(3, secret("three")), within)
	refused(2, "two")
	up(2, "new")
	for _, i := range []int{3, 200} {
		if p := g.peer(i); p.State != bgp.Established || p.Established != 1 {
			t.Errorf("router %d: %s, came up %d times", i, p.State, p.Established)
		}
	}
	g.sessions(g.to(2), g.to(3, secret("three")))
	up(2, "")
	refused(200, "range")
	if err := g.SetSessions([]bgp.Session{g.to(2, secret("a")), g.to(2, secret("b"), func(s *bgp.Session) { s.PeerPort = 1179 })}); err == nil {
		t.Error("two passwords for one address: no error")
	}
}

// TestTTLSecurity: both ends send with TTL 255 and take nothing less.
func TestTTLSecurity(t *testing.T) {
	t.Parallel()
	g := newGround(t, 5)
	g.sessions(g.to(2, func(s *bgp.Session) { s.TTLSecurity = 1 }))
	if g.dialWith(2, modelAS, session.Config{TTLSecurity: 1}) == nil {
		t.Fatal("no session with TTL 255")
	}
	wait(t, "session", func() bool { return g.peer(2).State == bgp.Established })
}

// TestShutdown: a session that is shut down tells the peer why, takes no
// connection, and comes back when it is no longer shut down; what the peer says
// of its own shutdown is shown (RFC 9003).
func TestShutdown(t *testing.T) {
	t.Parallel()
	g := newGround(t, 6)
	g.sessions(g.to(2), g.to(3))
	r, other := g.dial(2, modelAS), g.dial(3, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.1/32")
	wait(t, "path", func() bool { return len(g.paths("10.2.0.1/32")) == 1 })

	g.sessions(g.to(2, func(s *bgp.Session) { s.ShutdownMessage = "later" }), g.to(3))
	if p := g.peer(2); p.State != bgp.Established || p.Established != 1 {
		t.Errorf("a text for later reset the session: %s, came up %d times", p.State, p.Established)
	}
	g.sessions(g.to(2, func(s *bgp.Session) { s.Shutdown, s.ShutdownMessage = true, "new line cards" }), g.to(3))
	wait(t, "the end", func() bool { _, gone := r.ended(); return gone })
	n, _ := r.ended()
	if n == nil || !strings.Contains(n.Error(), `Hard Reset: Cease: Administrative Shutdown: "new line cards"`) {
		t.Errorf("the peer was told %v", n)
	}
	if p := g.peer(2); p.State != bgp.Idle || !strings.Contains(p.LastError, "shut down") || p.Received != 0 {
		t.Errorf("state %s, %q, %d paths", p.State, p.LastError, p.Received)
	}
	if c := g.dialWith(2, modelAS, session.Config{}); c != nil {
		t.Error("a session that is shut down came up")
	}
	g.sessions(g.to(2), g.to(3))
	g.dial(2, modelAS)
	if p := g.peer(3); p.Established != 1 || p.State != bgp.Established {
		t.Errorf("the other session is %s, came up %d times", p.State, p.Established)
	}

	bye, err := wire.NewShutdown(wire.AdministrativeShutdown, "see you at noon")
	if err != nil {
		t.Fatal(err)
	}
	other.send(wire.AppendNotification(nil, bye))
	wait(t, "the peer's word", func() bool { return strings.Contains(g.peer(3).LastError, `"see you at noon"`) })
}

// TestRoles: roles that do not fit, or are missing where they must not be, are
// refused (RFC 9234 §4.2).
func TestRoles(t *testing.T) {
	t.Parallel()
	g := newGround(t, 7)
	role := func(r bgp.Role, strict bool) func(*bgp.Session) {
		return func(s *bgp.Session) { s.PeerAS, s.Role, s.StrictRole = 65001, r, strict }
	}
	g.sessions(g.to(2, role(bgp.RoleProvider, false)), g.to(3, role(bgp.RolePeer, true)), g.to(4, role(bgp.RolePeer, true)))
	r := g.dial(2, 65001, func(o *wire.Open) { o.Capabilities.Role = bgp.RoleCustomer })
	if r.open.Capabilities.Role != bgp.RoleProvider {
		t.Errorf("role %q was told", r.open.Capabilities.Role)
	}
	g.dial(3, 65001, func(o *wire.Open) { o.Capabilities.Role = bgp.RolePeer })
	if g.dialWith(4, 65001, session.Config{}) != nil {
		t.Error("a strict session came up without a role")
	}
	wait(t, "the reason", func() bool { return strings.Contains(g.peer(4).LastError, "Role Mismatch") })
}

// TestLocalAS: a session with another AS of ours shows the peer that one only,
// as an external one or as an internal one, and takes a path with either AS in
// its AS_PATH for a loop.
func TestLocalAS(t *testing.T) {
	t.Parallel()
	const legacy, provider = 65100, 65001
	g := newGround(t, 20)
	change := func(s *bgp.Session) { s.LocalAS = legacy }
	as := func(n uint32) func(*bgp.Session) { return func(s *bgp.Session) { s.PeerAS = n } }
	reflector := func(s *bgp.Session) { s.ClusterID = modelCluster }
	g.originate("10.1.0.1/32")
	g.sessions(g.to(2, change, as(provider), reflector), g.to(3, change, as(legacy), reflector), g.to(4, reflected))
	external, internal, usual := g.dial(2, provider), g.dial(3, legacy), g.dial(4, modelAS)
	for _, r := range []*far{external, internal} {
		if r.open.AS != legacy {
			t.Errorf("%s was told AS %d in OPEN", r.conn.LocalAddr(), r.open.AS)
		}
	}
	if usual.open.AS != modelAS {
		t.Errorf("the usual session has AS %d in OPEN", usual.open.AS)
	}
	path := func(list ...uint32) wire.ASPath { return wire.ASPath{{Type: wire.ASSequence, AS: list}} }
	external.announce(wire.Attributes{ASPath: path(provider, 65002)}, "10.2.0.1/32")
	external.announce(wire.Attributes{ASPath: path(provider, legacy)}, "10.2.0.2/32")
	external.announce(wire.Attributes{ASPath: path(provider, modelAS)}, "10.2.0.3/32")
	usual.announce(wire.Attributes{}, "10.4.0.1/32")
	for _, c := range []struct {
		to     *far
		prefix string
		want   []uint32
	}{
		{external, "10.1.0.1/32", []uint32{legacy}},
		{external, "10.4.0.1/32", []uint32{legacy}},
		{internal, "10.1.0.1/32", nil},
		{internal, "10.2.0.1/32", []uint32{provider, 65002}},
		{usual, "10.1.0.1/32", nil},
		{usual, "10.2.0.1/32", []uint32{provider, 65002}},
	} {
		wait(t, c.prefix, func() bool { _, ok := c.to.held(c.prefix); return ok })
		if a, _ := c.to.held(c.prefix); !slices.Equal(a.ASPath.Flat(), c.want) || a.HasLocalPref != (c.to != external) {
			t.Errorf("%s has %s by %+v, not over %v", c.to.conn.LocalAddr(), c.prefix, a, c.want)
		}
	}
	for _, prefix := range []string{"10.2.0.2/32", "10.2.0.3/32"} {
		wait(t, prefix, func() bool { e := g.paths(prefix); return len(e) == 1 && e[0].Refused == bgp.OwnAS })
	}
}
