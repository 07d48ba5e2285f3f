package session

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// expecting is a node that waits for a router at 127.0.0.9.
func expecting(t testing.TB, change ...func(*Config)) (*node, *Peer, *engine) {
	t.Helper()
	n := newNode(t, "127.0.0.1", 0)
	c := Config{
		Name: "router", Peer: netip.MustParseAddrPort("127.0.0.9:179"), Passive: true,
		LocalAS: 64512, PeerAS: 64512, RouterID: n.addr,
	}
	for _, f := range change {
		f(&c)
	}
	e := newEngine(t)
	return n, n.peer(c, e), e
}

func TestOpenRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*Config)
		open   func(*wire.Open)
		want   wire.Notification
		words  string // that follow
	}{
		"wrong AS": {
			open: func(o *wire.Open) { o.AS = 65000 }, want: wire.Notification{Code: wire.OpenError, Subcode: wire.BadPeerAS},
			words: "(the peer says that its AS is 65000, not 64512)",
		},
		"our AS of any": {
			config: func(c *Config) { c.PeerAS = 0 }, want: wire.Notification{Code: wire.OpenError, Subcode: wire.BadPeerAS},
			words: "(the peer is in our own AS 64512)",
		},
		"our own id": {
			open:  func(o *wire.Open) { o.RouterID = netip.MustParseAddr("127.0.0.1") },
			want:  wire.Notification{Code: wire.OpenError, Subcode: wire.BadBGPIdentifier},
			words: "(the peer has our own router ID 127.0.0.1)",
		},
		"hold time": {
			config: func(c *Config) { c.MinHold = 9 * time.Second }, open: func(o *wire.Open) { o.HoldTime = 6 * time.Second },
			want: wire.Notification{Code: wire.OpenError, Subcode: wire.UnacceptableHoldTime},
		},
		"role": {
			config: func(c *Config) { c.PeerAS = 0 },
			open:   func(o *wire.Open) { o.AS, o.Capabilities.Role = 65000, bgp.RoleProvider },
			want:   wire.Notification{Code: wire.OpenError, Subcode: wire.RoleMismatch},
		},
		"no role": {
			config: func(c *Config) { c.PeerAS, c.StrictRole = 0, true }, open: func(o *wire.Open) { o.AS = 65000 },
			want: wire.Notification{Code: wire.OpenError, Subcode: wire.RoleMismatch},
		},
		"no family in common": {
			open: func(o *wire.Open) {
				o.Capabilities = wire.Capabilities{Multiprotocol: true, Others: []wire.FamilyCode{{AFI: 25, SAFI: 70}}}
			},
			want: wire.Notification{Code: wire.OpenError, Subcode: wire.UnsupportedCapability, Data: []byte{1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*Config)
			if c.config != nil {
				changes = append(changes, c.config)
			}
			n, p, e := expecting(t, changes...)
			e.mu.Lock()
			e.caps.Role = bgp.RoleProvider // counts between two ASes only
			e.mu.Unlock()
			r := dialRouter(t, n, "127.0.0.9")
			if c.open == nil {
				c.open = func(*wire.Open) {}
			}
			r.open("127.0.0.9", c.open)
			if got := r.notification(); got.Code != c.want.Code || got.Subcode != c.want.Subcode || !bytes.Equal(got.Data, c.want.Data) {
				t.Errorf("%s %x, want %s %x", got, got.Data, &c.want, c.want.Data)
			}
			r.gone()
			if last := p.Status().LastError; !strings.HasPrefix(last, "sent notification "+c.want.Error()) || !strings.HasSuffix(last, c.words) || e.up() {
				t.Errorf("%q, up %t", p.Status().LastError, e.up())
			}
		})
	}
}

// TestUnexpected sends what has no place, over TCP.
func TestUnexpected(t *testing.T) {
	version := bytes.Clone(mustOpen(t))
	version[19] = 3
	keepalive, refresh := wire.AppendKeepalive(nil), wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: bgp.IPv4Unicast})
	opened := func(r *router) { r.open("127.0.0.9"); r.expect(wire.TypeOpen); r.expect(wire.TypeKeepalive) }
	up := func(r *router) { r.establish("127.0.0.9") }
	header := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		before  func(*router)
		message []byte
		want    wire.Notification
	}{
		"KEEPALIVE in OpenSent":      {nil, keepalive, wire.Notification{Code: 5, Subcode: 1}},
		"UPDATE in OpenSent":         {nil, endOfRIB, wire.Notification{Code: 5, Subcode: 1}},
		"version 3":                  {nil, version, wire.Notification{Code: 2, Subcode: 1, Data: []byte{0, 4}}},
		"UPDATE in OpenConfirm":      {opened, endOfRIB, wire.Notification{Code: 5, Subcode: 2}},
		"ROUTE-REFRESH in OpenConf.": {opened, refresh, wire.Notification{Code: 5, Subcode: 2}},
		"OPEN in OpenConfirm":        {opened, mustOpen(t), wire.Notification{Code: 5, Subcode: 2}},
		"OPEN in Established":        {up, mustOpen(t), wire.Notification{Code: 5, Subcode: 3}},
		"broken OPEN in Established": {up, version, wire.Notification{Code: 5, Subcode: 3}},
		"marker":                     {up, header(keepalive, 3, 0), wire.Notification{Code: 1, Subcode: 1}},
		"length":                     {up, header(keepalive, 17, 20), wire.Notification{Code: 1, Subcode: 2, Data: []byte{0, 20}}},
		"type":                       {up, header(keepalive, 18, 9), wire.Notification{Code: 1, Subcode: 3, Data: []byte{9}}},
		"type in OpenSent":           {nil, header(keepalive, 18, 9), wire.Notification{Code: 1, Subcode: 3, Data: []byte{9}}},
	} {
		t.Run(name, func(t *testing.T) {
			n, _, e := expecting(t)
			r := dialRouter(t, n, "127.0.0.9")
			if c.before != nil {
				c.before(r)
			}
			r.send(c.message)
			if got := r.notification(); got.Code != c.want.Code || got.Subcode != c.want.Subcode || !bytes.Equal(got.Data, c.want.Data) {
				t.Errorf("%s %x, want %s %x", got, got.Data, &c.want, c.want.Data)
			}
			r.gone()
			if e.up() {
				t.Error("still up")
			}
		})
	}
}

func mustOpen(t *testing.T) []byte {
	t.Helper()
	b, err := wire.AppendOpen(nil, wire.Open{AS: 64512, HoldTime: 90 * time.Second, RouterID: netip.MustParseAddr("127.0.0.9"), Capabilities: newEngine(t).caps})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEngineEndsSession: what Update returns is sent.
func TestEngineEndsSession(t *testing.T) {
	n, p, e := expecting(t)
	e.onUpdates(func(*Conn, []byte) error {
		return &wire.Notification{Code: wire.Cease, Subcode: wire.MaxPrefixes, Data: []byte{0, 1, 1, 0, 0, 0, 5}}
	})
	r := dialRouter(t, n, "127.0.0.9")
	r.establish("127.0.0.9")
	// What else is on its way must not keep the peer from hearing why.
	r.send(bytes.Repeat(endOfRIB, 1000))
	if got := r.notification(); got.Subcode != wire.MaxPrefixes || len(got.Data) != 7 {
		t.Errorf("%s %x", got, got.Data)
	}
	r.gone()
	eventually(t, "the end", func() bool { return len(e.ends()) == 1 && p.State() == bgp.Active })
	if e.received() != 1 {
		t.Errorf("%d updates, want none after the error", e.received())
	}
}

// TestPeerReturns: a peer whose death we have not heard of comes back.
func TestPeerReturns(t *testing.T) {
	n, p, e := expecting(t)
	first := dialRouter(t, n, "127.0.0.9")
	first.establish("127.0.0.9")
	eventually(t, "established", e.up)
	// Soon after it could be what is left of a collision.
	p.requestForTest(t, func() { p.upSince = time.Now().Add(time.Hour) })
	early := dialRouter(t, n, "127.0.0.9")
	early.open("127.0.0.9")
	if got := early.notification(); got.Subcode != wire.CollisionResolution {
		t.Errorf("%s", got)
	}
	p.requestForTest(t, func() { p.upSince = time.Now().Add(-time.Minute) })
	second := dialRouter(t, n, "127.0.0.9")
	second.establish("127.0.0.9")
	first.gone() // without a NOTIFICATION
	eventually(t, "established again", func() bool { return e.up() && len(e.ends()) == 1 && p.Status().Established == 2 })
	if why := e.ends()[0]; !why.Returned || !why.Retain || why.Sent != nil {
		t.Errorf("end of the first connection: %+v", why)
	}
}

// requestForTest runs f in the loop's place: as long as the loop is held in an
// event, nobody else touches what it owns.
func (p *Peer) requestForTest(t *testing.T, f func()) {
	t.Helper()
	// The reply channel is unbuffered: the loop stands still until it is read.
	r := request{event: event{kind: keepalive}, conn: &Conn{}, reply: make(chan answer)}
	if !p.post(r) {
		t.Fatal("the loop has ended")
	}
	f()
	<-r.reply
}

// TestPeerThatReadsNothing: a NOTIFICATION does not go into the middle of an
// UPDATE, and a peer that reads nothing does not hold up the end.
func TestPeerThatReadsNothing(t *testing.T) {
	n, p, e := expecting(t)
	r := dialRouter(t, n, "127.0.0.9")
	r.establish("127.0.0.9")
	eventually(t, "established", e.up)
	const atOnce = 4096
	c, wrote := e.current(), make(chan error)
	go func() {
		for {
			if err := c.Write(bytes.Repeat(endOfRIB, atOnce), atOnce); err != nil {
				wrote <- err
				return
			}
		}
	}()
	var last uint64
	eventually(t, "the writer to stand still", func() bool {
		now := p.Status().Out.Updates
		defer func() { last = now }()
		return now == last && now > 0
	})
	stopped(t, p, &wire.Notification{Code: wire.Cease, Subcode: wire.PeerDeconfigured})
	<-wrote
	for updates := 0; ; updates++ { // whole messages only
		m, err := r.reader.Next()
		if n := (*wire.Notification)(nil); errors.As(err, &n) {
			t.Errorf("after %d updates: %v", updates, err)
		}
		if err != nil {
			break
		}
		switch {
		case m.Type == wire.TypeUpdate && !bytes.Equal(m.Body, endOfRIB[wire.HeaderLen:]):
			t.Fatalf("update %d is %x", updates, m.Body)
		case m.Type == wire.TypeNotification && updates%atOnce != 0:
			// Where the writer was between two writes it may say goodbye.
			t.Errorf("a notification behind %d updates, in the middle of a write", updates)
		}
	}
}

// TestDynamicNeighbour: who is not known may be made known by the lookup.
func TestDynamicNeighbour(t *testing.T) {
	tr, e := NewTransport(testLog(), nil), newEngine(t)
	made := make(chan *Peer, 1)
	l, err := tr.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), func(remote, local netip.AddrPort) *Peer {
		p, err := tr.New(Config{
			Name: "dynamic", Peer: netip.AddrPortFrom(remote.Addr(), 0), Local: local, Passive: true,
			LocalAS: 64512, RouterID: local.Addr(),
		}, e)
		if err != nil {
			t.Error(err)
			return nil
		}
		p.Start()
		made <- p
		return p
	})
	if err != nil {
		t.Fatal(err)
	}
	dialRouter(t, &node{listener: l}, "127.0.0.9").establish("127.0.0.9", func(o *wire.Open) { o.AS = 65009 })
	eventually(t, "established", e.up)
	if n := e.agreed; n.PeerAS != 65009 || n.Dialled || n.Remote.Addr() != netip.MustParseAddr("127.0.0.9") {
		t.Errorf("%+v", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	stopped(t, <-made, nil)
}

// TestManyDials: a peer that dials again and again, and says nothing, has one
// connection at a time, and does not keep its session from coming up.
func TestManyDials(t *testing.T) {
	n, p, e := expecting(t)
	var all []*router
	for range 20 {
		all = append(all, dialRouter(t, n, "127.0.0.9"))
	}
	for _, r := range all[:len(all)-1] {
		if got := r.notification(); got.Subcode != wire.CollisionResolution {
			t.Errorf("%s", got)
		}
	}
	all[len(all)-1].establish("127.0.0.9")
	eventually(t, "established", e.up)
	if p.Status().Established != 1 {
		t.Errorf("%+v", p.Status())
	}
}
