package iptables

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// site is a host with two workloads, on cali1 and cali2.
type site struct {
	host      *lab.Host
	workloads []*lab.Workload
	plane     *Dataplane
	writes    *writes
}

// inFlavours runs a test for each flavour, on a site of its own.
func inFlavours(t *testing.T, f func(t *testing.T, s *site)) {
	for _, flavour := range []Flavour{NFT, Legacy} {
		t.Run(string(flavour), func(t *testing.T) {
			testenv.Need(t, "root", "program:iptables-"+string(flavour))
			l := lab.New(t, "ipt")
			s := &site{host: l.Host("host")}
			s.host.Forward()
			for i := 1; i <= 2; i++ {
				v4, v6 := workloadAddr(i)
				iface := fmt.Sprintf("cali%d", i)
				s.workloads = append(s.workloads, s.host.Workload(fmt.Sprintf("w%d", i), iface, v4.String(), v6.String()))
				s.host.SetSysctl("net/ipv4/conf/"+iface+"/proxy_arp", "1")
				s.host.SetSysctl("net/ipv4/neigh/"+iface+"/proxy_delay", "0")
				s.host.MustRun("ip", "route", "replace", v4.String()+"/32", "dev", iface)
				s.host.MustRun("ip", "-6", "route", "replace", v6.String()+"/128", "dev", iface)
			}
			s.host.AddAddr("lo", lab.GatewayIPv4+"/32")
			for _, w := range s.workloads { // else neighbours get no answer yet
				lab.Eventually(t, time.Minute, "addresses of "+w.IfName+" are usable", func() error {
					out := s.host.MustRun("ip", "addr", "show", "dev", w.IfName)
					if all := out + w.MustRun("ip", "addr"); !strings.Contains(out, lab.GatewayIPv6) || strings.Contains(all, "tentative") {
						return errors.New(all)
					}
					return nil
				})
			}
			s.start(t, flavour)
			f(t, s)
		})
	}
}

// start makes the dataplane as a process that starts has it.
func (s *site) start(t *testing.T, flavour Flavour) {
	t.Helper()
	if s.plane != nil {
		s.plane.Close()
	}
	fd := int(s.host.NetNS())
	s.writes = &writes{}
	d, err := New(Options{Flavour: flavour, NetNS: &fd, Logger: hclog.New(&hclog.LoggerOptions{Output: s.writes, Level: hclog.Debug})})
	if err != nil {
		t.Fatal(err)
	}
	s.plane = d
	t.Cleanup(func() { d.Close() })
}

// writes counts the tables that a dataplane writes.
type writes struct {
	mu sync.Mutex
	n  int
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += bytes.Count(b, []byte("write table"))
	return len(b), nil
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (s *site) sync(t *testing.T, u *policy.Update) {
	t.Helper()
	if err := s.plane.Sync(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func (s *site) apply(t *testing.T, u *policy.Update) {
	t.Helper()
	if err := s.plane.Apply(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// save is all rules and sets of the flavour, for both families.
func (s *site) save() string {
	return s.host.MustRun(s.plane.tools.program(ipv4, "-save")) + s.host.MustRun(s.plane.tools.program(ipv6, "-save"))
}

// pings tells whether the first workload reaches the second, in both families
// alike. A wrong "no" would be a lost packet on a veth pair.
func (s *site) pings(t *testing.T) bool {
	t.Helper()
	v4, v6 := workloadAddr(2)
	got4, got6 := s.workloads[0].Ping(v4) == nil, s.workloads[0].Ping(v6) == nil
	if got4 != got6 {
		t.Errorf("IPv4 passes: %t, IPv6 passes: %t", got4, got6)
	}
	return got4
}

func (s *site) requirePings(t *testing.T, want bool, when string) {
	t.Helper()
	if got := s.pings(t); got != want {
		t.Errorf("%s: a workload reaches the other: %t, want %t", when, got, want)
	}
}

func workloadAddr(n int) (v4, v6 netip.Addr) {
	return netip.MustParseAddr(fmt.Sprintf("10.65.0.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd00:65::%d", n))
}

func policyID(name string) resource.ID {
	return resource.ID{Kind: "GlobalNetworkPolicy", Name: name}
}

func endpointID(n int) resource.EndpointID {
	return resource.EndpointID{Namespace: "default", Orchestrator: "k8s", Workload: fmt.Sprintf("w%d", n), Endpoint: "eth0"}
}

// members are addresses and networks.
func members(list ...string) []policy.Member {
	var out []policy.Member
	for _, text := range list {
		out = append(out, policy.Member{Prefix: netip.MustParsePrefix(text)})
	}
	return out
}

// update has two workloads that may send everything, and get what comes from
// the set "a", whose member is the first.
func update() *policy.Update {
	send, get := policyID("send"), policyID("get")
	u := &policy.Update{
		Settings: &policy.Settings{
			WorkloadPrefixes: []string{"cali"}, ToHost: policy.Deny, MarkMask: 0xffff0000, FlowGroup: 7, BGPPorts: []uint16{179},
		},
		Sets: map[policy.SetID]*policy.SetChange{
			policy.PoolSet: {Kind: policy.Networks, New: true, Add: members("10.65.0.0/16", "fd00:65::/64")},

			"a": {Kind: policy.Networks, New: true, Add: members("10.65.0.1/32", "fd00:65::1/128")},
		},
		Policies: map[resource.ID]*policy.Policy{
			send: {ID: send, Egress: []policy.Rule{{Action: policy.Allow}}},
			get: {ID: get, Ingress: []policy.Rule{
				{Action: policy.Deny, Index: 0, Source: policy.Side{Nets: []netip.Prefix{
					netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("198.51.100.7/32")}}},
				{Action: policy.Allow, Index: 1, Source: policy.Side{Sets: []policy.SetID{"a"}}},
			}},
		},
		Pipelines: map[string]*policy.Pipeline{
			"egress": {ID: "egress", Direction: policy.Egress, Profiles: []resource.ID{send}, End: policy.Deny},
			"ingress": {ID: "ingress", Direction: policy.Ingress, End: policy.Deny, Tiers: []policy.Tier{
				{Name: "default", Policies: []policy.Ref{{ID: get}}, End: policy.Deny}}},
		},
		Endpoints: map[resource.EndpointID]*policy.Endpoint{},
	}
	for i := 1; i <= 2; i++ {
		u.Endpoints[endpointID(i)] = &policy.Endpoint{
			ID: endpointID(i), Interface: fmt.Sprintf("cali%d", i), Ingress: "ingress", Egress: "egress",
		}
	}
	return u
}
