package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// ground is an Engine under test at an address of its own, and the routers of
// its test.
type ground struct {
	*Engine
	t  *testing.T
	at netip.Addr
}

// newGround starts an Engine at 127.3.n.1; its routers are at 127.3.n.2 and so
// on. Tests run beside one another, each with an n of its own.
func newGround(t *testing.T, n int, change ...func(*bgp.Settings)) *ground {
	t.Helper()
	return newGroundAt(t, netip.AddrFrom4([4]byte{127, 3, byte(n), 1}), change...)
}

// newGroundAt is newGround at another address, beside which the routers are.
func newGroundAt(t *testing.T, at netip.Addr, change ...func(*bgp.Settings)) *ground {
	t.Helper()
	testenv.Need(t, "root") // for port 179
	g := &ground{t: t, at: at}
	g.start(change...)
	return g
}

func (g *ground) start(change ...func(*bgp.Settings)) {
	g.t.Helper()
	s := bgp.Settings{
		ASN: modelAS, RouterID: g.at, StaleTime: time.Hour,
		ListenAddresses: []netip.Addr{g.at},
	}
	for _, c := range change {
		c(&s)
	}
	e := New(testLog(g.t))
	g.Engine = e
	bgptest.Start(g.t, e, s)
	g.t.Cleanup(func() { bgptest.Stop(g.t, e, false) })
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("fd00::/16")}})
}

// router is the address of the test's router i, from 2 on.
func (g *ground) router(i int) netip.Addr {
	a := g.at.As4()
	a[3] = byte(i)
	return netip.AddrFrom4(a)
}

// to is an internal session with router i, who dials.
func (g *ground) to(i int, change ...func(*bgp.Session)) bgp.Session {
	s := bgp.Session{
		Name: fmt.Sprintf("router%d", i), Peer: g.router(i), Local: g.at,
		LocalAS: modelAS, PeerAS: modelAS, Passive: true, ConnectRetry: time.Second,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func (g *ground) sessions(list ...bgp.Session) {
	g.t.Helper()
	if err := g.SetSessions(list); err != nil {
		g.t.Fatal(err)
	}
}

// peer is the state of the session with router i.
func (g *ground) peer(i int) bgp.PeerState {
	for _, p := range g.Peers() {
		if p.Session.Peer == g.router(i) {
			return p
		}
	}
	return bgp.PeerState{}
}

// paths are those to a prefix.
func (g *ground) paths(prefix string) []bgp.Entry {
	return slices.Collect(g.Routes(bgp.Query{Within: netip.MustParsePrefix(prefix)}))
}

func (g *ground) originate(list ...string) {
	g.t.Helper()
	for _, p := range list {
		if err := g.Originate(netip.MustParsePrefix(p), bgp.Attributes{}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// wait waits until f says true.
func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	bgptest.Await(t, what, func() string {
		if f() {
			return ""
		}
		return "not yet"
	})
}

// far is a router that says exactly what a test wants and keeps what it hears.
type far struct {
	t    testing.TB
	conn net.Conn
	as   uint32
	id   netip.Addr
	open wire.Open // of the Engine
	form wire.Form

	mu        sync.Mutex // guards the rest
	holds     map[netip.Prefix]wire.Attributes
	paths     map[netip.Prefix]map[uint32]wire.Attributes // by identifier
	endOfRIB  bgp.Families
	kinds     []wire.MessageType // in order, KEEPALIVEs apart
	refreshes []wire.RouteRefresh
	goodbye   *wire.Notification
	gone      bool
}

// capable is what a far router says of itself unless a test changes it.
func capable() wire.Capabilities {
	both := bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast)
	return wire.Capabilities{
		Multiprotocol: true, Families: both, RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		ExtendedNextHop: true,
		GracefulRestart: &wire.GracefulRestart{Notification: true, Time: time.Hour, Families: both, Forwarding: both},
	}
}

// dial connects router i, of AS as, and brings the session up. It tries again
// while the Engine does not want it, as a router does.
func (g *ground) dial(i int, as uint32, change ...func(*wire.Open)) *far {
	g.t.Helper()
	o := wire.Open{AS: as, HoldTime: 90 * time.Second, RouterID: g.router(i), Capabilities: capable()}
	for _, c := range change {
		c(&o)
	}
	var r *far
	wait(g.t, fmt.Sprintf("session with router %d", i), func() bool {
		r = tryDial(g.t, g.router(i), g.at, o)
		return r != nil
	})
	g.t.Cleanup(func() { r.conn.Close() })
	wait(g.t, fmt.Sprintf("the session with router %d at our end", i), func() bool { return g.has(r) })
	return r
}

// has reports whether the session with r is up over its connection.
func (g *ground) has(r *far) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	end := r.conn.LocalAddr().(*net.TCPAddr).AddrPort()
	for _, p := range g.byAddr[end.Addr().Unmap()] {
		if p.conn != nil && !closed(p.conn.Done()) && p.status().Negotiated.Remote.Port() == end.Port() {
			return true
		}
	}
	_, gone := r.ended()
	return gone // it was up for a moment
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func tryDial(t testing.TB, from, to netip.Addr, o wire.Open) *far {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, bgp.DefaultPort).String())
	if err != nil {
		return nil
	}
	return greet(t, conn, o)
}

// greet brings a session up over conn; nil: the other end does not want it.
func greet(t testing.TB, conn net.Conn, o wire.Open) *far {
	r := &far{t: t, conn: conn, as: o.AS, id: o.RouterID, holds: make(map[netip.Prefix]wire.Attributes), paths: make(map[netip.Prefix]map[uint32]wire.Attributes)}
	open, err := wire.AppendOpen(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	r.send(open)
	for _, want := range []wire.MessageType{wire.TypeOpen, wire.TypeKeepalive} {
		kind, body, err := r.read()
		if err != nil || kind != want {
			conn.Close()
			return nil
		}
		if want == wire.TypeKeepalive {
			break
		}
		if r.open, err = wire.ParseOpen(body); err != nil {
			t.Fatal(err)
		}
		r.send(wire.AppendKeepalive(nil))
	}
	n, err := wire.Negotiate(o, r.open, false)
	if err != nil {
		t.Fatal(err)
	}
	r.form = n.Form()
	go r.listen(n.Options())
	return r
}

// send writes messages; that the other end has hung up is for the test to see.
func (r *far) send(b []byte) { _, _ = r.conn.Write(b) }

func (r *far) read() (wire.MessageType, []byte, error) {
	header := make([]byte, wire.HeaderLen)
	if _, err := io.ReadFull(r.conn, header); err != nil {
		return 0, nil, err
	}
	body := make([]byte, int(binary.BigEndian.Uint16(header[16:]))-wire.HeaderLen)
	_, err := io.ReadFull(r.conn, body)
	return wire.MessageType(header[18]), body, err
}

// listen keeps what comes until the connection ends, and then ends it at this
// end, too.
func (r *far) listen(o wire.Options) {
	var u wire.Update
	defer r.conn.Close()
	for {
		kind, body, err := r.read()
		r.mu.Lock()
		if err != nil {
			r.gone = true
			r.mu.Unlock()
			return
		}
		if err := r.hear(&u, o, kind, body); err != nil {
			r.t.Errorf("%s: %v: %x", r.conn.LocalAddr(), err, body)
		}
		r.mu.Unlock()
	}
}

func (r *far) hear(u *wire.Update, o wire.Options, kind wire.MessageType, body []byte) error {
	if kind != wire.TypeKeepalive {
		r.kinds = append(r.kinds, kind)
	}
	switch kind {
	case wire.TypeUpdate:
		if v := u.Parse(body, o); v.Action != wire.OK {
			return errors.New(v.String())
		}
		r.endOfRIB = r.endOfRIB.With(u.EndOfRIB)
		for _, n := range u.Withdrawn {
			for p, id := range n.All() {
				delete(r.paths[p], id)
				delete(r.holds, p)
			}
		}
		for _, a := range u.Announced {
			attrs, err := wire.ParseAttributes(a.Attributes)
			if err != nil {
				return err
			}
			for p, id := range a.NLRI.All() {
				if r.paths[p] == nil {
					r.paths[p] = make(map[uint32]wire.Attributes)
				}
				r.paths[p][id] = attrs
				r.holds[p] = attrs
			}
		}
	case wire.TypeNotification:
		n, err := wire.ParseNotification(body)
		r.goodbye = n
		return err
	case wire.TypeRouteRefresh:
		m, err := wire.ParseRouteRefresh(body, true)
		r.refreshes = append(r.refreshes, m)
		return err
	}
	return nil
}

// held is what the router holds of a prefix.
func (r *far) held(prefix string) (wire.Attributes, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.holds[netip.MustParsePrefix(prefix)]
	return a, ok
}

// prefixes are all that the router holds, in order.
func (r *far) prefixes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, p := range slices.SortedFunc(maps.Keys(r.holds), bgp.ComparePrefix) {
		list = append(list, p.String())
	}
	return list
}

func (r *far) synced() bgp.Families {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endOfRIB
}

// ended is the NOTIFICATION with which the connection has ended, perhaps none;
// false: it has not.
func (r *far) ended() (*wire.Notification, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.goodbye, r.gone
}

// announce tells prefixes with a next hop of the router, or that of a.
func (r *far) announce(a wire.Attributes, prefixes ...string) {
	r.t.Helper()
	if !a.NextHop.Addr.IsValid() {
		a.NextHop.Addr = r.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	}
	if r.as != modelAS && len(a.ASPath) == 0 {
		a.ASPath = wire.ASPath{{Type: wire.ASSequence, AS: []uint32{r.as}}}
	}
	if r.as == modelAS {
		if a.HasLocalPref = true; a.LocalPref == 0 {
			a.LocalPref = 100
		}
	}
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		list := ofFamily(f, prefixes)
		if len(list) == 0 {
			continue
		}
		b, err := wire.AppendAnnouncements(nil, r.form, f, a.Append(nil), each(list))
		if err != nil {
			r.t.Fatal(err)
		}
		r.send(b)
	}
}

func (r *far) withdraw(prefixes ...string) {
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		if list := ofFamily(f, prefixes); len(list) > 0 {
			r.send(wire.AppendWithdrawals(nil, r.form, f, each(list)))
		}
	}
}

func (r *far) sendEndOfRIB(families ...bgp.Family) {
	var b bytes.Buffer
	for _, f := range families {
		b.Write(wire.AppendEndOfRIB(nil, f))
	}
	r.send(b.Bytes())
}

// cut ends the connection without a word.
func (r *far) cut() { r.conn.Close() }

func ofFamily(f bgp.Family, prefixes []string) (list []netip.Prefix) {
	for _, s := range prefixes {
		if p := netip.MustParsePrefix(s); bgp.FamilyOf(p.Addr()) == f {
			list = append(list, p)
		}
	}
	return list
}

func each(list []netip.Prefix) func(func(netip.Prefix, uint32) bool) {
	return func(yield func(netip.Prefix, uint32) bool) {
		for _, p := range list {
			if !yield(p, 0) {
				return
			}
		}
	}
}
