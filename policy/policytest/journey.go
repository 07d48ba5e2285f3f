package policytest

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// Journey is the first packet of a connection on its way through a host.
type Journey struct {
	Node string
	// In and Out are the interfaces that it enters and leaves by; empty is the
	// host itself.
	In, Out string
	Packet  policy.Packet // as it leaves: with its destination translated
	// PreDNAT is the destination before translation; zero: the same.
	PreDNAT netip.AddrPort
}

// notTranslated is the stage of a packet that untracked policy lets in: without
// connection tracking it goes to the host itself.
const notTranslated = "not tracked, and so not translated"

// Verdict tells whether the host lets the packet through, and if not, which
// stage stopped it.
func (r *Reference) Verdict(j Journey) (passes bool, stage string) {
	in, out := r.isWorkload(j.Node, j.In), r.isWorkload(j.Node, j.Out)
	accepted := false // by policy of the host endpoint that comes before normal and forward
	if j.In != "" {
		if in {
			if stage := r.source(j); stage != "" {
				return false, stage
			}
		}
		var stage string
		if accepted, stage = r.arrive(j, in); stage != "" {
			return false, stage
		}
	}
	switch {
	case j.In == "":
		return r.send(j, out)
	case j.Out == "" && in:
		return r.toHost(j)
	case j.Out == "":
		return r.receive(j, accepted)
	}
	return r.route(j, in, out, accepted)
}

// source is what a workload may send from. Addresses of the link, which go no
// further than the host, are anybody's: neighbour discovery and DHCPv6 need them.
func (r *Reference) source(j Journey) (stage string) {
	w, p := r.only(j.Node, j.In), j.Packet
	if w == nil {
		return "unknown interface"
	}
	mayForge := value(r.agent(j.Node).Spoofing) &&
		slices.ContainsFunc(w.Spoofs, func(n netip.Prefix) bool { return n.Contains(p.Source) })
	ofLink := p.Source.Is6() && p.Source.IsLinkLocalUnicast() && j.Out == "" ||
		p.Protocol == policy.ProtocolICMPv6 && p.Source.IsUnspecified()
	if !slices.Contains(w.Addresses, p.Source) && !mayForge && !ofLink {
		return "spoofed source"
	}
	return ""
}

// arrive is what comes before routing: untracked policy, then policy before
// destinations are translated.
func (r *Reference) arrive(j Journey, isWorkload bool) (accepted bool, stage string) {
	before := j.Packet
	if j.PreDNAT.IsValid() {
		before.Destination, before.DestinationPort = j.PreDNAT.Addr(), j.PreDNAT.Port()
	}
	h := r.hostEndpoint(j.Node, j.In, isWorkload)
	if h == nil || r.isAlwaysOpen(j.Node, policy.Ingress, before) {
		return false, ""
	}
	if !isWorkload && !r.isAnswer(j.Node, policy.Ingress, before) {
		switch r.decide(r.host(h), untracked, policy.Ingress, before) {
		case policy.Allow:
			if j.PreDNAT.IsValid() {
				return false, notTranslated
			}
			return true, ""
		case policy.Deny:
			return false, "untracked ingress"
		}
	}
	switch r.decide(r.host(h), preDNAT, policy.Ingress, before) {
	case policy.Allow:
		return true, ""
	case policy.Deny:
		return false, "preDNAT"
	}
	return false, ""
}

// leave is a workload's egress: tunnels that it may not make itself, then its
// policy.
func (r *Reference) leave(j Journey) (stage string) {
	p, s := j.Packet, r.settings(j.Node)
	const portVXLAN = 4789
	switch {
	case p.Protocol == protocolIPIP && !s.AllowIPIP:
		return "IP in IP from a workload"
	case p.Protocol == policy.ProtocolUDP && p.DestinationPort == portVXLAN && !s.AllowVXLAN:
		return "VXLAN from a workload"
	case r.decide(r.workload(r.only(j.Node, j.In)), normal, policy.Egress, p) != policy.Allow:
		return "egress"
	}
	return ""
}

// toHost is what a workload sends to its own host.
func (r *Reference) toHost(j Journey) (bool, string) {
	const routerAdvertisement = 134
	p, s := j.Packet, r.settings(j.Node)
	switch {
	case r.isTunnel(p):
		return false, "a tunnel to the host from a workload"
	case p.Protocol == policy.ProtocolICMPv6 && p.ICMPType == routerAdvertisement:
		return false, "router advertisement"
	case isNeighbour(p), isService(s, p):
		return true, ""
	}
	if stage := r.leave(j); stage != "" {
		return false, stage
	}
	return s.ToHost != policy.Deny, "endpoint to host"
}

// receive is what the host itself gets from elsewhere.
func (r *Reference) receive(j Journey, accepted bool) (bool, string) {
	if r.isTunnel(j.Packet) {
		return r.isNode(j.Packet.Source), "a tunnel of a stranger"
	}
	h := r.hostEndpoint(j.Node, j.In, false)
	if h == nil || accepted || r.isAlwaysOpen(j.Node, policy.Ingress, j.Packet) {
		return true, ""
	}
	return r.decide(r.host(h), normal, policy.Ingress, j.Packet) == policy.Allow, "host ingress"
}

// send is what the host itself sends. Its own workloads must be reachable for
// it, whatever their ingress policy says.
func (r *Reference) send(j Journey, toWorkload bool) (bool, string) {
	if toWorkload {
		return r.only(j.Node, j.Out) != nil, "unknown interface"
	}
	h := r.hostEndpoint(j.Node, j.Out, false)
	if h == nil || r.isAlwaysOpen(j.Node, policy.Egress, j.Packet) {
		return true, ""
	}
	if !r.isAnswer(j.Node, policy.Egress, j.Packet) {
		switch r.decide(r.host(h), untracked, policy.Egress, j.Packet) {
		case policy.Allow:
			return true, ""
		case policy.Deny:
			return false, "untracked egress"
		}
	}
	return r.decide(r.host(h), normal, policy.Egress, j.Packet) == policy.Allow, "host egress"
}

// route is what the host forwards.
func (r *Reference) route(j Journey, in, out, accepted bool) (bool, string) {
	if h := r.hostEndpoint(j.Node, j.In, in); h != nil && !accepted {
		if r.decide(r.host(h), forward, policy.Ingress, j.Packet) == policy.Deny {
			return false, "forward ingress"
		}
	}
	if in {
		if stage := r.leave(j); stage != "" {
			return false, stage
		}
	}
	if out {
		w := r.only(j.Node, j.Out)
		if w == nil || r.decide(r.workload(w), normal, policy.Ingress, j.Packet) != policy.Allow {
			return false, "ingress"
		}
	}
	if h := r.hostEndpoint(j.Node, j.Out, out); h != nil {
		if r.decide(r.host(h), forward, policy.Egress, j.Packet) == policy.Deny {
			return false, "forward egress"
		}
	}
	return true, ""
}

// isWorkload tells whether an interface is a workload's, registered or not.
func (r *Reference) isWorkload(node, name string) bool {
	if name == "" {
		return false
	}
	return slices.ContainsFunc(r.settings(node).WorkloadPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) ||
		slices.ContainsFunc(r.workloads, func(w *resource.WorkloadEndpoint) bool { return w.Node == node && w.Interface == name })
}

// only returns the endpoint of an interface; nil if there is none, or several.
func (r *Reference) only(node, name string) *resource.WorkloadEndpoint {
	var found *resource.WorkloadEndpoint
	for _, w := range r.workloads {
		if w.Node != node || w.Interface != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = w
	}
	return found
}

// hostEndpoint returns the one that an interface is subject to: that with its
// name or an address of it, else that of all interfaces. Of several the first
// by name counts. Workloads' interfaces are subject to the last alone, lo to
// none.
func (r *Reference) hostEndpoint(node, name string, isWorkload bool) *resource.HostEndpoint {
	var own, any *resource.HostEndpoint
	first := func(to **resource.HostEndpoint, h *resource.HostEndpoint) {
		if *to == nil || h.Name < (*to).Name {
			*to = h
		}
	}
	for _, h := range r.hosts {
		hasAddress := slices.ContainsFunc(h.Expected, func(a netip.Addr) bool {
			return slices.Contains(r.Interfaces[name], a)
		})
		switch {
		case h.Node != node || name == "lo":
		case h.Interface == resource.AnyInterface:
			first(&any, h)
		case isWorkload:
		case h.Interface == name, h.Interface == "" && hasAddress:
			first(&own, h)
		}
	}
	if own != nil {
		return own
	}
	return any
}
