package iptables

import (
	"github.com/projectvrouter/vrouter/policy"
)

// BFD's ports: single hop (RFC 5881) and multihop (RFC 5883).
const (
	bfdPort         = 3784
	bfdMultihopPort = 4784
)

// hostIn judges what the host receives, hostOut what it sends.
func (s *state) hostIn(at place) *chain {
	c := newChain(hostInChain)
	s.unlessAccepted(c)
	s.openIn(c, at.family)
	c.add("", "-j "+normalIn.chain)
	return c
}

func (s *state) hostOut(at place) *chain {
	c := newChain(hostOutChain)
	s.unlessAccepted(c)
	s.openOut(c, at.family)
	c.add("", "-j "+normalOut.chain)
	return c
}

// openIn lets through what no policy of a host endpoint closes to what the host
// receives, openOut to what it sends.
func (s *state) openIn(c *chain, f *family) {
	neighbours(c, f, "-j RETURN")
	failsafes(c, f, s.settings.FailsafeInbound, source, destination)
	s.peers(c, f, source)
}

func (s *state) openOut(c *chain, f *family) {
	neighbours(c, f, "-j RETURN")
	failsafes(c, f, s.settings.FailsafeOutbound, destination, destination)
	s.peers(c, f, destination)
}

func (s *state) unlessAccepted(c *chain) {
	if s.hasEarly() {
		c.add(hasMark(s.acceptedBit()), "-j RETURN")
	}
}

// failsafes lets through what no policy of a host endpoint closes: by the
// address of one end and the port of one.
func failsafes(c *chain, f *family, list []policy.Failsafe, addr, port end) {
	for _, fs := range list {
		net := ""
		if fs.Net.IsValid() {
			if familyOf(fs.Net.Addr()) != f {
				continue
			}
			net = matchNet(addr, fs.Net, false)
		}
		c.add(and(net, matchProtocol(fs.Protocol, false), matchPorts(port, onePort(fs.Port), false)[0]), "-j RETURN")
	}
}

// peers lets through BGP and BFD with nodes and peers, and tunnels with nodes.
// The end is that of the other's address.
func (s *state) peers(c *chain, f *family, other end) {
	bfd := []policy.PortRange{{First: bfdPort, Last: bfdPort}, {First: bfdMultihopPort, Last: bfdMultihopPort}}
	for _, id := range []policy.SetID{policy.NodeSet, policy.PeerSet} {
		if ports := s.bgpPorts(); len(ports) > 0 {
			s.openTo(c, f, id, other, destination, policy.ProtocolTCP, ports)
			s.openTo(c, f, id, other, destination, policy.ProtocolUDP, bfd)
		}
	}
	if set, ok := s.setOf(f, policy.NodeSet); ok {
		for _, match := range s.tunnels() {
			c.add(and(match, matchSet(other, set, false)), "-j RETURN")
		}
	}
}

// replies lets through the answers of failsafes of the other direction, and of
// BGP, where connections are not known yet. The end is that of the other's
// address.
func (s *state) replies(c *chain, f *family, list []policy.Failsafe, other end) {
	failsafes(c, f, list, other, source)
	for _, id := range []policy.SetID{policy.NodeSet, policy.PeerSet} {
		s.openTo(c, f, id, other, source, policy.ProtocolTCP, s.bgpPorts())
	}
}

func (s *state) bgpPorts() []policy.PortRange {
	var ports []policy.PortRange
	for _, port := range s.settings.BGPPorts {
		ports = append(ports, onePort(port)...)
	}
	return ports
}

// openTo lets through packets by ports of one end whose other end is in a set.
func (s *state) openTo(c *chain, f *family, id policy.SetID, other, port end, protocol uint8, ports []policy.PortRange) {
	set, ok := s.setOf(f, id)
	if !ok {
		return
	}
	for _, match := range matchPorts(port, ports, false) {
		c.add(and(matchProtocol(protocol, false), match, matchSet(other, set, false)), "-j RETURN")
	}
}

// setOf is the name of a set of addresses or networks, and whether there is
// one.
func (s *state) setOf(f *family, id policy.SetID) (string, bool) {
	m, ok := s.sets[id]
	if !ok {
		return "", false
	}
	return setName(f, kindLetter(m.kind), id), true
}

// tunnels match what hosts tunnel in, each.
func (s *state) tunnels() []string {
	var out []string
	if port := s.settings.VXLANPort; port != 0 {
		out = append(out, toPort(policy.ProtocolUDP, port))
	}
	if s.settings.IPIP {
		out = append(out, matchProtocol(ipipProtocol, false))
	}
	return out
}

// tunnelEnd is for the tunnels of nodes, which never are behind a workload's
// interface, and drops those of others.
func (s *state) tunnelEnd(at place) *chain {
	c := newChain(tunnelChain)
	for _, match := range s.workloads(iif) {
		c.add(match, "-g "+protectedChain)
	}
	if set, ok := s.setOf(at.family, policy.NodeSet); ok {
		c.add(matchSet(source, set, false), "-j RETURN")
	}
	s.logged(c, policy.FlowPrefix{Action: policy.Deny, Direction: policy.Ingress, Rule: -1, Subject: policy.ProtectedSubject}, "-j DROP")
	return c
}
