package bgptest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// deadline of a wait: far beyond what any correct speaker needs, since a busy
// machine must not fail a test.
const deadline = 90 * time.Second

// Hosts is how many hosts the suite uses at most, all tests together.
const Hosts = 250

// hostsPerTest are those of one test, which runs beside others.
const hostsPerTest = 5

// Address is the address of host n, from 1 to Hosts. A Speaker under test can
// listen on it and be reached at it by the others.
func Address(n int, f bgp.Family) netip.Addr {
	if f == bgp.IPv6Unicast {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
}

// lab is one test's hosts.
type lab struct {
	*testing.T
	newSpeaker func(testing.TB) bgp.Speaker
	first      int // address of this test's host 1
	hosts      []*host
}

// addr is the address of this test's host n.
func (l *lab) addr(n int, f bgp.Family) netip.Addr { return Address(l.first+n-1, f) }

// host is a Speaker under test and what it told.
type host struct {
	bgp.Speaker
	lab     *lab
	n       int
	asn     uint32
	learned map[netip.Prefix][]bgp.Path
	told    []bgp.PathSet // all that Drain ever gave
}

// poolPrefixes bound what the suite's hosts exchange unless a test says
// otherwise.
func poolPrefixes() []bgp.Pool {
	return []bgp.Pool{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		{Prefix: netip.MustParsePrefix("fd00::/16")},
	}
}

// settings of host n. The addresses to listen on are its own only, because the
// hosts may share a network stack.
func (l *lab) settings(n int, asn uint32) bgp.Settings {
	return bgp.Settings{
		ASN:             asn,
		RouterID:        l.addr(n, bgp.IPv4Unicast),
		ListenAddresses: []netip.Addr{l.addr(n, bgp.IPv4Unicast), l.addr(n, bgp.IPv6Unicast)},
		Deferral:        5 * time.Second,
	}
}

// start is host n, started and with pools, in AS asn.
func (l *lab) start(n int, asn uint32) *host { return l.startWith(n, l.settings(n, asn)) }

func (l *lab) startWith(n int, s bgp.Settings) *host {
	l.Helper()
	h := &host{Speaker: l.newSpeaker(l), lab: l, n: n, asn: s.ASN, learned: make(map[netip.Prefix][]bgp.Path)}
	Start(l.T, h, s)
	h.SetPools(poolPrefixes())
	l.hosts = append(l.hosts, h)
	l.Cleanup(func() { h.stop(false) })
	return h
}

// stop stops h; twice does nothing.
func (h *host) stop(graceful bool) {
	h.lab.Helper()
	if !slices.Contains(h.lab.hosts, h) {
		return
	}
	h.lab.hosts = slices.DeleteFunc(h.lab.hosts, func(o *host) bool { return o == h })
	// The test's own context has ended when this is a cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := h.Stop(ctx, graceful); err != nil {
		h.lab.Errorf("stop host %d: %v", h.n, err)
	}
}

// to is the session of h with peer; the one of the lower number dials.
func (h *host) to(peer *host, f bgp.Family, change ...func(*bgp.Session)) bgp.Session {
	s := bgp.Session{
		Name:         fmt.Sprintf("mesh/host%d/%s", peer.n, f),
		Kind:         bgp.Mesh,
		Peer:         h.lab.addr(peer.n, f),
		Local:        h.lab.addr(h.n, f),
		LocalAS:      h.asn,
		PeerAS:       peer.asn,
		Passive:      h.n > peer.n,
		Multihop:     255,
		ConnectRetry: time.Second,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// client makes a session one of a reflector with a client of it.
func client(s *bgp.Session) {
	nonClient(s)
	s.ReflectorClient = true
}

// nonClient makes a session one of a reflector with somebody else.
func nonClient(s *bgp.Session) { s.ClusterID = netip.MustParseAddr(cluster) }

func (h *host) sessions(list ...bgp.Session) {
	h.lab.Helper()
	if err := h.SetSessions(list); err != nil {
		h.lab.Fatalf("host %d: %v", h.n, err)
	}
}

func (h *host) originate(prefix string, a bgp.Attributes) {
	h.lab.Helper()
	if err := h.Originate(netip.MustParsePrefix(prefix), a); err != nil {
		h.lab.Fatalf("host %d: %v", h.n, err)
	}
}

func (h *host) withdraw(prefix string) {
	h.lab.Helper()
	if err := h.Withdraw(netip.MustParsePrefix(prefix)); err != nil {
		h.lab.Fatalf("host %d: %v", h.n, err)
	}
}

// drain takes what h has to tell.
func (h *host) drain() {
	h.lab.Helper()
	sets := h.Drain()
	if !slices.IsSortedFunc(sets, func(a, b bgp.PathSet) int { return bgp.ComparePrefix(a.Prefix, b.Prefix) }) {
		h.lab.Errorf("host %d: Drain is not in order of prefix: %v", h.n, sets)
	}
	for _, s := range sets {
		if len(s.Paths) == 0 {
			delete(h.learned, s.Prefix)
		} else {
			h.learned[s.Prefix] = s.Paths
		}
	}
	h.told = append(h.told, sets...)
}

// paths is what h last told of prefix.
func (h *host) paths(prefix string) []bgp.Path {
	h.drain()
	return h.learned[netip.MustParsePrefix(prefix)]
}

// has reports whether h knows prefix by exactly the next hops of the given
// hosts, in any order.
func (h *host) has(prefix string, from ...*host) bool {
	var want, got []netip.Addr
	for _, f := range from {
		want = append(want, h.lab.addr(f.n, bgp.FamilyOf(netip.MustParsePrefix(prefix).Addr())))
	}
	for _, p := range h.paths(prefix) {
		got = append(got, p.NextHop)
	}
	slices.SortFunc(want, netip.Addr.Compare)
	slices.SortFunc(got, netip.Addr.Compare)
	return slices.Equal(want, got)
}

// peer is the state of h's session with o.
func (h *host) peer(o *host, f bgp.Family) bgp.PeerState {
	for _, p := range h.Peers() {
		if p.Session.Peer == h.lab.addr(o.n, f) {
			return p
		}
	}
	return bgp.PeerState{}
}

// up waits until the IPv4 sessions between h and peers are established at both
// ends.
func (h *host) up(peers ...*host) {
	h.lab.Helper()
	for _, o := range peers {
		h.lab.wait(fmt.Sprintf("session of host %d with host %d", h.n, o.n), func() bool {
			return h.peer(o, bgp.IPv4Unicast).State == bgp.Established && o.peer(h, bgp.IPv4Unicast).State == bgp.Established
		})
	}
}

// synced waits until both ends have the End-of-RIB of each other, so that
// what is not there by now does not come.
func (h *host) synced(f bgp.Family, peers ...*host) {
	h.lab.Helper()
	for _, o := range peers {
		h.lab.wait(fmt.Sprintf("End-of-RIB between host %d and host %d", h.n, o.n), func() bool {
			return h.peer(o, f).EndOfRIB.Has(f) && o.peer(h, f).EndOfRIB.Has(f)
		})
	}
}

// wait waits until done says true. It looks again when a host signals, and now
// and then, for what no signal tells.
func (l *lab) wait(what string, done func() bool) {
	l.Helper()
	end := time.NewTimer(deadline)
	defer end.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-end.C:
			l.Fatalf("waiting for %s, gave up\n%s", what, l.dump())
		case <-again.C:
		}
	}
}

// dump is the state of all hosts as text.
func (l *lab) dump() string {
	var b []byte
	for _, h := range l.hosts {
		b = fmt.Appendf(b, "host %d (AS %d)\n", h.n, h.asn)
		for _, p := range h.Peers() {
			b = fmt.Appendf(b, "  %s %s up %d times, received %d accepted %d advertised %d, End-of-RIB %q, last error %q\n",
				p.Session, p.State, p.Established, p.Received, p.Accepted, p.Advertised, p.EndOfRIB, p.LastError)
		}
		for e := range h.Routes(bgp.Query{}) {
			b = fmt.Appendf(b, "  %s via %s peer %s own %t best %t stale %t refused %q\n",
				e.Prefix, e.NextHop, e.Peer, e.Own, e.Best, e.Stale, e.Refused)
		}
	}
	return string(b)
}
