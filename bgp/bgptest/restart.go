package bgptest

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

var bothRestarting = map[bgp.Family]bool{bgp.IPv4Unicast: true, bgp.IPv6Unicast: true}

// restart is a new host n in the place of h, gone without a NOTIFICATION.
func (h *host) restart() *host {
	h.lab.Helper()
	h.stop(true)
	s := h.lab.settings(h.n, h.asn)
	s.Restarting = bothRestarting
	return h.lab.startWith(h.n, s)
}

func gracefulRestart(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("10.1.0.9/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("paths", func() bool {
		return b.has("10.1.0.1/32", a) && b.has("10.1.0.9/32", a) && a.has("10.1.0.2/32", b)
	})
	a.synced(bgp.IPv4Unicast, b)
	before := len(b.told)

	a.stop(true)
	l.wait("stale paths", func() bool {
		p := b.peer(a, bgp.IPv4Unicast)
		return p.State != bgp.Established && p.GracefulRestart.Stale == 2
	})
	for e := range b.Routes(bgp.Query{Peer: l.addr(1, bgp.IPv4Unicast)}) {
		if !e.Stale || !e.Best {
			l.Errorf("%s: stale %t, best %t", e.Prefix, e.Stale, e.Best)
		}
	}
	a = a.restart()
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	l.wait("the flags of the restarted peer", func() bool {
		gr := b.peer(a, bgp.IPv4Unicast).GracefulRestart
		return gr.Restarting && gr.Forwarding != 0
	})
	a.synced(bgp.IPv4Unicast, b)
	l.wait("what did not come back to go", func() bool { return b.has("10.1.0.9/32") && a.has("10.1.0.2/32", b) })
	for _, set := range b.told[before:] {
		if set.Prefix == netip.MustParsePrefix("10.1.0.1/32") {
			l.Errorf("the path that came back flapped: %+v", set)
		}
	}
	if p := b.peer(a, bgp.IPv4Unicast); p.GracefulRestart.Stale != 0 || p.Established != 2 {
		l.Errorf("%d stale paths, came up %d times", p.GracefulRestart.Stale, p.Established)
	}
}

// restartOfBoth: neither waits for the other's End-of-RIB beyond the deferral.
func restartOfBoth(l *lab) {
	a, b := l.pair()
	a, b = a.restart(), b.restart()
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("paths", func() bool { return b.has("10.1.0.1/32", a) && a.has("10.1.0.2/32", b) })
	a.synced(bgp.IPv4Unicast, b)
}

func restartTimeRunsOut(l *lab) {
	s := l.settings(1, as)
	s.RestartTime = 2 * time.Second
	a, b := l.startWith(1, s), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("path", func() bool { return b.has("10.1.0.1/32", a) })
	a.stop(true)
	l.wait("the end of the session", func() bool { return b.peer(a, bgp.IPv4Unicast).State != bgp.Established })
	l.wait("path to go", func() bool { return b.has("10.1.0.1/32") })
}

func stopWithCease(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("path", func() bool { return b.has("10.1.0.1/32", a) })
	a.stop(false)
	l.wait("path to go", func() bool { return b.has("10.1.0.1/32") })
	if p := b.peer(a, bgp.IPv4Unicast); p.LastError == "" {
		l.Error("no word of why the session went")
	}
	// The next one is not restarting, and is welcome.
	a = l.start(1, as)
	a.sessions(a.to(b, bgp.IPv4Unicast))
	a.up(b)
}
