package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// large makes policies of ten rules each, that ask a set of their own, and 100
// endpoints that ten of them or more select each.
func large(policies int) *policy.Update {
	const endpoints = 100
	u := update()
	u.Endpoints = map[resource.EndpointID]*policy.Endpoint{}
	var refs []policy.Ref
	for i := range policies {
		set := policy.SetID(fmt.Sprintf("set%d", i))
		u.Sets[set] = &policy.SetChange{Kind: policy.Addresses, New: true, Add: addresses(i*10, 10)}
		p := benchPolicy(i, 0)
		u.Policies[p.ID] = p
		refs = append(refs, policy.Ref{ID: p.ID})
	}
	each := max(10, policies/endpoints)
	for i := range endpoints {
		tier := policy.Tier{Name: "default", End: policy.Deny}
		for n := range each {
			tier.Policies = append(tier.Policies, refs[(i*each+n)%policies])
		}
		id := fmt.Sprintf("in%d", i)
		u.Pipelines[id] = &policy.Pipeline{ID: id, Direction: policy.Ingress, End: policy.Deny, Tiers: []policy.Tier{tier}}
		u.Endpoints[endpointID(i)] = &policy.Endpoint{
			ID: endpointID(i), Interface: fmt.Sprintf("cali%d", i), Ingress: id, Egress: "egress",
		}
	}
	return u
}

// benchPolicy is of IPv4, so that a change is one table.
func benchPolicy(i, round int) *policy.Policy {
	p := &policy.Policy{ID: policyID(fmt.Sprintf("policy-%d", i))}
	for n := range 10 {
		port := uint16(1000 + n)
		if n == 5 {
			port += uint16(1000 * (round % 2))
		}
		p.Ingress = append(p.Ingress, policy.Rule{
			Index: n, Action: policy.Allow, IPVersion: 4, Protocol: policy.ProtocolTCP,
			Source:      policy.Side{Sets: []policy.SetID{policy.SetID(fmt.Sprintf("set%d", i))}},
			Destination: policy.Side{Ports: onePort(port)},
		})
	}
	return p
}

// addresses are n members from a number on.
func addresses(first, n int) []policy.Member {
	out := make([]policy.Member, n)
	for i := range out {
		v := first + i
		out[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(v >> 16), byte(v >> 8), byte(v)}), 32)
	}
	return out
}

// benchPlane is a dataplane in a namespace of its own, in sync.
func benchPlane(b *testing.B, flavour Flavour, u *policy.Update) *Dataplane {
	b.Helper()
	testenv.Need(b, "root", "program:iptables-"+string(flavour))
	fd := int(lab.New(b, "iptbench").Host("host").NetNS())
	d, err := New(Options{Flavour: flavour, NetNS: &fd})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	start := time.Now()
	if err := d.Sync(b.Context(), u); err != nil {
		b.Fatal(err)
	}
	b.Logf("full start %v", time.Since(start))
	start = time.Now()
	if err := d.Sync(b.Context(), u); err != nil {
		b.Fatal(err)
	}
	b.Logf("read-back %v", time.Since(start))
	return d
}

func middle(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()) / 1000
}

// BenchmarkRule changes one rule of a policy, and beside that writes the same
// chain by one bare iptables-restore.
func BenchmarkRule(b *testing.B) {
	for _, flavour := range []Flavour{NFT, Legacy} {
		for _, policies := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/rules=%d", flavour, policies*10), func(b *testing.B) {
				d := benchPlane(b, flavour, large(policies))
				var ours, bare []time.Duration
				for b.Loop() {
					round := len(ours)
					p := benchPolicy(5, round+1)
					start := time.Now()
					if err := d.Apply(b.Context(), &policy.Update{Policies: map[resource.ID]*policy.Policy{p.ID: p}}); err != nil {
						b.Fatal(err)
					}
					ours = append(ours, time.Since(start))
					x := bareRestore(d, round)
					start = time.Now()
					if err := d.tools.restore(b.Context(), x); err != nil {
						b.Fatal(err)
					}
					bare = append(bare, time.Since(start))
				}
				b.ReportMetric(middle(ours), "ms/median")
				b.ReportMetric(middle(bare), "ms/restore")
				b.ReportMetric(middle(ours)/middle(bare), "ratio")
			})
		}
	}
}

// bareRestore writes another policy's chain anew.
func bareRestore(d *Dataplane, round int) transaction {
	at := place{ipv4, filterTable}
	p := benchPolicy(6, round+1)
	d.state.policies[p.ID] = p
	c := d.state.policyChains(at, policyKey{p.ID, policy.Ingress}, listing{})[0]
	var text strings.Builder
	text.WriteString("*filter\n:" + c.name + " - [0:0]\n")
	c.write(&text)
	text.WriteString("COMMIT\n")
	return transaction{place: at, text: text.String()}
}

func BenchmarkMember(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			u := large(100)
			u.Sets["set5"].Add = addresses(0, n)
			d := benchPlane(b, NFT, u)
			extra := members("172.16.0.1/32")
			var took []time.Duration
			for b.Loop() {
				change := &policy.SetChange{Kind: policy.Addresses, Add: extra}
				if len(took)%2 == 1 {
					change.Add, change.Remove = nil, extra
				}
				start := time.Now()
				if err := d.Apply(b.Context(), &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"set5": change}}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(middle(took), "ms/median")
		})
	}
}

// BenchmarkEndpoint adds an endpoint that shares the pipelines of others, and
// takes it away.
func BenchmarkEndpoint(b *testing.B) {
	for _, flavour := range []Flavour{NFT, Legacy} {
		b.Run(string(flavour), func(b *testing.B) {
			d := benchPlane(b, flavour, large(1000))
			var took []time.Duration
			for b.Loop() {
				e := &policy.Endpoint{ID: endpointID(1000), Interface: "calinew", Ingress: "in1", Egress: "egress"}
				if len(took)%2 == 1 {
					e = nil
				}
				start := time.Now()
				if err := d.Apply(b.Context(), &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{endpointID(1000): e}}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(middle(took), "ms/median")
		})
	}
}
