package nftables

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// BFD's ports: single hop (RFC 5881) and multihop (RFC 5883).
const (
	bfdPort         = 3784
	bfdMultihopPort = 4784
)

// peers accepts BGP and BFD with nodes and peers, and tunnels to nodes, whatever
// policy of host endpoints says. The end is that of the other's address.
func (s *state) peers(name string, other end) *chain {
	c := &chain{name: name}
	bgp := s.bgpPorts()
	bfd := []policy.PortRange{{First: bfdPort, Last: bfdPort}, {First: bfdMultihopPort, Last: bfdMultihopPort}}
	for _, id := range []policy.SetID{policy.NodeSet, policy.PeerSet} {
		if len(bgp) > 0 {
			c.rules = append(c.rules, s.acceptOf(id, other, destination, unix.IPPROTO_TCP, bgp)...)
			c.rules = append(c.rules, s.acceptOf(id, other, destination, unix.IPPROTO_UDP, bfd)...)
		}
	}
	for _, match := range s.tunnels() {
		c.rules = append(c.rules, s.acceptFrom(policy.NodeSet, other, match...)...)
	}
	return c
}

func (s *state) bgpPorts() []policy.PortRange {
	ports := make([]policy.PortRange, len(s.settings.BGPPorts))
	for i, port := range s.settings.BGPPorts {
		ports[i] = policy.PortRange{First: port, Last: port}
	}
	return ports
}

// acceptOf accepts packets by ports of one end whose other end is in a set.
func (s *state) acceptOf(id policy.SetID, other, port end, protocol uint8, ports []policy.PortRange) []rule {
	return s.acceptFrom(id, other, matchProtocol(protocol, false), matchPorts(port, ports, false))
}

// acceptFrom accepts what matches, where one end is in a set.
func (s *state) acceptFrom(id policy.SetID, other end, match ...clause) []rule {
	var out []rule
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range s.lengths(id, f) {
			out = append(out, newRule(slices.Concat(match, []clause{matchFamily(f), matchSet(other, f, bits, id), accept()})...))
		}
	}
	return out
}

// tunnels match what hosts tunnel in, each.
func (s *state) tunnels() [][]clause {
	var out [][]clause
	if port := s.settings.VXLANPort; port != 0 {
		out = append(out, []clause{matchProtocol(unix.IPPROTO_UDP, false),
			matchPorts(destination, []policy.PortRange{{First: port, Last: port}}, false)})
	}
	if s.settings.IPIP {
		out = append(out, []clause{matchProtocol(unix.IPPROTO_IPIP, false)})
	}
	return out
}

// tunnelEnd is for the tunnels of nodes, which never are behind a workload's
// interface, and drops those of others.
func (s *state) tunnelEnd() *chain {
	c := &chain{name: tunnelChain}
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Ingress, Rule: -1, Subject: policy.ProtectedSubject}
	dropped := append(append([]clause{counter()}, s.log(flow)...), drop())
	c.rules = append(c.rules, newRule(append([]clause{matchWorkload(iif)}, dropped...)...))
	c.rules = append(c.rules, s.unknown(iif)...)
	c.rules = append(c.rules, s.acceptFrom(policy.NodeSet, source)...)
	c.rules = append(c.rules, newRule(dropped...))
	return c
}
