package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// sets renders the sets of rules: KIND ORIGIN: MEMBERS, by line.
func (r *resolving) sets() string {
	var list []string
	for id, s := range r.state.Sets {
		if _, ok := fixedSets()[id]; ok {
			continue
		}
		var members []string
		for _, m := range s.Members() {
			members = append(members, m.String())
		}
		list = append(list, fmt.Sprintf("%s %s: %s", s.Kind, s.Origin, strings.Join(members, " ")))
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func (r *resolving) wantSets(lines ...string) {
	r.t.Helper()
	if got, want := r.sets(), strings.Join(lines, "\n"); got != want {
		r.t.Errorf("sets:\n%s\nwant:\n%s", got, want)
	}
}

// change renders what an update says of the only set it changes.
func change(t *testing.T, u *Update) string {
	t.Helper()
	if len(u.Sets) != 1 {
		t.Fatalf("%d sets changed", len(u.Sets))
	}
	for _, c := range u.Sets {
		switch {
		case c.Gone:
			return "gone"
		case c.New:
			return fmt.Sprintf("new %v", c.Add)
		}
		return fmt.Sprintf("+%v -%v", c.Add, c.Remove)
	}
	return ""
}

func TestResolverMembers(t *testing.T) {
	const selectRed = "GlobalNetworkPolicy p {selector: has(w), ingress: [{action: Allow, source: {selector: c == 'red'}}]}"
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w w=yes1 {}",
		"WorkloadEndpoint x/a c=red {node: n2, ipNetworks: [10.0.0.2/32, 'fd00::2/128']}",
		"WorkloadEndpoint y/b c=red {node: n3, ipNetworks: [10.0.0.1/32]}",
		"WorkloadEndpoint x/c c=blue {ipNetworks: [10.0.0.3/32]}",
		"HostEndpoint h c=red {node: n2, interfaceName: eth0, expectedIPs: [192.0.2.2]}",
		"GlobalNetworkSet s c=red {nets: [192.0.2.3/32]}",
	)
	r.wantSets()
	u := r.put(selectRed)
	if got, want := change(t, u), "new [10.0.0.1/32 10.0.0.2/32 192.0.2.2/32 192.0.2.3/32 fd00::2/128]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	r.wantSets(`addresses c == "red": 10.0.0.1/32 10.0.0.2/32 192.0.2.2/32 192.0.2.3/32 fd00::2/128`)

	// Coalesced: what comes and goes again is no news.
	r.Put(parseObject(t, "WorkloadEndpoint x/c c=red {ipNetworks: [10.0.0.3/32]}"))
	r.Put(parseObject(t, "WorkloadEndpoint x/c c=blue {ipNetworks: [10.0.0.3/32]}"))
	r.Delete(parseObject(t, "WorkloadEndpoint x/a {}").Metadata().ID)
	r.Put(parseObject(t, "WorkloadEndpoint x/a c=red {node: n1, ipNetworks: [10.0.0.2/32]}"))
	if got, want := change(t, r.drain()), "+[] -[fd00::2/128]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}

	// An address of two endpoints is a member until both are gone, in any order.
	if u := r.put("WorkloadEndpoint x/again c=red {node: n4, ipNetworks: [10.0.0.1/32]}"); !u.IsEmpty() {
		t.Errorf("told %+v", u)
	}
	if u := r.delete("WorkloadEndpoint y/b {}"); !u.IsEmpty() {
		t.Errorf("told %+v", u)
	}
	if got, want := change(t, r.delete("WorkloadEndpoint x/again {}")), "+[] -[10.0.0.1/32]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}

	// A second policy shares the set; it goes with the last.
	if u := r.put(strings.Replace(selectRed, " p ", " q ", 1)); len(u.Sets) != 0 || len(u.Policies) != 1 {
		t.Errorf("told %+v", u)
	}
	if u := r.delete("GlobalNetworkPolicy p {}"); len(u.Sets) != 0 {
		t.Errorf("told %+v", u)
	}
	if got := change(t, r.put("WorkloadEndpoint x/w other=yes1 {}")); got != "gone" {
		t.Errorf("told %s", got)
	}
	r.wantSets()
}

func TestResolverSetKind(t *testing.T) {
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w c=red {ipNetworks: [10.0.0.1/32]}",
		"GlobalNetworkPolicy p {ingress: [{action: Allow, source: {selector: c == 'red'}}], egress: [{action: Deny, destination: {notSelector: c == 'red'}}]}",
	)
	r.wantSets(`addresses c == "red": 10.0.0.1/32`)
	u := r.put("GlobalNetworkSet s c=red {nets: [192.0.2.0/24, 192.0.2.1/32]}")
	if len(u.Sets) != 2 || len(u.Policies) != 1 {
		t.Errorf("told %d sets, %d policies", len(u.Sets), len(u.Policies))
	}
	r.wantSets(`networks c == "red": 10.0.0.1/32 192.0.2.0/24 192.0.2.1/32`)
	if u := r.put("GlobalNetworkSet t c=red {nets: [0.0.0.0/0]}"); len(u.Policies) != 0 {
		t.Errorf("told %+v", u)
	}
	r.delete("GlobalNetworkSet s {}")
	r.wantSets(`networks c == "red": 0.0.0.0/0 10.0.0.1/32`)
	r.put("GlobalNetworkSet t c=blue {nets: [0.0.0.0/0]}")
	r.wantSets(`addresses c == "red": 10.0.0.1/32`)
}

func TestResolverPorts(t *testing.T) {
	const port = "ports: [{name: web, port: 80, protocol: TCP}, {name: web, port: 81, protocol: TCP}, {name: web, port: 82, protocol: UDP}, {name: ssh, port: 22, protocol: TCP}]"
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w c=red {ipNetworks: [10.0.0.1/32, 'fd00::1/128'], "+port+"}",
		"WorkloadEndpoint x/v c=blue {node: n2, ipNetworks: [10.0.0.2/32], ports: [{name: web, port: 80, protocol: TCP}]}",
		"GlobalNetworkPolicy p {ingress: [{action: Allow, protocol: TCP, destination: {ports: [1000, web, '2000:2001']}}], "+
			"egress: [{action: Allow, protocol: TCP, destination: {selector: c == 'blue', notPorts: [web]}}]}",
	)
	r.wantSets(
		`addresses c == "blue": 10.0.0.2/32`,
		`ports port web/6 of all(): 10.0.0.1,6:80 10.0.0.1,6:81 10.0.0.2,6:80 fd00::1,6:80 fd00::1,6:81`,
		`ports port web/6 of c == "blue": 10.0.0.2,6:80`,
	)
	p := r.state.Policies[resource.ID{Kind: resource.KindGlobalNetworkPolicy, Name: "p"}]
	to := p.Ingress[0].Destination
	if fmt.Sprint(to.Ports) != "[1000 2000:2001]" || len(to.PortSets) != 1 || len(p.Egress[0].Destination.NotPortSets) != 1 {
		t.Errorf("rules %+v", p)
	}
	u := r.put("WorkloadEndpoint x/v c=blue {node: n2, ipNetworks: [10.0.0.2/32], ports: [{name: web, port: 8080, protocol: TCP}]}")
	if len(u.Sets) != 2 {
		t.Errorf("%d sets changed", len(u.Sets))
	}
	r.wantSets(
		`addresses c == "blue": 10.0.0.2/32`,
		`ports port web/6 of all(): 10.0.0.1,6:80 10.0.0.1,6:81 10.0.0.2,6:8080 fd00::1,6:80 fd00::1,6:81`,
		`ports port web/6 of c == "blue": 10.0.0.2,6:8080`,
	)
}

func TestResolverServices(t *testing.T) {
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w {}",
		"NetworkPolicy x/p {ingress: [{action: Allow, source: {services: {name: svc}}}], egress: [{action: Allow, destination: {services: {name: svc}}}]}",
	)
	r.wantSets("addresses addresses of service x/svc: ", "ports ports of service x/svc: ")
	r.put("Service x/svc {ports: [{port: 80, targetPort: 8080}], backends: [{address: 10.0.0.1}, " +
		"{address: 10.0.0.2, ready: false, ports: [{port: 53, protocol: UDP}]}]}")
	r.wantSets("addresses addresses of service x/svc: 10.0.0.1/32 10.0.0.2/32", "ports ports of service x/svc: 10.0.0.1,6:8080 10.0.0.2,17:53")
	u := r.put("Service x/svc {ports: [{port: 80, targetPort: 8080}], backends: [{address: 10.0.0.1}, {address: 10.0.0.3}]}")
	if len(u.Sets) != 2 || len(u.Policies) != 0 {
		t.Errorf("told %+v", u)
	}
	r.wantSets("addresses addresses of service x/svc: 10.0.0.1/32 10.0.0.3/32", "ports ports of service x/svc: 10.0.0.1,6:8080 10.0.0.3,6:8080")
	r.delete("Service x/svc {}")
	r.wantSets("addresses addresses of service x/svc: ", "ports ports of service x/svc: ")
}

func TestResolverRules(t *testing.T) {
	four, six := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")
	all4, all6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	nets := func(list ...netip.Prefix) []netip.Prefix { return list }
	for name, c := range map[string]struct {
		rule resource.Rule
		want string // families; empty: it can never match
	}{
		"anything":             {resource.Rule{}, "4 6"},
		"one family":           {resource.Rule{IPVersion: 6}, "6"},
		"networks of one":      {resource.Rule{Source: resource.Entity{Nets: nets(four)}}, "4"},
		"networks of both":     {resource.Rule{Source: resource.Entity{Nets: nets(four, six)}}, "4 6"},
		"networks of neither":  {resource.Rule{Source: resource.Entity{Nets: nets(four)}, Destination: resource.Entity{Nets: nets(six)}}, ""},
		"networks of another":  {resource.Rule{IPVersion: 4, Source: resource.Entity{Nets: nets(six)}}, ""},
		"not of one":           {resource.Rule{Source: resource.Entity{NotNets: nets(four)}}, "4"},
		"not anything of IPv4": {resource.Rule{Source: resource.Entity{NotNets: nets(six, all4)}}, "6"},
		"nothing but IPv6":     {resource.Rule{Source: resource.Entity{NotNets: nets(all4)}}, ""},
		"not of either":        {resource.Rule{Source: resource.Entity{NotNets: nets(four)}, Destination: resource.Entity{NotNets: nets(six)}}, ""},
		"not anything":         {resource.Rule{Destination: resource.Entity{NotNets: nets(all4, all6)}}, ""},
		"anything of IPv4":     {resource.Rule{Destination: resource.Entity{Nets: nets(all4)}}, "4"},
		"protocol and not":     {resource.Rule{Protocol: 6, NotProtocol: 6}, ""},
		"protocol, not other":  {resource.Rule{Protocol: 6, NotProtocol: 17}, "4 6"},
	} {
		c.rule.Action = resource.ActionAllow
		b := ruleBuilder{resolver: NewResolver("n1")}
		got := ""
		for _, r := range b.rules([]resource.Rule{c.rule}) {
			v4, v6 := r.Families()
			got = strings.TrimSpace(map[bool]string{true: "4 "}[v4] + map[bool]string{true: "6"}[v6])
		}
		if got != c.want {
			t.Errorf("%s: families %q, want %q", name, got, c.want)
		}
	}
}
