package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// anySourcePort stands for the source port of a probe that names none: the first
// of those that hosts choose from by themselves (RFC 6335 §6).
const anySourcePort = 49152

// Explain tells what becomes of a probe, which must have passed Check. It is an
// error when several endpoints have the name of an end.
func (c *Cluster) Explain(p Probe) (*vrouterv1.ExplainResponse, error) {
	from, err := c.end(p.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	to, err := c.end(p.To)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	r := &vrouterv1.ExplainResponse{Verdict: unknown.String(), Ends: []*vrouterv1.PolicyEnd{from.message(), to.message()}}
	switch {
	case from.missing != "" || to.missing != "":
		r.Reason = strings.Join(slices.DeleteFunc([]string{from.missing, to.missing}, func(s string) bool { return s == "" }), "; ")
		return r, nil
	case from.kind == kindOutside && to.kind == kindOutside:
		r.Reason = "neither end is of the cluster"
		return r, nil
	}
	for _, isV4 := range []bool{true, false} {
		src, dst := from.of(isV4), to.of(isV4)
		if !src.IsValid() || !dst.IsValid() || !p.fits(isV4) {
			continue
		}
		w, err := c.way(p, from, to, src, dst)
		if err != nil {
			return nil, err
		}
		r.Ways = append(r.Ways, w)
	}
	sum(r)
	return r, nil
}

// fits tells whether a probe can be of a family.
func (p Probe) fits(isV4 bool) bool {
	switch {
	case p.Protocol == policy.ProtocolICMP && !isV4, p.Protocol == policy.ProtocolICMPv6 && isV4:
		return false
	}
	return p.IPVersion == 0 || (p.IPVersion == 4) == isV4
}

// sum makes one verdict of those of the families.
func sum(r *vrouterv1.ExplainResponse) {
	if len(r.Ways) == 0 {
		r.Reason = "the ends have no address of the same family that fits"
		return
	}
	first := r.Ways[0]
	for _, w := range r.Ways[1:] {
		if w.Verdict != first.Verdict {
			r.Reason = fmt.Sprintf("%s: %s; %s: %s", first.Family, first.Verdict, w.Family, w.Verdict)
			return
		}
	}
	r.Verdict, r.Reason = first.Verdict, first.Reason
}

// packet is the probe in a family.
func (p Probe) packet(src, dst netip.Addr) policy.Packet {
	packet := policy.Packet{
		Source: src, Destination: dst, Protocol: uint8(p.Protocol), SourcePort: p.SourcePort, DestinationPort: p.Port,
	}
	if p.Protocol.HasPorts() && packet.SourcePort == 0 {
		packet.SourcePort = anySourcePort
	}
	const echoRequest, echoRequest6 = 8, 128
	switch {
	case p.ICMPType != nil:
		packet.ICMPType = *p.ICMPType
	case p.Protocol == policy.ProtocolICMP:
		packet.ICMPType = echoRequest
	case p.Protocol == policy.ProtocolICMPv6:
		packet.ICMPType = echoRequest6
	}
	if p.ICMPCode != nil {
		packet.ICMPCode = *p.ICMPCode
	}
	return packet
}

// way sends the packet over the hosts of both ends.
func (c *Cluster) way(p Probe, from, to end, src, dst netip.Addr) (*vrouterv1.PolicyWay, error) {
	packet := p.packet(src, dst)
	m := &vrouterv1.PolicyWay{
		Family: "IPv6", Source: src.String(), Destination: dst.String(), SourcePort: uint32(packet.SourcePort), Verdict: allowed.String(),
	}
	if src.Is4() {
		m.Family = "IPv4"
	}
	hops, problem, err := c.hops(p, from, to, packet)
	if err != nil || problem != "" {
		m.Verdict, m.Reason = unknown.String(), problem
		return m, err
	}
	doubt := ""
	for _, alternatives := range hops {
		w, err := c.agree(alternatives)
		if err != nil {
			return nil, err
		}
		m.Stages = append(m.Stages, w.stages...)
		switch w.verdict {
		case denied: // whatever was doubtful before: it does not come through
			m.Verdict, m.Reason = denied.String(), w.reason
			return m, nil
		case unknown:
			if doubt == "" {
				doubt = w.reason
			}
		}
	}
	if doubt != "" {
		m.Verdict, m.Reason = unknown.String(), doubt
	}
	return m, nil
}

// agree judges a packet on a host for each interface that it may pass, and says
// that nobody knows where that makes a difference.
func (c *Cluster) agree(alternatives []hop) (*walk, error) {
	var first *walk
	for _, h := range alternatives {
		w, err := c.judge(h)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = w
		}
		if w.verdict != first.verdict {
			first.reason = fmt.Sprintf("it depends on the interface of host %s that the packet passes: %s: %s; %s: %s",
				h.node, alternatives[0].uplink(), first.verdict, h.uplink(), w.verdict)
			first.verdict = unknown
			return first, nil
		}
	}
	return first, nil
}

// uplink names the interface of the host that the packet passes.
func (h hop) uplink() string {
	if h.out.isHost && h.in.workload != nil {
		return "none, the address is its own"
	}
	for _, at := range []place{h.in, h.out} {
		if at.workload == nil && !at.isHost {
			if at.iface == "" {
				return "one without a host endpoint of its own"
			}
			return at.iface
		}
	}
	return ""
}
