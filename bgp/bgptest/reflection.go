package bgptest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

const cluster = "244.0.0.1"

func reflection(l *lab) {
	rr, a, b := l.start(1, as), l.start(2, as), l.start(3, as)
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client))
	for _, h := range []*host{a, b} {
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	rr.up(a, b)
	a.originate("10.1.0.2/32", bgp.Attributes{LocalPref: 150, Communities: []bgp.Community{7}})
	b.originate("10.1.0.3/32", bgp.Attributes{})
	l.wait("reflected paths", func() bool { return b.has("10.1.0.2/32", a) && a.has("10.1.0.3/32", b) })
	p := b.paths("10.1.0.2/32")[0]
	if p.OriginatorID != l.addr(2, bgp.IPv4Unicast) || !slices.Equal(p.ClusterList, []netip.Addr{netip.MustParseAddr(cluster)}) {
		l.Errorf("originator %s, cluster list %v", p.OriginatorID, p.ClusterList)
	}
	if p.LocalPref != 150 || !slices.Equal(p.Communities, []bgp.Community{7}) || p.Peer != l.addr(1, bgp.IPv4Unicast) {
		l.Errorf("reflected path is %+v", p)
	}
	if st := rr.peer(b, bgp.IPv4Unicast); st.Advertised != 1 {
		l.Errorf("the reflector says that it advertised %d prefixes to host 3", st.Advertised)
	}
	// A late client gets all.
	late := l.start(4, as)
	late.sessions(late.to(rr, bgp.IPv4Unicast))
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client),
		rr.to(late, bgp.IPv4Unicast, client))
	late.synced(bgp.IPv4Unicast, rr)
	if !late.has("10.1.0.2/32", a) || !late.has("10.1.0.3/32", b) {
		l.Errorf("End-of-RIB of the reflector without the paths\n%s", l.dump())
	}
	a.withdraw("10.1.0.2/32")
	l.wait("withdrawal", func() bool { return b.has("10.1.0.2/32") && late.has("10.1.0.2/32") })
	if len(a.learned) != 1 || a.peer(rr, bgp.IPv4Unicast).Established != 1 {
		l.Errorf("host 2 learned its own route or lost its session\n%s", l.dump())
	}
	b.stop(false)
	l.wait("the end of a client", func() bool { return a.has("10.1.0.3/32") && late.has("10.1.0.3/32") })
}

// becomesReflector: a host becomes a reflector of the others and a host again,
// on the sessions that it has.
func becomesReflector(l *lab) {
	rr, a, b := l.start(1, as), l.start(2, as), l.start(3, as)
	rr.sessions(rr.to(a, bgp.IPv4Unicast), rr.to(b, bgp.IPv4Unicast))
	for i, h := range []*host{a, b} {
		h.originate([]string{"10.1.0.2/32", "10.1.0.3/32"}[i], bgp.Attributes{})
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	l.wait("paths", func() bool { return rr.has("10.1.0.2/32", a) && rr.has("10.1.0.3/32", b) })
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, nonClient))
	l.wait("reflected paths", func() bool { return b.has("10.1.0.2/32", a) && a.has("10.1.0.3/32", b) })
	rr.sessions(rr.to(a, bgp.IPv4Unicast), rr.to(b, bgp.IPv4Unicast))
	l.wait("them to go", func() bool { return b.has("10.1.0.2/32") && a.has("10.1.0.3/32") })
	for _, h := range []*host{a, b} {
		if p := h.peer(rr, bgp.IPv4Unicast); p.Established != 1 || p.State != bgp.Established {
			l.Errorf("session of host %d is %s, came up %d times", h.n, p.State, p.Established)
		}
	}
}

// reflectionNonClients: what a non-client told goes to clients only.
func reflectionNonClients(l *lab) {
	rr, a, x, y := l.start(1, as), l.start(2, as), l.start(3, as), l.start(4, as)
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client),
		rr.to(x, bgp.IPv4Unicast, nonClient), rr.to(y, bgp.IPv4Unicast, nonClient))
	for i, h := range []*host{a, x, y} {
		h.originate([]string{"10.1.0.2/32", "10.1.0.3/32", "10.1.0.4/32"}[i], bgp.Attributes{})
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	l.wait("paths of clients and to clients", func() bool {
		return x.has("10.1.0.2/32", a) && y.has("10.1.0.2/32", a) && a.has("10.1.0.3/32", x) && a.has("10.1.0.4/32", y)
	})
	a.originate("10.1.0.5/32", bgp.Attributes{})
	l.wait("a later path", func() bool { return x.has("10.1.0.5/32", a) && y.has("10.1.0.5/32", a) })
	if len(x.learned) != 2 || len(y.learned) != 2 {
		l.Errorf("a path of a non-client went to a non-client\n%s", l.dump())
	}
}

// reflectorAtTheEdge has an internal client and two external peers.
func reflectorAtTheEdge(l *lab) {
	rr, a, tor1, tor2 := l.start(1, as), l.start(2, as), l.start(3, 65003), l.start(4, 65004)
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client),
		rr.to(tor1, bgp.IPv4Unicast, nonClient), rr.to(tor2, bgp.IPv4Unicast, nonClient))
	for i, h := range []*host{a, tor1, tor2} {
		h.originate([]string{"10.1.0.2/32", "10.1.0.3/32", "10.1.0.4/32"}[i], bgp.Attributes{})
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	// The next hop stays, at the external peers too: the reflector forwards nothing.
	l.wait("paths across the edge", func() bool {
		return tor1.has("10.1.0.2/32", a) && tor2.has("10.1.0.2/32", a) && a.has("10.1.0.3/32", tor1) && a.has("10.1.0.4/32", tor2)
	})
	a.originate("10.1.0.5/32", bgp.Attributes{})
	l.wait("a later path", func() bool { return tor1.has("10.1.0.5/32", a) && tor2.has("10.1.0.5/32", a) })
	if len(tor1.learned) != 2 || len(tor2.learned) != 2 {
		l.Errorf("the reflector is transit between external peers\n%s", l.dump())
	}
}

func reflectorPoolsChange(l *lab) {
	rr, a, b := l.start(1, as), l.start(2, as), l.start(3, as)
	wider := append(poolPrefixes(), bgp.Pool{Prefix: netip.MustParsePrefix("172.16.0.0/12")})
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client))
	for _, h := range []*host{a, b} {
		h.SetPools(wider)
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	a.originate("10.1.0.2/32", bgp.Attributes{})
	a.originate("172.16.0.2/32", bgp.Attributes{})
	l.wait("path", func() bool { return b.has("10.1.0.2/32", a) })
	l.wait("both at the reflector", func() bool { return rr.peer(a, bgp.IPv4Unicast).Received == 2 })
	if !b.has("172.16.0.2/32") {
		l.Error("the reflector gave away what is outside its pools")
	}
	rr.SetPools(wider)
	l.wait("path in the new pool", func() bool { return b.has("172.16.0.2/32", a) })
	rr.SetPools(poolPrefixes())
	l.wait("withdrawal", func() bool { return b.has("172.16.0.2/32") && b.has("10.1.0.2/32", a) })
}

// anycast: a client that becomes the source of the best path is sent a
// withdrawal of the path that it had from the reflector.
func anycast(l *lab) {
	rr, a, b := l.start(1, as), l.start(2, as), l.start(3, as)
	rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client))
	for _, h := range []*host{a, b} {
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	a.originate("10.1.0.9/32", bgp.Attributes{LocalPref: 200})
	l.wait("path", func() bool { return b.has("10.1.0.9/32", a) })
	b.originate("10.1.0.9/32", bgp.Attributes{LocalPref: 300})
	l.wait("the better path", func() bool { return a.has("10.1.0.9/32", b) && rr.has("10.1.0.9/32", b) })
	l.wait("the worse path to go", func() bool { return b.has("10.1.0.9/32") })
	b.withdraw("10.1.0.9/32")
	l.wait("the worse path again", func() bool { return b.has("10.1.0.9/32", a) && a.has("10.1.0.9/32") })
}

// twoReflectors without a session between them: each host has each path twice,
// and loses none when one reflector goes.
func twoReflectors(l *lab) {
	rr1, rr2, a, b := l.start(1, as), l.start(2, as), l.start(3, as), l.start(4, as)
	for _, rr := range []*host{rr1, rr2} {
		rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client))
	}
	for _, h := range []*host{a, b} {
		h.sessions(h.to(rr1, bgp.IPv4Unicast), h.to(rr2, bgp.IPv4Unicast))
	}
	a.originate("10.1.0.3/32", bgp.Attributes{})
	l.wait("path over both", func() bool {
		return b.has("10.1.0.3/32", a) && b.peer(rr1, bgp.IPv4Unicast).Accepted == 1 && b.peer(rr2, bgp.IPv4Unicast).Accepted == 1
	})
	rr1.stop(false)
	l.wait("the end of a reflector", func() bool { return b.peer(rr1, bgp.IPv4Unicast).Accepted == 0 })
	b.drain()
	for _, set := range b.told {
		if len(set.Paths) != 1 {
			l.Errorf("host 4 was told %d paths", len(set.Paths))
		}
	}
	a.withdraw("10.1.0.3/32")
	l.wait("withdrawal", func() bool { return b.has("10.1.0.3/32") })
}

// reflectorRestart: a reflector that restarts tells no client End-of-RIB before
// its other clients are back or the deferral has run out, or the first one would
// drop what the others told.
func reflectorRestart(l *lab) {
	rr, a, b := l.start(1, as), l.start(2, as), l.start(3, as)
	sessions := func() {
		rr.sessions(rr.to(a, bgp.IPv4Unicast, client), rr.to(b, bgp.IPv4Unicast, client))
	}
	sessions()
	a.originate("10.1.0.2/32", bgp.Attributes{})
	for _, h := range []*host{a, b} {
		h.sessions(h.to(rr, bgp.IPv4Unicast))
	}
	l.wait("path", func() bool { return b.has("10.1.0.2/32", a) })
	rr.synced(bgp.IPv4Unicast, a, b)
	before := len(b.told)

	a.stop(true)
	rr.stop(true)
	s := l.settings(1, as)
	s.Restarting, s.Deferral = bothRestarting, deadline
	rr = l.startWith(1, s)
	sessions()
	rr.up(b)
	a = a.restart()
	a.originate("10.1.0.2/32", bgp.Attributes{})
	a.sessions(a.to(rr, bgp.IPv4Unicast))
	l.wait("End-of-RIB of the reflector", func() bool {
		b.drain()
		return b.peer(rr, bgp.IPv4Unicast).EndOfRIB != 0 && a.peer(rr, bgp.IPv4Unicast).EndOfRIB != 0
	})
	l.wait("path", func() bool { return b.has("10.1.0.2/32", a) })
	for _, set := range b.told[before:] {
		if len(set.Paths) == 0 {
			l.Errorf("host 3 lost %s for a while", set.Prefix)
		}
	}
}
