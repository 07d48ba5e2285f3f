package policytest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/policy"
)

// matches tells whether all that a rule says holds for a packet.
func (r *Reference) matches(rule *resource.Rule, p policy.Packet) bool {
	version := uint8(4)
	if p.Source.Is6() {
		version = 6
	}
	switch {
	case rule.IPVersion != 0 && rule.IPVersion != version:
		return false
	case rule.Protocol != 0 && rule.Protocol != p.Protocol:
		return false
	case rule.NotProtocol != 0 && rule.NotProtocol == p.Protocol:
		return false
	case rule.ICMP != nil && !icmp(rule.ICMP, p):
		return false
	case rule.NotICMP != nil && icmp(rule.NotICMP, p):
		return false
	}
	return r.end(rule, &rule.Source, p, p.Source, p.SourcePort, false) &&
		r.end(rule, &rule.Destination, p, p.Destination, p.DestinationPort, true)
}

func icmp(i *resource.ICMP, p policy.Packet) bool {
	return i.Type == p.ICMPType && (i.Code == nil || *i.Code == p.ICMPCode)
}

// end tells whether what a rule says of one end holds for it.
func (r *Reference) end(rule *resource.Rule, e *resource.Entity, p policy.Packet, a netip.Addr, port uint16, isDestination bool) bool {
	contains := func(n netip.Prefix) bool { return n.Contains(a) }
	isOfFamily := func(n netip.Prefix) bool { return n.Addr().Is4() == a.Is4() }
	switch {
	case len(e.NotNets) > 0 && !slices.ContainsFunc(e.NotNets, isOfFamily):
		return false // a rule about networks of a family is of that family
	case len(e.Nets) > 0 && !slices.ContainsFunc(e.Nets, contains):
		return false
	case slices.ContainsFunc(e.NotNets, contains):
		return false
	case e.Selector != nil && !r.selected(e.Selector, a):
		return false
	case e.NotSelector != nil && r.selected(e.NotSelector, a):
		return false
	case e.Service != nil && !r.serves(*e.Service, p.Protocol, a, port, isDestination):
		return false
	}
	isPort := func(want resource.Port) bool {
		if want.Name == "" {
			return want.First <= port && port <= want.Last
		}
		return r.isNamed(want.Name, rule.Protocol, e.Selector, a, port)
	}
	if len(e.Ports) > 0 && !slices.ContainsFunc(e.Ports, isPort) {
		return false
	}
	return !slices.ContainsFunc(e.NotPorts, isPort)
}

// selected tells whether an address is of something that a selector matches:
// a workload, a host endpoint by an expected address, or a set of networks.
func (r *Reference) selected(s *selector.Selector, a netip.Addr) bool {
	for _, w := range r.workloads {
		if slices.Contains(w.Addresses, a) && s.Matches(r.workload(w).labels) {
			return true
		}
	}
	for _, h := range r.hosts {
		if slices.Contains(h.Expected, a) && s.Matches(r.host(h).labels) {
			return true
		}
	}
	for _, set := range r.sets {
		if slices.ContainsFunc(set.Nets, func(n netip.Prefix) bool { return n.Contains(a) }) && s.Matches(r.networkSet(set)) {
			return true
		}
	}
	return false
}

func (r *Reference) networkSet(s *resource.NetworkSet) map[string]string {
	labels := make(map[string]string)
	if s.Namespace != "" {
		for k, v := range resource.NamespaceLabels(s.Namespace, r.namespaces[s.Namespace]) {
			labels[k] = v
		}
	}
	for k, v := range resource.NetworkSetLabels(s) {
		labels[k] = v
	}
	return labels
}

// isNamed tells whether an endpoint that the selector matches has the address,
// and there a port of that name, protocol and number.
func (r *Reference) isNamed(name string, protocol uint8, s *selector.Selector, a netip.Addr, port uint16) bool {
	has := func(ports []resource.EndpointPort) bool {
		return slices.Contains(ports, resource.EndpointPort{Name: name, Protocol: protocol, Port: port})
	}
	for _, w := range r.workloads {
		if slices.Contains(w.Addresses, a) && has(w.Ports) && (s == nil || s.Matches(r.workload(w).labels)) {
			return true
		}
	}
	for _, h := range r.hosts {
		if slices.Contains(h.Expected, a) && has(h.Ports) && (s == nil || s.Matches(r.host(h).labels)) {
			return true
		}
	}
	return false
}

// serves tells whether an address is of a backend of a service; as a
// destination at a port of it, too.
func (r *Reference) serves(ref resource.ServiceRef, protocol uint8, a netip.Addr, port uint16, isDestination bool) bool {
	s := r.services[ref]
	if s == nil {
		return false
	}
	for _, b := range s.Backends {
		at := func(p resource.EndpointPort) bool { return p.Protocol == protocol && p.Port == port }
		if b.Address == a && (!isDestination || slices.ContainsFunc(b.Ports, at)) {
			return true
		}
	}
	return false
}
