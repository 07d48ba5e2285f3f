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
	case w.isVXLAN() && w.contains(policy.NodeSet, other):
		return "VXLAN with a node"
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

// isVXLAN tells whether a packet is of a tunnel that hosts make; where no pool
// has VXLAN there is none.
func (w *walk) isVXLAN() bool {
	port := w.view.state.Settings.VXLANPort
	return port != 0 && w.packet.Protocol == policy.ProtocolUDP && w.packet.DestinationPort == port
}

// contains tells whether one of the sets that are always there has an address.
func (w *walk) contains(id policy.SetID, a netip.Addr) bool {
	set := w.view.state.Sets[id]
	return set != nil && set.Contains(a)
}
