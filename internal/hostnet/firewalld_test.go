package hostnet_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestFirewalld: rules as firewalld writes them drop what is forwarded, and are
// named. Accepts in the chains of iptables do not help: its chain is another one,
// and comes later. What operators are told to give it instead does.
func TestFirewalld(t *testing.T) {
	testenv.Need(t, "root", "program:ip", "program:nft", "program:iptables-nft")
	l := lab.New(t, "firewalld")
	h, peer := l.Host("h"), l.Host("peer")
	l.Link(h.Port("up0", "10.1.0.2/24"), peer.Port("p0", "10.1.0.1/24"))
	peer.MustRun("ip", "route", "add", "10.65.0.0/16", "via", "10.1.0.2")
	h.Forward()
	h.AddAddr("lo", "169.254.1.1/32")
	a, b := h.Workload("a", "calia", "10.65.0.1"), h.Workload("b", "calib", "10.65.0.2")
	for _, w := range []*lab.Workload{a, b} {
		h.MustRun("ip", "route", "add", w.Addr(true).String(), "dev", w.IfName)
		h.SetSysctl("net/ipv4/conf/"+w.IfName+"/proxy_arp", "1")
		h.SetSysctl("net/ipv4/neigh/"+w.IfName+"/proxy_delay", "0")
	}
	passes := func(what string, want bool) {
		t.Helper()
		if err := h.ForgetConnections(); err != nil { // which firewalld lets go on
			t.Fatal(err)
		}
		for way, ping := range map[string]func() error{
			"between workloads": func() error { return a.Ping(b.Addr(true)) },
			"to a workload":     func() error { return peer.Ping(a.Addr(true)) },
			"from a workload":   func() error { return a.Ping(netip.MustParseAddr("10.1.0.1")) },
		} {
			if want {
				lab.Eventually(t, limit, what+", "+way, ping)
			} else if ping() == nil {
				t.Errorf("%s, %s: it passes", what, way)
			}
		}
	}
	passes("without firewalld", true)
	for _, file := range []string{"firewalld-policy.nft", "firewalld-default.nft"} {
		open := file == "firewalld-policy.nft"
		h.MustRun("nft", "-f", filepath.Join("testdata", file))
		passes(file, open)
		for _, side := range []string{"-i", "-o"} {
			h.MustRun("iptables-nft", "-A", "FORWARD", side, "cali+", "-j", "ACCEPT")
		}
		passes(file+" and accepts of iptables", open)
		if f := findings(t, h)["forward_filter"]; f.Severity != hostnet.Warn || !strings.Contains(f.Detail, "filter_FORWARD (rule reject all) of firewalld") {
			t.Errorf("%s: %+v", file, f)
		}
		h.MustRun("iptables-nft", "-F", "FORWARD")
		h.MustRun("nft", "delete", "table", "inet", "firewalld")
	}
	passes("without firewalld again", true)
}
