package nftables

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

func TestWorkloadAndHost(t *testing.T) {
	s := newSite(t, 3)
	for _, name := range []string{"host", "w2", "out"} {
		s.serve(t, name, 53, 67, 80, 179, 3784, 4789)
	}
	all := rules(policy.Rule{Action: policy.Allow})
	settings := func(change func(*policy.Settings)) func(*policy.Update) {
		return func(u *policy.Update) { change(u.Settings) }
	}
	toHost := func(a policy.Action) func(*policy.Update) {
		return settings(func(s *policy.Settings) { s.ToHost = a })
	}
	unknown := func(n int) func(*policy.Update) {
		return func(u *policy.Update) { delete(u.Endpoints, endpointID(n)) }
	}
	twice := func(u *policy.Update) {
		e := *u.Endpoints[endpointID(2)]
		e.ID = endpointID(9)
		u.Endpoints[e.ID] = &e
	}
	runCases(t, s, []verdictCase{
		{"to the host: denied", with(all, toHost(policy.Deny)),
			[]probe{"w1 !> host tcp 80", "w1 !> host ping", "host > w2 tcp 80", "w1 > w2 tcp 80"}},
		{"to the host: the rules of others", with(all, toHost(policy.Pass)), []probe{"w1 > host tcp 80"}},
		{"to the host: allowed", with(all, toHost(policy.Allow)), []probe{"w1 > host tcp 80"}},
		{"egress holds to the host", with(all, toHost(policy.Allow), func(u *policy.Update) {
			u.Policies[policyID("send")] = &policy.Policy{ID: policyID("send")}
		}), []probe{"w1 !> host tcp 80", "w1 !> w2 tcp 80", "host > w2 tcp 80", "out > w2 tcp 80"}},
		{"the host is not policed by ingress", func(*policy.Update) {}, []probe{"host > w2 tcp 80", "out !> w2 tcp 80"}},
		{"DNS of the host", settings(func(s *policy.Settings) { s.AllowDNS = true }),
			[]probe{"w1 > host udp 53", "w1 > host tcp 53", "w1 !> host udp 80", "w1 !> w2 udp 53"}},
		{"DHCP of the host", settings(func(s *policy.Settings) { s.AllowDHCP = true }),
			[]probe{"w1 > host udp 67 4", "w1 !> host udp 67 6", "w1 !> host udp 53"}},
		{"unknown interface", with(all, toHost(policy.Pass), unknown(2)),
			[]probe{"w2 !> host tcp 80", "w2 !> w1 ping", "w1 !> w2 tcp 80", "host !> w2 tcp 80", "out !> w2 tcp 80"}},
		{"an interface of two endpoints", with(all, toHost(policy.Pass), twice),
			[]probe{"w2 !> host tcp 80", "w2 !> w1 ping", "w1 !> w2 tcp 80"}},
		{"VXLAN from a workload", all, []probe{"w1 !> w2 udp 4789", "w1 > w2 udp 80"}},
		{"VXLAN from a workload, allowed", with(all, settings(func(s *policy.Settings) { s.AllowVXLAN = true })),
			[]probe{"w1 > w2 udp 4789"}},
		{"VXLAN is for nodes", with(all, toHost(policy.Allow), settings(func(s *policy.Settings) { s.VXLANPort = 4789 }),
			withSet(policy.NodeSet, policy.Addresses, nets("192.0.2.2/32")...)),
			[]probe{"out > host udp 4789 4", "out !> host udp 4789 6", "w1 !> host udp 4789"}},
		{"BGP and BFD pass host endpoints", with(all, hostEndpoint("uplink", nil),
			withSet(policy.NodeSet, policy.Addresses, nets("192.0.2.2/32")...),
			withSet(policy.PeerSet, policy.Networks, nets("2001:db8::/64")...)),
			[]probe{"out > host tcp 179", "host > out tcp 179", "out > host udp 3784", "host > out udp 3784", "out !> host tcp 80"}},
		{"reject answers", settings(func(s *policy.Settings) { s.Reject = true }), []probe{"w1 !> w2 tcp 80", "w1 !> host tcp 80"}},
	})
}

// TestSources sends from addresses that are not the sender's, and after each
// from its own: when that has met policy, so has what came before.
func TestSources(t *testing.T) {
	s := newSite(t, 2)
	own4, own6 := workloadAddr(1)
	to4, to6 := workloadAddr(2)
	s.workloads[0].AddAddr("lo", "10.99.0.1/32")
	s.workloads[0].AddAddr("lo", "fd00:99::1/128")
	u := baseUpdate(2)
	own := policy.Side{Nets: prefixes(own4.String()+"/32", own6.String()+"/128")}
	rules(policy.Rule{Index: 0, Action: policy.Allow, Source: own}, policy.Rule{Index: 1, Action: policy.Allow})(u)
	s.sync(t, u)
	counted := func(rule int) uint64 {
		counters, err := s.plane.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(counters, func(c policy.Counter) bool { return c.Policy == policyID("tier-a") && c.Rule == rule })
		return counters[i].Packets
	}
	// Answers are lost, since nobody has a route to these addresses: what counts
	// is whether the requests meet policy.
	foreign := func() uint64 {
		before := counted(0)
		s.sendFrom(t, netip.MustParseAddr("10.99.0.1"), to4)
		s.sendFrom(t, netip.MustParseAddr("fd00:99::1"), to6)
		s.sendFrom(t, own4, to4)
		s.sendFrom(t, own6, to6)
		lab.Eventually(t, time.Minute, "datagrams of the sender's own", func() error {
			if n := counted(0) - before; n != 2 {
				return fmt.Errorf("%d of 2 met policy", n)
			}
			return nil
		})
		return counted(1)
	}
	if n := foreign(); n != 0 {
		t.Errorf("%d packets with a foreign source passed", n)
	}
	allowed := *u.Endpoints[endpointID(1)]
	allowed.Spoofs = prefixes("10.99.0.0/24", "fd00:99::/64")
	s.apply(t, &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{allowed.ID: &allowed}})
	n := foreign()
	if n != 2 {
		t.Errorf("%d packets with an allowed source passed, want 2", n)
	}
	s.apply(t, &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{allowed.ID: u.Endpoints[allowed.ID]}})
	if more := foreign(); more != n {
		t.Errorf("%d packets with a source that is allowed no more passed", more-n)
	}
}

// sendFrom sends a datagram from the first workload, with a source.
func (s *site) sendFrom(t *testing.T, from, to netip.Addr) {
	t.Helper()
	err := s.workloads[0].Do(func() error {
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
			net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("?"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
