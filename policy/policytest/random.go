package policytest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/policy"
)

// random makes clusters and packets. All that it makes follows from its seed.
type random struct {
	*rand.Rand
	ports []uint16       // that objects speak of
	nets  []netip.Prefix // likewise
}

func newRandom(seed uint64) *random { return &random{Rand: rand.New(rand.NewPCG(seed, 4919))} }

func pick[T any](r *random, list ...T) T { return list[r.IntN(len(list))] }

// in tells whether one of n has come up.
func (r *random) in(n int) bool { return r.IntN(n) == 0 }

// some calls f up to most times.
func some[T any](r *random, most int, f func() T) []T {
	list := make([]T, 0, most)
	for range r.IntN(most + 1) {
		list = append(list, f())
	}
	return list
}

func meta(kind resource.Kind, namespace, name string, labels map[string]string) resource.Meta {
	return resource.Meta{ID: resource.ID{Kind: kind, Namespace: namespace, Name: name}, Labels: labels}
}

// objects makes a cluster around the site: its nodes and workloads with labels,
// profiles and ports by chance, and policy of every kind.
func (r *random) objects(site []resource.Object) []resource.Object {
	var list []resource.Object
	for _, o := range site {
		if w, ok := o.(*resource.WorkloadEndpoint); ok {
			if r.in(40) { // another one on its interface
				list = append(list, r.twin(w))
			}
			o = r.workload(w)
		}
		if o.Metadata().Kind != resource.KindNamespace && o.Metadata().Kind != resource.KindServiceAccount {
			list = append(list, o)
		}
	}
	for _, name := range []string{"default", "other"} {
		if !r.in(4) {
			list = append(list, &resource.Namespace{Meta: meta(resource.KindNamespace, "", name, r.labels())})
		}
		list = append(list, &resource.ServiceAccount{Meta: meta(resource.KindServiceAccount, name, "web", r.labels())})
		if r.in(2) {
			list = append(list, r.service(name))
		}
	}
	for n := range 3 {
		name := fmt.Sprint("s", n)
		set := &resource.NetworkSet{Meta: meta(resource.KindGlobalNetworkSet, "", name, r.labels()), Nets: r.networks(4, 0)}
		if r.in(2) {
			set.Meta = meta(resource.KindNetworkSet, r.namespace(), name, r.labels())
		}
		list = append(list, set)
		list = append(list, &resource.Profile{
			Meta: meta(resource.KindProfile, "", fmt.Sprint("p", n), nil), LabelsToApply: r.labels(),
			Ingress: some(r, 3, r.rule), Egress: some(r, 3, r.rule),
		})
		if !r.in(3) {
			list = append(list, &resource.Tier{
				Meta: meta(resource.KindTier, "", fmt.Sprint("t", n), nil), Order: r.order(),
				DefaultAction: pick(r, resource.ActionDeny, resource.ActionPass),
			})
		}
	}
	for n := range 2 + r.IntN(12) {
		list = append(list, r.policy(fmt.Sprint("n", n)))
	}
	if !r.in(3) {
		for n := range 1 + r.IntN(4) {
			list = append(list, r.hostEndpoint(fmt.Sprint("h", n)))
		}
	}
	return append(list, r.fabric()...)
}

func (r *random) workload(site *resource.WorkloadEndpoint) *resource.WorkloadEndpoint {
	w := *site
	w.Labels, w.Ports = r.labels(), some(r, 3, r.endpointPort)
	w.Profiles = slices.Compact(some(r, 2, func() string { return pick(r, "p0", "p1", resource.DefaultAllow, resource.DefaultAllow, "missing") }))
	w.ServiceAccount = pick(r, "", "web", "gone")
	if r.in(4) {
		w.Spoofs = r.networks(2, 0)
	}
	return &w
}

func (r *random) twin(of *resource.WorkloadEndpoint) *resource.WorkloadEndpoint {
	w := r.workload(of)
	w.Name, w.Endpoint.Workload, w.Addresses = "twin-"+w.Name, "twin-"+w.Endpoint.Workload, nil
	return w
}

func (r *random) labels() map[string]string {
	labels := make(map[string]string)
	for range r.IntN(4) {
		labels[pick(r, "role", "env", "app")] = pick(r, "a", "b", "c")
	}
	return labels
}

func (r *random) namespace() string { return pick(r, "default", "other") }

func (r *random) order() float64 { return pick(r, 1, 2, 10.5, resource.NoOrder()) }

func (r *random) port() uint16 {
	p := pick[uint16](r, 1, 22, 53, 80, 81, 179, 443, 3784, 4789, 8080, 30080, 65535)
	r.ports = append(r.ports, p)
	return p
}

func (r *random) endpointPort() resource.EndpointPort {
	return resource.EndpointPort{
		Name: pick(r, "http", "dns"), Port: r.port(),
		Protocol: pick[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP),
	}
}

// network makes one of a version (0: either) that has to do with the site.
func (r *random) network(version int) netip.Prefix {
	if version == 0 {
		version = pick(r, 4, 6)
	}
	all := slices.DeleteFunc(places(), func(p place) bool { return p.prefix.Addr().Is4() != (version == 4) || p.prefix.Bits() == 0 })
	p := pick(r, all...).prefix
	bits := p.Bits() - pick(r, 0, 0, 1, 2, 8) + pick(r, 0, 0, 1, 4)
	n, err := p.Addr().Prefix(min(bits, p.Addr().BitLen()))
	if err != nil {
		return p
	}
	if r.in(24) {
		n = netip.PrefixFrom(n.Addr(), 0).Masked()
	}
	r.nets = append(r.nets, n)
	return n
}

func (r *random) networks(most, version int) []netip.Prefix {
	list := some(r, most, func() netip.Prefix { return r.network(version) })
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

func (r *random) service(namespace string) *resource.Service {
	s := &resource.Service{Meta: meta(resource.KindService, namespace, "svc", nil)}
	for range r.IntN(4) {
		s.Backends = append(s.Backends, resource.Backend{
			Address: r.address(pick(r, 4, 6)), Ready: r.in(2), Ports: some(r, 2, r.endpointPort),
		})
	}
	return s
}

func (r *random) hostEndpoint(name string) *resource.HostEndpoint {
	h := &resource.HostEndpoint{
		Meta: meta(resource.KindHostEndpoint, "", name, r.labels()), Node: pick(r, hostName, hostName, "h2"),
		Interface: pick(r, "eth0", "eth1", resource.AnyInterface, resource.AnyInterface, ""), Ports: some(r, 2, r.endpointPort),
		Profiles: some(r, 1, func() string { return pick(r, "p1", "p2", resource.DefaultAllow) }),
	}
	if h.Interface == "" || r.in(2) {
		h.Expected = uplinks()[pick(r, "eth0", "eth1")][:1+r.IntN(2)]
	}
	return h
}

// fabric makes what has to do with the host as a whole.
func (r *random) fabric() []resource.Object {
	var list []resource.Object
	if r.in(3) {
		list = append(list, &resource.BGPPeer{
			Meta: meta(resource.KindBGPPeer, "", "tor", nil), PeerIP: r.address(pick(r, 4, 6)), PeerPort: pick[uint16](r, 0, 1790),
			Node: pick(r, "", hostName, "h2"),
		})
	}
	if r.in(4) {
		list = append(list, &resource.IPPool{
			Meta: meta(resource.KindIPPool, "", "tunnelled", nil), CIDR: netip.MustParsePrefix("10.66.0.0/16"),
			VXLANMode: resource.EncapAlways,
		})
	}
	if r.in(4) {
		list = append(list, &resource.IPPool{
			Meta: meta(resource.KindIPPool, "", "in-ip", nil), CIDR: netip.MustParsePrefix("10.67.0.0/16"),
			IPIPMode: resource.EncapCrossSubnet,
		})
	}
	if r.in(2) {
		list = append(list, r.agent())
	}
	return list
}

func (r *random) agent() *resource.AgentConfiguration {
	may := func() *bool {
		v := r.in(2)
		return &v
	}
	toHost, profile := pick(r, policy.Allow, policy.Deny, policy.Pass), pick(r, "p0", "missing", "")
	c := &resource.AgentConfiguration{Meta: meta(resource.KindAgentConfiguration, "", pick(r, "default", "node."+hostName, "node.h2"), nil)}
	c.Settings = resource.AgentSettings{
		ToHost: &toHost, AllowVXLAN: may(), AllowIPIP: may(), Spoofing: may(), DefaultProfile: &profile,
		AllowDHCP: may(), AllowDNS: may(), AllowMetadata: may(), Reject: may(),
	}
	if r.in(2) {
		failsafe := func() resource.Failsafe {
			f := resource.Failsafe{Protocol: pick[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP), Port: r.port()}
			if r.in(2) {
				f.Net = r.network(0)
			}
			return f
		}
		in, out := some(r, 3, failsafe), some(r, 3, failsafe)
		c.Settings.FailsafeInbound, c.Settings.FailsafeOutbound = &in, &out
	}
	return c
}

// chosen parses a selector that is ours.
func chosen(text string) *selector.Selector {
	s, err := selector.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func (r *random) selector() *selector.Selector {
	return chosen(pick(r,
		"all()", "all()", "all()", "all()", "has(role)", "role == 'a'", "role == 'b' && env == 'a'", "role in {'a', 'c'}", "role != 'a'", "!has(env)",
		"env == 'a' || app == 'b'", "pcns.role == 'a'", "pcsa.env == 'b'", "has(projectcalico.org/namespace)",
		"projectcalico.org/serviceaccount == 'web'", "!has(projectcalico.org/namespace)", "app not in {'a', 'b'}",
		"pcns.projectcalico.org/name == 'other'", "app contains 'a' || env starts with 'b'"))
}
