package hostnet

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// good are the facts of a host with nothing against us.
func good() facts {
	f := facts{
		netAdmin: true, netRaw: true, netBind: true,
		probes: map[string]error{},
		sysctls: map[string]string{
			keyNeighbours4: "65536", keyNeighbours6: "65536", keyIPv6Routes: "2147483647",
			keyForward4: "1", keyForward6: "1", keyHash4: "1", keyHash6: "1",
			keyReversePath: "0", keyARPIgnore: "0", keyConntrack: "262144",
		},
		programs: map[string]bool{"iptables": true, "iptables-restore": true},
	}
	for _, r := range features {
		f.probes[r.name] = nil
	}
	return f
}

func TestEvaluate(t *testing.T) {
	lacks := errors.New("operation not supported")
	for _, test := range []struct {
		name string
		with func(*facts)
		want map[string]Severity // all findings that are not OK
		say  string              // in the detail or hint of one of them
	}{
		{"nothing against us", func(*facts) {}, nil, ""},
		{"no privileges", func(f *facts) {
			f.netAdmin, f.netRaw, f.netBind = false, false, false
		}, map[string]Severity{"net_admin": Error, "net_raw": Warn, "net_bind_service": Warn}, "lacks CAP_NET_ADMIN"},
		{"old kernel", func(f *facts) {
			f.probes["nexthop_objects"], f.probes["vxlan"] = lacks, lacks
		}, map[string]Severity{"nexthop_objects": Warn, "vxlan": Info}, "Linux 5.3"},
		{"modules", func(f *facts) {
			f.probes["ipip"], f.probes["vrf"] = errNotLoaded, errUnknown
		}, map[string]Severity{"vrf": Info}, "could load"},
		{"small tables", func(f *facts) {
			f.sysctls[keyNeighbours4], f.sysctls[keyIPv6Routes] = "1024", "4096"
		}, map[string]Severity{"ipv4_neighbours": Warn, "ipv6_routes": Warn}, "sysctl -w net.ipv6.route.max_size=1000000"},
		{"not the machine's own namespace", func(f *facts) {
			maps.DeleteFunc(f.sysctls, func(k, _ string) bool { return strings.Contains(k, "neigh") })
		}, nil, ""},
		{"a fresh machine", func(f *facts) {
			f.sysctls[keyForward4], f.sysctls[keyHash4] = "0", "0"
		}, map[string]Severity{"ipv4_forwarding": Info, "ipv4_multipath_hash": Info}, "sets it to 1"},
		{"read-only settings", func(f *facts) {
			f.readOnly, f.sysctls[keyForward4] = true, "0"
		}, map[string]Severity{"ipv4_forwarding": Error}, "from outside"},
		{"strict reverse path", func(f *facts) { f.sysctls[keyReversePath] = "1" },
			map[string]Severity{"all_rp_filter": Warn}, "strict on every interface"},
		{"loose reverse path", func(f *facts) { f.sysctls[keyReversePath] = "2" },
			map[string]Severity{"all_rp_filter": Warn}, "forge"},
		{"picky ARP", func(f *facts) { f.sysctls[keyARPIgnore] = "1" },
			map[string]Severity{"all_arp_ignore": Error}, "169.254.1.1"},
		{"default route that runs out", func(f *facts) { f.ending = []string{"eth0"} },
			map[string]Severity{"router_advertisements": Warn}, "net.ipv6.conf.eth0.accept_ra=2"},
		{"firewall", func(f *facts) { f.drops = []string{"nftables table ip filter chain FORWARD (policy drop)"} },
			map[string]Severity{"forward_filter": Warn}, "table ip filter"},
		{"firewall not readable", func(f *facts) { f.filterErr = lacks },
			map[string]Severity{"forward_filter": Info}, "unknown"},
		{"nothing for policy", func(f *facts) { clear(f.programs); delete(f.sysctls, keyConntrack) },
			map[string]Severity{"iptables": Info, "conntrack": Info}, ""},
		{"routes with our numbers", func(f *facts) { f.routes = map[uint8]int{120: 7, 118: 2} },
			map[string]Severity{"route_protocols": Info}, "2 of protocol 118, 7 of protocol 120"},
		{"next-hop announcements", func(f *facts) { f.sysctls[keyNexthopCompat] = "1" },
			map[string]Severity{"nexthop_compat_mode": Info}, "announced"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			test.with(&f)
			got := map[string]Severity{}
			var text strings.Builder
			names := map[string]bool{}
			for _, fd := range evaluate(f) {
				if names[fd.Name] || fd.Detail == "" {
					t.Errorf("finding without detail, or twice: %+v", fd)
				}
				names[fd.Name] = true
				if fd.Severity != OK {
					got[fd.Name] = fd.Severity
					text.WriteString(fd.Detail + "\n" + fd.Hint + "\n")
				}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !strings.Contains(text.String(), test.say) {
				t.Errorf("no %q in\n%s", test.say, text.String())
			}
		})
	}
}

func TestEvaluateWithoutProbes(t *testing.T) {
	f := good()
	f.probes, f.probeErr = nil, errors.New("operation not permitted")
	unknown := 0
	for _, fd := range evaluate(f) {
		if fd.Severity == Info && strings.HasPrefix(fd.Detail, "unknown: operation not permitted") {
			unknown++
		}
	}
	if unknown != len(features) {
		t.Errorf("%d features are unknown, want all %d", unknown, len(features))
	}
}

func TestIPTablesDrops(t *testing.T) {
	rules := `-P FORWARD DROP
-A FORWARD -i docker0 -j ACCEPT
-A FORWARD -s 10.0.0.0/8 -j DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
`
	if got := iptablesDrops(rules); !slices.Equal(got, []string{"policy drop", "rule reject all"}) {
		t.Errorf("%q", got)
	}
	if got := iptablesDrops("-P FORWARD ACCEPT\n"); got != nil {
		t.Errorf("%q", got)
	}
}

const ruleset = `{"nftables": [
 {"metainfo": {"version": "1.0.6"}},
 {"table": {"family": "inet", "name": "f"}},
 {"chain": {"family": "inet", "table": "f", "name": "forward", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
 {"chain": {"family": "inet", "table": "f", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
 {"chain": {"family": "inet", "table": "f", "name": "last", "type": "filter", "hook": "forward", "prio": 5, "policy": "accept"}},
 {"chain": {"family": "inet", "table": "f", "name": "jumped"}},
 {"rule": {"family": "inet", "table": "f", "chain": "last", "expr": [{"match": {"op": "=="}}, {"drop": null}]}},
 {"rule": {"family": "inet", "table": "f", "chain": "jumped", "expr": [{"drop": null}]}},
 {"rule": {"family": "inet", "table": "f", "chain": "last", "expr": [{"counter": {"packets": 0}}, {"reject": {"type": "icmpx"}}]}},
 {"rule": {"family": "inet", "table": "f", "chain": "last", "expr": [{"xt": {"type": "target", "name": "REJECT"}}]}},
 {"rule": {"family": "inet", "table": "f", "chain": "last", "expr": [{"xt": {"type": "match", "name": "x"}}, {"drop": null}]}}
]}`

func TestNFTDrops(t *testing.T) {
	got, err := nftDrops([]byte(ruleset))
	want := []string{
		"nftables table inet f chain forward (policy drop)",
		"nftables table inet f chain last (rule reject all)",
		"nftables table inet f chain last (rule reject all)",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzFirewallListings(f *testing.F) {
	f.Add(ruleset)
	f.Add("-P FORWARD DROP\n-A FORWARD -j REJECT --reject-with x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, how := range iptablesDrops(s) {
			if !strings.Contains(s, "FORWARD") {
				t.Errorf("found %q in %q", how, s)
			}
		}
		if _, err := nftDrops([]byte(s)); err == nil && !json.Valid([]byte(s)) {
			t.Errorf("read as JSON: %q", s)
		}
	})
}
