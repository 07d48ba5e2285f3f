package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// twins are two Engines, each of which dials the other, in virtual time and over
// a network that takes some.
type twins struct {
	t       *testing.T
	lag     time.Duration // in one direction
	engines [2]*Engine
}

func newTwins(t *testing.T, lag time.Duration) *twins {
	w := &twins{t: t, lag: lag}
	for n := range w.engines {
		w.engines[n] = virtual(t, playgroundAddr(n), func(ctx context.Context, c session.Config) (net.Conn, error) { return w.dial(ctx, n, c) })
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n + 1), 0, 1}), 32)
		if err := w.engines[n].Originate(prefix, bgp.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// virtual is an Engine at an address that does not listen.
func virtual(t *testing.T, at netip.Addr, dial session.Dialer) *Engine {
	e := New(testLog(t))
	e.transport = session.NewTransport(e.log, dial)
	if err := e.configure(bgp.Settings{ASN: modelAS, RouterID: at}); err != nil {
		t.Fatal(err)
	}
	e.run()
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
	t.Cleanup(func() {
		bgptest.Stop(t, e, false)
		time.Sleep(time.Minute) // for what is still on its way
		synctest.Wait()
	})
	return e
}

// dial connects n to the other one, if both have one password.
func (w *twins) dial(ctx context.Context, n int, c session.Config) (net.Conn, error) {
	other, at := w.engines[1-n], playgroundAddr(n)
	for { // as TCP sends a SYN again
		time.Sleep(2 * w.lag)
		other.apply.Lock()
		key := other.keys[netip.PrefixFrom(at, 32)]
		other.apply.Unlock()
		if key == c.Password {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	from := netip.AddrPortFrom(at, 40000)
	s := other.lookup(from, c.Peer)
	if s == nil {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	late := func(b []byte) []byte { return b }
	near, far := newWireEnd(ours, from, c.Peer, late), newWireEnd(theirs, c.Peer, from, late)
	near.lag, far.lag = w.lag, w.lag
	s.Accept(far)
	return near, nil
}

// set gives engine n its session.
func (w *twins) set(n int, change ...func(*bgp.Session)) {
	s := bgp.Session{
		Name: fmt.Sprint("twin", 1-n), LocalAS: modelAS, PeerAS: modelAS,
		Local: playgroundAddr(n), Peer: playgroundAddr(1 - n), ConnectRetry: time.Second,
	}
	for _, c := range change {
		c(&s)
	}
	if err := w.engines[n].SetSessions([]bgp.Session{s}); err != nil {
		w.t.Error(err)
	}
}

// requireNoLoss fails the test when an engine loses a path before stop closes.
func (w *twins) requireNoLoss(stop <-chan struct{}) {
	for n, e := range w.engines {
		e.Drain()
		go func() {
			for {
				select {
				case <-e.Changed():
				case <-stop:
					return
				}
				for _, set := range e.Drain() {
					if len(set.Paths) == 0 {
						w.t.Errorf("engine %d lost the path to %s", n, set.Prefix)
					}
				}
			}
		}()
	}
}

// TestChangedTwice: two changes that reach both ends of a session at moments of
// their own, some milliseconds at most apart, cost no path, and hold soon.
func TestChangedTwice(t *testing.T) {
	secret := func(w bgp.Password) func(*bgp.Session) { return func(s *bgp.Session) { s.Password = w } }
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			moment := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
			w := newTwins(t, 50*time.Microsecond+moment(time.Millisecond))
			for n := range w.engines {
				w.set(n)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			stop := make(chan struct{})
			defer close(stop)
			w.requireNoLoss(stop)
			for n := range w.engines {
				first, then := moment(time.Millisecond), moment(12*w.lag)
				go func() {
					time.Sleep(first)
					w.set(n, secret("first"))
					time.Sleep(then)
					w.set(n, secret("first"), holding(30*time.Second))
				}()
			}
			time.Sleep(4 * time.Second) // less than a change waits at most
			synctest.Wait()
			for n, e := range w.engines {
				p := e.Peers()[0]
				if p.State != bgp.Established || p.Hold != 30*time.Second || p.EndOfRIB == 0 || p.GracefulRestart.Stale > 0 || p.Accepted != 1 {
					t.Errorf("seed %d: engine %d: %+v", seed, n, p)
				}
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// postponing is an Engine in virtual time with one router, whose session is up,
// and a path of it, before an End-of-RIB.
type postponing struct {
	*ground
	r *far
}

func newPostponing(t *testing.T, change ...func(*wire.Open)) *postponing {
	g := &ground{t: t, at: netip.MustParseAddr("127.3.0.1")}
	g.Engine = virtual(t, g.at, nil)
	g.originate("10.1.0.1/32")
	g.sessions(g.to(2))
	p := &postponing{ground: g}
	p.connect(change...)
	p.r.announce(wire.Attributes{}, "10.2.0.1/32")
	synctest.Wait()
	return p
}

// connect lets the router come.
func (p *postponing) connect(change ...func(*wire.Open)) {
	p.t.Helper()
	o := wire.Open{AS: modelAS, HoldTime: 90 * time.Second, RouterID: p.router(2), Capabilities: capable()}
	for _, c := range change {
		c(&o)
	}
	from, to := netip.AddrPortFrom(p.router(2), 40000), netip.AddrPortFrom(p.at, bgp.DefaultPort)
	ours, theirs := net.Pipe()
	same := func(b []byte) []byte { return b }
	p.lookup(from, to).Accept(newWireEnd(ours, to, from, same))
	end := newWireEnd(theirs, from, to, same)
	p.t.Cleanup(func() { end.Close() })
	if p.r = greet(p.t, end, o); p.r == nil {
		p.t.Fatal("the router was not let in")
	}
	synctest.Wait()
}

// up requires that the router's connection is up, or was closed in silence.
func (p *postponing) up(want bool) {
	p.t.Helper()
	synctest.Wait()
	if n, gone := p.r.ended(); gone == want || n != nil {
		p.t.Fatalf("ended: %t, with %v", gone, n)
	}
	if e := p.paths("10.2.0.1/32"); len(e) != 1 || e[0].Stale == want {
		p.t.Fatalf("paths %+v", e)
	}
}

// TestPostponed: what a change that waits is carried out by, and what is done at
// once all the same.
func TestPostponed(t *testing.T) {
	for name, f := range map[string]func(*postponing){
		"End-of-RIB": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.sessions(p.to(2, holding(60*time.Second)))
			p.up(true)
			if s := p.peer(2).Session; s.Hold != 0 {
				p.t.Errorf("status has hold time %s, which is not in force", s.Hold)
			}
			p.r.sendEndOfRIB(bgp.IPv4Unicast)
			p.up(false)
			if p.r.synced() == 0 {
				p.t.Error("closed before our End-of-RIB was read")
			}
			if p.connect(); p.r.open.HoldTime != time.Minute {
				p.t.Errorf("hold time %s, want that of the newest change", p.r.open.HoldTime)
			}
			p.r.announce(wire.Attributes{}, "10.2.0.1/32")
			p.r.sendEndOfRIB(bgp.IPv4Unicast)
			time.Sleep(2 * postponeTime)
			p.up(true)
		},
		"its bound": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			time.Sleep(postponeTime - time.Second)
			p.sessions(p.to(2, holding(60*time.Second)))
			p.up(true)
			time.Sleep(time.Second)
			p.up(false)
		},
		"a peer that has long told all, and not said so": func(p *postponing) {
			time.Sleep(postponeTime)
			p.sessions(p.to(2, holding(30*time.Second)))
			p.up(false)
			p.connect()
			p.r.announce(wire.Attributes{}, "10.2.0.1/32")
			time.Sleep(postponeTime)
			p.sessions(p.to(2, holding(60*time.Second)))
			p.up(false)
		},
		"silence": func(p *postponing) {
			time.Sleep(postponeTime - 2*time.Second)
			p.sessions(p.to(2, holding(30*time.Second)))
			time.Sleep(time.Second)
			p.r.announce(wire.Attributes{}, "10.2.0.1/32") // is not silent
			time.Sleep(postponeTime - 2*time.Second)
			p.up(true)
			time.Sleep(time.Second) // the bound
			p.up(false)
			p.connect()
			p.r.announce(wire.Attributes{}, "10.2.0.1/32")
			time.Sleep(2 * time.Second)
			p.sessions(p.to(2, holding(60*time.Second)))
			time.Sleep(postponeTime - 3*time.Second)
			p.up(true)
			time.Sleep(time.Second) // silent since then
			p.up(false)
		},
		"silence with a path to be told again": func(p *postponing) {
			time.Sleep(postponeTime)
			p.sessions(p.to(2, holding(30*time.Second)))
			p.connect()
			time.Sleep(2 * postponeTime) // it restarts itself, maybe, and waits for others
			p.sessions(p.to(2, holding(60*time.Second)))
			time.Sleep(postponeTime - time.Second)
			p.r.announce(wire.Attributes{}, "10.2.0.1/32")
			p.r.sendEndOfRIB(bgp.IPv4Unicast)
			p.up(false)
		},
		"the end of the connection": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.r.cut()
			synctest.Wait()
			if p.connect(); p.r.open.HoldTime != 30*time.Second {
				p.t.Errorf("hold time %s", p.r.open.HoldTime)
			}
		},
		"taken back": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.sessions(p.to(2))
			p.r.sendEndOfRIB(bgp.IPv4Unicast)
			time.Sleep(2 * postponeTime)
			p.up(true)
		},
		"policy and labels": func(p *postponing) {
			reject := &bgp.FilterRule{Family: bgp.IPv4Unicast, Prefix: netip.MustParsePrefix("10.2.0.0/16"), Match: bgp.In, MinLength: 16, MaxLength: 32, Reject: true}
			p.sessions(p.to(2, holding(30*time.Second), func(s *bgp.Session) {
				s.Name, s.Policy = "another", &bgp.Policy{Filters: []*bgp.Filter{{Import: []*bgp.FilterRule{reject}}}}
			}))
			p.up(true)
			if e := p.paths("10.2.0.1/32"); e[0].Refused == "" || e[0].Session != "another" {
				p.t.Errorf("path %+v", e[0])
			}
		},
		"shut down": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.sessions(p.to(2, holding(30*time.Second), func(s *bgp.Session) { s.Shutdown = true }))
			p.gone(wire.AdministrativeShutdown)
		},
		"not wanted": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.sessions()
			p.gone(wire.PeerDeconfigured)
		},
		"another AS": func(p *postponing) {
			p.sessions(p.to(2, holding(30*time.Second)))
			p.sessions(p.to(2, func(s *bgp.Session) { s.PeerAS = 65009 }))
			p.gone(wire.OtherConfigurationChange)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(newPostponing(t)) }) })
	}
	t.Run("no graceful restart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPostponing(t, func(o *wire.Open) { o.Capabilities.GracefulRestart = nil })
			p.sessions(p.to(2, holding(30*time.Second)))
			p.gone(wire.OtherConfigurationChange)
		})
	})
}

// gone requires that the router was told why its session ended, at once, and
// that nothing of it comes back.
func (p *postponing) gone(why wire.Subcode) {
	p.t.Helper()
	for range 2 {
		synctest.Wait()
		n, gone := p.r.ended()
		if n != nil {
			if inner, ok := n.Encapsulated(); ok {
				n = inner
			}
		}
		if !gone || n == nil || n.Code != wire.Cease || n.Subcode != why {
			p.t.Fatalf("ended: %t, with %v", gone, n)
		}
		if e := p.paths("10.2.0.1/32"); len(e) != 0 {
			p.t.Fatalf("paths %+v", e)
		}
		time.Sleep(2 * postponeTime)
	}
}
