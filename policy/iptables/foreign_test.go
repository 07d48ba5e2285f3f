package iptables_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy/iptables"
)

// TestForeign: with a firewall as Docker and ufw leave it, packets of workloads
// pass where that is asked for, and of nobody else; afterwards all is as it was.
func TestForeign(t *testing.T) {
	testenv.Need(t, "root", "program:iptables-nft", "program:iptables-legacy")
	for _, flavour := range []string{"nft", "legacy"} {
		t.Run(flavour, func(t *testing.T) {
			l := lab.New(t, "foreign")
			h := l.Host("h")
			h.Forward()
			a, b := h.Workload("a", "calia", "10.65.0.1"), h.Workload("b", "calib", "10.65.0.2")
			for _, w := range []*lab.Workload{a, b} {
				h.MustRun("ip", "route", "add", w.Addr(true).String(), "dev", w.IfName)
				h.SetSysctl("net/ipv4/conf/"+w.IfName+"/proxy_arp", "1")
				h.SetSysctl("net/ipv4/neigh/"+w.IfName+"/proxy_delay", "0")
			}
			h.AddAddr("lo", "169.254.1.1/32")
			if err := a.Ping(b.Addr(true)); err != nil {
				t.Fatal(err)
			}
			program := "iptables-" + flavour
			rules := func() []string { return slices.Collect(strings.Lines(h.MustRun(program, "-S", "FORWARD"))) }
			fd := int(h.NetNS())
			foreign := iptables.NewForeign(&fd)
			accept := func(prefixes ...string) {
				t.Helper()
				if err := foreign.Accept(t.Context(), prefixes); err != nil {
					t.Fatal(err)
				}
			}
			accept("cali")
			if all := rules(); len(all) != 1 {
				t.Errorf("nobody drops anything, and there are rules: %q", all)
			}
			h.MustRun(program, "-N", "DOCKER-USER")
			h.MustRun(program, "-A", "FORWARD", "-j", "DOCKER-USER")
			h.MustRun(program, "-P", "FORWARD", "DROP")
			before := rules()
			if err := a.Ping(b.Addr(true)); err == nil {
				t.Fatal("the firewall drops nothing")
			}
			for _, prefixes := range [][]string{{"other"}, {"cali", "tap"}, {"cali"}} {
				accept(prefixes...)
				once := rules()
				accept(prefixes...)
				if twice := rules(); !slices.Equal(once, twice) || len(once) != len(before)+2*len(prefixes) {
					t.Errorf("accepted once and twice:\n%q\n%q", once, twice)
				}
				if err := a.Ping(b.Addr(true)); (err == nil) != (prefixes[0] == "cali") {
					t.Errorf("with %q: %v", prefixes, err)
				}
			}
			// Somebody else comes before ours, and policy: ours stand behind that.
			h.MustRun(program, "-I", "FORWARD", "-d", "192.0.2.1", "-j", "DROP")
			h.MustRun(program, "-N", "vr-forward")
			h.MustRun(program, "-I", "FORWARD", "-j", "vr-forward")
			accept("cali")
			if all := rules(); !strings.Contains(all[1], "vr-forward") || !strings.Contains(all[2], iptables.AcceptComment) {
				t.Errorf("ours do not stand behind policy: %q", all)
			}
			h.MustRun(program, "-D", "FORWARD", "-j", "vr-forward")
			h.MustRun(program, "-D", "FORWARD", "-d", "192.0.2.1", "-j", "DROP")
			accept()
			if after := rules(); !slices.Equal(before, after) {
				t.Errorf("switched off, it is\n%q\nand was\n%q", after, before)
			}
			if err := a.Ping(netip.MustParseAddr("10.65.0.2")); err == nil {
				t.Error("switched off, and the firewall drops nothing")
			}
		})
	}
}
