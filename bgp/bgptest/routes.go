package bgptest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

func originateBefore(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("10.1.0.0/26", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	a.synced(bgp.IPv4Unicast, b)
	// End-of-RIB comes after all that was there before the session.
	if !b.has("10.1.0.1/32", a) || !b.has("10.1.0.0/26", a) {
		l.Fatalf("End-of-RIB without the paths\n%s", l.dump())
	}
	p := b.paths("10.1.0.1/32")[0]
	want := bgp.Path{
		Prefix: netip.MustParsePrefix("10.1.0.1/32"), NextHop: l.addr(1, bgp.IPv4Unicast),
		Peer: l.addr(1, bgp.IPv4Unicast), PeerAS: as, PeerID: l.addr(1, bgp.IPv4Unicast), Internal: true,
		LocalPref: bgp.DefaultLocalPref,
	}
	if !p.Equal(want) || p.Stale {
		l.Errorf("path is %+v, want %+v", p, want)
	}
	if st := b.peer(a, bgp.IPv4Unicast); st.Received != 2 || st.Accepted != 2 || st.LastUpdate.IsZero() {
		l.Errorf("received %d, accepted %d, last update %s", st.Received, st.Accepted, st.LastUpdate)
	}
	if st := a.peer(b, bgp.IPv4Unicast); st.Advertised != 2 {
		l.Errorf("advertised %d", st.Advertised)
	}
}

func originateChangeWithdraw(l *lab) {
	a, b := l.pair()
	a.originate("10.1.0.1/32", bgp.Attributes{})
	l.wait("path", func() bool { return b.has("10.1.0.1/32", a) })
	changed := bgp.Attributes{
		LocalPref: 200, MED: 7,
		Communities:      []bgp.Community{64512<<16 | 7},
		LargeCommunities: []bgp.LargeCommunity{{Global: 1, Local1: 2, Local2: 3}},
	}
	before := len(b.told)
	a.originate("10.1.0.1/32", changed)
	l.wait("new attributes", func() bool {
		p := b.paths("10.1.0.1/32")
		return len(p) == 1 && p[0].LocalPref == 200 && p[0].MED == 7 &&
			slices.Equal(p[0].Communities, changed.Communities) && slices.Equal(p[0].LargeCommunities, changed.LargeCommunities)
	})
	for _, set := range b.told[before:] {
		if len(set.Paths) == 0 {
			l.Errorf("the change of attributes went by a withdrawal of %s", set.Prefix)
		}
	}
	a.withdraw("10.1.0.1/32")
	a.withdraw("10.1.0.1/32") // twice is no error
	l.wait("withdrawal", func() bool { return b.has("10.1.0.1/32") })
	a.originate("10.1.0.1/32", bgp.Attributes{})
	l.wait("path again", func() bool { return b.has("10.1.0.1/32", a) })
}

func multipath(l *lab) {
	a, b, c := l.start(1, as), l.start(2, as), l.start(3, as)
	c.sessions(c.to(a, bgp.IPv4Unicast), c.to(b, bgp.IPv4Unicast))
	for _, h := range []*host{a, b} {
		h.originate("10.1.0.1/32", bgp.Attributes{})
		h.sessions(h.to(c, bgp.IPv4Unicast))
	}
	l.wait("two equal paths", func() bool { return c.has("10.1.0.1/32", a, b) })
	a.originate("10.1.0.1/32", bgp.Attributes{LocalPref: 200})
	l.wait("the better path alone", func() bool { return c.has("10.1.0.1/32", a) })
	a.originate("10.1.0.1/32", bgp.Attributes{})
	l.wait("two equal paths again", func() bool { return c.has("10.1.0.1/32", a, b) })
	a.withdraw("10.1.0.1/32")
	l.wait("what is left", func() bool { return c.has("10.1.0.1/32", b) })
	b.withdraw("10.1.0.1/32")
	l.wait("nothing left", func() bool { return c.has("10.1.0.1/32") })
}

func ownAndLearned(l *lab) {
	a, b := l.pair()
	b.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("10.1.0.2/32", bgp.Attributes{})
	l.wait("path", func() bool { return b.has("10.1.0.2/32", a) })
	for _, set := range b.told {
		if slices.ContainsFunc(set.Paths, func(p bgp.Path) bool { return p.NextHop == l.addr(2, bgp.IPv4Unicast) }) {
			l.Errorf("an own origination was told: %+v", set)
		}
	}
	b.withdraw("10.1.0.1/32")
	l.wait("the other's path", func() bool { return b.has("10.1.0.1/32", a) })
}

func pools(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.SetPools(append(poolPrefixes(),
		bgp.Pool{Prefix: netip.MustParsePrefix("172.16.0.0/12")},
		bgp.Pool{Prefix: netip.MustParsePrefix("10.66.0.0/16"), DisableExport: true}))
	for _, p := range []string{"10.1.0.1/32", "10.66.0.1/32", "172.16.0.1/32", "203.0.113.1/32", "0.0.0.0/0"} {
		a.originate(p, bgp.Attributes{})
	}
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	a.synced(bgp.IPv4Unicast, b)
	b.drain()
	if len(b.learned) != 1 || !b.has("10.1.0.1/32", a) {
		l.Errorf("host 2 learned %v", b.learned)
	}
	// 172.16.0.1 is in a pool of the sender, and outside those of the receiver.
	if p := b.peer(a, bgp.IPv4Unicast); p.Received != 2 || p.Accepted != 1 {
		l.Errorf("received %d, accepted %d, want 2 and 1", p.Received, p.Accepted)
	}
	if p := a.peer(b, bgp.IPv4Unicast); p.Advertised != 2 {
		l.Errorf("advertised %d, want 2", p.Advertised)
	}
}

func poolsChange(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("172.16.0.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("first path", func() bool { return b.has("10.1.0.1/32", a) })
	a.synced(bgp.IPv4Unicast, b)

	wider := append(poolPrefixes(), bgp.Pool{Prefix: netip.MustParsePrefix("172.16.0.0/12")})
	a.SetPools(wider)
	l.wait("second path at host 2", func() bool { return b.peer(a, bgp.IPv4Unicast).Received == 2 })
	if !b.has("172.16.0.1/32") {
		l.Error("host 2 accepted what is outside its pools")
	}
	b.SetPools(wider)
	l.wait("second path", func() bool { return b.has("172.16.0.1/32", a) })
	b.SetPools(poolPrefixes())
	l.wait("second path to go", func() bool { return b.has("172.16.0.1/32") && b.has("10.1.0.1/32", a) })

	wider[0].DisableExport = true
	a.SetPools(wider)
	l.wait("withdrawal of what is not exported any longer", func() bool { return b.has("10.1.0.1/32") })
	a.SetPools(poolPrefixes())
	l.wait("first path again", func() bool { return b.has("10.1.0.1/32", a) && b.peer(a, bgp.IPv4Unicast).Received == 1 })
	if p := b.peer(a, bgp.IPv4Unicast); p.Established != 1 {
		l.Errorf("the session came up %d times", p.Established)
	}
}

// noTransit is a host between two ToRs.
func noTransit(l *lab) {
	tor1, tor2, h := l.start(1, 65001), l.start(2, 65002), l.start(3, as)
	tor1.originate("10.1.0.1/32", bgp.Attributes{})
	h.originate("10.1.0.3/32", bgp.Attributes{})
	h.sessions(h.to(tor1, bgp.IPv4Unicast), h.to(tor2, bgp.IPv4Unicast))
	tor1.sessions(tor1.to(h, bgp.IPv4Unicast))
	tor2.sessions(tor2.to(h, bgp.IPv4Unicast))
	l.wait("paths", func() bool {
		return h.has("10.1.0.1/32", tor1) && tor2.has("10.1.0.3/32", h) && tor1.has("10.1.0.3/32", h)
	})
	tor1.originate("10.1.0.2/32", bgp.Attributes{}) // after the session, too
	l.wait("path", func() bool { return h.has("10.1.0.2/32", tor1) })
	h.originate("10.1.0.4/32", bgp.Attributes{}) // sent after what must not come
	l.wait("path", func() bool { return tor2.has("10.1.0.4/32", h) })
	if len(tor2.learned) != 2 {
		l.Errorf("the host is transit\n%s", l.dump())
	}
}

// noMeshForwarding: what comes from an internal peer goes to none.
func noMeshForwarding(l *lab) {
	a, b, c := l.start(1, as), l.start(2, as), l.start(3, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.sessions(b.to(a, bgp.IPv4Unicast), b.to(c, bgp.IPv4Unicast))
	a.sessions(a.to(b, bgp.IPv4Unicast))
	c.sessions(c.to(b, bgp.IPv4Unicast))
	l.wait("path", func() bool { return b.has("10.1.0.1/32", a) })
	b.originate("10.1.0.2/32", bgp.Attributes{})
	l.wait("path", func() bool { return c.has("10.1.0.2/32", b) })
	if len(c.learned) != 1 {
		l.Errorf("host 2 forwards\n%s", l.dump())
	}
}

func externalLocalPref(l *lab) {
	a, b := l.start(1, 65001), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{LocalPref: 4000, MED: 5})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("path", func() bool { return b.has("10.1.0.1/32", a) })
	if p := b.paths("10.1.0.1/32")[0]; p.LocalPref != bgp.DefaultLocalPref || p.MED != 5 || !slices.Equal(p.ASPath, []uint32{65001}) {
		l.Errorf("LOCAL_PREF %d, MED %d, AS path %v", p.LocalPref, p.MED, p.ASPath)
	}
}

func routes(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.SetPools(append(poolPrefixes(), bgp.Pool{Prefix: netip.MustParsePrefix("172.16.0.0/12")}))
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("172.16.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{LocalPref: 150})
	b.originate("203.0.113.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	a.synced(bgp.IPv4Unicast, b)
	l.wait("paths", func() bool { return b.peer(a, bgp.IPv4Unicast).Received == 2 })

	type entry struct {
		prefix    string
		own, best bool
		refused   bgp.Refusal
	}
	list := func(f bgp.Query) (got []entry) {
		for e := range b.Routes(f) {
			got = append(got, entry{e.Prefix.String(), e.Own, e.Best, e.Refused})
		}
		return got
	}
	all := []entry{
		{"10.1.0.1/32", false, true, ""},
		{"10.1.0.2/32", true, true, ""},
		{"172.16.0.1/32", false, false, bgp.NotInPool},
		{"203.0.113.1/32", true, false, bgp.NotInPool},
	}
	for _, c := range []struct {
		filter bgp.Query
		want   []entry
	}{
		{bgp.Query{}, all},
		{bgp.Query{Family: bgp.IPv4Unicast}, all},
		{bgp.Query{Family: bgp.IPv6Unicast}, nil},
		{bgp.Query{Within: netip.MustParsePrefix("10.1.0.0/24")}, all[:2]},
		{bgp.Query{Peer: l.addr(1, bgp.IPv4Unicast)}, []entry{all[0], all[2]}},
	} {
		if got := list(c.filter); !slices.Equal(got, c.want) {
			l.Errorf("routes %+v are %+v, want %+v", c.filter, got, c.want)
		}
	}
}
