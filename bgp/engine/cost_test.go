package engine

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestSessionCost: a thousand quiet sessions cost two goroutines each, a reader
// and a writer beside the session's own, and little memory.
func TestSessionCost(t *testing.T) {
	const count = 1000
	g := newGround(t, 18)
	in := g.within(0, 24, reflected)
	in.Range, in.RangeLimit = netip.MustParsePrefix("127.4.0.0/16"), count
	g.sessions(in)
	cost := func() (goroutines int, octets uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools held back
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc + m.StackInuse
	}
	goroutines, octets := cost()
	for n := range count {
		quietRouter(t, netip.AddrFrom4([4]byte{127, 4, byte(n >> 8), byte(n)}), g.at)
	}
	wait(t, "all sessions", func() bool {
		up := 0
		for _, p := range g.Peers() {
			if p.State == bgp.Established && p.Advertised == 0 {
				up++
			}
		}
		return up == count
	})
	afterG, afterO := cost()
	perG, perO := float64(afterG-goroutines)/count, int64(afterO-octets)/count
	t.Logf("%.2f goroutines and %d octets for each session, the other end's socket included", perG, perO)
	if perG > 3.1 {
		t.Errorf("%.2f goroutines for each session", perG)
	}
	if perO > 64<<10 {
		t.Errorf("%d octets for each session", perO)
	}
}

// quietRouter brings a session up and then neither reads nor writes.
func quietRouter(t *testing.T, from, to netip.Addr) {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), KeepAlive: -1}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, bgp.DefaultPort).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	open, err := wire.AppendOpen(nil, wire.Open{AS: modelAS, HoldTime: 90 * time.Second, RouterID: from, Capabilities: capable()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(wire.AppendKeepalive(open)); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFlap is what the others have to wait for when a client of ten
// thousand routes loses its session and comes back, among a hundred clients of
// a thousand routes: the time in which the table is locked, and what is written
// to each of them.
func BenchmarkFlap(b *testing.B) {
	const clients, routes, flapping = 100, 1000, 10_000
	e := New(testLog(b))
	e.rib.setPools(bgp.NewPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}))
	e.rib.setPolicy(bgp.ImportPolicy{ASN: modelAS, RouterID: modelLocal})
	var peers []*peer
	for n := range clients + 1 {
		p := e.newPeer(bgp.Session{
			Name: fmt.Sprint(n), Peer: netip.AddrFrom4([4]byte{192, 0, 0, byte(n)}),
			LocalAS: modelAS, PeerAS: modelAS, ClusterID: modelCluster, ReflectorClient: true,
		})
		p.options = wire.Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast)}
		c := p.channels[0]
		c.source.routerID = p.want.Peer
		c.member = newMember(c.source.id, make(chan struct{}, 1))
		e.rib.join(treatment{family: bgp.IPv4Unicast, localAS: modelAS, local: modelLocal, cluster: modelCluster}, c.member)
		c.member.start()
		peers = append(peers, p)
	}
	tell := func(p *peer, buf []byte) {
		for len(buf) > 0 {
			_, size, err := wire.CheckHeader(buf, false)
			if err != nil {
				b.Fatal(err)
			}
			if err := p.Update(nil, buf[wire.HeaderLen:size]); err != nil {
				b.Fatal(err)
			}
			buf = buf[size:]
		}
		e.rib.pack()
	}
	take := func() (octets int) {
		for _, p := range peers {
			for {
				batch := takeAll(e.rib, p.channels[0].member)
				if octets += batch.octets; batch.octets == 0 {
					break
				}
			}
		}
		return octets
	}
	for n := range clients {
		tell(peers[n], benchUpdates(b, n, routes))
	}
	flap := benchUpdates(b, clients, flapping) // of prefixes beyond those of the others
	tell(peers[clients], flap)
	take()
	octets := 0
	for b.Loop() {
		e.rib.drop(peers[clients].channels[0].source.id, false)
		e.rib.pack()
		octets += take()
		tell(peers[clients], flap)
		octets += take()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*flapping), "ns/change")
	b.ReportMetric(float64(octets)/float64(b.N)/clients, "B-out/peer")
}
