package nftables

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/policy"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

// goldenUpdate has something of everything.
func goldenUpdate() *policy.Update {
	u := setUpdate()
	code := uint8(1)
	list := []policy.Rule{
		{Action: policy.Log, Source: policy.Side{Sets: []policy.SetID{"web"}}},
		{Action: policy.Deny, Protocol: 6, Source: policy.Side{NotSets: []policy.SetID{"web"}, Ports: []policy.PortRange{{First: 1, Last: 1023}}}},
		{Action: policy.Allow, Protocol: 6, Destination: policy.Side{
			PortSets: []policy.SetID{"named"}, Ports: []policy.PortRange{port(80), port(81), port(443)},
		}},
		{Action: policy.Pass, Protocol: 1, ICMP: &policy.ICMP{Type: 3, Code: &code}},
		{Action: policy.Allow, Source: policy.Side{Nets: prefixes("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "fd00::/8")}},
		{Action: policy.Allow, IPVersion: 6, NotProtocol: 17, Destination: policy.Side{NotPorts: []policy.PortRange{{First: 1, Last: 9}, port(80)}}},
		{Action: policy.Allow, Protocol: 6, Destination: policy.Side{Ports: oddPorts(20)}},
	}
	tiers(policy.Deny, list)(u)
	withSet("named", policy.Ports, portMembers(6, 8080, "10.65.0.1")...)(u)
	withSet(policy.MasqueradeSet, policy.Networks, nets("10.65.0.0/16")...)(u)
	withSet(policy.PoolSet, policy.Networks, nets("10.65.0.0/16")...)(u)
	withSet(policy.NodeSet, policy.Addresses, nets("192.0.2.1/32")...)(u)
	u.Settings.FailsafeInbound = []policy.Failsafe{{Protocol: 6, Port: 22}}
	u.Settings.FailsafeOutbound = []policy.Failsafe{{Protocol: 17, Port: 53, Net: prefixes("192.0.2.0/24")[0]}}
	u.Settings.VXLANPort, u.Settings.IPIP = 4789, true
	u.Settings.AllowDHCP, u.Settings.AllowDNS, u.Settings.AllowMetadata = true, true, true
	hostEndpoint("eth0", func(u *policy.Update, h *policy.HostEndpoint) {
		hostPipeline(u, "dnat", policy.Ingress, policy.Pass, policy.Rule{Action: policy.Deny})
		h.PreDNAT, h.Untracked.Ingress, h.Forward.Ingress = "dnat", "dnat", "none-in"
	})(u)
	hostEndpoint(policy.AnyInterface, nil)(u)
	return u
}

// oddPorts is a list that cannot be joined.
func oddPorts(n int) []policy.PortRange {
	out := make([]policy.PortRange, n)
	for i := range out {
		out[i] = port(uint16(2*i + 1))
	}
	return out
}

// TestGolden shows the rules as people read them.
func TestGolden(t *testing.T) {
	s, m := newState(), newModel()
	d := s.merge(goldenUpdate())
	d.all = true
	m.take(s.render(d, m.planned))
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.chains)) {
		b.WriteString(m.chains[name])
	}
	const file = "testdata/rules.nft"
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestListsAreBounded has lists of all four kinds in one rule: they become no
// more alternatives than mostOfList for each family.
func TestListsAreBounded(t *testing.T) {
	side := policy.Side{
		Nets:  prefixes("10.0.0.0/24", "10.0.2.0/24", "10.0.4.0/24", "fd00::/16", "fd02::/16", "fd04::/16"),
		Ports: oddPorts(5),
	}
	r := policy.Rule{Action: policy.Allow, Protocol: 6, Source: side, Destination: side}
	perFamily := 3 * 3 // a third list would exceed it
	if got := len(newState().alternatives(&r)); got != 2*perFamily {
		t.Errorf("%d alternatives, want %d", got, 2*perFamily)
	}
}

// TestNoAlternative asks sets of named ports without any address of IPv6: no
// packet of that family can match.
func TestNoAlternative(t *testing.T) {
	s := newState()
	u := &policy.Update{Sets: map[policy.SetID]*policy.SetChange{}}
	withSet("named", policy.Ports, portMembers(6, 8080, "10.65.0.1")...)(u)
	s.merge(u)
	side := policy.Side{PortSets: []policy.SetID{"named"}}
	r := policy.Rule{Action: policy.Allow, Protocol: 6, Source: side, Destination: side}
	if got := len(s.alternatives(&r)); got != 1 {
		t.Errorf("%d alternatives, want that of IPv4", got)
	}
}

func TestInterval(t *testing.T) {
	got := braces(widest(prefixes("10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "11.0.0.0/32", "10.255.0.0/16")))
	if want := "{ 10.0.0.0/8, 11.0.0.0/32 }"; got != want {
		t.Errorf("widest is %s, want %s", got, want)
	}
	last := prefixElements(prefixes("255.255.255.0/24", "10.0.0.0/24"))
	if len(last) != 3 || last[2].key != "\x0a\x00\x01\x00" || !last[2].end {
		t.Errorf("elements %v", last)
	}
	ranges := joined([]policy.PortRange{{First: 90, Last: 95}, {First: 80, Last: 89}, {First: 1, Last: 1}, {First: 85, Last: 65535}})
	if len(ranges) != 2 || ranges[1] != (policy.PortRange{First: 80, Last: 65535}) || len(portElements(ranges)) != 3 {
		t.Errorf("joined %v, elements %v", ranges, portElements(ranges))
	}
}

// FuzzMessages reads what no kernel ever sends.
func FuzzMessages(f *testing.F) {
	w := dumpRequest(2, func(w *builder) { w.text(2, "chain") })
	f.Add(w.b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		for m, err := range messages(b) {
			if err != nil {
				return
			}
			_ = replyError(m)
			if len(m.body) < 4 {
				continue
			}
			m.isOurs()
			for _, value := range m.attributes() {
				readHook(nil, value)
				readCounter(value)
				readElement(value)
				readVerdict(value)
			}
		}
		concernsUs(b, 1)
	})
}
