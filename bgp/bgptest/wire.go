package bgptest

import (
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// RunWire runs the part of the suite that needs TCP: against routers that send
// what no Speaker would. It can run beside Run.
func RunWire(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker, known map[string]string) {
	run(t, newSpeaker, known, firstOfWire, []test{
		{"paths before end-of-rib", pathsBeforeEndOfRIB},
		{"restart flags", restartFlagsSent},
		{"restart flags for a late peer", restartFlagsForLatePeer},
		{"graceful stop is silent", gracefulStopIsSilent},
		{"stop says cease", stopSaysCease},
		{"own as takes the place of a path", ownASReplaces},
		{"own originator takes the place of a path", ownOriginatorReplaces},
		{"external local-pref is ignored", externalLocalPrefIgnored},
		{"own next hop", ownNextHop},
		{"peer back without end-of-rib", backWithoutEndOfRIB},
		{"peer back without graceful restart", backWithoutRestart},
		{"peer back with fewer paths", backWithFewer},
	})
}

const (
	firstOfWire = 171 // hosts of Run are below
	routerN     = 2   // whose address a router has
)

// withRouter is host 1, with a short stale time.
func (l *lab) withRouter(change ...func(*bgp.Settings)) *host {
	l.Helper()
	s := l.settings(1, as)
	s.StaleTime = 3 * time.Second
	for _, c := range change {
		c(&s)
	}
	return l.startWith(1, s)
}

// expect makes h wait for a router of AS asn.
func (h *host) expect(asn uint32) {
	h.lab.Helper()
	peer := &host{lab: h.lab, n: routerN, asn: asn}
	h.sessions(h.to(peer, bgp.IPv4Unicast, func(s *bgp.Session) { s.Passive = true }))
}

func pathsBeforeEndOfRIB(l *lab) {
	h := l.withRouter()
	h.originate("10.1.0.1/32", bgp.Attributes{})
	h.originate("10.1.0.2/32", bgp.Attributes{MED: 1})
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true})
	l.wait("End-of-RIB", func() bool {
		updates, _ := r.messages(msgUpdate)
		return slices.ContainsFunc(updates, isEndOfRIB)
	})
	updates, _ := r.messages(msgUpdate)
	if at := slices.IndexFunc(updates, isEndOfRIB); at != 2 {
		l.Errorf("End-of-RIB is update %d, want 2: %x", at, updates)
	}
}

func restartFlagsSent(l *lab) {
	for _, restarting := range []bool{false, true} {
		h := l.withRouter(func(s *bgp.Settings) {
			s.Restarting = map[bgp.Family]bool{bgp.IPv4Unicast: restarting, bgp.IPv6Unicast: true}
		})
		h.expect(as)
		r := l.dial(h, dial{n: routerN, asn: as, restart: true})
		opens, _ := r.messages(msgOpen)
		flags, family, ok := restartFlags(opens[0])
		if !ok || (flags&0x80 != 0) != restarting || (family&0x80 != 0) != restarting {
			l.Errorf("restarting %t: capability %t, flags %#x, of the family %#x", restarting, ok, flags, family)
		}
		h.stop(false)
	}
}

// restartFlagsForLatePeer: a router that comes up after another one has sent
// its End-of-RIB would drop our routes if it found no flags (RFC 4724 §4.2).
func restartFlagsForLatePeer(l *lab) {
	h := l.withRouter(func(s *bgp.Settings) { s.Restarting = bothRestarting })
	h.originate("10.1.0.1/32", bgp.Attributes{})
	const lateN = routerN + 1
	var list []bgp.Session
	for _, n := range []int{routerN, lateN} {
		peer := &host{lab: l, n: n, asn: as}
		list = append(list, h.to(peer, bgp.IPv4Unicast, func(s *bgp.Session) { s.Passive = true }))
	}
	h.sessions(list...)
	for _, n := range []int{routerN, lateN} {
		r := l.dial(h, dial{n: n, asn: as, restart: true})
		opens, _ := r.messages(msgOpen)
		if flags, family, ok := restartFlags(opens[0]); !ok || flags&0x80 == 0 || family&0x80 == 0 {
			l.Errorf("router %d: capability %t, flags %#x, of the family %#x", n, ok, flags, family)
		}
		r.endOfRIB()
		l.wait("End-of-RIB of the router", func() bool { return h.peer(&host{n: n}, bgp.IPv4Unicast).EndOfRIB != 0 })
		l.wait("our End-of-RIB", func() bool {
			updates, _ := r.messages(msgUpdate)
			return slices.ContainsFunc(updates, isEndOfRIB)
		})
	}
}

func gracefulStopIsSilent(l *lab) {
	h := l.withRouter()
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true})
	l.wait("session", func() bool { return h.Peers()[0].State == bgp.Established })
	h.stop(true)
	l.wait("the end of the connection", func() bool { _, gone := r.messages(msgNotification); return gone })
	if n, _ := r.messages(msgNotification); len(n) > 0 {
		l.Errorf("notification %x", n)
	}
}

func stopSaysCease(l *lab) {
	h := l.withRouter()
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true})
	l.wait("session", func() bool { return h.Peers()[0].State == bgp.Established })
	h.stop(false)
	l.wait("the end of the connection", func() bool { _, gone := r.messages(msgNotification); return gone })
	if n, _ := r.messages(msgNotification); len(n) != 1 || n[0][0] != 6 {
		l.Errorf("notifications %x, want one Cease (RFC 4486)", n)
	}
}

// ownASReplaces: a path that is refused still takes the place of the one before
// it (RFC 4271 §9).
func ownASReplaces(l *lab) {
	h := l.withRouter()
	h.expect(65001)
	r := l.dial(h, dial{n: routerN, asn: 65001})
	nextHop := l.addr(routerN, bgp.IPv4Unicast)
	r.announce("10.1.0.2", attributes{asPath: []uint32{65001, 65002}, nextHop: nextHop})
	l.wait("path", func() bool { return len(h.paths("10.1.0.2/32")) == 1 })
	r.announce("10.1.0.2", attributes{asPath: []uint32{65001, as}, nextHop: nextHop})
	l.wait("path to go", func() bool { return len(h.paths("10.1.0.2/32")) == 0 })
}

func ownOriginatorReplaces(l *lab) {
	h := l.withRouter()
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as})
	path := attributes{nextHop: l.addr(routerN, bgp.IPv4Unicast), localPref: 100}
	r.announce("10.1.0.2", path)
	l.wait("path", func() bool { return len(h.paths("10.1.0.2/32")) == 1 })
	path.originator = l.addr(1, bgp.IPv4Unicast)
	r.announce("10.1.0.2", path)
	l.wait("path to go", func() bool { return len(h.paths("10.1.0.2/32")) == 0 })
}

func externalLocalPrefIgnored(l *lab) {
	h := l.withRouter()
	h.expect(65001)
	r := l.dial(h, dial{n: routerN, asn: 65001})
	r.announce("10.1.0.2", attributes{asPath: []uint32{65001}, nextHop: l.addr(routerN, bgp.IPv4Unicast), localPref: 4000})
	l.wait("path", func() bool { return len(h.paths("10.1.0.2/32")) == 1 })
	if p := h.paths("10.1.0.2/32")[0]; p.LocalPref != bgp.DefaultLocalPref {
		l.Errorf("LOCAL_PREF %d of an external peer", p.LocalPref)
	}
}

func ownNextHop(l *lab) {
	h := l.withRouter()
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as})
	r.announce("10.1.0.2", attributes{nextHop: l.addr(1, bgp.IPv4Unicast), localPref: 100})
	r.announce("10.1.0.3", attributes{nextHop: l.addr(routerN, bgp.IPv4Unicast), localPref: 100})
	l.wait("path", func() bool { return len(h.paths("10.1.0.3/32")) == 1 })
	if p := h.paths("10.1.0.2/32"); len(p) != 0 {
		l.Errorf("a path by way of ourselves: %+v", p)
	}
}

// twoPaths is a router that told two paths and was cut off.
func (l *lab) twoPaths(h *host) attributes {
	l.Helper()
	h.expect(as)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true})
	path := attributes{nextHop: l.addr(routerN, bgp.IPv4Unicast), localPref: 100}
	r.announce("10.1.0.2", path)
	r.announce("10.1.0.3", path)
	r.endOfRIB()
	l.wait("both paths and End-of-RIB", func() bool {
		return len(h.paths("10.1.0.2/32")) == 1 && len(h.paths("10.1.0.3/32")) == 1 && h.Peers()[0].EndOfRIB != 0
	})
	r.cut()
	l.wait("stale paths", func() bool { return h.Peers()[0].GracefulRestart.Stale == 2 })
	return path
}

func backWithFewer(l *lab) {
	h := l.withRouter()
	path := l.twoPaths(h)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true, flags: 0x80})
	r.announce("10.1.0.2", path)
	l.wait("one fresh path", func() bool { return h.Peers()[0].GracefulRestart.Stale == 1 })
	r.endOfRIB()
	l.wait("the other to go", func() bool { return len(h.paths("10.1.0.3/32")) == 0 })
	if len(h.paths("10.1.0.2/32")) != 1 {
		l.Errorf("the fresh path went too\n%s", l.dump())
	}
}

func backWithoutEndOfRIB(l *lab) {
	h := l.withRouter()
	path := l.twoPaths(h)
	r := l.dial(h, dial{n: routerN, asn: as, restart: true, flags: 0x80})
	r.announce("10.1.0.2", path)
	l.wait("the stale path to go", func() bool { return len(h.paths("10.1.0.3/32")) == 0 })
}

// backWithoutRestart: without the capability, stale paths go at once (RFC 4724
// §4.2), or at the latest with the stale time.
func backWithoutRestart(l *lab) {
	h := l.withRouter()
	path := l.twoPaths(h)
	r := l.dial(h, dial{n: routerN, asn: as})
	r.announce("10.1.0.2", path)
	l.wait("the stale path to go", func() bool { return len(h.paths("10.1.0.3/32")) == 0 })
}
