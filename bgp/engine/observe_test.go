package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/bmp"
	"github.com/projectvrouter/vrouter/bgp/bmp/bmptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// serveStation is a station that listens at address, and where that is.
func serveStation(t *testing.T, address string) (*bmptest.Station, string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := new(bmptest.Station)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.Serve(conn)
		}
	}()
	return s, l.Addr().String()
}

// monitor lets stations at the addresses be told what e hears.
func monitor(t *testing.T, e *Engine, addresses ...string) *bmp.Exporter {
	t.Helper()
	var stations []bmp.Station
	for _, a := range addresses {
		stations = append(stations, bmp.Station{Address: a, Post: true})
	}
	x := bmp.New(e, bmp.Options{Stations: stations, Name: "rr", Description: "test", Logger: hclog.NewNullLogger()})
	e.Observe(x, true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return x
}

// tableOf is what an engine holds of a peer, as a station shows it.
func tableOf(e *Engine, peer netip.Addr, post bool) string {
	var lines []string
	for r := range e.Routes(bgp.Query{Peer: peer}) {
		if post && r.Refused != "" {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s#%d via %s path %v pref %d med %d", r.Prefix, r.PathID, r.NextHop, r.ASPath, r.LocalPref, r.MED))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMonitoring: what stations hold, one from the beginning and one that came
// late, is at every quiet point what the engine holds, before and after its
// policy, through updates, changed pools and lost sessions.
func TestMonitoring(t *testing.T) {
	testenv.Need(t, "root")
	t.Parallel()
	const rrN, firstN, clients = 231, 232, 3
	rrAddress := bgptest.Address(rrN, bgp.IPv4Unicast)
	e := New(testLog(t))
	const lateAt = "127.0.0.1:11019" // nobody listens there yet
	early, earlyAt := serveStation(t, "127.0.0.1:0")
	stations := []*bmptest.Station{early}
	x := monitor(t, e, earlyAt, lateAt)
	start(t, e, rrAddress)
	var sessions []bgp.Session
	var engines []*Engine
	for n := firstN; n < firstN+clients; n++ {
		sessions = append(sessions, between(rrN, n, func(s *bgp.Session) { s.ClusterID, s.ReflectorClient, s.Passive = modelCluster, true, true }))
		c := startAt(t, n, bgp.Settings{})
		c.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("172.16.0.0/12")}})
		set(t, c, between(n, rrN))
		engines = append(engines, c)
	}
	set(t, e, sessions...)
	agree := func(what string) {
		t.Helper()
		for n, c := range engines {
			peer := bgptest.Address(firstN+n, bgp.IPv4Unicast)
			bgptest.Await(t, fmt.Sprintf("%s: %s", what, peer), func() string {
				own := 0
				for r := range c.Routes(bgp.Query{}) {
					if r.Own && r.Best {
						own++
					}
				}
				var st bgp.PeerState
				for _, p := range e.Peers() {
					if p.Session.Peer == peer {
						st = p
					}
				}
				if st.State != bgp.Established || st.Received != own || st.EndOfRIB == 0 {
					return fmt.Sprintf("%s, %d of %d prefixes", st.State, st.Received, own)
				}
				for _, s := range stations {
					if err := s.Err(); err != nil {
						t.Fatal(err)
					}
					for _, post := range []bool{false, true} {
						if want, got := tableOf(e, peer, post), s.Table(peer, post); want != got {
							return fmt.Sprintf("post %t: the station holds\n%s\nwant\n%s", post, got, want)
						}
					}
				}
				return ""
			})
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	churn := func() {
		for range 60 {
			first := []byte{10, 172}[random.IntN(2)]
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{first, 16, 0, byte(random.IntN(30))}), 32)
			c := engines[random.IntN(clients)]
			if random.IntN(3) == 0 {
				_ = c.Withdraw(p) // never fails
			} else if err := c.Originate(p, bgp.Attributes{MED: uint32(1 + random.IntN(5))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	churn()
	agree("first")
	late, _ := serveStation(t, lateAt)
	stations = append(stations, late)
	churn()
	agree("updates")
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("172.16.0.0/12")}})
	agree("more pools")
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("172.16.0.0/12")}})
	agree("other pools")
	set(t, engines[0])
	bgptest.Await(t, "the first peer is down", func() string {
		return strings.TrimPrefix(early.Table(bgptest.Address(firstN, bgp.IPv4Unicast), false), "down")
	})
	if downs := early.Downs(); len(downs) != 1 || downs[0].Reason != 3 || len(downs[0].Notification) < 21 {
		t.Errorf("downs: %+v", downs)
	}
	set(t, engines[0], between(firstN, rrN))
	churn()
	agree("back again")
	up := early.Up(bgptest.Address(firstN, bgp.IPv4Unicast))
	if up == nil || up.Local != rrAddress || up.LocalPort != 179 {
		t.Errorf("peer up: %+v", up)
	}
	for _, st := range x.Stations() {
		if !st.Connected || st.Connections != 1 {
			t.Errorf("station: %+v", st)
		}
	}
}

// start starts e at an address with a pool.
func start(t *testing.T, e *Engine, a netip.Addr) {
	t.Helper()
	s := bgp.Settings{ASN: modelAS, RouterID: a, ListenAddresses: []netip.Addr{a}}
	bgptest.Start(t, e, s)
	t.Cleanup(func() { bgptest.Stop(t, e, false) })
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
}
