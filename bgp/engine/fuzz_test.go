package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
)

// FuzzEngines lets a reflector and two clients originate, withdraw and lose
// sessions at will, while octets between the reflector and the first client are
// changed. Nothing panics, nothing stays behind, the second client's session
// never ends, and at the end, over a sound connection, everybody has what a
// reference says: what a lie left behind goes with the restart.
func FuzzEngines(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 2, 1, 0, 2, 3, 1, 4, 2, 2, 3})
	f.Add([]byte{1, 1, 1, 2, 9, 0, 1, 3, 6, 0, 1, 4, 7, 40, 1, 5, 8, 60, 5, 1, 9, 9})
	f.Add([]byte{9, 9, 7, 17, 7, 18, 8, 19, 9, 9, 6, 0, 9, 9, 7, 200, 2, 7, 9, 9})
	f.Add([]byte{2, 0, 1, 0, 0, 0, 9, 1, 3, 0, 9, 1, 5, 0, 4, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 600 {
			return // minutes of nothing new
		}
		synctest.Test(t, func(t *testing.T) {
			p := newPlayground(t)
			for ; len(script) >= 2; script = script[2:] {
				p.step(script[0], script[1])
			}
			p.quiet()
			p.stop()
		})
	})
}

// playground is a reflector, first, and its clients, without a network.
type playground struct {
	t       *testing.T
	engines []*Engine
	own     []map[netip.Prefix]bgp.Attributes // by engine
	drained []map[netip.Prefix]bgp.PathSet

	mu    sync.Mutex // guards the rest
	links []net.Conn // of the first client, both ends of the last connection
	flips [2][]int   // octets to change: of those that the client, the reflector writes
}

func playgroundAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}) }

func newPlayground(t *testing.T) *playground {
	p := &playground{t: t}
	for n := range 3 {
		e := New(hclog.NewNullLogger())
		e.transport = session.NewTransport(hclog.NewNullLogger(), func(ctx context.Context, c session.Config) (net.Conn, error) {
			return p.dial(n, c)
		})
		if err := e.configure(bgp.Settings{ASN: modelAS, RouterID: playgroundAddr(n)}); err != nil {
			t.Fatal(err)
		}
		e.run()
		e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("fd00::/8")}})
		p.engines = append(p.engines, e)
		p.own = append(p.own, make(map[netip.Prefix]bgp.Attributes))
		p.drained = append(p.drained, make(map[netip.Prefix]bgp.PathSet))
	}
	for n := range p.engines {
		p.setSessions(n)
	}
	synctest.Wait()
	return p
}

// setSessions gives engine n its sessions: the clients dial.
func (p *playground) setSessions(n int) {
	base := bgp.Session{
		LocalAS: modelAS, PeerAS: modelAS, Local: playgroundAddr(n), Families: bothFamilies, LongLived: time.Hour,
		NextHop6: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n + 1)}),
	}
	var list []bgp.Session
	if n == 0 {
		for peer := 1; peer < len(p.engines); peer++ {
			s := base
			s.Name, s.Peer, s.Passive = fmt.Sprint("client", peer), playgroundAddr(peer), true
			s.ClusterID, s.ReflectorClient = modelCluster, true
			list = append(list, s)
		}
	} else {
		base.Name, base.Peer = "reflector", playgroundAddr(0)
		list = append(list, base)
	}
	if err := p.engines[n].SetSessions(list); err != nil {
		p.t.Fatal(err)
	}
}

// dial connects client n to the reflector.
func (p *playground) dial(n int, c session.Config) (net.Conn, error) {
	ours, theirs := net.Pipe()
	from, to := netip.AddrPortFrom(playgroundAddr(n), 40000), c.Peer
	s := p.engines[0].lookup(from, to)
	if s == nil {
		return nil, errors.New("connection refused")
	}
	out, back := func(b []byte) []byte { return b }, func(b []byte) []byte { return b }
	if n == 1 {
		out, back = p.change(0), p.change(1)
		p.mu.Lock()
		p.links = []net.Conn{ours, theirs}
		p.mu.Unlock()
	}
	near, far := newWireEnd(ours, from, to, out), newWireEnd(theirs, to, from, back)
	s.Accept(far)
	return near, nil
}

// change is what becomes of octets in one direction of the first client's
// connection.
func (p *playground) change(direction int) func([]byte) []byte {
	return func(b []byte) []byte {
		p.mu.Lock()
		defer p.mu.Unlock()
		left := p.flips[direction][:0]
		for _, at := range p.flips[direction] {
			if at >= len(b) {
				left = append(left, at-len(b))
				continue
			}
			b = slices.Clone(b)
			b[at] ^= 1 << (at % 8)
		}
		p.flips[direction] = left
		return b
	}
}

// wireEnd is an end of a pipe that says whose it is and, like TCP, takes what
// is written before it is read.
type wireEnd struct {
	net.Conn
	local, remote netip.AddrPort
	changed       func([]byte) []byte
	wake          chan struct{}
	lag           time.Duration // before what was written arrives

	mu     sync.Mutex // guards the rest
	queue  []byte
	closed bool
}

func newWireEnd(c net.Conn, local, remote netip.AddrPort, changed func([]byte) []byte) *wireEnd {
	e := &wireEnd{Conn: c, local: local, remote: remote, changed: changed, wake: make(chan struct{}, 1)}
	go e.pump()
	return e
}

func (e *wireEnd) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(e.local) }
func (e *wireEnd) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(e.remote) }

func (e *wireEnd) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, net.ErrClosed
	}
	e.queue = append(e.queue, e.changed(b)...)
	signal(e.wake)
	return len(b), nil
}

// Close ends the pipe when what was written is read. What still comes is read
// by nobody.
func (e *wireEnd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		_ = e.SetReadDeadline(time.Time{}) // an error: it is closed already
		go func() { _, _ = io.Copy(io.Discard, e.Conn) }()
		signal(e.wake)
	}
	return nil
}

func (e *wireEnd) pump() {
	defer e.Conn.Close()
	for range e.wake {
		time.Sleep(e.lag)
		e.mu.Lock()
		b, closed := e.queue, e.closed
		e.queue = nil
		e.mu.Unlock()
		if len(b) > 0 { // a pipe hands over nothing, too
			if _, err := e.Conn.Write(b); err != nil {
				return
			}
		}
		if closed {
			return
		}
	}
}

func (p *playground) step(op, arg byte) {
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, arg % 16}), 32)
	if arg&16 != 0 {
		prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: arg % 16}), 128)
	}
	switch op %= 10; op {
	case 0, 1, 2:
		a := bgp.Attributes{MED: uint32(arg >> 6)}
		p.own[op][prefix] = a
		if err := p.engines[op].Originate(prefix, a); err != nil {
			p.t.Fatal(err)
		}
	case 3, 4, 5:
		delete(p.own[op-3], prefix)
		if err := p.engines[op-3].Withdraw(prefix); err != nil {
			p.t.Fatal(err)
		}
	case 6:
		p.cut()
	case 7, 8:
		p.mu.Lock()
		p.flips[op-7] = append(p.flips[op-7], int(arg))
		p.mu.Unlock()
	case 9:
		time.Sleep(time.Duration(arg) * 100 * time.Millisecond)
		synctest.Wait()
	}
}

// cut ends the connection of the first client without a word.
func (p *playground) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.links {
		c.Close()
	}
}

// quiet compares what everybody has with what they should have.
func (p *playground) quiet() {
	p.mu.Lock()
	p.flips = [2][]int{}
	p.mu.Unlock()
	p.cut()
	time.Sleep(10 * time.Minute) // beyond all timers that a lie can have set off
	synctest.Wait()
	for _, s := range append(p.engines[0].Peers(), p.engines[2].Peers()...) {
		if s.State != bgp.Established || s.Session.Name != "client1" && s.Established != 1 {
			p.t.Errorf("session %s of %s: %s, came up %d times: %s", s.Session.Name, s.Session.Local, s.State, s.Established, s.LastError)
		}
	}
	for n, e := range p.engines {
		want := p.wanted(n)
		got := make(map[string]uint32)
		for entry := range e.Routes(bgp.Query{}) {
			if entry.Own {
				continue
			}
			got[fmt.Sprint(entry.Prefix, " by ", entry.NextHop)] = entry.MED
			if entry.Stale || entry.LongLived || entry.Refused != "" {
				p.t.Errorf("engine %d: %+v", n, entry)
			}
		}
		if !maps.Equal(got, want) {
			p.t.Errorf("engine %d holds %v, want %v", n, got, want)
		}
	}
}

// wanted is what engine n is to have learned, with its MED.
func (p *playground) wanted(n int) map[string]uint32 {
	want := make(map[string]uint32)
	learn := func(from int, prefix netip.Prefix) {
		hop := playgroundAddr(from)
		if prefix.Addr().Is6() {
			hop = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(from + 1)})
		}
		want[fmt.Sprint(prefix, " by ", hop)] = p.own[from][prefix].MED
	}
	if n == 0 {
		for _, from := range []int{1, 2} {
			for prefix := range p.own[from] {
				learn(from, prefix)
			}
		}
		return want
	}
	for prefix := range p.own[0] {
		learn(0, prefix)
	}
	other := 3 - n
	for prefix, theirs := range p.own[other] {
		_, first := p.own[0][prefix]
		ours, both := p.own[n][prefix]
		// Of two the lower MED is best, and then the lower router id.
		if !first && (!both || theirs.MED < ours.MED || theirs.MED == ours.MED && other < n) {
			learn(other, prefix)
		}
	}
	return want
}

func (p *playground) stop() {
	for _, e := range p.engines {
		if err := e.Stop(p.t.Context(), false); err != nil {
			p.t.Error(err)
		}
	}
	p.cut()
	synctest.Wait()
}
