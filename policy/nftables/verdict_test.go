package nftables

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A verdictCase is policy and what becomes of packets.
type verdictCase struct {
	name   string
	change func(*policy.Update)
	probes []probe
}

func runCases(t *testing.T, s *site, cases []verdictCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			u := baseUpdate(len(s.workloads))
			c.change(u)
			if err := s.plane.Sync(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			s.host.MustRun("conntrack", "-F")
			clear(s.pings)
			for _, p := range c.probes {
				s.check(t, p)
			}
		})
	}
}

// rules gives the workloads an ingress tier of one policy.
func rules(list ...policy.Rule) func(*policy.Update) {
	return tiers(policy.Deny, list)
}

// tiers gives the workloads an ingress tier for each list of rules.
func tiers(end policy.Action, lists ...[]policy.Rule) func(*policy.Update) {
	return func(u *policy.Update) {
		p := &policy.Pipeline{ID: "ingress", Direction: policy.Ingress, End: policy.Deny}
		for i, list := range lists {
			for n := range list {
				list[n].Index = n
			}
			id := policyID("tier-" + string(rune('a'+i)))
			u.Policies[id] = &policy.Policy{ID: id, Ingress: list}
			p.Tiers = append(p.Tiers, policy.Tier{Name: id.Name, Policies: []policy.Ref{{ID: id}}, End: end})
		}
		u.Pipelines[p.ID] = p
	}
}

// with is several changes, one after the other.
func with(changes ...func(*policy.Update)) func(*policy.Update) {
	return func(u *policy.Update) {
		for _, change := range changes {
			change(u)
		}
	}
}

func withSet(id policy.SetID, kind policy.SetKind, list ...policy.Member) func(*policy.Update) {
	return func(u *policy.Update) {
		u.Sets[id] = &policy.SetChange{Kind: kind, New: true, Add: list}
	}
}

func nets(list ...string) []policy.Member {
	var out []policy.Member
	for _, p := range prefixes(list...) {
		out = append(out, policy.Member{Prefix: p})
	}
	return out
}

func portMembers(protocol uint8, port uint16, addrs ...string) []policy.Member {
	var out []policy.Member
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		out = append(out, policy.Member{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Protocol: protocol, Port: port})
	}
	return out
}

func from(side policy.Side) policy.Rule { return policy.Rule{Action: policy.Allow, Source: side} }

func tcpTo(ports ...policy.PortRange) policy.Rule {
	return policy.Rule{Action: policy.Allow, Protocol: 6, Destination: policy.Side{Ports: ports}}
}

func port(n uint16) policy.PortRange { return policy.PortRange{First: n, Last: n} }

// manyLengths are a network of each length that has no workload in it, and the
// first workload.
func manyLengths() []policy.Member {
	list := nets("10.65.0.1/32", "fd00:65::1/128")
	for bits := 1; bits < 128; bits++ {
		if bits < 32 {
			list = append(list, policy.Member{Prefix: netip.PrefixFrom(netip.MustParseAddr("128.0.0.0"), bits)})
		}
		list = append(list, policy.Member{Prefix: netip.PrefixFrom(netip.MustParseAddr("4000::"), bits)})
	}
	return list
}

// TestManyLengths excludes networks of more lengths than a rule of the kernel
// can ask for, and has such ones on both sides.
func TestManyLengths(t *testing.T) {
	s := newSite(t, 3)
	excluding := func(action policy.Action) policy.Rule {
		side := policy.Side{NotSets: []policy.SetID{"n"}}
		return policy.Rule{Action: action, Source: side, Destination: side}
	}
	both := func(action policy.Action) policy.Rule {
		return policy.Rule{Action: action, Source: policy.Side{Sets: []policy.SetID{"n"}}, Destination: policy.Side{
			Sets: []policy.SetID{"m"}, NotNets: prefixes("10.65.0.1/32", "fd00:65::1/128"),
		}}
	}
	members := withSet("n", policy.Networks, manyLengths()...)
	all, deny := []policy.Rule{{Action: policy.Allow}}, policy.Rule{Action: policy.Deny}
	runCases(t, s, []verdictCase{
		{"allow", with(members, rules(excluding(policy.Allow))), []probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"deny", with(members, rules(excluding(policy.Deny), all[0])), []probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"log", with(members, rules(excluding(policy.Log), all[0])), []probe{"w1 > w2 ping", "w3 > w2 ping"}},
		{"pass", with(members, tiers(policy.Deny, []policy.Rule{excluding(policy.Pass), deny}, all)),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"both sides", with(members, withSet("m", policy.Networks, append(manyLengths(), nets("10.65.0.2/31", "fd00:65::2/127")...)...),
			rules(both(policy.Allow))), []probe{"w1 > w2 ping", "w3 !> w2 ping", "w2 !> w1 ping"}},
		{"both sides passing", with(members, withSet("m", policy.Networks, append(manyLengths(), nets("10.65.0.2/31", "fd00:65::2/127")...)...),
			tiers(policy.Deny, []policy.Rule{both(policy.Log), both(policy.Pass)}, all)), []probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"staged", with(members, rules(excluding(policy.Deny), deny), func(u *policy.Update) {
			u.Policies[policyID("tier-a")].Staged = true
			u.Pipelines["ingress"].Tiers = []policy.Tier{
				{Name: "a", Policies: []policy.Ref{{ID: policyID("tier-a"), Staged: true}}, End: policy.Pass},
			}
			u.Pipelines["ingress"].End = policy.Pass
		}), []probe{"w1 > w2 ping 4", "w3 > w2 ping 4"}},
	})
	counters, err := s.plane.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		// Of the staged policy one rule would have decided on what the first sends,
		// and the other on what the third does.
		want := s.pings[s.workloads[2*(1-c.Rule)].Host]
		if c.Policy == policyID("tier-a") && c.Packets != want {
			t.Errorf("rule %d counted %d packets, want %d", c.Rule, c.Packets, want)
		}
	}
}

func TestRules(t *testing.T) {
	s := newSite(t, 3)
	s.serve(t, "w2", 80, 81, 8080)
	deny := policy.Rule{Action: policy.Deny, Source: policy.Side{Nets: prefixes("10.65.0.1/32", "fd00:65::1/128")}}
	all := policy.Rule{Action: policy.Allow}
	icmp := func(icmp *policy.ICMP) policy.Rule {
		return policy.Rule{Action: policy.Allow, Protocol: 1, ICMP: icmp}
	}
	runCases(t, s, []verdictCase{
		{"set of addresses", with(rules(from(policy.Side{Sets: []policy.SetID{"a"}})),
			withSet("a", policy.Addresses, nets("10.65.0.1/32", "fd00:65::1/128")...)),
			[]probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"set of networks", with(rules(from(policy.Side{Sets: []policy.SetID{"n"}})),
			withSet("n", policy.Networks, nets("10.65.0.1/32", "10.65.0.0/31", "fd00:65::/127")...)),
			[]probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"two sets must both hold", with(rules(from(policy.Side{Sets: []policy.SetID{"n", "a"}})),
			withSet("n", policy.Networks, nets("10.65.0.0/24", "fd00:65::/64")...),
			withSet("a", policy.Addresses, nets("10.65.0.3/32", "fd00:65::3/128")...)),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"an empty set", with(rules(from(policy.Side{Sets: []policy.SetID{"a"}})), withSet("a", policy.Addresses)),
			[]probe{"w1 !> w2 ping"}},
		{"not in a set", with(rules(from(policy.Side{NotSets: []policy.SetID{"n"}})),
			withSet("n", policy.Networks, nets("10.65.0.1/32", "10.65.0.0/31", "fd00:65::/127")...)),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"named ports", with(rules(policy.Rule{Action: policy.Allow, Protocol: 6,
			Destination: policy.Side{PortSets: []policy.SetID{"p"}, Ports: []policy.PortRange{port(81)}}}),
			withSet("p", policy.Ports, portMembers(6, 80, "10.65.0.2", "fd00:65::2")...)),
			[]probe{"w1 > w2 tcp 80", "w1 > w2 tcp 81", "w1 !> w2 tcp 8080", "w1 !> w2 udp 80"}},
		{"not named ports", with(rules(policy.Rule{Action: policy.Allow, Protocol: 6,
			Destination: policy.Side{NotPortSets: []policy.SetID{"p"}}}),
			withSet("p", policy.Ports, portMembers(6, 80, "10.65.0.2", "fd00:65::2")...)),
			[]probe{"w1 !> w2 tcp 80", "w1 > w2 tcp 81"}},
		{"ports", rules(tcpTo(port(80), policy.PortRange{First: 8000, Last: 8100})),
			[]probe{"w1 > w2 tcp 80", "w1 !> w2 tcp 81", "w1 > w2 tcp 8080", "w1 !> w2 udp 80"}},
		{"one range", rules(tcpTo(policy.PortRange{First: 80, Last: 81})),
			[]probe{"w1 > w2 tcp 80", "w1 > w2 tcp 81", "w1 !> w2 tcp 8080"}},
		{"not ports", rules(policy.Rule{Action: policy.Allow, Protocol: 17, Destination: policy.Side{
			NotPorts: []policy.PortRange{port(81), {First: 8000, Last: 9000}}}}),
			[]probe{"w1 > w2 udp 80", "w1 !> w2 udp 81", "w1 !> w2 udp 8080"}},
		{"networks, overlapping and side by side", rules(from(policy.Side{
			Nets: prefixes("10.65.0.0/31", "10.65.0.0/32", "10.65.0.2/31", "fd00:65::/126")})),
			[]probe{"w1 > w2 ping", "w3 > w2 ping"}},
		{"not networks", rules(from(policy.Side{NotNets: prefixes("10.65.0.1/32", "10.65.1.0/24", "fd00:65::1/128")})),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"not networks of the other family", rules(from(policy.Side{NotNets: prefixes("10.65.0.1/32")})),
			[]probe{"w1 !> w2 ping 4", "w3 > w2 ping 4", "w1 !> w2 ping 6"}},
		{"deny before allow", rules(deny, all), []probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"IPv6 only", rules(policy.Rule{Action: policy.Allow, IPVersion: 6}),
			[]probe{"w1 !> w2 ping 4", "w1 > w2 ping 6"}},
		{"not TCP", rules(policy.Rule{Action: policy.Allow, NotProtocol: 6}),
			[]probe{"w1 > w2 ping", "w1 > w2 udp 80", "w1 !> w2 tcp 80"}},
		{"ICMP type", rules(icmp(&policy.ICMP{Type: 8})), []probe{"w1 > w2 ping 4", "w1 !> w2 ping 6"}},
		{"another ICMP type", rules(icmp(&policy.ICMP{Type: 13})), []probe{"w1 !> w2 ping 4"}},
		{"log and go on", with(rules(policy.Rule{Action: policy.Log, Source: policy.Side{Sets: []policy.SetID{"n"}}}, all),
			withSet("n", policy.Networks, nets("10.65.0.1/32", "10.65.0.0/16", "fd00:65::/64")...)),
			[]probe{"w1 > w2 ping"}},
	})
}

func TestTiers(t *testing.T) {
	s := newSite(t, 3)
	is1 := policy.Side{Nets: prefixes("10.65.0.1/32", "fd00:65::1/128")}
	pass1 := policy.Rule{Action: policy.Pass, Source: is1}
	deny1 := policy.Rule{Action: policy.Deny, Source: is1}
	all := policy.Rule{Action: policy.Allow}
	profile := func(list ...policy.Rule) func(*policy.Update) {
		return func(u *policy.Update) {
			u.Policies[policyID("profile")] = &policy.Policy{ID: policyID("profile"), Ingress: list}
			p := *u.Pipelines["ingress"]
			p.Profiles = append(p.Profiles, policyID("profile"))
			u.Pipelines["ingress"] = &p
		}
	}
	staged := func(u *policy.Update) {
		tier := policy.Tier{Name: "s", End: policy.Pass}
		for _, id := range []resource.ID{policyID("staged"), policyID("staged-later")} {
			u.Policies[id] = &policy.Policy{ID: id, Staged: true, Ingress: []policy.Rule{deny1, {Action: policy.Deny, Index: 1}}}
			tier.Policies = append(tier.Policies, policy.Ref{ID: id, Staged: true})
		}
		p := *u.Pipelines["ingress"]
		p.Tiers = append([]policy.Tier{tier}, p.Tiers...)
		u.Pipelines["ingress"] = &p
	}
	runCases(t, s, []verdictCase{
		{"pass to the next tier", tiers(policy.Deny, []policy.Rule{pass1}, []policy.Rule{all}),
			[]probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"pass over the rest of a tier", tiers(policy.Pass, []policy.Rule{pass1, {Action: policy.Deny}}, []policy.Rule{all}),
			[]probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"pass, and pass again", with(tiers(policy.Deny, []policy.Rule{pass1}, []policy.Rule{pass1}), profile(all)),
			[]probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"pass to nothing", tiers(policy.Deny, []policy.Rule{pass1}), []probe{"w1 !> w2 ping"}},
		{"a tier whose end is pass", tiers(policy.Pass, []policy.Rule{deny1}, []policy.Rule{all}),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"a profile that passes", with(tiers(policy.Pass, []policy.Rule{deny1}), profile(policy.Rule{Action: policy.Pass}, all)),
			[]probe{"w1 !> w2 ping", "w3 !> w2 ping"}},
		{"profiles after tiers", with(tiers(policy.Pass, []policy.Rule{deny1}), profile(all)),
			[]probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"staged policies do nothing", with(rules(all), staged), []probe{"w1 > w2 ping", "w3 > w2 ping"}},
	})
	counters, err := s.plane.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		want := s.pings[s.workloads[2*c.Rule].Host] // the first, and the third
		if c.Policy == policyID("staged-later") {
			want = 0 // another staged policy of the tier decides before it
		}
		if c.Direction == policy.Ingress && c.Policy != policyID("tier-a") && c.Packets != want {
			t.Errorf("%s %d counted %d, want %d", c.Policy, c.Rule, c.Packets, want)
		}
	}
}
