package nftables

import (
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// BFD's ports: single hop (RFC 5881) and multihop (RFC 5883).
const (
	bfdPort         = 3784
	bfdMultihopPort = 4784
)

// peers accepts BGP and BFD with nodes and peers, and VXLAN to nodes, whatever
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
	if port := s.settings.VXLANPort; port != 0 {
		c.rules = append(c.rules, s.acceptOf(policy.NodeSet, other, destination, unix.IPPROTO_UDP,
			[]policy.PortRange{{First: port, Last: port}})...)
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
	var out []rule
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range s.lengths(id, f) {
			out = append(out, newRule(matchProtocol(protocol, false), matchPorts(port, ports, false),
				matchFamily(f), matchSet(other, f, bits, id), accept()))
		}
	}
	return out
}

// vxlan ends tunnels of nodes, which never are behind a workload's interface,
// and drops those of others.
func (s *state) vxlan() *chain {
	c := &chain{name: vxlanChain}
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Ingress, Rule: -1, Subject: policy.ProtectedSubject}
	dropped := append(append([]clause{counter()}, s.log(flow)...), drop())
	c.rules = append(c.rules, newRule(append([]clause{matchWorkload(iif)}, dropped...)...))
	c.rules = append(c.rules, s.unknown(iif)...)
	for _, f := range []*family{ipv4, ipv6} {
		for _, bits := range s.lengths(policy.NodeSet, f) {
			c.rules = append(c.rules, newRule(matchFamily(f),
				matchSet(source, f, bits, policy.NodeSet), accept()))
		}
	}
	c.rules = append(c.rules, newRule(dropped...))
	return c
}
