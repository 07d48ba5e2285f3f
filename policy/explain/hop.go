package explain

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// place is where a packet enters or leaves a host.
type place struct {
	isHost   bool                       // the host itself
	workload *resource.WorkloadEndpoint // nil: an interface of the host
	iface    string                     // or an address of it; empty: one without host endpoint of its own
	// isNobodys: the interface is named as those of workloads are, and belongs
	// to no endpoint.
	isNobodys bool
}

// hop is a packet on its way through a host.
type hop struct {
	node    string
	in, out place
	packet  policy.Packet // as it leaves: with its destination translated
	// before is the destination before translation; zero: the same.
	before netip.AddrPort
}

// verdict is what becomes of a packet; zero: nobody can say.
type verdict uint8

const (
	unknown verdict = iota
	allowed
	denied
)

func (v verdict) String() string {
	switch v {
	case allowed:
		return "allowed"
	case denied:
		return "denied"
	}
	return "unknown"
}

// walk is a packet that goes through a host, stage by stage. A stage that ends
// the way returns false.
type walk struct {
	*Cluster
	view *view
	hop
	stages  []*vrouterv1.PolicyStage
	verdict verdict
	reason  string
	err     error
}

// judge sends a packet through a host.
func (c *Cluster) judge(h hop) (*walk, error) {
	v, err := c.view(h.node)
	if err != nil {
		return nil, err
	}
	w := &walk{Cluster: c, view: v, hop: h, verdict: allowed}
	accepted := false
	goesOn := h.in.isHost || w.source()
	if goesOn && !h.in.isHost {
		accepted, goesOn = w.arrive()
	}
	if goesOn {
		switch {
		case h.in.isHost:
			w.send()
		case h.out.isHost && h.in.workload != nil:
			w.toHost()
		case h.out.isHost:
			w.receive(accepted)
		default:
			w.route(accepted)
		}
	}
	return w, w.err
}

// source is what a workload may send from. Addresses of the link, which go no
// further than the host, are anybody's: neighbour discovery and DHCPv6 need them.
func (w *walk) source() bool {
	const point = "source check"
	switch {
	case w.in.isNobodys:
		return w.stop(point, w.in, "interface "+w.in.iface+" is no endpoint's")
	case w.in.workload == nil:
		return true
	}
	e, p := w.endpoint(w.in.workload), w.packet
	switch {
	case e == nil:
		return w.stop(point, w.in, "interface "+w.in.workload.Interface+" has several endpoints")
	case p.Protocol == policy.ProtocolICMPv6 && p.Source.IsUnspecified(),
		p.Source.Is6() && p.Source.IsLinkLocalUnicast() && w.out.isHost:
		return true
	}
	for _, a := range e.Addresses {
		if a == p.Source {
			return true
		}
	}
	for _, n := range e.Spoofs {
		if n.Contains(p.Source) {
			return true
		}
	}
	return w.stop(point, w.in, fmt.Sprintf("%s is not an address of the endpoint", p.Source))
}

// arrive is what comes before routing: untracked policy, then policy before
// destinations are translated. What is allowed there meets no other ingress
// policy of host endpoints.
func (w *walk) arrive() (accepted, goesOn bool) {
	p := w.packet
	if w.before.IsValid() {
		p.Destination, p.DestinationPort = w.before.Addr(), w.before.Port()
	}
	h := w.hostEndpoint(w.in)
	if h == nil || w.isOpen(policy.Ingress, p) != "" {
		return false, true
	}
	if w.in.workload == nil && !w.isAnswer(policy.Ingress, p) {
		action := w.decide("untracked ingress", h.Untracked.Ingress, h.ID.String(), w.in, p)
		if action == policy.Allow && w.before.IsValid() {
			return true, w.stop("translation", w.in, "what is not tracked is not translated, and goes to the host itself")
		}
		if action != policy.Pass {
			return true, action == policy.Allow
		}
	}
	action := w.decide("preDNAT", h.PreDNAT, h.ID.String(), w.in, p)
	return action == policy.Allow, action != policy.Deny
}

// leave is a workload's egress: tunnels that it may not make itself, then its
// policy.
func (w *walk) leave() bool {
	const point = "workload egress"
	p, s := w.packet, &w.view.state.Settings
	const portVXLAN = 4789
	switch {
	case p.Protocol == protocolIPIP && !s.AllowIPIP:
		return w.stop(point, w.in, "workloads may not send IP in IP")
	case p.Protocol == policy.ProtocolUDP && p.DestinationPort == portVXLAN && !s.AllowVXLAN:
		return w.stop(point, w.in, "workloads may not send VXLAN")
	}
	e := w.endpoint(w.in.workload)
	return w.decide(point, e.Egress, e.ID.String(), w.in, p) == policy.Allow
}

// toHost is what a workload sends to its own host.
func (w *walk) toHost() {
	const point, routerAdvertisement = "workload to host", 134
	p, s := w.packet, &w.view.state.Settings
	switch {
	case w.tunnel() != "":
		w.stop(point, w.in, "tunnels are for hosts")
		return
	case p.Protocol == policy.ProtocolICMPv6 && p.ICMPType == routerAdvertisement:
		w.stop(point, w.in, "workloads may not advertise routers")
		return
	case p.IsNeighbour():
		w.open(point, w.in, "neighbour discovery is always open")
		return
	case s.Serves(p):
		w.open(point, w.in, "a service of the host that is open to workloads")
		return
	}
	if !w.leave() {
		return
	}
	const setting = "DefaultEndpointToHostAction"
	switch s.ToHost {
	case policy.Deny:
		w.stop(point, w.in, setting+" is Drop")
	case policy.Allow:
		w.open(point, w.in, setting+" is Accept")
	default:
		w.stage(point, w.in, policy.Pass, setting+" is Return")
		w.verdict, w.reason = unknown, fmt.Sprintf("%s is Return: the own rules of host %s decide", setting, w.node)
	}
}

// receive is what the host itself gets from elsewhere.
func (w *walk) receive(accepted bool) {
	const point = "host ingress"
	if tunnel := w.tunnel(); tunnel != "" {
		if !w.contains(policy.NodeSet, w.packet.Source) {
			w.stop(point, w.in, tunnel+" of a stranger")
			return
		}
		w.open(point, w.in, tunnel+" of a node")
		return
	}
	h := w.hostEndpoint(w.in)
	if h == nil || accepted {
		return
	}
	if why := w.isOpen(policy.Ingress, w.packet); why != "" {
		w.open(point, w.in, why).Subject = h.ID.String()
		return
	}
	w.decide(point, h.Normal.Ingress, h.ID.String(), w.in, w.packet)
}

// send is what the host itself sends. Its own workloads must be reachable for
// it, whatever their ingress policy says.
func (w *walk) send() {
	const point = "host egress"
	if out := w.out.workload; out != nil {
		if w.endpoint(out) == nil {
			w.stop("workload ingress", w.out, "interface "+out.Interface+" has several endpoints")
			return
		}
		w.open("workload ingress", w.out, "a host always reaches its own workloads")
		return
	}
	h := w.hostEndpoint(w.out)
	if h == nil {
		return
	}
	if why := w.isOpen(policy.Egress, w.packet); why != "" {
		w.open(point, w.out, why).Subject = h.ID.String()
		return
	}
	if w.isAnswer(policy.Egress, w.packet) ||
		w.decide("untracked egress", h.Untracked.Egress, h.ID.String(), w.out, w.packet) == policy.Pass {
		w.decide(point, h.Normal.Egress, h.ID.String(), w.out, w.packet)
	}
}

// route is what the host forwards.
func (w *walk) route(accepted bool) {
	if h := w.hostEndpoint(w.in); h != nil && !accepted {
		if w.decide("forward ingress", h.Forward.Ingress, h.ID.String(), w.in, w.packet) == policy.Deny {
			return
		}
	}
	if w.in.workload != nil && !w.leave() {
		return
	}
	if out := w.out.workload; out != nil {
		const point = "workload ingress"
		e := w.endpoint(out)
		if e == nil {
			w.stop(point, w.out, "interface "+out.Interface+" has several endpoints")
			return
		}
		if w.decide(point, e.Ingress, e.ID.String(), w.out, w.packet) != policy.Allow {
			return
		}
	}
	if h := w.hostEndpoint(w.out); h != nil {
		w.decide("forward egress", h.Forward.Egress, h.ID.String(), w.out, w.packet)
	}
}

// endpoint returns what a workload is subject to; nil when its interface is
// others' as well.
func (w *walk) endpoint(of *resource.WorkloadEndpoint) *policy.Endpoint {
	e := w.view.state.Endpoints[of.Endpoint]
	if e == nil || len(e.Addresses) == 0 && len(of.Addresses) > 0 {
		return nil
	}
	return e
}

// hostEndpoint returns the one that a place is subject to: workloads' interfaces
// are to that of all interfaces alone.
func (w *walk) hostEndpoint(at place) *policy.HostEndpoint {
	if at.workload == nil && at.iface != "" {
		if h := w.view.hostEndpoint(w.node, at.iface); h != nil {
			return h
		}
	}
	return w.view.hostEndpoint(w.node, policy.AnyInterface)
}
