package nftables

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// rawPrerouting sends what workloads send through the check of its source.
func (s *state) rawPrerouting() *chain {
	c := &chain{name: rawChain, base: filterHook("prerouting", rawPriority)}
	if s.hasEarly() {
		c.rules = append(c.rules, newRule(matchMark(s.acceptedBit()), setMark(s.acceptedBit(), false)))
	}
	// Prefixes first: every packet comes by here, also of connections that are
	// established, and a comparison costs a quarter of a look into a set.
	for _, prefix := range s.settings.WorkloadPrefixes {
		c.rules = append(c.rules, newRule(matchInterfacePrefix(iif, prefix), goTo(sourceCheckChain)))
	}
	c.rules = append(c.rules, newRule(matchWorkload(iif), goTo(sourceCheckChain)))
	return c
}

// sourceCheck drops what an interface may not send from. What it may is decided
// first, because every packet of a workload comes by here. Addresses of the link
// are never routed, and neighbour discovery needs them.
func (s *state) sourceCheck() *chain {
	c := &chain{name: sourceCheckChain, rules: []rule{newRule(matchSource(), accept())}}
	link := []netip.Prefix{netip.MustParsePrefix("::/128"), netip.MustParsePrefix("fe80::/10")}
	c.rules = append(c.rules, newRule(matchFamily(ipv6), matchProtocol(unix.IPPROTO_ICMPV6, false),
		matchNets(source, link, false), leave()))
	if s.spoofing > 0 {
		c.rules = append(c.rules, newRule(dispatch(iif, spoofMap)))
	}
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.SpoofedSubject}
	clauses := append([]clause{counter()}, s.log(flow)...)
	c.rules = append(c.rules, newRule(append(clauses, drop())...))
	return c
}

// spoofs knows what else an interface may send from.
func spoofs(e *policy.Endpoint) *chain {
	c := &chain{name: spoofChain(e.Interface)}
	for _, f := range []*family{ipv4, ipv6} {
		if nets := netsOf(e.Spoofs, f); len(nets) > 0 {
			c.rules = append(c.rules, newRule(matchFamily(f), matchNets(source, nets, false), accept()))
		}
	}
	return c
}

// encapsulated drops tunnels that workloads would make themselves.
func (s *state) encapsulated() []rule {
	var out []rule
	fromWorkload := matchWorkload(iif)
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.ProtectedSubject}
	tail := append(append([]clause{fromWorkload, counter()}, s.log(flow)...), drop())
	if !s.settings.AllowVXLAN {
		port := s.settings.VXLANPort
		if port == 0 {
			port = vxlanPort
		}
		match := []clause{matchProtocol(unix.IPPROTO_UDP, false),
			matchPorts(destination, []policy.PortRange{{First: port, Last: port}}, false)}
		out = append(out, newRule(append(match, tail...)...))
	}
	if !s.settings.AllowIPIP {
		out = append(out, newRule(append([]clause{matchProtocol(unix.IPPROTO_IPIP, false)}, tail...)...))
	}
	return out
}

// vxlanPort is IANA's port of VXLAN (RFC 7348).
const vxlanPort = 4789

// neighbours accepts multicast listener and neighbour discovery (RFC 2710,
// 4861, 3810).
func neighbours() *chain {
	icmp6 := []clause{matchFamily(ipv6), matchProtocol(unix.IPPROTO_ICMPV6, false)}
	return &chain{name: neighboursChain, rules: []rule{
		newRule(append(icmp6[:2:2], matchICMPTypes(130, 136), accept())...),
		newRule(append(icmp6[:2:2], matchICMP(&policy.ICMP{Type: 143}, false), accept())...),
	}}
}

// services is what a workload gets from its host whatever policy says:
// neighbour discovery, except that it is no router, and what settings open.
func (s *state) services() *chain {
	c := &chain{name: servicesChain}
	add := func(clauses ...clause) { c.rules = append(c.rules, newRule(clauses...)) }
	add(matchFamily(ipv6), matchProtocol(unix.IPPROTO_ICMPV6, false),
		matchICMP(&policy.ICMP{Type: 134}, false), counter(), drop())
	add(jumpTo(neighboursChain))
	one := func(protocol uint8, port uint16) []clause {
		return []clause{matchProtocol(protocol, false),
			matchPorts(destination, []policy.PortRange{{First: port, Last: port}}, false)}
	}
	if s.settings.AllowDHCP {
		add(append([]clause{matchFamily(ipv4)}, append(one(unix.IPPROTO_UDP, 67), accept())...)...)
		add(append([]clause{matchFamily(ipv6)}, append(one(unix.IPPROTO_UDP, 547), accept())...)...)
	}
	if s.settings.AllowDNS {
		add(append(one(unix.IPPROTO_UDP, 53), accept())...)
		add(append(one(unix.IPPROTO_TCP, 53), accept())...)
	}
	if s.settings.AllowMetadata {
		metadata := netip.MustParsePrefix("169.254.169.254/32")
		add(append([]clause{matchFamily(ipv4), matchPrefix(destination, metadata, false)},
			append(one(unix.IPPROTO_TCP, 80), accept())...)...)
	}
	return c
}

// owner is the endpoint of an interface, and whether there is one and one only.
func (s *state) owner(iface string) (e *policy.Endpoint, one bool) {
	for _, e = range s.byInterface[iface] {
	}
	return e, len(s.byInterface[iface]) == 1
}

// interfaceElements is what the sets about workloads say of an interface.
func (s *state) interfaceElements(iface string) map[string]verdict {
	out := map[string]verdict{}
	e, one := s.owner(iface)
	switch {
	case e == nil:
	case !one:
		out[fromWorkloadMap], out[toWorkloadMap] = dropVerdict, dropVerdict
	default:
		out[workloadSet] = verdict{}
		out[fromWorkloadMap] = gotoVerdict(pipelineChain(e.Egress))
		out[toWorkloadMap] = gotoVerdict(pipelineChain(e.Ingress))
		if len(e.Spoofs) > 0 {
			out[spoofMap] = verdict{kind: unix.NFT_JUMP, chain: spoofChain(iface)}
		}
	}
	return out
}
