package engine

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// BenchmarkReflect is the work of a reflector without its sockets, on one core:
// each of n clients tells m routes in packed UPDATEs, and all is taken for each
// of the others.
func BenchmarkReflect(b *testing.B) {
	for _, c := range []struct{ clients, routes int }{{20, 1000}, {100, 1000}, {500, 100}, {100, 10_000}} {
		b.Run(fmt.Sprintf("%dx%d", c.clients, c.routes), func(b *testing.B) {
			updates := make([][]byte, c.clients)
			for n := range updates {
				updates[n] = benchUpdates(b, n, c.routes)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var r *rib
			var octets int
			for b.Loop() {
				r, octets = benchReflect(b, updates)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			routes := float64(c.clients * c.routes)
			if n := r.routes.len(); n != int(routes) {
				b.Fatalf("%d routes", n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/routes, "ns/route")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/routes, "heap-B/route")
			b.ReportMetric(float64(octets)/1e6, "MB-out")
			runtime.KeepAlive(r)
		})
	}
}

// benchUpdates is all that client n tells.
func benchUpdates(b *testing.B, n, routes int) []byte {
	a := wire.Attributes{
		NextHop:   wire.NextHop{Addr: netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})},
		LocalPref: 100, HasLocalPref: true,
	}
	all := func(yield func(netip.Prefix, uint32) bool) {
		for i := range routes {
			at := uint32(10<<24 + n*routes + i)
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), 32)
			if !yield(p, 0) {
				return
			}
		}
	}
	buf, err := wire.AppendAnnouncements(nil, wire.Form{}, bgp.IPv4Unicast, a.Append(nil), all)
	if err != nil {
		b.Fatal(err)
	}
	return buf
}

// benchReflect reflects updates, and is how many octets went out.
func benchReflect(b *testing.B, updates [][]byte) (*rib, int) {
	e := New(testLog(b))
	e.rib.setPools(bgp.NewPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}))
	e.rib.setPolicy(bgp.ImportPolicy{ASN: modelAS, RouterID: modelLocal})
	var peers []*peer
	for n := range updates {
		p := e.newPeer(bgp.Session{
			Peer:    netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}),
			LocalAS: modelAS, PeerAS: modelAS, ClusterID: modelCluster, ReflectorClient: true,
		})
		c := p.channels[0]
		c.source.routerID = p.want.Peer
		p.options = wire.Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast)}
		c.member = newMember(c.source.id, make(chan struct{}, 1))
		e.rib.join(treatment{family: bgp.IPv4Unicast, localAS: modelAS, local: modelLocal, cluster: modelCluster}, c.member)
		c.member.start()
		peers = append(peers, p)
	}
	octets := 0
	take := func() {
		for _, p := range peers {
			for {
				batch := takeAll(e.rib, p.channels[0].member)
				if octets += batch.octets; batch.octets == 0 {
					break
				}
			}
		}
	}
	for n, buf := range updates {
		for len(buf) > 0 {
			_, size, err := wire.CheckHeader(buf, false)
			if err != nil {
				b.Fatal(err)
			}
			if err := peers[n].Update(nil, buf[wire.HeaderLen:size]); err != nil {
				b.Fatal(err)
			}
			buf = buf[size:]
		}
		e.rib.pack()
		if n%10 == 9 {
			take()
		}
	}
	take()
	return e.rib, octets
}
