package policytest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// journeys makes packets through the host under test, at the edges of what the
// objects made before speak of.
func (r *random) journeys(n int) []Journey {
	var list []Journey
	for len(list) < n {
		if j, ok := r.journey(); ok {
			list = append(list, j)
		}
	}
	return list
}

func (r *random) journey() (Journey, bool) {
	version := pick(r, 4, 6)
	src, dst := r.address(version), r.address(version)
	switch own := uplinks()[pick(r, "eth0", "eth1")][version/6]; r.IntN(6) {
	case 0:
		src = own
	case 1:
		dst = own
	}
	if src.Is4() != dst.Is4() {
		return Journey{}, false
	}
	j := Journey{Node: hostName, In: behind(src), Out: behind(dst)}
	if r.in(16) {
		j.In = pick(r, "cali1", "cali2", "cali3", "eth0") // with a forged source
	}
	ofHost := behind(src) == "" // the kernel takes that from nobody else
	if j.In == j.Out || ofHost != (j.In == "") || ofHost && !isUplink(src) || !usable(src) || !usable(dst) {
		return j, false
	}
	j.Packet = r.packet(src, dst, j.In == "" || j.Out == "")
	if j.In != "" && r.in(6) {
		r.translate(&j)
	}
	return j, !isTranslated(j)
}

// isTranslated tells whether a packet that claims to be the host's is not.
func isTranslated(j Journey) bool {
	p := j.Packet
	return j.Out == "" && p.Destination == nodePortAddr(p.Destination) && slices.ContainsFunc(translations(), func(t translation) bool {
		return p.DestinationPort == t.base+80 || p.DestinationPort == t.base+81
	})
}

// usable tells whether a packet may be routed from and to an address.
func usable(a netip.Addr) bool {
	reserved := a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 224)
	return a.IsGlobalUnicast() && !reserved
}

func isUplink(a netip.Addr) bool {
	for _, addrs := range uplinks() {
		for _, other := range addrs {
			if a == other {
				return true
			}
		}
	}
	return false
}

func (r *random) packet(src, dst netip.Addr, isOfHost bool) policy.Packet {
	p := policy.Packet{Source: src, Destination: dst}
	icmp := uint8(policy.ProtocolICMP)
	if src.Is6() {
		icmp = policy.ProtocolICMPv6
	}
	p.Protocol = pick(r, policy.ProtocolTCP, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolUDP, policy.ProtocolSCTP, icmp,
		pick[uint8](r, protocolGRE, protocolIPIP))
	switch {
	case hasPorts(p.Protocol):
		p.DestinationPort, p.SourcePort = r.edgePort(), uint16(32768+r.IntN(28000))
		if r.in(4) {
			p.SourcePort = r.edgePort()
		}
	case p.Protocol == icmp:
		p.ICMPType, p.ICMPCode = pick(r, icmpTypes(icmp, isOfHost)...), pick[uint8](r, 0, 1)
	}
	return p
}

// edgePort is a port that objects speak of, or one beside it.
func (r *random) edgePort() uint16 {
	if len(r.ports) == 0 {
		return 80
	}
	return max(1, pick(r, r.ports...)+pick[uint16](r, 0, 0, 0, 1, 0xffff))
}

// translate sends a packet to a port of the host that is translated to its
// destination, if there is one.
func (r *random) translate(j *Journey) {
	p := &j.Packet
	if p.Protocol != policy.ProtocolTCP && p.Protocol != policy.ProtocolUDP {
		return
	}
	for _, t := range translations() {
		if t.to == p.Destination {
			p.DestinationPort = pick[uint16](r, 80, 81)
			j.PreDNAT = netip.AddrPortFrom(nodePortAddr(t.to), t.base+p.DestinationPort)
		}
	}
}
