package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// large makes policies of ten rules each, that ask a set of their own, and
// endpoints that ten of them select each.
func large(policies, endpoints int) *policy.Update {
	u := baseUpdate(0)
	var refs []policy.Ref
	for i := range policies {
		set := policy.SetID(fmt.Sprintf("set%d", i))
		u.Sets[set] = &policy.SetChange{Kind: policy.Addresses, New: true, Add: addresses(i*10, 10)}
		p := &policy.Policy{ID: policyID(fmt.Sprintf("policy-%d", i))}
		for n := range 10 {
			p.Ingress = append(p.Ingress, benchRule(n, set, uint16(1000+n)))
		}
		u.Policies[p.ID] = p
		refs = append(refs, policy.Ref{ID: p.ID})
	}
	for i := range endpoints {
		id := fmt.Sprintf("in%d", i)
		p := &policy.Pipeline{ID: id, Direction: policy.Ingress, End: policy.Deny}
		tier := policy.Tier{Name: "default", End: policy.Deny}
		for n := range max(10, policies/endpoints) {
			tier.Policies = append(tier.Policies, refs[(i*max(10, policies/endpoints)+n)%policies])
		}
		p.Tiers = []policy.Tier{tier}
		u.Pipelines[id] = p
		u.Endpoints[endpointID(i)] = &policy.Endpoint{
			ID: endpointID(i), Interface: fmt.Sprintf("cali%d", i), Ingress: id, Egress: "egress",
		}
	}
	return u
}

func benchRule(index int, set policy.SetID, port uint16) policy.Rule {
	return policy.Rule{
		Index: index, Action: policy.Allow, Protocol: 6, Source: policy.Side{Sets: []policy.SetID{set}},
		Destination: policy.Side{Ports: []policy.PortRange{{First: port, Last: port}}},
	}
}

// addresses are n members from a number on.
func addresses(first, n int) []policy.Member {
	out := make([]policy.Member, n)
	for i := range out {
		v := first + i
		a := netip.AddrFrom4([4]byte{10, byte(v >> 16), byte(v >> 8), byte(v)})
		out[i].Prefix = netip.PrefixFrom(a, 32)
	}
	return out
}

// benchPlane is a dataplane in a namespace of its own, in sync.
func benchPlane(b *testing.B, u *policy.Update) *Dataplane {
	b.Helper()
	testenv.Need(b, "root")
	host := lab.New(b, "nftbench").Host("host")
	fd := int(host.NetNS())
	d, err := New(Options{NetNS: &fd})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	start := time.Now()
	if err := d.Sync(b.Context(), u); err != nil {
		b.Fatal(err)
	}
	b.Logf("full start %v", time.Since(start))
	return d
}

// median applies updates and reports the middle of what they took.
func median(b *testing.B, d *Dataplane, update func(i int) *policy.Update) {
	b.Helper()
	var took []time.Duration
	i := 0
	for b.Loop() {
		u := update(i)
		start := time.Now()
		if err := d.Apply(b.Context(), u); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		i++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
}

func BenchmarkRule(b *testing.B) {
	change := func(i int) *policy.Update {
		p := &policy.Policy{ID: policyID("policy-5")}
		for n := range 10 {
			p.Ingress = append(p.Ingress, benchRule(n, "set5", uint16(1000+n)))
		}
		p.Ingress[5] = benchRule(5, "set5", uint16(2000+i%2))
		return &policy.Update{Policies: map[resource.ID]*policy.Policy{p.ID: p}}
	}
	for _, policies := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", policies*10), func(b *testing.B) {
			median(b, benchPlane(b, large(policies, 100)), change)
		})
	}
	// A hundred pipelines that go through all policies.
	b.Run("rules=10000/all", func(b *testing.B) {
		u := large(1000, 100)
		tier := policy.Tier{Name: "default", End: policy.Deny}
		for i := range 1000 {
			tier.Policies = append(tier.Policies, policy.Ref{ID: policyID(fmt.Sprintf("policy-%d", i))})
		}
		for i := range 100 {
			u.Pipelines[fmt.Sprintf("in%d", i)].Tiers = []policy.Tier{tier}
		}
		median(b, benchPlane(b, u), change)
	})
}

func BenchmarkMember(b *testing.B) {
	for _, members := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			u := large(100, 100)
			u.Sets["set5"].Add = addresses(0, members)
			d := benchPlane(b, u)
			extra := policy.Member{Prefix: netip.MustParsePrefix("172.16.0.1/32")}
			median(b, d, func(i int) *policy.Update {
				change := &policy.SetChange{Kind: policy.Addresses, Add: []policy.Member{extra}}
				if i%2 == 1 {
					change.Add, change.Remove = nil, change.Add
				}
				return &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"set5": change}}
			})
		})
	}
}

func BenchmarkEndpoint(b *testing.B) {
	for _, policies := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", policies*10), func(b *testing.B) {
			d := benchPlane(b, large(policies, 100))
			median(b, d, func(i int) *policy.Update {
				e := &policy.Endpoint{ID: endpointID(1000), Interface: "calinew", Ingress: "in1", Egress: "egress"}
				if i%2 == 1 {
					e = nil
				}
				return &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{endpointID(1000): e}}
			})
		})
	}
}

// BenchmarkStart is the first sync of a fresh host, also with a list of ports in
// every rule, and one after a restart.
func BenchmarkStart(b *testing.B) {
	for _, policies := range []int{100, 1000} {
		for _, name := range []string{"fresh", "lists", "restart"} {
			b.Run(fmt.Sprintf("policies=%d/%s", policies, name), func(b *testing.B) {
				u := large(policies, 200)
				if name == "lists" {
					for _, p := range u.Policies {
						for i := range p.Ingress {
							p.Ingress[i].Destination.Ports = oddPorts(3)
						}
					}
				}
				d := benchPlane(b, u)
				for b.Loop() {
					if name != "restart" {
						b.StopTimer()
						if err := d.Clean(b.Context()); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					if err := d.Sync(b.Context(), u); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
