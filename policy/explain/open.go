package explain

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// isOpen says why a packet passes host endpoints whatever policy says: neighbour
// discovery, failsafes, and what the fabric itself needs. Empty: it does not.
func (w *walk) isOpen(d policy.Direction, p policy.Packet) string {
	s := &w.view.state.Settings
	list, other := s.FailsafeInbound, p.Source
	if d == policy.Egress {
		list, other = s.FailsafeOutbound, p.Destination
	}
	isFailsafe := func(f policy.Failsafe) bool {
		return f.Protocol == p.Protocol && f.Port == p.DestinationPort && (!f.Net.IsValid() || f.Net.Contains(other))
	}
	isPeer := w.contains(policy.NodeSet, other) || w.isPeer(w.node, other)
	switch {
	case p.IsNeighbour():
		return "neighbour discovery is always open"
	case slices.ContainsFunc(list, isFailsafe):
		return "a failsafe port"
	case isPeer && p.Protocol == policy.ProtocolTCP && slices.Contains(s.BGPPorts, p.DestinationPort):
		return "BGP with a node or peer"
	case isPeer && p.Protocol == policy.ProtocolUDP && isBFD(p.DestinationPort):
		return "BFD with a node or peer"
	case w.tunnel() != "" && w.contains(policy.NodeSet, other):
		return w.tunnel() + " with a node"
	}
	return ""
}

// isAnswer tells whether a packet answers to what is always open in the other
// direction: untracked policy, which comes before connections are known, has no
// say in it.
func (w *walk) isAnswer(d policy.Direction, p policy.Packet) bool {
	asked := policy.Packet{
		Source: p.Destination, Destination: p.Source, Protocol: p.Protocol,
		SourcePort: p.DestinationPort, DestinationPort: p.SourcePort,
	}
	s := &w.view.state.Settings
	list, other := s.FailsafeOutbound, p.Source
	if d == policy.Egress {
		list, other = s.FailsafeInbound, p.Destination
	}
	isPeer := w.contains(policy.NodeSet, other) || w.isPeer(w.node, other)
	return isPeer && p.Protocol == policy.ProtocolTCP && slices.Contains(s.BGPPorts, asked.DestinationPort) ||
		slices.ContainsFunc(list, func(f policy.Failsafe) bool {
			return f.Protocol == p.Protocol && f.Port == asked.DestinationPort && (!f.Net.IsValid() || f.Net.Contains(other))
		})
}

// isBFD tells whether a port is of BFD (RFC 5881 §4, RFC 5883 §5).
func isBFD(port uint16) bool { return port == 3784 || port == 4784 }

// tunnel is what a packet is tunnelled in by hosts; empty: nothing, as where no
// pool is encapsulated.
func (w *walk) tunnel() string {
	s := &w.view.state.Settings
	switch {
	case s.VXLANPort != 0 && w.packet.Protocol == policy.ProtocolUDP && w.packet.DestinationPort == s.VXLANPort:
		return "VXLAN"
	case s.IPIP && w.packet.Protocol == protocolIPIP:
		return "IP in IP"
	}
	return ""
}

// protocolIPIP is IP in IP (RFC 2003).
const protocolIPIP = 4

// contains tells whether one of the sets that are always there has an address.
func (w *walk) contains(id policy.SetID, a netip.Addr) bool {
	set := w.view.state.Sets[id]
	return set != nil && set.Contains(a)
}
