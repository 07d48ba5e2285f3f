package policytest

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/policy"
)

func (r *random) policy(name string) *resource.Policy {
	p := &resource.Policy{
		Meta: meta(resource.KindGlobalNetworkPolicy, "", name, nil), Tier: pick(r, "default", "t0", "t1", "t2", "kube-baseline"),
		Order: r.order(), Selector: r.selector(), IngressType: !r.in(4), EgressType: r.in(2), ApplyOnForward: r.in(2),
		Ingress: some(r, 4, r.rule), Egress: some(r, 4, r.rule),
	}
	switch r.IntN(3) {
	case 0:
		if p.DoNotTrack = p.ApplyOnForward; !p.ApplyOnForward {
			p.Kind, p.Namespace = resource.KindNetworkPolicy, r.namespace()
			p.Selector = selector.And(selector.Equal(resource.LabelNamespace, p.Namespace), p.Selector)
		}
	case 1:
		if p.PreDNAT = p.ApplyOnForward; p.PreDNAT {
			p.EgressType, p.IngressType = false, true
		}
	}
	if !p.IngressType {
		p.Ingress = nil
	}
	if !p.EgressType {
		p.Egress = nil
	}
	if r.in(5) {
		p.Staged, p.Kind = pick(r, resource.StagedSet, resource.StagedSet, resource.StagedDelete), "Staged"+p.Kind
	}
	return p
}

func (r *random) rule() resource.Rule {
	rule := resource.Rule{
		Action:    pick(r, policy.Allow, policy.Allow, policy.Allow, policy.Deny, policy.Deny, policy.Pass, policy.Log),
		IPVersion: pick[uint8](r, 0, 0, 0, 4, 6),
	}
	switch r.IntN(8) {
	case 0:
		rule.Protocol, rule.IPVersion = policy.ProtocolICMP, 4
	case 1:
		rule.Protocol, rule.IPVersion = policy.ProtocolICMPv6, 6
	case 2:
		rule.Protocol = pick[uint8](r, protocolIPIP, protocolGRE)
	case 3, 4, 5:
		rule.Protocol = pick[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP)
	}
	if rule.Protocol == policy.ProtocolICMP || rule.Protocol == policy.ProtocolICMPv6 {
		if r.in(2) {
			rule.ICMP = r.icmp(rule.Protocol)
		}
		if r.in(4) {
			rule.NotICMP = r.icmp(rule.Protocol)
		}
	}
	if r.in(8) {
		rule.NotProtocol = pick[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP, policy.ProtocolICMP)
	}
	version := int(rule.IPVersion)
	if version == 0 && r.in(2) {
		version = pick(r, 4, 6)
	}
	rule.Source = r.entity(hasPorts(rule.Protocol), version)
	rule.Destination = r.entity(hasPorts(rule.Protocol), version)
	return rule
}

func (r *random) icmp(protocol uint8) *resource.ICMP {
	i := &resource.ICMP{Type: pick(r, icmpTypes(protocol, true)...)}
	if r.in(2) {
		code := pick[uint8](r, 0, 1)
		i.Code = &code
	}
	return i
}

// icmpTypes are those of requests, which begin a connection; of ICMPv6 to or
// from the host also those of neighbours.
func icmpTypes(protocol uint8, neighbours bool) []uint8 {
	switch {
	case protocol == policy.ProtocolICMP:
		return []uint8{8, 13, 17}
	case neighbours:
		return []uint8{128, 139, 128, 139, 130, 133, 134, 135, 136, 143}
	}
	return []uint8{128, 139}
}

// entity makes an end of a rule whose networks are of one version.
func (r *random) entity(hasPorts bool, version int) resource.Entity {
	var e resource.Entity
	if version == 0 {
		version = pick(r, 4, 6)
	}
	if r.in(12) {
		e.Service = &resource.ServiceRef{Namespace: r.namespace(), Name: "svc"}
		return e
	}
	if r.in(6) {
		e.Nets = r.networks(3, version)
	}
	if r.in(8) {
		e.NotNets = r.networks(2, version)
	}
	if r.in(4) {
		e.Selector = r.selector()
	}
	if r.in(8) {
		e.NotSelector = r.selector()
	}
	if hasPorts && r.in(3) {
		e.Ports = some(r, 3, r.rulePort)
	}
	if hasPorts && r.in(6) {
		e.NotPorts = some(r, 2, r.rulePort)
	}
	return e
}

func (r *random) rulePort() resource.Port {
	switch r.IntN(4) {
	case 0:
		return resource.Port{Name: pick(r, "http", "dns")}
	case 1:
		a, b := r.port(), r.port()
		return resource.Port{First: min(a, b), Last: max(a, b)}
	}
	p := r.port()
	return resource.Port{First: p, Last: p}
}

// address makes one of a version that the site knows, or one at the edge of a
// network that objects speak of.
func (r *random) address(version int) netip.Addr {
	is := func(a netip.Addr) bool { return a.IsValid() && a.Is4() == (version == 4) }
	if len(r.nets) > 0 && r.in(3) {
		n := pick(r, r.nets...)
		first, last := n.Addr(), lastOf(n)
		a := pick(r, first, last, first.Prev(), last.Next())
		if is(a) && n.Bits() > 7 && behind(a) != "cali9" {
			return a
		}
	}
	texts := []string{
		"10.65.0.1", "10.65.0.2", "10.65.0.3", "10.65.0.4", "10.65.1.1", "10.65.2.1", "192.0.2.1", "198.51.100.1", "192.0.2.2",
		"203.0.113.7", "8.8.8.8",
	}
	if version == 6 {
		texts = []string{
			"fd00:65::1", "fd00:65::2", "fd00:65::3", "fd00:65::4", "fd00:65:1::1", "fd00:65:2::1", "2001:db8:a::1", "2001:db8:b::1",
			"2001:db8:a::2", "2001:db8:113::7", "2001:4860::8",
		}
	}
	if r.in(40) {
		texts = []string{pick(r, places()...).prefix.Addr().Next().String()}
	}
	if a := netip.MustParseAddr(pick(r, texts...)); is(a) {
		return a
	}
	return netip.MustParseAddr(texts[0])
}

// lastOf is the last address of a network.
func lastOf(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
