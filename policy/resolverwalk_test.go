package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// world is what is stored, and changes at random.
type world struct {
	rng     *rand.Rand
	objects map[resource.ID]resource.Object
	host    Host
	routed  map[string]bool // interfaces that routes lead to
	serial  int64
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), objects: make(map[resource.ID]resource.Object), routed: make(map[string]bool)}
}

// TestResolverWalk changes a world at random and tells a resolver, in one
// piece or several. The updates must add up to what a resolver tells that
// learns of everything at once, in any order. VROUTER_WALK_SEEDS says how many
// worlds.
func TestResolverWalk(t *testing.T) {
	seeds := 300
	if n, err := strconv.Atoi(os.Getenv("VROUTER_WALK_SEEDS")); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds /= 4
	}
	for seed := range uint64(seeds) {
		node := []string{"n1", "n1", "n2", ""}[seed%4]
		w, r, state := newWorld(seed), NewResolver(node), &State{}
		for step := range 12 {
			for range w.rng.IntN(20) {
				w.step(r)
			}
			if w.rng.IntN(6) == 0 {
				*state = State{}
				must(t, seed, step, state.Apply(r.All()))
			} else {
				must(t, seed, step, state.Apply(r.Drain()))
			}
			must(t, seed, step, state.Check())
			fresh := &State{}
			must(t, seed, step, fresh.Apply(w.resolver(node).All()))
			if want, got := render(fresh), render(state); want != got {
				t.Fatalf("seed %d, step %d (-at once +step by step):\n%s", seed, step, cmp.Diff(want, got))
			}
			if diff := cmp.Diff(w.sets(state), members(state)); diff != "" {
				t.Fatalf("seed %d, step %d: members (-by the labels +told):\n%s", seed, step, diff)
			}
			if diff := cmp.Diff(w.pipelines(node), pipelinesOf(state)); diff != "" {
				t.Fatalf("seed %d, step %d: pipelines (-by the labels +told):\n%s", seed, step, diff)
			}
			if u := r.Drain(); !u.IsEmpty() {
				t.Fatalf("seed %d, step %d: told twice: %+v", seed, step, u)
			}
		}
	}
}

func must(t *testing.T, seed uint64, step int, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("seed %d, step %d: %v", seed, step, err)
	}
}

// resolver is one that learns of everything in a random order, some of it
// twice.
func (w *world) resolver(node string) *Resolver {
	r := NewResolver(node)
	ids := slices.SortedFunc(maps.Keys(w.objects), func(a, b resource.ID) int { return strings.Compare(a.String(), b.String()) })
	w.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	r.SetHost(w.host)
	for name := range w.routed {
		r.Keep(name)
	}
	for _, id := range ids {
		r.Put(w.objects[id])
		if w.rng.IntN(8) == 0 {
			r.Put(w.objects[id])
		}
		if w.rng.IntN(20) == 0 {
			r.Drain()
		}
	}
	return r
}

// step changes one object, or the host.
func (w *world) step(r *Resolver) {
	if w.rng.IntN(30) == 0 {
		w.host = Host{Interfaces: map[string][]netip.Addr{"eth0": {w.addr()}, "eth1": {w.addr(), w.addr()}}}
		r.SetHost(w.host)
		return
	}
	if r.node != "" && w.rng.IntN(6) == 0 {
		w.route(r)
		return
	}
	obj := w.object()
	id := obj.Metadata().ID
	if w.rng.IntN(4) == 0 {
		delete(w.objects, id)
		r.Delete(id)
		return
	}
	w.objects[id] = obj
	r.Put(obj)
}

// route begins or ends a route to an endpoint: one that is there, as Reach has it.
func (w *world) route(r *Resolver) {
	names := slices.Sorted(maps.Keys(w.routed))
	if len(names) > 0 && w.rng.IntN(3) == 0 {
		name := names[w.rng.IntN(len(names))]
		delete(w.routed, name)
		r.Leave(name)
		return
	}
	e, ok := w.objects[w.endpoint().Metadata().ID].(*resource.WorkloadEndpoint)
	if !ok {
		return
	}
	if r.Reach(e.Endpoint, "eth9") || r.Reach(e.Endpoint, e.Interface) != (e.Node == r.node) {
		panic(fmt.Sprintf("%s on %s of %s", e.Endpoint, e.Interface, e.Node)) // a bug of ours
	}
	if e.Node == r.node {
		w.routed[e.Interface] = true
	}
}

func (w *world) pick(list ...string) string { return list[w.rng.IntN(len(list))] }

func (w *world) name(prefix string) string { return fmt.Sprint(prefix, w.rng.IntN(4)) }

func (w *world) addr() netip.Addr {
	if w.rng.IntN(4) == 0 {
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(w.rng.IntN(4))})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(w.rng.IntN(8))})
}

func (w *world) addrs() []netip.Addr {
	var list []netip.Addr
	for range w.rng.IntN(3) {
		if a := w.addr(); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

func (w *world) nets() []netip.Prefix {
	var list []netip.Prefix
	for range w.rng.IntN(3) {
		a := w.addr()
		p := netip.PrefixFrom(a, w.rng.IntN(3)*(a.BitLen()/2)).Masked()
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func (w *world) labels() map[string]string {
	labels := make(map[string]string)
	for range w.rng.IntN(4) {
		labels[w.pick("role", "env", "tier")] = w.pick("a", "b", "c")
	}
	return labels
}

func (w *world) ports() []resource.EndpointPort {
	var list []resource.EndpointPort
	for range w.rng.IntN(3) {
		list = append(list, resource.EndpointPort{
			Name: w.pick("http", "dns", ""), Protocol: []uint8{6, 17}[w.rng.IntN(2)], Port: uint16(80 + w.rng.IntN(2)),
		})
	}
	return list
}

func (w *world) some(prefix string) []string {
	var list []string
	for range w.rng.IntN(3) {
		list = append(list, w.name(prefix))
	}
	return list
}

func (w *world) meta(kind resource.Kind, namespace, name string, labels map[string]string) resource.Meta {
	w.serial++
	return resource.Meta{
		ID: resource.ID{Kind: kind, Namespace: namespace, Name: name}, Labels: labels, Revision: w.serial,
	}
}

func (w *world) namespace() string { return w.pick("x", "y") }

func (w *world) object() resource.Object {
	switch w.rng.IntN(20) {
	case 0:
		return &resource.Namespace{Meta: w.meta(resource.KindNamespace, "", w.namespace(), w.labels())}
	case 1:
		return &resource.ServiceAccount{Meta: w.meta(resource.KindServiceAccount, w.namespace(), w.pick("s", "t"), w.labels())}
	case 2, 3:
		return w.profile()
	case 4:
		return &resource.Tier{
			Meta:  w.meta(resource.KindTier, "", w.name("tier"), nil),
			Order: float64(w.rng.IntN(3)), DefaultAction: []resource.Action{resource.ActionDeny, resource.ActionPass}[w.rng.IntN(2)],
		}
	case 5:
		return &resource.NetworkSet{Meta: w.meta(resource.KindGlobalNetworkSet, "", w.name("g"), w.labels()), Nets: w.nets()}
	case 6:
		return &resource.NetworkSet{Meta: w.meta(resource.KindNetworkSet, w.namespace(), w.name("n"), w.labels()), Nets: w.nets()}
	case 7:
		return w.service()
	case 8, 9:
		return &resource.HostEndpoint{
			Meta: w.meta(resource.KindHostEndpoint, "", w.name("h"), w.labels()), Node: w.pick("n1", "n2"),
			Interface: w.pick("eth0", "*", ""), Expected: w.addrs(), Profiles: w.some("p"), Ports: w.ports(),
		}
	case 10:
		return w.bgp()
	case 11, 12, 13, 14, 15:
		return w.policy()
	}
	return w.endpoint()
}

func (w *world) endpoint() resource.Object {
	name := w.name("w") + w.name("")
	id := resource.EndpointID{Namespace: w.namespace(), Orchestrator: "k8s", Workload: name, Endpoint: "eth0"}
	return &resource.WorkloadEndpoint{
		Meta: w.meta(resource.KindWorkloadEndpoint, id.Namespace, name, w.labels()), Endpoint: id,
		Node: w.pick("n1", "n1", "n2"), Interface: fmt.Sprint("cali", name[:2+w.rng.IntN(2)]),
		Addresses: w.addrs(), Profiles: w.some("p"), Ports: w.ports(), ServiceAccount: w.pick("s", "t", ""),
		Spoofs: w.nets(),
	}
}

func (w *world) profile() resource.Object {
	p := &resource.Profile{
		Meta: w.meta(resource.KindProfile, "", w.name("p"), nil), Ingress: w.rules(), Egress: w.rules(), LabelsToApply: w.labels(),
	}
	if w.rng.IntN(8) == 0 {
		p.Name = resource.DefaultAllow
	}
	return p
}

func (w *world) service() resource.Object {
	s := &resource.Service{Meta: w.meta(resource.KindService, w.namespace(), w.name("svc"), nil)}
	for _, a := range w.addrs() {
		s.Backends = append(s.Backends, resource.Backend{Address: a, Ports: w.ports()})
	}
	return s
}

func (w *world) bgp() resource.Object {
	switch w.rng.IntN(5) {
	case 4:
		c := &resource.AgentConfiguration{Meta: w.meta(resource.KindAgentConfiguration, "", w.pick("default", "node.n1", "node.n2"), nil)}
		if w.rng.IntN(2) == 0 {
			profile, spoofing := w.name("p"), w.rng.IntN(2) == 0
			c.Settings.DefaultProfile, c.Settings.Spoofing, c.Settings.Reject = &profile, &spoofing, &spoofing
		}
		return c
	case 0:
		return &resource.IPPool{Meta: w.meta(resource.KindIPPool, "", w.name("pool"), nil),
			CIDR: netip.PrefixFrom(w.addr(), 24).Masked(), NATOutgoing: w.rng.IntN(2) == 0}
	case 1:
		return &resource.Node{Meta: w.meta(resource.KindNode, "", w.pick("n1", "n2"), w.labels()), IPv4: netip.PrefixFrom(w.addr(), 24)}
	case 2:
		return &resource.BGPPeer{Meta: w.meta(resource.KindBGPPeer, "", w.name("peer"), nil), PeerIP: w.addr(),
			PeerPort: uint16(w.rng.IntN(3)), Node: w.pick("", "n1", "n2")}
	}
	return &resource.BGPConfiguration{Meta: w.meta(resource.KindBGPConfiguration, "", "default", nil), ListenPort: uint16(w.rng.IntN(3))}
}

func (w *world) policy() resource.Object {
	p := &resource.Policy{
		Meta:     w.meta(resource.KindGlobalNetworkPolicy, "", w.name("pol"), nil),
		Tier:     w.pick("default", "default", "tier0", "tier1"),
		Order:    []float64{1, 2, resource.NoOrder()}[w.rng.IntN(3)],
		Selector: w.selector(), IngressType: w.rng.IntN(3) > 0, EgressType: w.rng.IntN(2) == 0,
		Ingress: w.rules(), Egress: w.rules(), ApplyOnForward: w.rng.IntN(3) == 0,
	}
	if p.ApplyOnForward && w.rng.IntN(2) == 0 {
		p.DoNotTrack = w.rng.IntN(2) == 0
		p.PreDNAT = !p.DoNotTrack
	}
	if w.rng.IntN(2) == 0 {
		p.Kind, p.Namespace = resource.KindNetworkPolicy, w.namespace()
		p.Selector = selector.And(selector.Equal(resource.LabelNamespace, p.Namespace), p.Selector)
	}
	if w.rng.IntN(4) == 0 {
		p.Staged, p.Kind = resource.StagedSet, "Staged"+p.Kind
		if w.rng.IntN(4) == 0 {
			p.Staged = resource.StagedDelete
		}
	}
	return p
}

func (w *world) selector() *selector.Selector {
	s, err := selector.Parse(w.pick(
		"", "has(role)", "role == 'a'", "role == 'b' && env == 'a'", "role in {'a', 'c'}", "role != 'a'", "!has(env)",
		"env == 'a' || tier == 'b'", "pcns.role == 'a'", "pcsa.env == 'b'", "has(projectcalico.org/namespace)",
		"projectcalico.org/namespace == 'x'", "projectcalico.org/serviceaccount == 's'", "!has(projectcalico.org/namespace)",
		"pcns.projectcalico.org/name == 'y'", "tier starts with 'a' || role == 'c'", "role in {}"))
	if err != nil {
		panic(err)
	}
	return s
}

func (w *world) rules() []resource.Rule {
	var list []resource.Rule
	for range w.rng.IntN(3) {
		r := resource.Rule{
			Action: resource.Action(1 + w.rng.IntN(4)), Protocol: []uint8{0, 6, 17}[w.rng.IntN(3)],
			NotProtocol: []uint8{0, 0, 6}[w.rng.IntN(3)],
		}
		r.Source, r.Destination = w.entity(r.Protocol != 0), w.entity(r.Protocol != 0)
		list = append(list, r)
	}
	return list
}

func (w *world) entity(hasPorts bool) resource.Entity {
	var e resource.Entity
	if w.rng.IntN(12) == 0 {
		e.Service = &resource.ServiceRef{Namespace: w.namespace(), Name: w.name("svc")}
		return e
	}
	if w.rng.IntN(2) == 0 {
		e.Selector = w.selector()
	}
	if w.rng.IntN(4) == 0 {
		e.NotSelector = w.selector()
	}
	if w.rng.IntN(6) == 0 {
		e.NotNets = []netip.Prefix{netip.MustParsePrefix(w.pick("0.0.0.0/0", "::/0", "10.0.0.0/24"))}
	}
	if hasPorts && w.rng.IntN(2) == 0 {
		e.Ports = []resource.Port{{First: 80, Last: 90}, {Name: w.pick("http", "dns")}}
	}
	if hasPorts && w.rng.IntN(6) == 0 {
		e.NotPorts = []resource.Port{{Name: w.pick("http", "dns")}}
	}
	return e
}

// render is all of a state as text.
func render(s *State) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("settings %+v", s.Settings)
	for id, set := range s.Sets {
		add("set %s %s %s %v", id, set.Kind, set.Origin, set.Members())
	}
	for id, p := range s.Policies {
		add("policy %s staged=%t", id, p.Staged)
		for _, d := range []Direction{Ingress, Egress} {
			for i, r := range p.Rules(d) {
				add("policy %s %s %d %+v", id, d, i, r)
			}
		}
	}
	for id, p := range s.Pipelines {
		add("pipeline %s %+v", id, *p)
	}
	for id, e := range s.Endpoints {
		add("endpoint %s %+v", id, *e)
	}
	for at, h := range s.HostEndpoints {
		add("host %s %+v", at, *h)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
