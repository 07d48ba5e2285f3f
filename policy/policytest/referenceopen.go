package policytest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// agent returns what is said for a node, and for all where nothing is.
func (r *Reference) agent(node string) resource.AgentSettings {
	return r.agents["node."+node].Over(r.agents[resource.DefaultName])
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// settings returns those of a node that have to do with verdicts.
func (r *Reference) settings(node string) policy.Settings {
	s, said := policy.DefaultSettings(), r.agent(node)
	if said.ToHost != nil {
		s.ToHost = *said.ToHost
	}
	if said.InterfacePrefixes != nil {
		s.WorkloadPrefixes = *said.InterfacePrefixes
	}
	s.AllowVXLAN, s.AllowIPIP = value(said.AllowVXLAN), value(said.AllowIPIP)
	s.AllowDHCP, s.AllowDNS, s.AllowMetadata = value(said.AllowDHCP), value(said.AllowDNS), value(said.AllowMetadata)
	return s
}

// isNeighbour tells whether a packet is one without which IPv6 has no link:
// multicast listener or neighbour discovery (RFC 2710, 4861, 3810).
func isNeighbour(p policy.Packet) bool {
	return p.Protocol == policy.ProtocolICMPv6 && (p.ICMPType >= 130 && p.ICMPType <= 136 || p.ICMPType == 143)
}

// isService tells whether a packet is for what settings open to workloads on
// their host.
func isService(s policy.Settings, p policy.Packet) bool {
	udp := p.Protocol == policy.ProtocolUDP
	tcp := p.Protocol == policy.ProtocolTCP
	v4, port := p.Source.Is4(), p.DestinationPort
	switch {
	case s.AllowDHCP && udp && (v4 && port == 67 || !v4 && port == 547):
		return true
	case s.AllowDNS && (udp || tcp) && port == 53:
		return true
	}
	return s.AllowMetadata && tcp && port == 80 && p.Destination == netip.MustParseAddr("169.254.169.254")
}

// isAlwaysOpen tells whether a packet passes host endpoints whatever policy
// says: neighbour discovery, failsafes, and what the fabric itself needs.
func (r *Reference) isAlwaysOpen(node string, d policy.Direction, p policy.Packet) bool {
	other := p.Source
	if d == policy.Egress {
		other = p.Destination
	}
	return isNeighbour(p) || r.isFailsafe(node, d, p) || r.isBGP(node, other, p) || r.isTunnel(p) && r.isNode(other)
}

// isAnswer tells whether a packet answers to what is always open in the other
// direction. Untracked policy comes before connections are known.
func (r *Reference) isAnswer(node string, d policy.Direction, p policy.Packet) bool {
	asked := policy.Packet{
		Source: p.Destination, Destination: p.Source, Protocol: p.Protocol,
		SourcePort: p.DestinationPort, DestinationPort: p.SourcePort,
	}
	other, opposite := p.Source, policy.Egress
	if d == policy.Egress {
		other, opposite = p.Destination, policy.Ingress
	}
	return r.isFailsafe(node, opposite, asked) || p.Protocol == policy.ProtocolTCP && r.isBGP(node, other, asked)
}

func (r *Reference) isFailsafe(node string, d policy.Direction, p policy.Packet) bool {
	said := r.agent(node)
	failsafes, given, other := resource.DefaultFailsafeInbound(), said.FailsafeInbound, p.Source
	if d == policy.Egress {
		failsafes, given, other = resource.DefaultFailsafeOutbound(), said.FailsafeOutbound, p.Destination
	}
	if given != nil {
		failsafes = *given
	}
	return slices.ContainsFunc(failsafes, func(f resource.Failsafe) bool {
		return f.Protocol == p.Protocol && f.Port == p.DestinationPort && (!f.Net.IsValid() || f.Net.Contains(other))
	})
}

// isBGP tells whether a packet is of BGP or BFD with a node or a peer.
func (r *Reference) isBGP(node string, other netip.Addr, p policy.Packet) bool {
	ports := []uint16{179}
	isPeer := r.isNode(other)
	for _, c := range r.bgp {
		ports = append(ports, c.ListenPort)
	}
	for _, peer := range r.bgpPeers {
		ports = append(ports, peer.PeerPort)
		if r.isPeerOf(peer, node) && (peer.PeerIP == other || peer.PeerRange.Contains(other)) {
			isPeer = true
		}
	}
	const bfd, bfdMultihop = 3784, 4784 // RFC 5881, 5883
	switch p.Protocol {
	case policy.ProtocolTCP:
		return isPeer && p.DestinationPort != 0 && slices.Contains(ports, p.DestinationPort)
	case policy.ProtocolUDP:
		return isPeer && (p.DestinationPort == bfd || p.DestinationPort == bfdMultihop)
	}
	return false
}

// isPeerOf tells whether a node has the peer.
func (r *Reference) isPeerOf(peer *resource.BGPPeer, node string) bool {
	switch {
	case peer.Node != "":
		return peer.Node == node
	case peer.NodeSelector == nil:
		return true
	}
	return slices.ContainsFunc(r.nodes, func(n *resource.Node) bool {
		return n.Name == node && peer.NodeSelector.Matches(n.Labels)
	})
}

// isNode tells whether an address is of a node.
func (r *Reference) isNode(a netip.Addr) bool {
	return slices.ContainsFunc(r.nodes, func(n *resource.Node) bool {
		return n.IPv4.Addr() == a || n.IPv6.Addr() == a
	})
}

// isTunnel tells whether a packet is of a tunnel that hosts make, as they do for
// pools that are encapsulated.
func (r *Reference) isTunnel(p policy.Packet) bool {
	return slices.ContainsFunc(r.pools, func(pool *resource.IPPool) bool {
		switch {
		case p.Protocol == policy.ProtocolUDP && p.DestinationPort == 4789:
			return pool.VXLANMode != "" && pool.VXLANMode != resource.EncapNever
		case p.Protocol == protocolIPIP:
			return pool.IPIPMode != "" && pool.IPIPMode != resource.EncapNever
		}
		return false
	})
}
