package policybench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// packets is what is measured of packets.
type packets struct {
	endpoints int
	policies  []int // in force, each a path for each dataplane
	burst     time.Duration
	realtime  bool
}

func kinds() []string { return []string{udpKind, udpNewKind, tripKind, connectKind, streamKind} }

// partsOfNFT are the parts of what policy in nftables costs a packet of an
// established connection, one by one: one base chain, two of them as stages one
// after the other, and the check of the source before, by a route or by a set.
func partsOfNFT(endpoints int) (names []string, rules map[string]string) {
	const (
		established = "ct state established,related accept"
		vmap        = "ct state vmap { established : accept, related : accept, invalid : drop }"
		chain       = " chain %s {\n  type filter hook %s priority %d;\n  %s\n }\n"
		check       = "iifname \"cali*\" fib saddr . iif oif missing drop"
		look        = "iifname . ip saddr @own accept"
		own         = " set own {\n  typeof iifname . ip saddr\n  elements = { %s }\n }\n"
	)
	table := func(chains ...string) string {
		out := "table inet parts {\n"
		for _, c := range chains {
			out += c
		}
		return out + "}\n"
	}
	first := fmt.Sprintf(chain, "one", "forward", -9, established)
	second := fmt.Sprintf(chain, "two", "forward", -8, established)
	early := fmt.Sprintf(chain, "early", "prerouting", -300, check)
	bySet := fmt.Sprintf(chain, "early", "prerouting", -300, look)
	var elements []string
	for i := range endpoints {
		e := (&cluster{endpoints: endpoints}).endpoint(i)
		elements = append(elements, fmt.Sprintf("%q . %s", e.Interface, e.Addresses[0]))
	}
	set := fmt.Sprintf(own, strings.Join(elements, ", "))
	return []string{"nft, one chain, vmap", "nft, one chain", "nft, two chains", "nft, two, route check", "nft, two, set check"},
		map[string]string{
			"nft, one chain, vmap":  table(fmt.Sprintf(chain, "one", "forward", -9, vmap)),
			"nft, one chain":        table(first),
			"nft, two chains":       table(first, second),
			"nft, two, route check": table(early, first, second),
			"nft, two, set check":   table(set, bySet, first, second),
		}
}

// paths makes all ways between two workloads.
func (m *packets) paths(t testing.TB) []*path {
	t.Helper()
	testenv.Need(t, "root", "program:ip", "program:nft", "program:ipset", "program:iptables-legacy-restore", "program:iptables-nft-restore")
	l := lab.New(t, "polbench")
	out := []*path{plainPath(l)}
	add := func(name string, c *cluster) *path {
		p := routedPath(l, name, len(out), c)
		out = append(out, p)
		return p
	}
	bare := &cluster{endpoints: m.endpoints}
	add("routed", bare)
	names, parts := partsOfNFT(m.endpoints)
	for _, name := range names {
		feed(t, add(name, bare).host, parts[name], "nft", "-f", "-")
	}
	for _, policies := range m.policies {
		c := &cluster{policies: policies, endpoints: m.endpoints, rules: 1, egress: true}
		u, err := c.update()
		if err != nil {
			t.Fatal(err)
		}
		for _, flavour := range []string{"legacy", "legacy+comments", "nft"} {
			like := newCalicoLike(u)
			program, comments, _ := strings.Cut(flavour, "+")
			like.comments = comments != ""
			rules, err := like.rules()
			if err != nil {
				t.Fatal(err)
			}
			h := add(fmt.Sprintf("Calico-like %s %d", flavour, policies), c).host
			feed(t, h, like.ipsets(), "ipset", "restore")
			feed(t, h, rules, "iptables-"+program+"-restore")
		}
		for _, plane := range planes() {
			h := add(fmt.Sprintf("%s %d", plane.name, policies), c).host
			if err := plane.openOn(t, h).Sync(t.Context(), u); err != nil {
				t.Fatalf("%s: %v", plane.name, err)
			}
		}
	}
	return out
}

// round gives every path its turn with every kind.
func (m *packets) round(t testing.TB, meter *meter, paths []*path, work, wall *rounds) {
	t.Helper()
	for _, kind := range kinds() {
		for _, p := range paths {
			r, err := meter.measure(burst{
				Kind: kind, From: "/run/netns/" + p.from.Namespace(), To: "/run/netns/" + p.to.Namespace(), Address: p.address,
				Seconds: m.burst.Seconds(), Realtime: m.realtime,
			})
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			work.add(p.name, kind, r.workEach())
			wall.add(p.name, kind, r.wallEach())
		}
	}
}

// BenchmarkPacket is what a packet, a round trip, a connection and a KiB of a
// stream cost in processor time, and how long they take.
func BenchmarkPacket(b *testing.B) {
	m := &packets{endpoints: 200, policies: upToLimit(0, 10, 1000), burst: 150 * time.Millisecond, realtime: true}
	paths, meter := m.paths(b), newMeter(b)
	var work, wall rounds
	for b.Loop() {
		m.round(b, meter, paths, &work, &wall)
	}
	b.ReportMetric(0, "ns/op") // a round mixes what must not be added up
	work.log(b, "processor ns each", "%.0f")
	wall.log(b, "ns each", "%.0f")
	var veth, routed rounds
	for _, policies := range m.policies {
		for _, like := range []string{"legacy", "legacy+comments", "nft"} {
			like = fmt.Sprintf("Calico-like %s %d", like, policies)
			for _, plane := range planes() {
				name := fmt.Sprintf("%s %d", plane.name, policies)
				for _, kind := range kinds()[:4] {
					row := name + " / " + like
					veth.add(row, kind, extra(&work, name, like, "plain veth", kind))
					routed.add(row, kind, extra(&work, name, like, "routed", kind))
				}
			}
		}
	}
	veth.log(b, "extra cost over a plain veth pair", "%.2f")
	routed.log(b, "extra cost over routing", "%.2f")
}

// extra is the ratio of what two paths cost more than a third.
func extra(r *rounds, a, b, base, kind string) float64 {
	x, _ := r.median(a, kind)
	y, _ := r.median(b, kind)
	z, _ := r.median(base, kind)
	return (x - z) / (y - z)
}

// TestPacket sends a little on every path.
func TestPacket(t *testing.T) {
	m := &packets{endpoints: 20, policies: []int{0, 20}, burst: 5 * time.Millisecond}
	paths := m.paths(t)
	var work, wall rounds
	m.round(t, newMeter(t), paths, &work, &wall)
	work.log(t, "processor ns each", "%.0f")
}
