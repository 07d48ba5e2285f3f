package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestSlowPeer: a peer that does not read costs a bounded log, gets only the
// last state of what changed meanwhile, and lets gone routes be freed when it
// has read.
func TestSlowPeer(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	m.rib.limits.log = 4096
	giver, slow := m.peers[0], m.peers[1]
	m.toggle(giver)
	m.toggle(slow)
	const routes = 500
	for round := range 20 {
		for n := range routes {
			a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}, MED: uint32(round), HasMED: true}
			tell(t, m.rib, giver.source, hostRoute(n), 0, a)
		}
		m.rib.pack()
	}
	g := slow.member.group
	if g.log.octets > 4096 {
		t.Errorf("the log has %d octets", g.log.octets)
	}
	octets := 0
	for b := takeAll(m.rib, slow.member); b.octets > 0; b = takeAll(m.rib, slow.member) {
		octets += b.octets
	}
	if octets > 2*5*routes {
		t.Errorf("%d octets for %d routes of 5", octets, routes)
	}
	for n := range routes {
		m.rib.withdraw(giver.source.id, hostRoute(n), 0)
	}
	m.rib.pack()
	if n := m.rib.routes.len(); n != routes {
		t.Errorf("%d routes are kept for the slow peer, want %d", n, routes)
	}
	m.read(giver)
	m.read(slow)
	m.rib.free()
	if n := m.rib.routes.len(); n != 0 {
		t.Errorf("%d routes are left", n)
	}
}

// takeAll is a whole batch.
func takeAll(r *rib, m *member) (b batch) {
	for m.take(r, &b) {
	}
	return b
}

// TestManyRoutesGoAtOnce: who is being told is not slow; who takes nothing for
// long is.
func TestManyRoutesGoAtOnce(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	m.rib.limits.dead = 100
	m.rib.limits.log = 1 << 10 // the withdrawals are walked to
	m.rib.limits.batch, m.rib.limits.step = 100, 10
	giver, slow := m.peers[0], m.peers[1]
	m.toggle(giver)
	m.toggle(slow)
	const routes = 1000
	for n := range routes {
		tell(t, m.rib, giver.source, hostRoute(n), 0, wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}})
	}
	m.rib.pack()
	readAll := func(p *modelPeer) {
		for m.read(p) {
		}
	}
	readAll(giver)
	readAll(slow)
	now := time.Unix(0, 0)
	for n := range routes {
		m.rib.withdraw(giver.source.id, hostRoute(n), 0)
	}
	m.rib.pack()
	readAll(giver)
	if m.rib.overdue(now) || m.rib.overdue(now.Add(evictAfter-1)) {
		t.Errorf("overdue at once, with %d of %d routes dead", len(m.rib.dead), m.rib.routes.len())
	}
	if !m.rib.overdue(now.Add(evictAfter)) {
		t.Errorf("not overdue, with %d of %d routes dead", len(m.rib.dead), m.rib.routes.len())
	}
	readAll(slow)
	m.rib.free()
	if m.rib.overdue(now.Add(2 * evictAfter)) {
		t.Errorf("overdue with nothing dead")
	}
}

// TestTooLarge: attributes that do not fit into a message of one peer's are
// withdrawn from it, and reach those that take longer messages.
func TestTooLarge(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	join := func(p *modelPeer, longest int) {
		m.toggle(p)
		m.rib.leave(p.member)
		s := p.source.want
		m.rib.join(treatment{
			family: s.Carried().All()[0], role: p.source.role, localAS: s.LocalAS, local: modelLocal, cluster: s.ClusterID,
			form: wire.Form{Max: longest},
		}, p.member)
		p.member.start()
	}
	plain, extended := m.peers[1], m.peers[2]
	join(plain, wire.MaxMessage)
	join(extended, wire.MaxExtended)
	prefix := netip.MustParsePrefix("10.1.0.1/32")
	for _, communities := range []int{1, 1020, 1} {
		a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}, Communities: make([]bgp.Community, communities)}
		tell(t, m.rib, m.peers[0].source, prefix, 0, a)
		m.rib.pack()
		m.read(plain)
		if _, has := plain.holds[modelPath{prefix: prefix}]; has != (communities == 1) {
			t.Errorf("with %d communities: held by the plain peer %t", communities, has)
		}
		b := takeAll(m.rib, extended.member)
		if n := len(m.rib.unsent); n != min(communities/1000, 1) {
			t.Errorf("with %d communities: %d lines to log", communities, n)
		}
		m.rib.unsent = nil
		if b.messages == 0 || communities > 1 && b.octets < 4*communities {
			t.Errorf("with %d communities: %d octets to the peer that takes long messages", communities, b.octets)
		}
	}
}

// TestTooLargeAfterMove: who comes to a group by another policy forgets what
// that policy makes too large to be sent.
func TestTooLargeAfterMove(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	giver, stays, moves := m.peers[0], m.peers[1], m.peers[2]
	stays.source.want.AddPathSend, moves.source.want.AddPathSend = 0, 0
	stays.options.AddPath, moves.options.AddPath = 0, 0
	for _, p := range []*modelPeer{stays, moves} {
		m.toggle(p)
	}
	if stays.member.group != moves.member.group {
		t.Fatal("the peers have two groups")
	}
	a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}}
	tell(t, m.rib, giver.source, hostRoute(1), 0, a)
	for n := range 995 {
		a.Communities = append(a.Communities, bgp.Community(n))
	}
	tell(t, m.rib, giver.source, hostRoute(2), 0, a)
	m.rib.pack()
	held := func(p *modelPeer) int {
		for m.read(p) {
		}
		return len(p.holds)
	}
	if held(stays) != 2 || held(moves) != 2 {
		t.Fatalf("%d and %d routes before the policy", len(stays.holds), len(moves.holds))
	}
	longer := &bgp.Operations{}
	for n := range 100 {
		longer.AddCommunities = append(longer.AddCommunities, bgp.Community(10_000+n))
	}
	wanted := moves.member.group.treatment
	wanted.policy = m.rib.exportOf(&bgp.Policy{Filters: []*bgp.Filter{{Export: []*bgp.FilterRule{{Family: bgp.IPv4Unicast, Change: longer}}}}})
	to := newRetreat()
	to.members[moves.member] = wanted
	m.rib.retreat(to)
	if held(stays) != 2 || held(moves) != 1 {
		t.Errorf("%d and %d routes after it", len(stays.holds), len(moves.holds))
	}
	if g := moves.member.group; len(m.rib.unsent) != 1 || g.advertised(moves.source.id) != 1 {
		t.Errorf("%d lines to log, %d routes advertised", len(m.rib.unsent), g.advertised(moves.source.id))
	}
}

// TestWakesForItsOwn: who is told nothing is not woken, and has read it all the
// same.
func TestWakesForItsOwn(t *testing.T) {
	m := newModel(t, 1)
	giver, other := m.peers[0], m.peers[1]
	m.toggle(giver)
	m.toggle(other)
	for _, p := range []*modelPeer{giver, other} {
		for m.read(p) {
		}
	}
	tell(t, m.rib, giver.source, hostRoute(1), 0, wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}})
	m.rib.pack()
	if g := giver.member; !g.idle || g.cursor != g.group.log.end {
		t.Errorf("the giver of a path: idle %t, at %d of %d", g.idle, g.cursor, g.group.log.end)
	}
	if other.member.idle {
		t.Error("the other peer sleeps")
	}
}
