package iptables

import (
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// trees renders which interface leads to which pipeline. One that several
// endpoints claim passes nothing.
func (s *state) trees() []*chain {
	from, to := map[string]string{}, map[string]string{}
	for iface, owners := range s.byInterface {
		if len(owners) != 1 {
			from[iface], to[iface] = "-j DROP", "-j DROP"
			continue
		}
		for id := range owners {
			from[iface] = "-g " + pipelineChain(s.endpoints[id].Egress)
			to[iface] = "-g " + pipelineChain(s.endpoints[id].Ingress)
		}
	}
	return append(tree(fromTree, iif, from), tree(toTree, oif, to)...)
}

// noTunnels finds tunnels that workloads would make themselves.
func (s *state) noTunnels(c *chain) {
	if !s.settings.AllowVXLAN {
		port := s.settings.VXLANPort
		if port == 0 {
			port = vxlanPort
		}
		c.add(toPort(policy.ProtocolUDP, port), "-j "+encapChain)
	}
	if !s.settings.AllowIPIP {
		c.add(matchProtocol(ipipProtocol, false), "-j "+encapChain)
	}
}

const (
	vxlanPort    = 4789 // IANA's (RFC 7348)
	ipipProtocol = 4
)

func (s *state) encapsulated() *chain {
	c := newChain(encapChain)
	for _, match := range s.workloads(iif) {
		c.add(match, "-g "+protectedChain)
	}
	return c
}

func (s *state) protected() *chain {
	c := newChain(protectedChain)
	s.logged(c, policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.ProtectedSubject}, "-j DROP")
	return c
}

// toHost ends what has come through the egress of a workload to its host; what
// services let through has hostBit no more.
func (s *state) toHost(at place) *chain {
	c := newChain(toHostChain)
	if s.settings.ToHost == policy.Allow {
		c.add("", "-j ACCEPT")
		return c
	}
	if s.hasServices(at.family) {
		c.add(noMark(s.hostBit()), "-j RETURN")
	}
	s.logged(c, policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.HostSubject}, s.deny(at))
	return c
}

// hasServices tells whether a workload gets anything from its host whatever
// policy says. Without neighbour discovery IPv6 has no link.
func (s *state) hasServices(f *family) bool {
	return f == ipv6 || s.settings.AllowDHCP || s.settings.AllowDNS || s.settings.AllowMetadata
}

// services is what a workload gets from its host whatever policy says:
// neighbour discovery, except that it is no router, and what settings open.
func (s *state) services(f *family) []*chain {
	c := newChain(servicesChain)
	accept := "-g " + serviceChain
	if f == ipv6 {
		c.add(and(matchProtocol(policy.ProtocolICMPv6, false), matchICMP(f, &policy.ICMP{Type: routerAdvertisement}, false)), "-j DROP")
		neighbours(c, f, accept)
	}
	if s.settings.AllowDHCP {
		port := uint16(67)
		if f == ipv6 {
			port = 547
		}
		c.add(toPort(policy.ProtocolUDP, port), accept)
	}
	if s.settings.AllowDNS {
		c.add(toPort(policy.ProtocolUDP, 53), accept)
		c.add(toPort(policy.ProtocolTCP, 53), accept)
	}
	if s.settings.AllowMetadata && f == ipv4 {
		c.add(and("-d 169.254.169.254/32", toPort(policy.ProtocolTCP, 80)), accept)
	}
	return []*chain{c, newChain(serviceChain, newRule("", setMark(s.allowBit(), s.hostBit())))}
}

const routerAdvertisement = 134

// neighbours finds multicast listener and neighbour discovery (RFC 2710, 4861,
// 3810).
func neighbours(c *chain, f *family, target string) {
	if f != ipv6 {
		return
	}
	for _, t := range []uint8{130, 131, 132, 133, 134, 135, 136, 143} {
		c.add(and(matchProtocol(policy.ProtocolICMPv6, false), matchICMP(f, &policy.ICMP{Type: t}, false)), target)
	}
}

// sourceCheck drops what an interface may not send from: what could not be
// answered by it (RFC 3704). Addresses of the link are never routed, and
// neighbour discovery needs them.
func (s *state) sourceCheck(f *family) []*chain {
	c := newChain(sourceChain)
	if f == ipv6 {
		for _, link := range []string{"::/128", "fe80::/10"} {
			c.add(and("-s "+link, matchProtocol(policy.ProtocolICMPv6, false)), "-j RETURN")
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.spoofing), compareEndpoints) {
		e := s.endpoints[id]
		if len(s.byInterface[e.Interface]) != 1 || !canMatch(e.Interface) {
			continue
		}
		for _, p := range netsOf(e.Spoofs, f) {
			c.add(and(iif.is(e.Interface), matchNet(source, p, false)), "-j RETURN")
		}
	}
	c.add("-m rpfilter --invert", "-g "+spoofedChain)
	drop := newChain(spoofedChain)
	s.logged(drop, policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.SpoofedSubject}, "-j DROP")
	return []*chain{c, drop}
}

func compareEndpoints(a, b resource.EndpointID) int {
	switch as, bs := a.String(), b.String(); {
	case as < bs:
		return -1
	case as > bs:
		return 1
	}
	return 0
}
