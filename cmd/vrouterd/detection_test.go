package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
)

func configOf(t *testing.T, node string) config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte("node: {name: n, "+node+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestMethodText(t *testing.T) {
	for _, text := range []string{
		"first-found", "can-reach=tor.example", "can-reach=192.0.2.1", "interface=^eth,ens[0-9]", "skip-interface=mgmt", "cidr=10.0.0.0/8,192.0.2.0/24",
	} {
		cfg := configOf(t, "ipv4Address: '"+text+"'")
		if got := methodText(detectOptions(cfg).IPv4); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
}

func TestIdentifyByMethod(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")
	d := &detector{was: hostnet.Detection{IPv4: hostnet.Found{Prefix: v4}, IPv6: hostnet.Found{Prefix: v6}}}
	var id agent.Identity
	d.Identify(&id, configOf(t, "ipv4Address: first-found").Node)
	want := agent.Identity{Configured: agent.NodeFields{IPv4: v4}, Detected: agent.NodeFields{IPv4: v4, IPv6: v6}}
	if diff := cmp.Diff(want.Configured, id.Configured, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || id.Detected.IPv6 != v6 || id.Detected.IPv4 != v4 {
		t.Errorf("got %+v (-want +got):\n%s", id, diff)
	}
}

func TestDetectionIsShown(t *testing.T) {
	was := hostnet.Found{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Interface: "eth0", Reason: "first", Candidates: []hostnet.Candidate{
		{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.1/24"), Chosen: true, Reason: "first"},
	}}
	d := &detector{
		log: hclog.NewNullLogger(), opts: detectOptions(configOf(t, "ipv6Address: none")),
		was: hostnet.Detection{IPv4: was}, now: hostnet.Detection{IPv4: was},
	}
	if all := d.State(); len(all) != 1 || all[0].Problem != "" || all[0].Method != "first-found" || len(all[0].Candidates) != 1 {
		t.Errorf("at the start: %+v", all)
	}
	d.now.IPv4 = hostnet.Found{Reason: "no address will do"}
	want := "detected IPv4 address: it was 192.0.2.1/24 at first, now it would be none (no address will do)"
	if all := d.State(); all[0].Problem != want || all[0].Address != was.Prefix {
		t.Errorf("after a change: %+v", all)
	}
	d.opts.IPv4.Kind, d.was = hostnet.OnInterface, d.now
	if all := d.State(); all[0].Problem != "no IPv4 address was detected by interface: no address will do" {
		t.Errorf("nothing found: %+v", all)
	}
	many := make([]hostnet.Candidate, shownCandidates+3)
	if text := describeCandidates(many); !strings.HasSuffix(text, "; and 3 more") {
		t.Error(text)
	}
}

// TestLateAddressIsTaken: a family without an address has the first that comes,
// and keeps it; what the configuration wants is looked for until it is there.
func TestLateAddressIsTaken(t *testing.T) {
	found := func(address string) hostnet.Found {
		if address == "" {
			return hostnet.Found{Reason: "no address will do"}
		}
		return hostnet.Found{Prefix: netip.MustParsePrefix(address), Interface: "eth0", Reason: "first"}
	}
	d := &detector{log: hclog.NewNullLogger(), opts: detectOptions(configOf(t, "ipv6Address: interface=eth0"))}
	d.was = hostnet.Detection{IPv4: found(""), IPv6: found("")}
	d.now = d.was
	for i, step := range []struct {
		v4, v6   string
		came     bool
		missing  []bool
		problems string
	}{
		{"", "", false, []bool{true, true}, "no IPv4 address was detected by first-found: no address will do" +
			"; no IPv6 address was detected by interface=eth0: no address will do"},
		{"192.0.2.1/24", "", true, []bool{false, true}, "; no IPv6 address was detected by interface=eth0: no address will do"},
		{"192.0.2.1/24", "", false, []bool{false, true}, "; no IPv6 address was detected by interface=eth0: no address will do"},
		{"192.0.2.2/24", "2001:db8::1/64", true, []bool{false, false},
			"detected IPv4 address: it was 192.0.2.1/24 at first, now it would be 192.0.2.2/24 (first); "},
		{"192.0.2.1/24", "", false, []bool{false, false},
			"; detected IPv6 address: it was 2001:db8::1/64 at first, now it would be none (no address will do)"},
		{"192.0.2.1/24", "2001:db8::1/64", false, []bool{false, false}, "; "},
	} {
		if came := d.follow(hostnet.Detection{IPv4: found(step.v4), IPv6: found(step.v6)}); came != step.came {
			t.Errorf("step %d: came is %t", i, came)
		}
		for j, f := range d.families() {
			if f.missing() != step.missing[j] {
				t.Errorf("step %d: %s is missing: %t", i, f.name, f.missing())
			}
		}
		all := d.State()
		if got := all[0].Problem + "; " + all[1].Problem; got != step.problems {
			t.Errorf("step %d: %s", i, got)
		}
	}
	var id agent.Identity
	d.Identify(&id, configOf(t, "ipv6Address: interface=eth0").Node)
	if id.Detected.IPv4 != netip.MustParsePrefix("192.0.2.1/24") || id.Configured.IPv4.IsValid() ||
		id.Configured.IPv6 != netip.MustParsePrefix("2001:db8::1/64") {
		t.Errorf("%+v", id)
	}
}

// A family that the other one stands in for may have none.
func TestMissingFamily(t *testing.T) {
	v4 := hostnet.Found{Prefix: netip.MustParsePrefix("192.0.2.1/24")}
	for node, want := range map[string]bool{
		"": false, "ipv6Address: first-found": false, "ipv6Address: can-reach=tor": true, "ipv6Address: none": false,
	} {
		d := &detector{opts: detectOptions(configOf(t, node)), was: hostnet.Detection{IPv4: v4}}
		if got := d.families()[1].missing(); got != want {
			t.Errorf("%q: missing is %t", node, got)
		}
	}
	d := &detector{opts: detectOptions(configOf(t, "ipv4Address: 192.0.2.1/24, ipv6Address: first-found")), stated: true}
	if d.families()[1].missing() {
		t.Error("missing beside an address of the configuration")
	}
}
