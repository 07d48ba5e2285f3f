package session

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// far is the other end of a pipe: it drains what we send, so that nobody waits
// for it, and notes when each message came.
type far struct {
	*router
	hung atomic.Bool // read no more than one message further
	mu   sync.Mutex  // guards the rest
	got  []wire.MessageType
	at   []time.Time
	last *wire.Notification
	end  time.Time
	over chan struct{} // closed with the test
}

// inBubble is a session that the far end has brought up, with virtual time.
func inBubble(t *testing.T, change func(c *Config, o *wire.Open)) (*Peer, *engine, *far) {
	t.Helper()
	c := Config{
		Name: "pipe", Peer: netip.MustParseAddrPort("192.0.2.2:179"), Passive: true,
		LocalAS: 64512, PeerAS: 64512, RouterID: netip.MustParseAddr("192.0.2.1"),
	}
	open := wire.Open{AS: 64512, HoldTime: 9 * time.Second, RouterID: netip.MustParseAddr("192.0.2.2"), Capabilities: newEngine(t).caps}
	change(&c, &open)
	e := newEngine(t)
	p, err := NewTransport(testLog(), nil).New(c, e)
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	ours, theirs := net.Pipe()
	p.Accept(ours)
	f := &far{router: &router{t: t, sock: theirs, reader: wire.NewReader(theirs, 0)}, over: make(chan struct{})}
	go f.drain()
	if open.AS != 0 {
		f.open("192.0.2.2", func(o *wire.Open) { *o = open })
		_, _ = theirs.Write(wire.AppendKeepalive(nil)) // an error: the OPEN was refused
	}
	synctest.Wait()
	t.Cleanup(func() { // within the bubble
		p.Stop(nil)
		<-p.Done()
		theirs.Close()
		close(f.over)
		synctest.Wait()
	})
	return p, e, f
}

func (f *far) drain() {
	for !f.hung.Load() {
		m, err := f.reader.Next()
		f.mu.Lock()
		if err != nil {
			f.end = time.Now()
			f.mu.Unlock()
			return
		}
		f.got, f.at = append(f.got, m.Type), append(f.at, time.Now())
		if m.Type == wire.TypeNotification {
			f.last, _ = wire.ParseNotification(m.Body)
		}
		f.mu.Unlock()
	}
}

// result is the NOTIFICATION that came, if one did, and when the connection ended.
func (f *far) result() (*wire.Notification, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.end
}

// talk sends a KEEPALIVE every d from now on, until the connection ends.
func (f *far) talk(d time.Duration) {
	go func() {
		for {
			select {
			case <-time.After(d):
			case <-f.over:
				return
			}
			if _, err := f.sock.Write(wire.AppendKeepalive(nil)); err != nil {
				return
			}
		}
	}()
}

func TestHoldTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, e, f := inBubble(t, func(*Config, *wire.Open) {})
		if !e.up() {
			t.Fatal("not established")
		}
		time.Sleep(8 * time.Second)
		f.send(endOfRIB) // counts as well as KEEPALIVE
		time.Sleep(8 * time.Second)
		if !e.up() {
			t.Fatalf("down after %s", time.Since(start))
		}
		time.Sleep(2 * time.Second)
		if last, end := f.result(); last == nil || last.Code != wire.HoldTimerExpired || end.Sub(start) != 17*time.Second {
			t.Errorf("notification %v after %s", last, end.Sub(start))
		}
		if ends := e.ends(); len(ends) != 1 || !ends[0].Retain {
			t.Errorf("ends %+v, want one whose paths are retained (RFC 8538 §4)", ends)
		}
	})
}

func TestKeepalives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, f := inBubble(t, func(*Config, *wire.Open) {})
		f.talk(3 * time.Second)
		time.Sleep(10 * time.Minute)
		if s := p.Status(); !e.up() || s.Negotiated.HoldTime != 9*time.Second || s.Negotiated.Keepalive != 3*time.Second {
			t.Fatalf("status %+v", s)
		}
		f.mu.Lock()
		for i := 2; i < len(f.at); i++ {
			if gap := f.at[i].Sub(f.at[i-1]); gap > 3*time.Second || gap < 2*time.Second {
				t.Errorf("%s between messages %d and %d", gap, i-1, i)
			}
		}
		n := len(f.got)
		f.mu.Unlock()
		if n < 200 || n > 280 {
			t.Errorf("%d messages in ten minutes", n)
		}
		// While UPDATEs go out, they keep the session alive.
		for range 60 {
			if err := e.current().Write(endOfRIB, 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, m := range f.got[n+1:] {
			if m != wire.TypeUpdate {
				t.Errorf("%s between UPDATEs", m)
			}
		}
	})
}

func TestNoHoldTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, f := inBubble(t, func(_ *Config, o *wire.Open) { o.HoldTime = 0 })
		time.Sleep(10 * time.Hour)
		if f.mu.Lock(); !e.up() || len(f.got) != 2 {
			t.Errorf("up %t, messages %v", e.up(), f.got)
		}
		f.mu.Unlock()
	})
	synctest.Test(t, func(t *testing.T) {
		_, e, f := inBubble(t, func(c *Config, o *wire.Open) { c.MinHold, o.HoldTime = 3*time.Second, 0 })
		if last, _ := f.result(); e.up() || last == nil || last.Code != wire.OpenError || last.Subcode != wire.UnacceptableHoldTime {
			t.Errorf("up %t, %v", e.up(), last)
		}
	})
}

// TestDribble: an octet now and then is no message.
func TestDribble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, f := inBubble(t, func(*Config, *wire.Open) {})
		for _, b := range endOfRIB[:8] {
			if _, err := f.sock.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(2 * time.Second)
		}
		if last, _ := f.result(); e.up() || last == nil || last.Code != wire.HoldTimerExpired {
			t.Errorf("up %t, %v", e.up(), last)
		}
	})
}

// TestSendHold: a peer that talks and does not read falls by the send hold
// timer, and blocks whoever writes no longer than that.
func TestSendHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, f := inBubble(t, func(c *Config, _ *wire.Open) { c.SendHold = 20 * time.Second })
		f.talk(3 * time.Second)
		f.hung.Store(true)
		c, start := e.current(), time.Now()
		if err := c.Write(endOfRIB, 1); err != nil {
			t.Error(err)
		}
		if err := c.Write(endOfRIB, 1); err == nil {
			t.Error("written to a peer that does not read")
		}
		if d := time.Since(start); d < 20*time.Second || d > 21*time.Second {
			t.Errorf("the write took %s", d)
		}
		<-c.Done()
		synctest.Wait()
		ends := e.ends()
		if len(ends) != 1 || ends[0].Sent == nil || ends[0].Sent.Code != wire.SendHoldExpired {
			t.Errorf("ends %+v", ends)
		}
		if err := c.Write(endOfRIB, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("write after the end: %v", err)
		}
		if s := p.State(); s != bgp.Active {
			t.Errorf("state %s", s)
		}
	})
}

// TestBackPressure: an engine that takes its time does not cost the session,
// and is waited for when the session ends.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, f := inBubble(t, func(*Config, *wire.Open) {})
		e.onUpdates(func(c *Conn, _ []byte) error {
			select {
			case <-time.After(time.Minute):
			case <-c.Done():
				time.Sleep(time.Second)
			}
			return nil
		})
		f.send(endOfRIB)
		f.talk(3 * time.Second)
		time.Sleep(5 * time.Minute)
		if !e.up() {
			t.Fatalf("down: %v", e.ends())
		}
		f.send(endOfRIB)
		synctest.Wait()
		p.Reset(nil)
		synctest.Wait()
		if !e.up() || p.State() == bgp.Established {
			t.Error("closed while the engine is busy")
		}
		time.Sleep(2 * time.Second)
		if e.up() {
			t.Error("the engine does not hear of the end")
		}
	})
}

func TestNoOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, _, f := inBubble(t, func(_ *Config, o *wire.Open) { o.AS = 0 }) // sends none
		time.Sleep(2 * time.Minute)
		if last, end := f.result(); last == nil || last.Code != wire.HoldTimerExpired || end.Sub(start) != openHold {
			t.Errorf("%v after %s", last, end.Sub(start))
		}
	})
}

// TestRetry: a peer that refuses is dialled every few seconds for ever; one
// that sends us away is dialled less and less often.
func TestRetry(t *testing.T) {
	dials := func(t *testing.T, d Dialer) (at []time.Time) {
		synctest.Test(t, func(t *testing.T) {
			c := Config{
				Peer: netip.MustParseAddrPort("192.0.2.2:179"), LocalAS: 64512, PeerAS: 64512,
				RouterID: netip.MustParseAddr("192.0.2.1"),
			}
			tr := NewTransport(testLog(), func(ctx context.Context, c Config) (net.Conn, error) {
				at = append(at, time.Now())
				return d(ctx, c)
			})
			p, err := tr.New(c, newEngine(t))
			if err != nil {
				t.Fatal(err)
			}
			p.Start()
			time.Sleep(10 * time.Minute)
			if p.Status().LastError == "" {
				t.Error("no reason")
			}
			p.Stop(nil)
			<-p.Done()
		})
		return at
	}
	refused := dials(t, func(context.Context, Config) (net.Conn, error) { return nil, errors.New("refused") })
	for i := 1; i < len(refused); i++ {
		if gap := refused[i].Sub(refused[i-1]); gap > 2*time.Second || gap < 1500*time.Millisecond {
			t.Errorf("%s between dials %d and %d", gap, i-1, i)
		}
	}
	away := dials(t, func(context.Context, Config) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = wire.NewReader(theirs, 0).Next() // ends with the pipe, at the latest
			_, _ = theirs.Write(wire.AppendNotification(nil, &wire.Notification{Code: wire.OpenError, Subcode: wire.BadPeerAS}))
			theirs.Close()
		}()
		return ours, nil
	})
	if n := len(away); n < 20 || n > 40 {
		t.Errorf("%d dials in ten minutes to a peer that sends us away", n)
	}
}

// TestLastWord: what a peer says when it shuts down is not hidden by its
// refusing connections afterwards, and forgotten when the session is up.
func TestLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{
			Peer: netip.MustParseAddrPort("192.0.2.2:179"), LocalAS: 64512, PeerAS: 64512,
			RouterID: netip.MustParseAddr("192.0.2.1"),
		}
		bye, err := wire.NewShutdown(wire.AdministrativeShutdown, "back at noon")
		if err != nil {
			t.Fatal(err)
		}
		dials := 0
		tr := NewTransport(testLog(), func(context.Context, Config) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, syscall.ECONNREFUSED
			}
			ours, theirs := net.Pipe()
			go func() {
				_, _ = wire.NewReader(theirs, 0).Next()
				_, _ = theirs.Write(wire.AppendNotification(nil, bye))
				theirs.Close()
			}()
			return ours, nil
		})
		p, err := tr.New(c, newEngine(t))
		if err != nil {
			t.Fatal(err)
		}
		p.Start()
		time.Sleep(10 * time.Minute)
		const want = `received notification Cease: Administrative Shutdown: "back at noon"; then connect to 192.0.2.2:179: connection refused`
		if last := p.Status().LastError; last != want || dials < 10 {
			t.Errorf("%q after %d dials, want %q", last, dials, want)
		}
		p.came(nil)
		p.unreached("connection refused")
		if last := p.Status().LastError; last != "connection refused" {
			t.Errorf("after the session was up: %q", last)
		}
		p.Stop(nil)
		<-p.Done()
	})
}

// TestLoggable: sessions that wait for whoever connects share one line in the
// log; those that dial have theirs.
func TestLoggable(t *testing.T) {
	tr := NewTransport(testLog(), nil)
	for _, tt := range []struct{ passive, want bool }{{true, true}, {true, false}, {false, true}, {false, true}} {
		p, err := tr.New(Config{
			Peer: netip.MustParseAddrPort("192.0.2.2:179"), LocalAS: 64512, PeerAS: 64512,
			RouterID: netip.MustParseAddr("192.0.2.1"), Passive: tt.passive,
		}, newEngine(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.loggable() > 0; got != tt.want {
			t.Errorf("passive %t: logged %t, want %t", tt.passive, got, tt.want)
		}
	}
}
