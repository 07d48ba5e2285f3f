package nftables

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// site is a host with workloads and, beyond a link, a neighbour.
type site struct {
	lab       *lab.Lab
	host      *lab.Host
	workloads []*lab.Workload
	outside   *lab.Host
	plane     *Dataplane
	pings     map[*lab.Host]uint64 // that were to get through, by who sent them
}

const (
	hostAddr, hostAddr6       = "192.0.2.1", "2001:db8::1"
	outsideAddr, outsideAddr6 = "192.0.2.2", "2001:db8::2"
)

func workloadAddr(n int) (v4, v6 netip.Addr) {
	return netip.MustParseAddr(fmt.Sprintf("10.65.0.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd00:65::%d", n))
}

// newSite makes a host with n workloads on cali1, cali2 and so on.
func newSite(t *testing.T, n int) *site {
	t.Helper()
	testenv.Need(t, "root")
	l := lab.New(t, "nft")
	s := &site{lab: l, host: l.Host("host"), outside: l.Host("outside"), pings: map[*lab.Host]uint64{}}
	s.host.Forward()
	l.Link(s.host.Port("uplink", hostAddr+"/24", hostAddr6+"/64"), s.outside.Port("eth0", outsideAddr+"/24", outsideAddr6+"/64"))
	s.outside.AddRoute("10.65.0.0/16", hostAddr)
	s.outside.AddRoute("fd00:65::/64", hostAddr6)
	for i := 1; i <= n; i++ {
		v4, v6 := workloadAddr(i)
		iface := fmt.Sprintf("cali%d", i)
		w := s.host.Workload(fmt.Sprintf("w%d", i), iface, v4.String(), v6.String())
		s.workloads = append(s.workloads, w)
		s.host.SetSysctl("net/ipv4/conf/"+iface+"/proxy_arp", "1")
		s.host.SetSysctl("net/ipv4/neigh/"+iface+"/proxy_delay", "0")
		s.host.MustRun("ip", "route", "replace", v4.String()+"/32", "dev", iface, "src", hostAddr)
		s.host.MustRun("ip", "-6", "route", "replace", v6.String()+"/128", "dev", iface, "src", hostAddr6)
	}
	s.host.AddAddr("lo", lab.GatewayIPv4+"/32")
	s.plane = s.open(t)
	return s
}

// open is a dataplane as a process that starts has it.
func (s *site) open(t *testing.T) *Dataplane {
	t.Helper()
	fd := int(s.host.NetNS())
	d, err := New(Options{NetNS: &fd, Logger: hclog.New(&hclog.LoggerOptions{Output: testWriter{t}})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

func policyID(name string) resource.ID {
	return resource.ID{Kind: "GlobalNetworkPolicy", Name: name}
}

func endpointID(n int) resource.EndpointID {
	return resource.EndpointID{Namespace: "default", Orchestrator: "k8s", Workload: fmt.Sprintf("w%d", n), Endpoint: "eth0"}
}

// baseUpdate has n workloads that may send everything and get nothing.
func baseUpdate(n int) *policy.Update {
	u := &policy.Update{
		Settings: &policy.Settings{
			WorkloadPrefixes: []string{"cali"}, ToHost: policy.Deny, MarkMask: 0xffff0000, FlowGroup: 7,
			BGPPorts: []uint16{179},
		},
		Sets:      map[policy.SetID]*policy.SetChange{},
		Policies:  map[resource.ID]*policy.Policy{},
		Pipelines: map[string]*policy.Pipeline{},
		Endpoints: map[resource.EndpointID]*policy.Endpoint{},
	}
	u.Policies[policyID("send")] = &policy.Policy{ID: policyID("send"), Egress: []policy.Rule{{Action: policy.Allow}}}
	u.Pipelines["egress"] = &policy.Pipeline{
		ID: "egress", Direction: policy.Egress, Profiles: []resource.ID{policyID("send")}, End: policy.Deny,
	}
	u.Pipelines["ingress"] = &policy.Pipeline{ID: "ingress", Direction: policy.Ingress, End: policy.Deny}
	for i := 1; i <= n; i++ {
		v4, v6 := workloadAddr(i)
		u.Endpoints[endpointID(i)] = &policy.Endpoint{
			ID: endpointID(i), Interface: fmt.Sprintf("cali%d", i), Addresses: []netip.Addr{v4, v6},
			Ingress: "ingress", Egress: "egress",
		}
	}
	return u
}

// ingress makes a pipeline of one policy with these rules.
func ingress(id, name string, rules ...policy.Rule) *policy.Update {
	return &policy.Update{
		Policies: map[resource.ID]*policy.Policy{policyID(name): {ID: policyID(name), Ingress: rules}},
		Pipelines: map[string]*policy.Pipeline{id: {
			ID: id, Direction: policy.Ingress, End: policy.Deny,
			Tiers: []policy.Tier{{Name: "default", Policies: []policy.Ref{{ID: policyID(name)}}, End: policy.Deny}},
		}},
	}
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
