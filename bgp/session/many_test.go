package session

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// TestManySessions: two hundred sessions of one speaker come up, and leave
// nothing behind.
func TestManySessions(t *testing.T) {
	const count = 200
	before := runtime.NumGoroutine()
	hub := newNode(t, "127.0.0.1", 0)
	var peers []*Peer
	var engines []*engine
	for i := range count {
		addr := fmt.Sprintf("127.0.1.%d", i+1)
		c := Config{
			Name: addr, Peer: netip.AddrPortFrom(netip.MustParseAddr(addr), 179), Passive: true,
			LocalAS: 64512, PeerAS: 64512, RouterID: hub.addr,
		}
		spoke := NewTransport(testLog(), nil)
		e, h := newEngine(t), newEngine(t)
		p, err := spoke.New(Config{
			Name: "hub", Peer: hub.listener.Addr(), Local: netip.AddrPortFrom(netip.MustParseAddr(addr), 0),
			LocalAS: 64512, PeerAS: 64512, RouterID: netip.MustParseAddr(addr),
		}, e)
		if err != nil {
			t.Fatal(err)
		}
		peers, engines = append(peers, hub.peer(c, h), p), append(engines, e, h)
		p.Start()
	}
	eventually(t, "all sessions", func() bool {
		for _, e := range engines {
			if !e.up() {
				return false
			}
		}
		return true
	})
	for _, p := range peers {
		p.Stop(nil)
	}
	for _, p := range peers {
		<-p.Done()
	}
	if err := hub.listener.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}
