package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Cluster is what is stored, resolved for all hosts. It is for one goroutine.
type Cluster struct {
	objects  []resource.Object
	pools    []*resource.IPPool
	shared   *view            // of the nodes without settings of their own
	own      map[string]*view // of the others; nil: not asked for yet
	policies map[resource.ID]ruler
	nodes    map[string]*resource.Node
	hosts    map[string][]*resource.HostEndpoint // by node
	peers    []*resource.BGPPeer

	named       map[nameKey][]*resource.WorkloadEndpoint
	workloadsAt map[netip.Addr][]*resource.WorkloadEndpoint
	hostsAt     map[netip.Addr]hostPlace
	interfaces  map[hostPlace]*resource.WorkloadEndpoint
}

// ruler is a policy or a profile, as it is stored.
type ruler interface {
	Rules(policy.Direction) []resource.Rule
}

type nameKey struct{ namespace, name string }

// hostPlace is an interface of a host.
type hostPlace struct{ node, iface string }

// New returns the cluster of the objects, each the only one of its ID. Those
// that are always there need not be among them.
func New(objects []resource.Object) (*Cluster, error) {
	c, err := index(objects)
	if err != nil {
		return nil, err
	}
	c.shared, err = newView(policy.NewResolver(""), "", objects)
	return c, err
}

// NewFor is New for a single probe, and no other: of a large cluster it resolves
// much less.
func NewFor(objects []resource.Object, p Probe) (*Cluster, error) {
	c, err := index(objects)
	if err != nil {
		return nil, err
	}
	asked := make(map[hostPlace]bool)
	for _, text := range []string{p.From, p.To} {
		e, err := c.end(text)
		if err != nil {
			continue // which Explain says
		}
		asked[hostPlace{e.node, e.iface}], asked[hostPlace{e.node, p.Interface}] = true, true
	}
	c.shared, err = newView(policy.NewResolverOf(func(w *resource.WorkloadEndpoint) bool {
		return asked[hostPlace{w.Node, w.Interface}] // all of an interface, of which there should be one
	}), "", objects)
	return c, err
}

// index returns the cluster but for what is resolved.
func index(objects []resource.Object) (*Cluster, error) {
	c := &Cluster{
		objects: objects, own: make(map[string]*view), policies: make(map[resource.ID]ruler),
		nodes: make(map[string]*resource.Node), hosts: make(map[string][]*resource.HostEndpoint),
		named:       make(map[nameKey][]*resource.WorkloadEndpoint),
		workloadsAt: make(map[netip.Addr][]*resource.WorkloadEndpoint), hostsAt: make(map[netip.Addr]hostPlace),
		interfaces: make(map[hostPlace]*resource.WorkloadEndpoint),
	}
	for _, raw := range resource.BuiltIn(resource.KindProfile) {
		object, err := resource.Check(raw)
		if err != nil {
			return nil, err
		}
		c.add(object)
	}
	for _, object := range objects {
		c.add(object)
	}
	for _, object := range objects {
		if h, ok := object.(*resource.HostEndpoint); ok {
			c.addHost(h) // over what nodes say, which know no interface
		}
	}
	return c, nil
}

func (c *Cluster) add(object resource.Object) {
	switch o := object.(type) {
	case *resource.Policy:
		c.policies[o.ID] = o
	case *resource.Profile:
		c.policies[o.ID] = o
	case *resource.Node:
		c.nodes[o.Name] = o
		for _, p := range []netip.Prefix{o.IPv4, o.IPv6} {
			if p.IsValid() {
				c.hostsAt[p.Addr()] = hostPlace{node: o.Name}
			}
		}
	case *resource.IPPool:
		c.pools = append(c.pools, o)
	case *resource.BGPPeer:
		c.peers = append(c.peers, o)
	case *resource.AgentConfiguration:
		if node, ok := strings.CutPrefix(o.Name, "node."); ok {
			c.own[node] = nil
		}
	case *resource.WorkloadEndpoint:
		c.addWorkload(o)
	}
}

// addWorkload has an endpoint found by its own name, by that of its workload
// with or without the interface, and by its addresses.
func (c *Cluster) addWorkload(w *resource.WorkloadEndpoint) {
	id := w.Endpoint
	names := map[string]bool{
		id.KeyName(): true, id.Workload: true, id.Workload + "/" + id.Endpoint: true,
		id.Orchestrator + "/" + id.Workload + "/" + id.Endpoint: true,
	}
	for name := range names {
		key := nameKey{w.Namespace, name}
		c.named[key] = append(c.named[key], w)
	}
	c.interfaces[hostPlace{w.Node, w.Interface}] = w
	for _, a := range w.Addresses {
		c.workloadsAt[a] = append(c.workloadsAt[a], w)
	}
}

func (c *Cluster) addHost(h *resource.HostEndpoint) {
	c.hosts[h.Node] = append(c.hosts[h.Node], h)
	iface := h.Interface
	if iface == policy.AnyInterface {
		iface = ""
	}
	for _, a := range h.Expected {
		if at, ok := c.hostsAt[a]; !ok || at.iface == "" && at.node == h.Node {
			c.hostsAt[a] = hostPlace{h.Node, iface}
		}
	}
}

// isPeer tells whether an address is of a BGP peer of a node. The view that
// several nodes share has the peers of all.
func (c *Cluster) isPeer(node string, a netip.Addr) bool {
	for _, p := range c.peers {
		if p.PeerIP != a && !p.PeerRange.Contains(a) {
			continue
		}
		n := c.nodes[node]
		switch {
		case p.Node != "" && p.Node != node:
		case p.Node == "" && p.NodeSelector != nil && (n == nil || !p.NodeSelector.Matches(n.Labels)):
		default:
			return true
		}
	}
	return false
}

func (c *Cluster) isPooled(a netip.Addr) bool {
	return slices.ContainsFunc(c.pools, func(p *resource.IPPool) bool { return p.CIDR.Contains(a) })
}

// view returns what a node resolves.
func (c *Cluster) view(node string) (*view, error) {
	v, isOwn := c.own[node]
	if !isOwn {
		return c.shared, nil
	}
	if v == nil {
		var err error
		if v, err = newView(policy.NewResolver(node), node, c.objects); err != nil {
			return nil, err
		}
		c.own[node] = v
	}
	return v, nil
}

// view is what one node resolves, or all that have the same settings.
type view struct {
	node  string // empty: several
	state policy.State
}

func newView(r *policy.Resolver, node string, objects []resource.Object) (*view, error) {
	interfaces := make(map[string][]netip.Addr)
	for _, object := range objects {
		r.Put(object)
		if h, ok := object.(*resource.HostEndpoint); ok && h.Node == node && h.Interface == "" {
			for _, a := range h.Expected {
				interfaces[a.String()] = []netip.Addr{a}
			}
		}
	}
	r.SetHost(policy.Host{Interfaces: interfaces})
	v := &view{node: node}
	u := r.All()
	if err := errors.Join(v.state.Apply(u), v.state.Check()); err != nil {
		return nil, fmt.Errorf("resolve policy: %w", err)
	}
	return v, nil
}

// hostEndpoint returns the one of an interface by its name, or by an address of
// it; nil if there is none.
func (v *view) hostEndpoint(node, at string) *policy.HostEndpoint {
	if v.node == "" {
		at = node + "/" + at
	}
	return v.state.HostEndpoints[at]
}

// Kinds returns those of the objects that verdicts depend on.
func Kinds() []resource.Kind {
	return []resource.Kind{
		resource.KindNode, resource.KindIPPool, resource.KindBGPPeer, resource.KindBGPConfiguration, resource.KindAgentConfiguration,
		resource.KindNamespace, resource.KindServiceAccount, resource.KindService, resource.KindTier, resource.KindProfile,
		resource.KindGlobalNetworkSet, resource.KindNetworkSet, resource.KindGlobalNetworkPolicy, resource.KindNetworkPolicy,
		resource.KindStagedGlobalNetworkPolicy, resource.KindStagedNetworkPolicy, resource.KindHostEndpoint, resource.KindWorkloadEndpoint,
	}
}

// Subject returns what the owner of an end is asked to know whether it enforces
// what is stored, and the digest that it should answer; nil: the end has no
// owner, or no policy there.
func (c *Cluster) Subject(m *vrouterv1.PolicyEnd) (*vrouterv1.GetPolicyStateRequest, string, error) {
	e, err := c.end(m.GetName())
	if err != nil || e.node == "" || e.missing != "" {
		return nil, "", err
	}
	v, err := c.view(e.node)
	if err != nil {
		return nil, "", err
	}
	ask := &vrouterv1.GetPolicyStateRequest{Node: e.node}
	if w := e.workload; w != nil {
		ask.Endpoint = &vrouterv1.EndpointID{
			Namespace: w.Endpoint.Namespace, Orchestrator: w.Endpoint.Orchestrator,
			Workload: w.Endpoint.Workload, Endpoint: w.Endpoint.Endpoint,
		}
		return ask, v.state.EndpointDigest(w.Endpoint), nil
	}
	at := e.iface
	if at == "" {
		at = c.fabricInterface(e.node)
	}
	h := v.hostEndpoint(e.node, at)
	if h == nil {
		h = v.hostEndpoint(e.node, policy.AnyInterface)
	}
	if h == nil {
		return nil, "", nil
	}
	ask.HostEndpoint = h.ID.Name
	return ask, v.state.HostEndpointDigest(h.ID), nil
}
