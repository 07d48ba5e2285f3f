package hostnet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// findings checks host h from inside.
func findings(t *testing.T, h *lab.Host) map[string]hostnet.Finding {
	t.Helper()
	byName := map[string]hostnet.Finding{}
	in(t, h, func(host *hostnet.Host) error {
		for _, f := range host.Check(t.Context(), hostnet.CheckOptions{Protocols: []uint8{118, 119, 120, 121}}) {
			byName[f.Name] = f
		}
		return nil
	})
	return byName
}

func TestCheckChangesNothing(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:nft")
	// Without links: the kernel itself goes on changing routes and flags for a
	// while after one has come up.
	h := lab.New(t, "check").Host("h")
	state := func() string {
		return h.MustRun("ip", "-d", "addr") + h.MustRun("ip", "route", "show", "table", "all") +
			h.MustRun("ip", "nexthop") + h.MustRun("nft", "list", "ruleset") +
			h.MustRun("cat", "/proc/self/net/ip_tables_names")
	}
	before := state()
	fresh := findings(t, h)
	for name, f := range fresh {
		t.Logf("%-22s %-5s %s", name, f.Severity, f.Detail)
	}
	if after := state(); after != before {
		t.Errorf("the check changed the host from\n%s\nto\n%s", before, after)
	}
	for _, name := range []string{
		"net_admin", "ipv6", "route_strict_dumps", "nexthop_objects", "nexthop_groups", "ipv4_via_ipv6",
		"forward_filter", "all_rp_filter", "all_arp_ignore", "router_advertisements", "route_protocols",
	} {
		if f := fresh[name]; f.Name == "" || f.Severity != hostnet.OK {
			t.Errorf("on a fresh host: %+v", f)
		}
	}
}

func TestCheckSeesWhatIsSetAgainstUs(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:nft", "program:iptables-legacy")
	l := lab.New(t, "against")
	h, peer := l.Host("h"), l.Host("peer")
	l.Link(h.Port("up0", "10.1.0.2/24", "fd00:1::2/64"), peer.Port("p0", "10.1.0.1/24"))
	h.SetSysctl("net.ipv4.conf.all.rp_filter", "1")
	h.SetSysctl("net.ipv6.conf.all.forwarding", "1")
	h.MustRun("nft", "table ip t { chain c { type filter hook forward priority 0; policy drop; }; }")
	h.MustRun("iptables-legacy", "-P", "FORWARD", "DROP")
	h.MustRun("ip", "route", "add", "10.65.0.0/26", "proto", "118", "dev", "up0")
	h.MustRun("ip", "-6", "route", "add", "default", "proto", "ra", "via", "fd00:1::1")
	bad := findings(t, h)
	for name, want := range map[string]string{
		"all_rp_filter":         "strict",
		"forward_filter":        "table ip t chain c (policy drop); by iptables-legacy chain FORWARD (policy drop)",
		"route_protocols":       "1 of protocol 118",
		"router_advertisements": "up0",
	} {
		if f := bad[name]; f.Severity == hostnet.OK || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v, want %q", name, f, want)
		}
	}
}

func TestCheckKeepsItsOrder(t *testing.T) {
	testenv.Need(t, "root")
	h := lab.New(t, "order").Host("h")
	names := func() (names []string) {
		in(t, h, func(host *hostnet.Host) error {
			for _, f := range host.Check(t.Context(), hostnet.CheckOptions{}) {
				names = append(names, f.Name)
			}
			return nil
		})
		return names
	}
	if a, b := names(), names(); !slices.Equal(a, b) {
		t.Errorf("%q\nthen %q", a, b)
	}
}
