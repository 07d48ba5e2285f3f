package bgptest

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

const as = 64512 // of the suite's hosts unless a test needs several

// pair is two hosts of one AS with an IPv4 session, up.
func (l *lab) pair() (a, b *host) {
	a, b = l.start(1, as), l.start(2, as)
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	a.up(b)
	return a, b
}

func sessionComesUp(l *lab) {
	a, b := l.pair()
	a.synced(bgp.IPv4Unicast, b)
	for _, p := range []bgp.PeerState{a.peer(b, bgp.IPv4Unicast), b.peer(a, bgp.IPv4Unicast)} {
		if p.Hold != bgp.DefaultHold || p.Keepalive != bgp.DefaultHold/3 {
			l.Errorf("%s: hold %s and keepalive %s", p.Session, p.Hold, p.Keepalive)
		}
		if len(p.Capabilities) == 0 || p.Established != 1 || p.Since.IsZero() {
			l.Errorf("%s: capabilities %v, established %d times, since %s", p.Session, p.Capabilities, p.Established, p.Since)
		}
		if gr := p.GracefulRestart; !gr.Negotiated || gr.Restarting || gr.RestartTime != bgp.DefaultRestartTime {
			l.Errorf("%s: graceful restart %+v", p.Session, gr)
		}
		if p.Received+p.Accepted+p.Advertised != 0 {
			l.Errorf("%s: prefixes %d, %d, %d", p.Session, p.Received, p.Accepted, p.Advertised)
		}
	}
	if id := a.peer(b, bgp.IPv4Unicast).RouterID; id != l.addr(2, bgp.IPv4Unicast) {
		l.Errorf("router id of host 2 is %s", id)
	}
	if local := a.peer(b, bgp.IPv4Unicast).Local; local != l.addr(1, bgp.IPv4Unicast) {
		l.Errorf("local address of host 1 is %s", local)
	}
}

func bothEndsDial(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	dial := func(s *bgp.Session) { s.Passive = false }
	a.sessions(a.to(b, bgp.IPv4Unicast, dial))
	b.sessions(b.to(a, bgp.IPv4Unicast, dial))
	a.up(b)
}

func ipv6(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("fd00::1/128", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv6Unicast))
	b.sessions(b.to(a, bgp.IPv6Unicast))
	l.wait("path to fd00::1", func() bool { return b.has("fd00::1/128", a) })
}

func bothFamilies(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.originate("fd00::1/128", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast), a.to(b, bgp.IPv6Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast), b.to(a, bgp.IPv6Unicast))
	l.wait("both paths", func() bool { return b.has("10.1.0.1/32", a) && b.has("fd00::1/128", a) })
	a.synced(bgp.IPv4Unicast, b)
	a.synced(bgp.IPv6Unicast, b)
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		if n := b.peer(a, f).Received; n != 1 {
			l.Errorf("%d prefixes over the %s session, want its own one", n, f)
		}
		if n := a.peer(b, f).Advertised; n != 1 {
			l.Errorf("%d prefixes advertised over the %s session, want its own one", n, f)
		}
	}
}

func fourOctetAS(l *lab) {
	a, b := l.start(1, 4200000001), l.start(2, 64513)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("path from AS 4200000001", func() bool { return b.has("10.1.0.1/32", a) })
	p := b.paths("10.1.0.1/32")[0]
	if len(p.ASPath) != 1 || p.ASPath[0] != 4200000001 || p.ASPathLen != 1 || p.PeerAS != 4200000001 || p.Internal {
		l.Errorf("AS path %v of length %d from AS %d, internal %t", p.ASPath, p.ASPathLen, p.PeerAS, p.Internal)
	}
}

func wrongAS(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.sessions(a.to(b, bgp.IPv4Unicast, func(s *bgp.Session) { s.PeerAS = 65000 }))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("a reason at host 1", func() bool { return a.peer(b, bgp.IPv4Unicast).LastError != "" })
	if p := a.peer(b, bgp.IPv4Unicast); p.State == bgp.Established || p.Established != 0 {
		l.Errorf("session with the wrong AS is %s, came up %d times", p.State, p.Established)
	}
}

func sameSessions(l *lab) {
	a, b := l.pair()
	b.sessions(b.to(a, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast, func(s *bgp.Session) {
		s.Name, s.Kind, s.Origin, s.PeerNode, s.PeerPort = "peer/x", bgp.Global, "x", "host1", bgp.DefaultPort
	}))
	// What is sent after it proves that the session is still the same.
	b.originate("10.1.0.1/32", bgp.Attributes{})
	l.wait("path", func() bool { return a.has("10.1.0.1/32", b) })
	for _, p := range []bgp.PeerState{a.peer(b, bgp.IPv4Unicast), b.peer(a, bgp.IPv4Unicast)} {
		if p.Established != 1 || p.State != bgp.Established {
			l.Errorf("%s is %s, came up %d times", p.Session, p.State, p.Established)
		}
	}
	if name := b.peer(a, bgp.IPv4Unicast).Session.Name; name != "peer/x" {
		l.Errorf("name of the session is %q", name)
	}
}

// changedSession: a session is opened anew without a word, so that no path goes,
// and no other session moves.
func changedSession(l *lab) {
	a, b, c := l.start(1, as), l.start(2, as), l.start(3, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast), a.to(c, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	c.sessions(c.to(a, bgp.IPv4Unicast))
	a.up(b, c)
	l.wait("paths", func() bool { return a.has("10.1.0.2/32", b) && b.has("10.1.0.1/32", a) })
	told := [2]int{len(a.told), len(b.told)}
	a.sessions(a.to(b, bgp.IPv4Unicast, func(s *bgp.Session) { s.Hold = 30 * time.Second }), a.to(c, bgp.IPv4Unicast))
	l.wait("session with the new hold time", func() bool {
		p := b.peer(a, bgp.IPv4Unicast)
		return p.State == bgp.Established && p.Hold == 30*time.Second
	})
	a.synced(bgp.IPv4Unicast, b)
	if p := b.peer(a, bgp.IPv4Unicast); p.Established != 2 || p.LastError == "" || p.GracefulRestart.Restarting {
		l.Errorf("the changed session came up %d times, last error %q, %+v", p.Established, p.LastError, p.GracefulRestart)
	}
	if p := c.peer(a, bgp.IPv4Unicast); p.Established != 1 || p.State != bgp.Established {
		l.Errorf("the other session is %s, came up %d times", p.State, p.Established)
	}
	for i, h := range []*host{a, b} {
		if h.drain(); len(h.told) > told[i] {
			l.Errorf("paths flapped at host %d: %+v", h.n, h.told[told[i]:])
		}
	}
}

// changedAtBothEnds: both ends open their session anew at once, time and again,
// while paths come and go. What stays never goes, what went is no ghost.
func changedAtBothEnds(l *lab) {
	a, b := l.pair()
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	l.wait("paths", func() bool { return a.has("10.1.0.2/32", b) && b.has("10.1.0.1/32", a) })
	told := [2]int{len(a.told), len(b.told)}
	for _, change := range []func(*bgp.Session){
		func(s *bgp.Session) { s.Hold = 30 * time.Second },
		func(s *bgp.Session) { s.Hold, s.Password = 30*time.Second, "one" },
		func(s *bgp.Session) { s.Hold, s.Password, s.LongLived = 30*time.Second, "two", time.Hour },
		func(s *bgp.Session) { s.Hold, s.Password = 60*time.Second, "two" },
	} {
		b.originate("10.1.0.9/32", bgp.Attributes{})
		l.wait("another path", func() bool { return a.has("10.1.0.9/32", b) })
		a.sessions(a.to(b, bgp.IPv4Unicast, change))
		b.sessions(b.to(a, bgp.IPv4Unicast, change))
		b.withdraw("10.1.0.9/32")
		l.wait("it to go", func() bool { return a.has("10.1.0.9/32") })
		a.synced(bgp.IPv4Unicast, b)
	}
	changedTwice(a, b)
	for i, h := range []*host{a, b} {
		h.drain()
		for _, set := range h.told[told[i]:] {
			if set.Prefix != netip.MustParsePrefix("10.1.0.9/32") {
				l.Errorf("a path flapped at host %d: %+v", h.n, set)
			}
		}
	}
}

// changedTwice tells each of two ends two changes, one right after the other, and
// a third one when the session has just come up again, some times over.
func changedTwice(a, b *host) {
	both := func(change func(*bgp.Session)) {
		a.sessions(a.to(b, bgp.IPv4Unicast, change))
		b.sessions(b.to(a, bgp.IPv4Unicast, change))
	}
	for n := range 4 {
		hold := time.Duration(30+10*n) * time.Second
		both(func(s *bgp.Session) { s.Hold, s.Password = hold, "one" })
		both(func(s *bgp.Session) { s.Hold, s.Password = hold, "two" })
		a.up(b)
		both(func(s *bgp.Session) { s.Hold, s.Password = hold+time.Second, "two" })
		a.lab.wait("session with the newest hold time", func() bool {
			p := b.peer(a, bgp.IPv4Unicast)
			return p.State == bgp.Established && p.Hold == hold+time.Second
		})
		a.synced(bgp.IPv4Unicast, b)
	}
}

// changedToNothing: who shuts a session down, or is of another AS, takes the
// paths along.
func changedToNothing(l *lab) {
	a, b := l.pair()
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	l.wait("paths", func() bool { return a.has("10.1.0.2/32", b) && b.has("10.1.0.1/32", a) })
	a.sessions(a.to(b, bgp.IPv4Unicast, func(s *bgp.Session) { s.PeerAS = as + 1 }))
	l.wait("paths to go at both ends", func() bool { return a.has("10.1.0.2/32") && b.has("10.1.0.1/32") })
}

func removedSession(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	a.originate("10.1.0.1/32", bgp.Attributes{})
	b.originate("10.1.0.2/32", bgp.Attributes{})
	a.sessions(a.to(b, bgp.IPv4Unicast))
	b.sessions(b.to(a, bgp.IPv4Unicast))
	l.wait("paths both ways", func() bool { return b.has("10.1.0.1/32", a) && a.has("10.1.0.2/32", b) })
	a.sessions()
	l.wait("paths to go at both ends", func() bool { return b.has("10.1.0.1/32") && a.has("10.1.0.2/32") })
	if n := len(a.Peers()); n != 0 {
		l.Errorf("host 1 has %d peers", n)
	}
	a.sessions(a.to(b, bgp.IPv4Unicast))
	l.wait("paths both ways again", func() bool { return b.has("10.1.0.1/32", a) && a.has("10.1.0.2/32", b) })
}

func refusedSessions(l *lab) {
	a, b := l.start(1, as), l.start(2, as)
	b.sessions(b.to(a, bgp.IPv4Unicast))
	err := a.SetSessions([]bgp.Session{
		a.to(b, bgp.IPv4Unicast, func(s *bgp.Session) { s.Peer = netip.Addr{} }),
		a.to(b, bgp.IPv6Unicast, func(s *bgp.Session) { s.Peer = l.addr(3, bgp.IPv4Unicast) }),
		a.to(b, bgp.IPv6Unicast, func(s *bgp.Session) { s.TTLSecurity = 1 }),
		a.to(b, bgp.IPv4Unicast),
	})
	if err == nil {
		l.Error("sessions without an address, of another family, near and far at once: no error")
	}
	a.up(b) // not held up by the others
	if n := len(a.Peers()); n != 1 {
		l.Errorf("host 1 has %d peers, want 1", n)
	}
}
