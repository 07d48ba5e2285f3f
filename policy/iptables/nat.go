package iptables

import (
	"fmt"
	"net"

	"github.com/projectvrouter/vrouter/policy"
)

// natChains translates what pools with natOutgoing send to elsewhere than to a
// pool. Connection tracking does the rest, so that only the first packet of a
// connection comes here.
func (s *state) natChains(f *family) []*chain {
	if !s.has(f, policy.MasqueradeSet) {
		return nil
	}
	from, _ := s.setOf(f, policy.MasqueradeSet)
	nat := &s.settings.NAT
	match := ""
	if nat.Interface != "" {
		match = "-o " + quote(nat.Interface)
	}
	match = and(match, matchSet(source, from, false))
	if set, ok := s.setOf(f, policy.PoolSet); ok {
		match = and(match, matchSet(destination, set, true))
	}
	if set, ok := s.setOf(f, policy.NodeSet); ok && nat.SpareNodes {
		match = and(match, matchSet(destination, set, true))
	}
	c := newChain(hookChain("POSTROUTING"))
	if nat.Ports != (policy.PortRange{}) { // which other protocols do not have
		for _, protocol := range []uint8{policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP} {
			c.add(and(matchProtocol(protocol, false), match), s.translate(f, nat.Ports))
		}
	}
	c.add(match, s.translate(f, policy.PortRange{}))
	return []*chain{c}
}

// translate gives a packet the source address that settings say, and a port
// that nobody can guess.
func (s *state) translate(f *family, ports policy.PortRange) string {
	to := s.settings.NAT.Address
	if f == ipv6 {
		to = s.settings.NAT.Address6
	}
	target := "-j MASQUERADE"
	switch hasPorts := ports != (policy.PortRange{}); {
	case to.IsValid() && hasPorts:
		target = fmt.Sprintf("-j SNAT --to-source %s", net.JoinHostPort(to.String(), dashed(ports)))
	case to.IsValid():
		target = fmt.Sprintf("-j SNAT --to-source %s", to)
	case hasPorts:
		target += " --to-ports " + dashed(ports)
	}
	if s.randomly {
		target += " --random-fully"
	}
	return target
}

func dashed(r policy.PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}
