package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestDeferral: a restarted reflector sends nothing, not even its own route,
// while a client is missing, until the client is wanted no longer or the time
// has run out.
func TestDeferral(t *testing.T) {
	testenv.Need(t, "root")
	for name, c := range map[string]struct {
		deferral time.Duration
		giveUp   bool // on the missing client
	}{"client is wanted no longer": {time.Hour, true}, "time runs out": {time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			const rrN, clientN, missingN = 245, 246, 247
			rr := startAt(t, rrN, bgp.Settings{
				Restarting: map[bgp.Family]bool{bgp.IPv4Unicast: true}, Deferral: c.deferral,
			})
			if err := rr.Originate(netip.MustParsePrefix("10.1.0.1/32"), bgp.Attributes{}); err != nil {
				t.Fatal(err)
			}
			reflect := func(s *bgp.Session) { s.ClusterID, s.ReflectorClient, s.Passive = modelCluster, true, true }
			set(t, rr, between(rrN, clientN, reflect), between(rrN, missingN, reflect))
			client := startAt(t, clientN, bgp.Settings{})
			set(t, client, between(clientN, rrN))
			bgptest.Await(t, "the client's End-of-RIB", func() string {
				if rr.Peers()[0].EndOfRIB == 0 {
					return "none"
				}
				return ""
			})
			if c.giveUp {
				if p := client.Peers()[0]; p.EndOfRIB != 0 || p.Received > 0 {
					t.Errorf("the reflector did not wait: %+v", p)
				}
				set(t, rr, between(rrN, clientN, reflect))
			}
			bgptest.Await(t, "End-of-RIB of the reflector, and its route", func() string {
				if p := client.Peers()[0]; p.EndOfRIB == 0 || p.Received != 1 {
					return "not yet"
				}
				return ""
			})
		})
	}
}

// startAt is an Engine at the address of a host of bgptest.
func startAt(t *testing.T, n int, s bgp.Settings) *Engine {
	t.Helper()
	s.ASN, s.RouterID = modelAS, bgptest.Address(n, bgp.IPv4Unicast)
	s.ListenAddresses = []netip.Addr{s.RouterID}
	e := New(testLog(t))
	bgptest.Start(t, e, s)
	t.Cleanup(func() { bgptest.Stop(t, e, false) })
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
	return e
}

// between is the session of host n with host peer.
func between(n, peer int, change ...func(*bgp.Session)) bgp.Session {
	s := bgp.Session{
		Name:  bgptest.Address(peer, bgp.IPv4Unicast).String(),
		Local: bgptest.Address(n, bgp.IPv4Unicast), Peer: bgptest.Address(peer, bgp.IPv4Unicast),
		LocalAS: modelAS, PeerAS: modelAS, ConnectRetry: time.Second,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func set(t *testing.T, e *Engine, list ...bgp.Session) {
	t.Helper()
	if err := e.SetSessions(list); err != nil {
		t.Fatal(err)
	}
}
