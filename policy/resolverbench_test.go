package policy

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// cluster is what the benchmarks resolve. Its size is that of the environment,
// else one that a test machine does in a moment:
//
//	VROUTER_BENCH_ENDPOINTS=250000 VROUTER_BENCH_POLICIES=10000
//
// There are 200 endpoints on each node, 500 in each namespace. Of ten endpoints
// one has labels like no other, and the others share theirs with some; or all
// have.
type cluster struct {
	endpoints, policies, namespaces int
	unique                          bool // all have labels like no other
	selectors                       map[string]*selector.Selector
}

func newCluster(b *testing.B) *cluster {
	size := func(name string, otherwise int) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			return otherwise
		}
		return n
	}
	c := &cluster{
		endpoints: size("VROUTER_BENCH_ENDPOINTS", 10_000), policies: size("VROUTER_BENCH_POLICIES", 1_000),
		selectors: make(map[string]*selector.Selector),
	}
	c.namespaces = max(c.endpoints/500, 10)
	b.Logf("%d endpoints, %d policies", c.endpoints, c.policies)
	return c
}

func (c *cluster) selector(format string, args ...any) *selector.Selector {
	text := fmt.Sprintf(format, args...)
	s := c.selectors[text]
	if s == nil {
		var err error
		if s, err = selector.Parse(text); err != nil {
			panic(err)
		}
		c.selectors[text] = s
	}
	return s
}

func (c *cluster) namespace(i int) *resource.Namespace {
	name := fmt.Sprint("ns", i)
	return &resource.Namespace{Meta: resource.Meta{
		ID:     resource.ID{Kind: resource.KindNamespace, Name: name},
		Labels: map[string]string{"team": fmt.Sprint("team", i%50), "kubernetes.io/metadata.name": name},
	}}
}

func (c *cluster) endpoint(i int) *resource.WorkloadEndpoint {
	namespace, name, app := fmt.Sprint("ns", i%c.namespaces), fmt.Sprint("pod", i), i/c.namespaces%25
	w := &resource.WorkloadEndpoint{
		Meta: resource.Meta{
			ID:       resource.ID{Kind: resource.KindWorkloadEndpoint, Namespace: namespace, Name: name},
			Revision: int64(i),
			Labels: map[string]string{
				"app": fmt.Sprint("app", app), "role": fmt.Sprint("role", app%7), "env": fmt.Sprint("env", i%c.namespaces%3),
				"pod-template-hash": fmt.Sprint("hash", app),
			},
		},
		Endpoint:  resource.EndpointID{Namespace: namespace, Orchestrator: "k8s", Workload: name, Endpoint: "eth0"},
		Node:      fmt.Sprint("n", i/200),
		Interface: fmt.Sprint("cali", i),
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
		Profiles:  []string{"kns." + namespace},
		Ports:     []resource.EndpointPort{{Name: "http", Protocol: 6, Port: 8080}},
	}
	if c.unique || i%10 == 0 {
		w.Labels["instance"] = name
	}
	return w
}

// policy makes four in five for a namespace: an app lets another one in, and
// out to a team. The fifth is for all of a role in an environment.
func (c *cluster) policy(i int) *resource.Policy {
	p := &resource.Policy{
		Meta:  resource.Meta{ID: resource.ID{Kind: resource.KindGlobalNetworkPolicy, Name: fmt.Sprint("global", i)}},
		Tier:  resource.DefaultTier,
		Order: float64(i % 100), IngressType: true, EgressType: true,
	}
	if i%5 == 0 {
		p.Selector = c.selector("role == 'role%d' && env == 'env%d'", i/5%7, i/35%3)
		p.Ingress = []resource.Rule{{Action: resource.ActionAllow, Source: resource.Entity{
			Selector: c.selector("role == 'role%d' && pcns.team == 'team%d'", i/5%7, i/35%50)}}}
		p.Egress = []resource.Rule{{Action: resource.ActionAllow}}
		return p
	}
	p.Kind, p.Namespace = resource.KindNetworkPolicy, fmt.Sprint("ns", i%c.namespaces)
	p.Selector = c.selector("projectcalico.org/namespace == '%s' && app == 'app%d'", p.Namespace, i/c.namespaces%25)
	p.Ingress = []resource.Rule{
		{Action: resource.ActionAllow, Protocol: 6, Source: resource.Entity{
			Selector: c.selector("projectcalico.org/namespace == '%s' && app == 'app%d'", p.Namespace, (i+1)%25)},
			Destination: resource.Entity{Ports: []resource.Port{{First: 8080, Last: 8080}}}},
		{Action: resource.ActionAllow, Source: resource.Entity{
			Selector: c.selector("pcns.team == 'team%d' && app == 'app%d'", i%50, i%25)}},
	}
	p.Egress = []resource.Rule{{Action: resource.ActionAllow, Destination: resource.Entity{
		Selector: c.selector("pcns.team == 'team%d'", i%50)}}}
	return p
}

// networks is a large set of networks, of which one changes.
func (c *cluster) networks(n int) *resource.NetworkSet {
	s := &resource.NetworkSet{Meta: resource.Meta{
		ID:     resource.ID{Kind: resource.KindGlobalNetworkSet, Name: "large"},
		Labels: map[string]string{"role": "role0", "env": "env0", "pcns.team": "team0"},
	}}
	for i := range 100_000 {
		s.Nets = append(s.Nets, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28))
	}
	s.Nets[n%2] = netip.PrefixFrom(netip.AddrFrom4([4]byte{101}), 28)
	return s
}

// snapshot puts everything as a store tells it.
func (c *cluster) snapshot(r *Resolver) {
	for i := range c.namespaces {
		r.Put(c.namespace(i))
	}
	for i := range c.policies {
		r.Put(c.policy(i))
	}
	for i := range c.endpoints {
		r.Put(c.endpoint(i))
	}
}

// BenchmarkResolverSnapshot is from nothing to the whole of what one host
// enforces, the making of the objects included. Beside the time that passes it
// reports how long this process worked (on a busy machine, that is what counts),
// and what the resolver holds.
func BenchmarkResolverSnapshot(b *testing.B) {
	for _, of := range []struct {
		name, node string
		unique     bool
	}{{"labels=shared", "n0", false}, {"labels=unique", "n0", true}, {"all-local", "", false}} {
		b.Run(of.name, func(b *testing.B) {
			c := newCluster(b)
			c.unique = of.unique
			var worked time.Duration
			for range b.N {
				b.StopTimer()
				before, begun := heap(), processTime(b)
				b.StartTimer()
				r := NewResolver(of.node)
				c.snapshot(r)
				u := r.All()
				b.StopTimer()
				worked += processTime(b) - begun
				members := 0
				for _, s := range u.Sets {
					members += len(s.Add)
				}
				b.ReportMetric(float64(len(u.Policies)), "policies")
				b.ReportMetric(float64(len(u.Sets)), "sets")
				b.ReportMetric(float64(members), "members")
				b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
				runtime.KeepAlive(r)
				b.StartTimer()
			}
			b.ReportMetric(worked.Seconds()*1000/float64(b.N), "worked-ms/op")
		})
	}
}

// processTime is what the process has used of the processors.
func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkResolverChange is one change and the update that comes of it.
func BenchmarkResolverChange(b *testing.B) {
	c := newCluster(b)
	r := NewResolver("n0")
	c.snapshot(r)
	r.Put(c.networks(0))
	r.All()
	relabelled := func(i, n int) *resource.WorkloadEndpoint {
		w := c.endpoint(i)
		w.Labels["app"] = fmt.Sprint("app", n%2)
		return w
	}
	for _, change := range []struct {
		name string
		put  func(n int) resource.Object
	}{
		{"label=remote", func(n int) resource.Object { return relabelled(3*c.namespaces+1, n) }},
		{"label=local", func(n int) resource.Object { return relabelled(1, n) }},
		{"address", func(n int) resource.Object {
			w := c.endpoint(3*c.namespaces + 1)
			w.Addresses[0] = netip.AddrFrom4([4]byte{11, 0, 0, byte(n)})
			return w
		}},
		{"network", func(n int) resource.Object { return c.networks(n) }},
		{"namespace", func(n int) resource.Object {
			o := c.namespace(1)
			o.Labels["team"] = fmt.Sprint("team", n%2)
			return o
		}},
		{"rule", func(n int) resource.Object {
			p := c.policy(0)
			p.Ingress[0].Protocol = uint8(n % 2)
			return p
		}},
		{"order", func(n int) resource.Object {
			p := c.policy(0)
			p.Order = float64(n % 2)
			return p
		}},
	} {
		n := 0 // over all rounds, so that each changes what the one before has left
		b.Run(change.name, func(b *testing.B) {
			told, begun := 0, processTime(b)
			for range b.N {
				n++
				r.Put(change.put(n))
				if !r.Drain().IsEmpty() {
					told++
				}
			}
			b.ReportMetric(float64(told)/float64(b.N), "updates/op")
			b.ReportMetric((processTime(b)-begun).Seconds()*1000/float64(b.N), "worked-ms/op")
		})
	}
}

// BenchmarkResolverAll is everything told once more, as for each read-back.
func BenchmarkResolverAll(b *testing.B) {
	c := newCluster(b)
	r := NewResolver("n0")
	c.snapshot(r)
	r.All()
	begun := processTime(b)
	for b.Loop() {
		r.All()
	}
	b.ReportMetric((processTime(b)-begun).Seconds()*1000/float64(b.N), "worked-ms/op")
}
