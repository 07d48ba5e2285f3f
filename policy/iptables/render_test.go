package iptables

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

var rewrite = flag.Bool("update", false, "rewrite golden files")

// full is an update with something of everything.
func full() *policy.Update {
	u := update()
	u.Settings.AllowDNS, u.Settings.VXLANPort, u.Settings.IPIP = true, 4789, true
	u.Settings.NAT = policy.NAT{SpareNodes: true, Ports: policy.PortRange{First: 5000, Last: 5999}}
	u.Settings.FailsafeInbound = []policy.Failsafe{{Protocol: policy.ProtocolTCP, Port: 22, Net: netip.MustParsePrefix("192.0.2.0/24")}}
	for _, id := range []policy.SetID{policy.PoolSet, policy.MasqueradeSet, policy.NodeSet, policy.PeerSet} {
		u.Sets[id] = &policy.SetChange{Kind: policy.Networks, New: true}
	}
	u.Sets[policy.PoolSet].Add = members("10.65.0.0/16")
	u.Sets[policy.MasqueradeSet].Add = members("10.65.0.0/16", "fd00:65::/64")
	u.Sets["p"] = &policy.SetChange{Kind: policy.Ports, New: true, Add: []policy.Member{
		{Prefix: netip.MustParsePrefix("fd00:65::1/128"), Protocol: policy.ProtocolTCP, Port: 80}}}
	u.Sets["four"] = &policy.SetChange{Kind: policy.Addresses, New: true, Add: members("192.0.2.1/32")}
	u.Sets["none"] = &policy.SetChange{Kind: policy.Ports, New: true}
	var ports []policy.PortRange
	for n := range 20 {
		ports = append(ports, policy.PortRange{First: uint16(100 * n), Last: uint16(100*n + n%2)})
	}
	id, staged := policyID("ports"), policyID("staged")
	code := uint8(1)
	u.Policies[id] = &policy.Policy{ID: id, Ingress: []policy.Rule{
		{Action: policy.Pass, Index: 0, Protocol: policy.ProtocolTCP, Destination: policy.Side{Ports: ports, PortSets: []policy.SetID{"p"}},
			Source: policy.Side{Ports: ports}},
		{Action: policy.Log, Index: 2, Protocol: policy.ProtocolICMP, ICMP: &policy.ICMP{Type: 3, Code: &code}},
		{Action: policy.Deny, Index: 3, NotProtocol: policy.ProtocolUDP, Source: policy.Side{NotSets: []policy.SetID{"a"}}},
		// Of IPv6, of which there is no pool, only what their sets do not forbid.
		{Action: policy.Allow, Index: 4, Source: policy.Side{Sets: []policy.SetID{"a", "four"}}},
		{Action: policy.Allow, Index: 5, Destination: policy.Side{Sets: []policy.SetID{"a"}, NotSets: []policy.SetID{"four"}}},
		{Action: policy.Allow, Index: 6, Destination: policy.Side{PortSets: []policy.SetID{"none"}}},
		{Action: policy.Allow, Index: 7, Destination: policy.Side{PortSets: []policy.SetID{"none", "p"}, NotPortSets: []policy.SetID{"none"}}},
	}}
	u.Policies[staged] = &policy.Policy{ID: staged, Staged: true, Ingress: []policy.Rule{{Action: policy.Deny}}}
	tier := policy.Tier{Name: "first", End: policy.Pass, Policies: []policy.Ref{{ID: id}, {ID: staged, Staged: true}}}
	u.Pipelines["ingress"].Tiers = append([]policy.Tier{tier}, u.Pipelines["ingress"].Tiers...)
	early := policyID("early")
	u.Policies[early] = &policy.Policy{ID: early, Ingress: []policy.Rule{{Action: policy.Allow}}}
	u.Pipelines["early"] = &policy.Pipeline{ID: "early", Direction: policy.Ingress, End: policy.Pass,
		Tiers: []policy.Tier{{Name: "default", End: policy.Pass, Policies: []policy.Ref{{ID: early}}}}}
	u.HostEndpoints = map[string]*policy.HostEndpoint{
		"eth0": {Interface: "eth0", Normal: policy.Pair{Ingress: "ingress", Egress: "egress"}, PreDNAT: "early"},
		"*": {Interface: "*", Normal: policy.Pair{Ingress: "ingress", Egress: "egress"},
			Untracked: policy.Pair{Ingress: "early"}, Forward: policy.Pair{Egress: "egress"}},
	}
	return u
}

// transactions renders an update as what a host without rules is told.
func transactions(u *policy.Update) string {
	s := newState(true)
	d := s.merge(u)
	d.all = true
	p := s.render(d, newUnits())
	var b strings.Builder
	for _, at := range places() {
		fmt.Fprintf(&b, "# %s\n%s", at.family, newHeld().compare(at, p[at], true).text)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	const file = "testdata/rules.txt"
	got := transactions(full())
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for line := range strings.Lines(got) {
		if name, ok := strings.CutPrefix(line, ":"); ok {
			if name, _, _ = strings.Cut(name, " "); len(name) > 28 {
				t.Errorf("%s has %d characters", name, len(name))
			}
		}
	}
}

// Whatever way rules came about, they are the same.
func TestOrderMeansNothing(t *testing.T) {
	all, u := full(), newUnits()
	s := newState(true)
	s.render(s.merge(&policy.Update{Settings: &policy.Settings{MarkMask: 0xff, WorkloadPrefixes: []string{"tap"}}, Endpoints: map[resource.EndpointID]*policy.Endpoint{
		endpointID(1): {ID: endpointID(1), Interface: "cali1", Ingress: "other", Egress: "egress", Spoofs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		endpointID(5): {ID: endpointID(5), Interface: "cali5", Ingress: "other", Egress: "egress"},
	}}), u)
	p := plan{}
	for _, step := range []*policy.Update{
		{Endpoints: all.Endpoints}, {Pipelines: all.Pipelines}, {HostEndpoints: map[string]*policy.HostEndpoint{"eth0": all.HostEndpoints["*"], "*": nil}},
		{Policies: all.Policies}, {Sets: all.Sets}, {Settings: all.Settings},
		{Endpoints: map[resource.EndpointID]*policy.Endpoint{endpointID(5): nil}}, {HostEndpoints: all.HostEndpoints},
	} {
		for at, chains := range s.render(s.merge(step), u) {
			for name, c := range chains {
				p.put(at, name, c)
			}
		}
	}
	var b strings.Builder
	for _, at := range places() {
		fmt.Fprintf(&b, "# %s\n%s", at.family, newHeld().compare(at, p[at], true).text)
	}
	if diff := cmp.Diff(transactions(full()), b.String()); diff != "" {
		t.Errorf("-at once +by steps:\n%s", diff)
	}
}

// The tree finds every name, and no other.
func TestTree(t *testing.T) {
	targets := map[string]string{"c": "-j 1", "cali": "-j 2", "eth0": "-j 3", "ca+": "-j 4"}
	for i := range 300 {
		name := fmt.Sprintf("cali%x", i*37)
		targets[name] = "-j " + name
	}
	chains := map[string]*chain{}
	longest := 0
	for _, c := range tree(fromTree, iif, targets) {
		chains[c.name] = c
		longest = max(longest, len(c.rules))
	}
	if longest > 16+1 { // digits, and a name that ends there
		t.Errorf("a chain of %d rules", longest)
	}
	var walk func(c *chain, name string) string
	walk = func(c *chain, name string) string {
		for _, r := range c.rules {
			match := strings.TrimPrefix(r.match, "-i ")
			prefix, isPrefix := strings.CutSuffix(match, "+")
			switch {
			case isPrefix && strings.HasPrefix(name, prefix):
				return walk(chains[strings.TrimPrefix(r.target, "-g ")], name)
			case match == name:
				return r.target
			}
		}
		return ""
	}
	for name, target := range targets {
		want := target
		if !canMatch(name) {
			want = ""
		}
		if got := walk(chains[fromTree], name); got != want {
			t.Errorf("%s leads to %q, want %q", name, got, want)
		}
		if got := walk(chains[fromTree], name+"x"); got != "" {
			t.Errorf("%sx leads to %q", name, got)
		}
	}
}
