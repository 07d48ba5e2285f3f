package session

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// limit is for what takes milliseconds, or a few seconds where a session
// retries; the machine may be busy.
const limit = time.Minute

func testLog() hclog.Logger {
	level := hclog.LevelFromString(os.Getenv("VROUTER_TEST_LOG"))
	if level == hclog.NoLevel {
		level = hclog.Off
	}
	return hclog.New(&hclog.LoggerOptions{Name: "session", Level: level, Output: os.Stderr})
}

// eventually waits for a state.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// engine is a Handler that notes what it is told and checks the order.
type engine struct {
	t    testing.TB
	caps wire.Capabilities

	mu       sync.Mutex // guards the rest
	conn     *Conn      // established
	agreed   Negotiated
	updates  [][]byte
	refresh  []wire.RouteRefresh
	closed   []Reason
	onUpdate func(c *Conn, body []byte) error
}

func newEngine(t testing.TB) *engine {
	return &engine{t: t, caps: wire.Capabilities{
		Multiprotocol: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast),
		RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		GracefulRestart: &wire.GracefulRestart{
			Notification: true, Time: 2 * time.Minute, Families: bgp.FamiliesOf(bgp.IPv4Unicast),
		},
	}}
}

func (e *engine) Capabilities() wire.Capabilities {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.caps
}

func (e *engine) Established(c *Conn, n Negotiated) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn != nil {
		e.t.Error("established twice without an end between")
	}
	e.conn, e.agreed = c, n
}

func (e *engine) Update(c *Conn, body []byte) error {
	e.mu.Lock()
	if e.conn != c {
		e.t.Error("update on a connection that is not established")
	}
	e.updates = append(e.updates, append([]byte(nil), body...))
	f := e.onUpdate
	e.mu.Unlock()
	if f != nil {
		return f(c, body)
	}
	return nil
}

func (e *engine) RouteRefresh(c *Conn, r wire.RouteRefresh) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refresh = append(e.refresh, r)
	return nil
}

func (e *engine) Closed(c *Conn, why Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn != c {
		e.t.Error("end of a connection that was not established")
	}
	select {
	case <-c.Done():
	default:
		e.t.Error("closed while Done is open")
	}
	e.conn = nil
	e.closed = append(e.closed, why)
}

// onUpdates sets what Update does besides noting.
func (e *engine) onUpdates(f func(*Conn, []byte) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onUpdate = f
}

func (e *engine) current() *Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conn
}

func (e *engine) up() bool { return e.current() != nil }

func (e *engine) received() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.updates)
}

// ends are the reasons of all ends so far.
func (e *engine) ends() []Reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Reason(nil), e.closed...)
}

// node is a speaker on a loopback address.
type node struct {
	t         testing.TB
	addr      netip.Addr
	transport *Transport
	listener  *Listener

	mu    sync.Mutex // guards peers
	peers map[netip.Addr]*Peer
}

func newNode(t testing.TB, addr string, port uint16) *node {
	t.Helper()
	n := &node{t: t, addr: netip.MustParseAddr(addr), transport: NewTransport(testLog(), nil), peers: make(map[netip.Addr]*Peer)}
	var err error
	n.listener, err = n.transport.Listen(t.Context(), netip.AddrPortFrom(n.addr, port), n.lookup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.listener.Close() })
	return n
}

func (n *node) lookup(remote, _ netip.AddrPort) *Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers[remote.Addr().WithZone("")]
}

// config is that of an internal session with o.
func (n *node) config(o *node) Config {
	return Config{
		Name: n.addr.String(), Peer: o.listener.Addr(), Local: netip.AddrPortFrom(n.addr, 0),
		LocalAS: 64512, PeerAS: 64512, RouterID: n.routerID(),
		ConnectRetry: 100 * time.Millisecond,
	}
}

func (n *node) routerID() netip.Addr {
	if n.addr.Is4() {
		return n.addr
	}
	port := n.listener.Addr().Port() // tells nodes of one address apart
	return netip.AddrFrom4([4]byte{10, 0, byte(port >> 8), byte(port)})
}

// peer starts a session and stops it with the test.
func (n *node) peer(c Config, h Handler) *Peer {
	n.t.Helper()
	p := n.prepared(c, h)
	p.Start()
	return p
}

// prepared is a session that is known and not started.
func (n *node) prepared(c Config, h Handler) *Peer {
	n.t.Helper()
	p, err := n.transport.New(c, h)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	n.peers[c.Peer.Addr().WithZone("")] = p
	n.mu.Unlock()
	n.t.Cleanup(func() { stopped(n.t, p, nil) })
	return p
}

// stopped stops p and waits for its end.
func stopped(t testing.TB, p *Peer, n *wire.Notification) {
	t.Helper()
	p.Stop(n)
	select {
	case <-p.Done():
	case <-time.After(limit):
		t.Errorf("session with %s does not end", p.config.Peer)
	}
}

// pair is two nodes with a session, dialled by both unless changed.
func pair(t testing.TB, change ...func(a, b *Config)) (a, b *Peer, ea, eb *engine) {
	t.Helper()
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	ca, cb := na.config(nb), nb.config(na)
	for _, f := range change {
		f(&ca, &cb)
	}
	ea, eb = newEngine(t), newEngine(t)
	return na.peer(ca, ea), nb.peer(cb, eb), ea, eb
}

// router is a peer that a test drives by hand.
type router struct {
	t      testing.TB
	sock   net.Conn
	reader *wire.Reader
}

// dialRouter connects to n from addr.
func dialRouter(t testing.TB, n *node, addr string) *router {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0))}
	sock, err := d.DialContext(context.Background(), "tcp", n.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return newRouter(t, sock)
}

func newRouter(t testing.TB, sock net.Conn) *router {
	_ = sock.SetReadDeadline(time.Now().Add(limit))
	r := &router{t: t, sock: sock, reader: wire.NewReader(sock, wire.MaxExtended)}
	r.reader.AllowExtended()
	return r
}

func (r *router) send(b []byte) {
	r.t.Helper()
	if _, err := r.sock.Write(b); err != nil {
		r.t.Fatalf("router: %v", err)
	}
}

// open is the OPEN of a router.
func (r *router) open(id string, change ...func(*wire.Open)) {
	r.t.Helper()
	o := wire.Open{AS: 64512, HoldTime: 90 * time.Second, RouterID: netip.MustParseAddr(id), Capabilities: newEngine(r.t).caps}
	for _, f := range change {
		f(&o)
	}
	b, err := wire.AppendOpen(nil, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(b)
}

// expect reads up to a message of type want, and returns its body.
func (r *router) expect(want wire.MessageType) []byte {
	r.t.Helper()
	for {
		m, err := r.reader.Next()
		if err != nil {
			r.t.Fatalf("router waits for %s: %v", want, err)
		}
		if m.Type == want {
			return m.Body
		}
	}
}

// notification reads up to a NOTIFICATION and says its error.
func (r *router) notification() *wire.Notification {
	r.t.Helper()
	n, err := wire.ParseNotification(r.expect(wire.TypeNotification))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// gone waits for the end of the connection without another message but
// KEEPALIVE.
func (r *router) gone() {
	r.t.Helper()
	for {
		m, err := r.reader.Next()
		if err != nil {
			if isTimeout(err) {
				r.t.Errorf("the connection does not end: %v", err)
			}
			return
		}
		if m.Type != wire.TypeKeepalive && m.Type != wire.TypeOpen {
			r.t.Errorf("unexpected %s %x", m.Type, m.Body)
		}
	}
}

// establish brings the session up from the router's side.
func (r *router) establish(id string, change ...func(*wire.Open)) {
	r.t.Helper()
	r.open(id, change...)
	r.expect(wire.TypeOpen)
	r.send(wire.AppendKeepalive(nil))
	r.expect(wire.TypeKeepalive)
}
