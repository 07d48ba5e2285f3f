package gobgp

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// BenchmarkLearn is the time from the start of the sessions until one Speaker
// has told all that another one originates; and of one more route after that.
func BenchmarkLearn(b *testing.B) {
	testenv.Need(b, "root")
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				benchLearn(b, n)
			}
		})
	}
}

func benchLearn(b *testing.B, n int) {
	b.StopTimer()
	var pair [2]*Speaker
	for i := range pair {
		self := bgptest.Address(i+1, bgp.IPv4Unicast)
		pair[i] = New(testLog(b))
		err := pair[i].Start(b.Context(), bgp.Settings{ASN: 64512, RouterID: self, ListenAddresses: []netip.Addr{self}})
		if err != nil {
			b.Fatal(err)
		}
		pair[i].SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
	}
	start := time.Now()
	for i := range n {
		originate(b, pair[0], i)
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/originate")
	for i := range pair {
		err := pair[i].SetSessions([]bgp.Session{{
			Name: "peer", Family: bgp.IPv4Unicast, PeerAS: 64512, Passive: i == 1, ConnectRetry: time.Second,
			Local: bgptest.Address(i+1, bgp.IPv4Unicast), Peer: bgptest.Address(2-i, bgp.IPv4Unicast),
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
	for pair[1].Peers()[0].State != bgp.Established {
		<-pair[1].PeersChanged()
	}
	b.StartTimer()
	learn(pair[1], n)
	b.StopTimer()
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.HeapAlloc)/float64(n), "heap-B/route")

	start = time.Now()
	originate(b, pair[0], n)
	learn(pair[1], 1)
	b.ReportMetric(float64(time.Since(start).Microseconds()), "µs/one-more")
	for _, s := range pair {
		if err := s.Stop(b.Context(), false); err != nil {
			b.Fatal(err)
		}
	}
	b.StartTimer()
}

func originate(b *testing.B, s *Speaker, i int) {
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	if err := s.Originate(p, bgp.Attributes{}); err != nil {
		b.Fatal(err)
	}
}

// learn waits until s has told n prefixes.
func learn(s *Speaker, n int) {
	for n > 0 {
		<-s.Changed()
		n -= len(s.Drain())
	}
}
