package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// longLives makes a router keep, and ask to be kept, beyond its restart time.
func longLives(restart, longLived time.Duration) func(*wire.Open) {
	return func(o *wire.Open) {
		o.Capabilities.GracefulRestart.Time = restart
		for _, f := range bothFamilies.All() {
			o.Capabilities.LongLived = append(o.Capabilities.LongLived, wire.LongLived{Family: f, Forwarding: true, Time: longLived})
		}
	}
}

func llgr(s *bgp.Session) { s.LongLived = time.Hour }

func reflected(s *bgp.Session) { s.ClusterID, s.ReflectorClient = modelCluster, true }

// TestLongLived: what is kept beyond a restart is marked for those who know
// what that means, is the last resort of other internal peers, and is withdrawn
// from other external ones; when its giver is back it is as before (RFC 9494).
func TestLongLived(t *testing.T) {
	t.Parallel()
	g := newGround(t, 14)
	g.sessions(g.to(2, reflected, llgr), g.to(3, reflected, llgr), g.to(4, reflected), g.to(5, exportedTo), g.to(6, exportedTo, llgr))
	giver := g.dial(2, modelAS, longLives(0, time.Hour))
	if c := giver.open.Capabilities; len(c.LongLived) != 1 || c.LongLived[0].Time != time.Hour {
		t.Errorf("offered %+v", c.LongLived)
	}
	knows, plain := g.dial(3, modelAS, longLives(0, time.Hour)), g.dial(4, modelAS)
	tor, knowingToR := g.dial(5, 65001), g.dial(6, 65001, longLives(0, time.Hour))
	all := []*far{knows, plain, tor, knowingToR}
	giver.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32")
	giver.announce(wire.Attributes{Communities: []bgp.Community{bgp.NoLongLived}}, "10.2.0.3/32")
	wait(t, "the paths everywhere", func() bool {
		return !slices.ContainsFunc(all, func(r *far) bool { return len(r.prefixes()) != 3 })
	})

	giver.cut()
	marked := func(r *far) bool {
		a, ok := r.held("10.2.0.1/32")
		return ok && slices.Contains(a.Communities, bgp.LongLivedStale) && len(r.prefixes()) == 2
	}
	wait(t, "long-lived paths", func() bool { return marked(knows) && marked(plain) && marked(knowingToR) && len(tor.prefixes()) == 0 })
	if a, _ := knows.held("10.2.0.1/32"); a.LocalPref != 100 || slices.Contains(a.Communities, bgp.NoExport) {
		t.Errorf("one that knows got %+v", a)
	}
	if a, _ := plain.held("10.2.0.1/32"); a.LocalPref != 0 || !slices.Contains(a.Communities, bgp.NoExport) {
		t.Errorf("an internal one that does not know got %+v", a)
	}
	if e := g.paths("10.2.0.1/32"); len(e) != 1 || !e[0].LongLived || !e[0].Stale {
		t.Errorf("paths %+v", e)
	}
	if f := g.peer(2).Families[0]; f.Stale != 2 || f.LongLivedUntil.Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("state %+v", f)
	}

	// Back, and lost again before it has told all: nothing is dropped.
	until := g.peer(2).Families[0].LongLivedUntil
	giver = g.dial(2, modelAS, longLives(0, time.Hour))
	giver.cut()
	wait(t, "the end", func() bool { return g.peer(2).State != bgp.Established })
	if f := g.peer(2).Families[0]; f.Stale != 2 || !f.LongLivedUntil.Equal(until) {
		t.Errorf("after a second loss: %+v, the time was %s", f, until)
	}

	giver = g.dial(2, modelAS, longLives(0, time.Hour))
	giver.announce(wire.Attributes{}, "10.2.0.1/32")
	giver.sendEndOfRIB(bgp.IPv4Unicast)
	wait(t, "one fresh path", func() bool {
		return !slices.ContainsFunc(all, func(r *far) bool {
			a, ok := r.held("10.2.0.1/32")
			return !ok || len(a.Communities) != 0 || len(r.prefixes()) != 1
		})
	})
	if f := g.peer(2).Families[0]; f.Stale != 0 || !f.LongLivedUntil.IsZero() {
		t.Errorf("after End-of-RIB: %+v", f)
	}
}

func exportedTo(s *bgp.Session) { s.ClusterID, s.PeerAS = modelCluster, 65001 }

// TestLongLivedEnds: paths are stale for the restart time and long-lived for
// the lesser of what both ends want; a peer that has not forwarded meanwhile
// loses them when it is back.
func TestLongLivedEnds(t *testing.T) {
	t.Parallel()
	g := newGround(t, 15)
	g.sessions(g.to(2, func(s *bgp.Session) { s.LongLived = time.Second }), g.to(3, llgr), g.to(4, llgr))
	short, forgets, plain := g.dial(2, modelAS, longLives(time.Second, time.Hour)), g.dial(3, modelAS, longLives(0, time.Hour)), g.dial(4, modelAS)
	for n, r := range []*far{short, forgets, plain} {
		r.announce(wire.Attributes{}, []string{"10.2.0.1/32", "10.3.0.1/32", "10.4.0.1/32"}[n])
		i := n + 2
		wait(t, "path", func() bool { return g.peer(i).Received == 1 })
		r.cut()
		wait(t, "the end", func() bool { p := g.peer(i); return p.GracefulRestart.Stale == 1 || p.Received == 0 })
	}
	wait(t, "the long-lived path to go", func() bool { return len(g.paths("10.2.0.1/32")) == 0 })
	if e := g.paths("10.3.0.1/32"); len(e) != 1 || !e[0].LongLived {
		t.Errorf("without restart time: %+v", e)
	}
	if e := g.paths("10.4.0.1/32"); len(e) != 1 || e[0].LongLived {
		t.Errorf("within the restart time: %+v", e)
	}
	g.dial(3, modelAS, longLives(0, time.Hour), func(o *wire.Open) {
		o.Capabilities.LongLived[0].Forwarding = false
	})
	if n := g.peer(3).Received; n != 0 {
		t.Errorf("%d paths of a peer that has not forwarded", n)
	}
}

// TestOnlyToCustomer: what comes from above or beside goes to customers only,
// and is refused when it comes back from one (RFC 9234 §5).
func TestOnlyToCustomer(t *testing.T) {
	t.Parallel()
	g := newGround(t, 16)
	role := func(r bgp.Role) func(*bgp.Session) {
		return func(s *bgp.Session) { s.ClusterID, s.PeerAS, s.Role = modelCluster, 65001, r }
	}
	g.originate("10.1.0.1/32")
	g.sessions(g.to(2, reflected), g.to(3, role(bgp.RoleProvider)), g.to(4, role(bgp.RoleCustomer)), g.to(5, role(bgp.RolePeer)))
	inside, customer := g.dial(2, modelAS), g.dial(3, 65001)
	provider, lateral := g.dial(4, 65001), g.dial(5, 65001)

	provider.announce(wire.Attributes{}, "10.4.0.1/32")
	lateral.announce(wire.Attributes{OnlyToCustomer: 65001}, "10.5.0.1/32")
	lateral.announce(wire.Attributes{OnlyToCustomer: 65009}, "10.5.0.2/32")
	customer.announce(wire.Attributes{OnlyToCustomer: 65009}, "10.3.0.1/32")
	customer.announce(wire.Attributes{}, "10.3.0.2/32")
	inside.announce(wire.Attributes{OnlyToCustomer: 65009}, "10.2.0.1/32")
	inside.announce(wire.Attributes{}, "10.2.0.2/32")
	wait(t, "what goes inside", func() bool {
		return slices.Equal(inside.prefixes(), []string{"10.1.0.1/32", "10.3.0.2/32", "10.4.0.1/32", "10.5.0.1/32"})
	})
	for prefix, otc := range map[string]uint32{"10.1.0.1/32": 0, "10.3.0.2/32": 0, "10.4.0.1/32": 65001, "10.5.0.1/32": 65001} {
		if a, _ := inside.held(prefix); a.OnlyToCustomer != otc {
			t.Errorf("%s inside with OTC %d, want %d", prefix, a.OnlyToCustomer, otc)
		}
	}
	for _, prefix := range []string{"10.5.0.2/32", "10.3.0.1/32"} {
		if e := g.paths(prefix); len(e) != 1 || e[0].Refused != bgp.RouteLeak {
			t.Errorf("a leak was taken: %+v", e)
		}
	}
	open, closed := []string{"10.1.0.1/32", "10.2.0.2/32"}, []string{"10.1.0.1/32", "10.2.0.1/32", "10.2.0.2/32"}
	wait(t, "what goes out", func() bool {
		return slices.Equal(customer.prefixes(), closed) && slices.Equal(provider.prefixes(), open) && slices.Equal(lateral.prefixes(), open)
	})
	for prefix, otc := range map[string]uint32{"10.1.0.1/32": modelAS, "10.2.0.1/32": 65009} {
		if a, _ := customer.held(prefix); a.OnlyToCustomer != otc {
			t.Errorf("%s to the customer with OTC %d, want %d", prefix, a.OnlyToCustomer, otc)
		}
	}
	if a, _ := provider.held("10.1.0.1/32"); a.OnlyToCustomer != 0 {
		t.Errorf("to the provider with OTC %d", a.OnlyToCustomer)
	}
	if a, _ := lateral.held("10.1.0.1/32"); a.OnlyToCustomer != modelAS {
		t.Errorf("to the lateral peer with OTC %d", a.OnlyToCustomer)
	}
}
