package engine

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestSourceList: what a source has told and withdrawn leaves nothing in its
// list, and what it still tells is found by it.
func TestSourceList(t *testing.T) {
	m := newModel(t, 1)
	s := m.peers[0].source
	a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}}
	set, err := m.rib.sets.intern(a.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	const kept, rounds = 100, 20_000
	for n := range rounds {
		m.rib.announce(s.id, hostRoute(n), 0, set, 0)
		if n >= kept {
			m.rib.withdraw(s.id, hostRoute(n-kept), 0)
		}
	}
	if n := len(s.routes); s.received != kept || n > 2*kept+64 {
		t.Errorf("%d paths, a list of %d routes", s.received, n)
	}
	if n := m.rib.retire(s.id); n != kept {
		t.Errorf("%d of %d paths were marked stale", n, kept)
	}
	m.rib.announce(s.id, hostRoute(rounds-1), 0, set, 0)
	m.rib.drop(s.id, true)
	if s.received != 1 || s.stale != 0 {
		t.Errorf("%d paths are left, %d of them stale; one was told again", s.received, s.stale)
	}
	m.rib.drop(s.id, false)
	if s.received != 0 || len(s.routes) != 0 {
		t.Errorf("%d paths and %d routes are left", s.received, len(s.routes))
	}
}

// BenchmarkPeerLoss is the loss of one of a thousand peers of a thousand routes
// each.
func BenchmarkPeerLoss(b *testing.B) {
	r := newRIB()
	r.setPools(bgp.NewPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}))
	a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}}
	set, err := r.sets.intern(a.Append(nil))
	if err != nil {
		b.Fatal(err)
	}
	tell := func(s *source, n int) {
		for i := range 1000 {
			at := n*1000 + i
			r.announce(s.id, hostRoute(at), 0, set, 0)
		}
	}
	var first *source
	for n := range 1000 {
		s := r.addSource(bgp.Session{LocalAS: modelAS, PeerAS: modelAS, Families: bgp.FamiliesOf(bgp.IPv4Unicast)})
		if n == 0 {
			first = s
		}
		tell(s, n)
	}
	r.pack()
	for b.Loop() {
		r.drop(first.id, false)
		tell(first, 0)
		r.pack()
	}
}
