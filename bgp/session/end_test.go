package session

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestSilentEndIsRead: a session that is stopped without a word while the peer
// has not read all of it, and it has not read all of the peer, ends behind the
// last message written.
func TestSilentEndIsRead(t *testing.T) {
	n, p, e := expecting(t)
	blocked := make(chan struct{})
	e.onUpdates(func(c *Conn, _ []byte) error {
		close(blocked)
		<-c.Done()
		return nil
	})
	r := dialRouter(t, n, "127.0.0.9")
	if err := r.sock.(*net.TCPConn).SetReadBuffer(1 << 15); err != nil {
		t.Fatal(err)
	}
	r.establish("127.0.0.9")
	eventually(t, "the session", e.up)
	r.send(bytes.Repeat(endOfRIB, 1<<15))
	<-blocked
	const messages = 1 << 14 // more than the router takes without reading
	if err := e.current().Write(bytes.Repeat(endOfRIB, messages), messages); err != nil {
		t.Fatal(err)
	}
	p.Stop(nil)
	eventually(t, "our end of the session", func() bool { return !e.up() })
	for n := range messages {
		m, err := r.reader.Next()
		if err != nil || m.Type != wire.TypeUpdate {
			t.Fatalf("message %d of %d is %s, %v", n, messages, m.Type, err)
		}
	}
	r.gone()
}

// TestBar: a session that is barred confirms no connection; one that has
// confirmed one is not barred.
func TestBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, f := inBubble(t, func(_ *Config, o *wire.Open) { o.AS = 0 })
		if !p.Bar() {
			t.Error("not barred before an OPEN came")
		}
		f.open("192.0.2.2")
		synctest.Wait()
		if f.mu.Lock(); !slices.Equal(f.got, []wire.MessageType{wire.TypeOpen}) || e.up() {
			t.Errorf("the peer got %v", f.got)
		}
		f.mu.Unlock()
	})
	synctest.Test(t, func(t *testing.T) {
		p, e, f := inBubble(t, func(_ *Config, o *wire.Open) { o.AS = 0 })
		f.open("192.0.2.2")
		synctest.Wait()
		if p.State() != bgp.OpenConfirm || p.Bar() {
			t.Errorf("%s, and barred", p.State())
		}
		f.send(wire.AppendKeepalive(nil))
		synctest.Wait()
		if !e.up() || p.Bar() {
			t.Error("not up, or barred")
		}
	})
}

// TestFollow: a session that is stopped before the one that it follows has ended
// does nothing, and whoever follows it waits for both.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, _ := inBubble(t, func(*Config, *wire.Open) {})
		var next []*Peer
		for range 2 {
			p, err := first.transport.New(first.config, newEngine(t))
			if err != nil {
				t.Fatal(err)
			}
			next = append(next, p)
		}
		next[0].Follow(first)
		next[1].Follow(next[0])
		next[0].Stop(nil)
		ours, theirs := net.Pipe()
		next[0].Accept(ours)
		synctest.Wait()
		select {
		case <-next[0].Done():
			t.Error("the second ended before the first")
		case <-next[1].begun:
			t.Error("the third began before the first ended")
		default:
		}
		first.Stop(nil)
		<-next[0].Done()
		synctest.Wait()
		if _, err := theirs.Read(make([]byte, 1)); err == nil {
			t.Error("a connection of a stopped session was taken")
		}
		if next[1].State() != bgp.Active {
			t.Errorf("the third session is %s", next[1].State())
		}
		next[1].Stop(nil)
		<-next[1].Done()
	})
}

// TestAcceptInOrder: of the connections that came before the session began, the
// last one is that which the peer goes by.
func TestAcceptInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, _, _ := inBubble(t, func(*Config, *wire.Open) {})
		next, err := first.transport.New(first.config, newEngine(t))
		if err != nil {
			t.Fatal(err)
		}
		next.Follow(first)
		var ended [10]atomic.Bool
		for i := range ended {
			ours, theirs := net.Pipe()
			next.Accept(ours)
			go func() {
				_, _ = io.Copy(io.Discard, theirs) // ends with the pipe
				ended[i].Store(true)
			}()
		}
		first.Stop(nil)
		synctest.Wait()
		for i := range ended {
			if got, want := ended[i].Load(), i < len(ended)-1; got != want {
				t.Errorf("connection %d of %d: closed %t", i+1, len(ended), got)
			}
		}
		next.Stop(nil)
		<-next.Done()
	})
}

// TestLeftover: a connection that the peer made and gave up while the session is
// up is no reason of anything.
func TestLeftover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e, _ := inBubble(t, func(*Config, *wire.Open) {})
		ours, theirs := net.Pipe()
		p.Accept(ours)
		synctest.Wait()
		theirs.Close()
		synctest.Wait()
		if s := p.Status(); !e.up() || s.LastError != "" || !s.LastErrorAt.IsZero() {
			t.Errorf("up %t, last error %q at %s", e.up(), s.LastError, s.LastErrorAt)
		}
	})
}
