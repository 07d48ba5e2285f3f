package session

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// counting is an engine that counts octets of UPDATEs.
type counting struct {
	engine
	octets atomic.Int64
	wanted int64
	full   chan struct{}
}

func (c *counting) Update(_ *Conn, body []byte) error {
	if c.octets.Add(int64(wire.HeaderLen+len(body))) == c.wanted {
		c.full <- struct{}{}
	}
	return nil
}

// BenchmarkUpdates hands UPDATEs of 1,000 octets from one session to another.
func BenchmarkUpdates(b *testing.B) {
	na, nb := newNode(b, "127.0.0.1", 0), newNode(b, "127.0.0.2", 0)
	sender, receiver := newEngine(b), &counting{engine: engine{t: b, caps: newEngine(b).caps}, full: make(chan struct{})}
	ca, cb := na.config(nb), nb.config(na)
	na.peer(ca, sender)
	nb.peer(cb, receiver)
	eventually(b, "both up", func() bool { return sender.up() && receiver.up() })
	message := append(bytes.Clone(endOfRIB), make([]byte, 977)...)
	message[16], message[17] = 1000>>8, 1000&0xff
	log := bytes.Repeat(message, 64)
	b.SetBytes(int64(len(log)))
	receiver.wanted = int64(len(log)) * int64(b.N)
	b.ResetTimer()
	for range b.N {
		if err := sender.current().Writev(net.Buffers{log}, 64, 0); err != nil {
			b.Fatal(err)
		}
	}
	<-receiver.full
}

// BenchmarkIdleSession is what a session costs that is up and quiet.
func BenchmarkIdleSession(b *testing.B) {
	const count = 500
	for b.Loop() {
		hub := newNode(b, "127.0.0.1", 0)
		before := memory()
		var engines []*engine
		for i := range count {
			addr := netip.MustParseAddr(fmt.Sprintf("127.0.%d.%d", 1+i/250, 1+i%250))
			spoke := &node{t: b, addr: addr, transport: hub.transport, peers: make(map[netip.Addr]*Peer)}
			c := Config{
				Name: addr.String(), Peer: netip.AddrPortFrom(addr, 179), Passive: true,
				LocalAS: 64512, PeerAS: 64512, RouterID: hub.addr,
			}
			e, h := newEngine(b), newEngine(b)
			hub.peer(c, h)
			c.Peer, c.Local, c.Passive, c.RouterID = hub.listener.Addr(), netip.AddrPortFrom(addr, 0), false, addr
			spoke.peer(c, e)
			engines = append(engines, e, h)
		}
		eventually(b, "all sessions", func() bool {
			for _, e := range engines {
				if !e.up() {
					return false
				}
			}
			return true
		})
		b.ReportMetric(float64(memory()-before)/(2*count), "B/session")
	}
}

// memory is what heap and stacks take.
func memory() int64 {
	runtime.GC()
	runtime.GC() // twice: what lies in a sync.Pool outlives the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
