package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// IANA numbers of the protocols that a rule knows more of than the number.
const (
	ProtocolICMP    = 1
	ProtocolTCP     = 6
	ProtocolUDP     = 17
	ProtocolICMPv6  = 58
	ProtocolSCTP    = 132
	ProtocolUDPLite = 136
)

// Packet is what policy looks at: the first packet of a connection, or one that
// is not tracked.
type Packet struct {
	Source, Destination         netip.Addr
	Protocol                    uint8
	SourcePort, DestinationPort uint16 // of TCP, UDP, SCTP
	ICMPType, ICMPCode          uint8
}

// IsNeighbour tells whether the packet is one without which IPv6 has no link:
// multicast listener or neighbour discovery (RFC 2710, 4861, 3810).
func (p Packet) IsNeighbour() bool {
	return p.Protocol == ProtocolICMPv6 && (p.ICMPType >= 130 && p.ICMPType <= 136 || p.ICMPType == 143)
}

// Decision is what a pipeline does with a packet, and what decided it.
type Decision struct {
	Action Action // Allow, Deny, or Pass: the packet goes on as if there were no policy
	Hit           // of the rule that decided; its Policy is zero when a Tier's end did, its Tier too when the Pipeline's did
	Logged []Hit  // rules with action Log
	Staged []Hit  // what staged policies would have decided, in each tier the first
}

// Hit is a rule that matched, or the end of a tier.
type Hit struct {
	Tier   string // empty for profiles
	Policy resource.ID
	Rule   int // Rule.Index; -1 without a rule
	Action Action
}

// Decide sends a packet through a pipeline. It does what every dataplane does,
// over the same resolved form, plainly. An unknown pipeline is an error.
func (s *State) Decide(pipeline string, packet Packet) (Decision, error) {
	p := s.Pipelines[pipeline]
	if p == nil {
		return Decision{}, fmt.Errorf("pipeline %q is not there", pipeline)
	}
	var d Decision
	for _, t := range p.Tiers {
		hit := s.tier(&t, p.Direction, packet, &d)
		if hit.Action != Pass {
			d.Action, d.Hit = hit.Action, hit
			return d, nil
		}
	}
	for _, id := range p.Profiles {
		if hit, ok := s.rules(id, p.Direction, packet, &d); ok {
			if hit.Action == Pass {
				break
			}
			d.Action, d.Hit = hit.Action, hit
			return d, nil
		}
	}
	d.Action, d.Hit = p.End, Hit{Rule: -1, Action: p.End}
	return d, nil
}

// tier returns what the tier decides; Pass means that the next one does.
func (s *State) tier(t *Tier, dir Direction, packet Packet, d *Decision) Hit {
	staged := false
	for _, ref := range t.Policies {
		if ref.Staged && staged {
			continue
		}
		hit, ok := s.rules(ref.ID, dir, packet, d)
		if hit.Tier = t.Name; !ok {
			continue
		}
		if ref.Staged {
			d.Staged, staged = append(d.Staged, hit), true
			continue
		}
		return hit
	}
	return Hit{Tier: t.Name, Rule: -1, Action: t.End}
}

// rules returns the first rule of a policy or profile that decides.
func (s *State) rules(id resource.ID, dir Direction, packet Packet, d *Decision) (Hit, bool) {
	p := s.Policies[id]
	if p == nil {
		return Hit{}, false
	}
	for _, r := range p.Rules(dir) {
		if !s.matches(&r, packet) {
			continue
		}
		hit := Hit{Policy: id, Rule: r.Index, Action: r.Action}
		if r.Action != Log {
			return hit, true
		}
		if !p.Staged {
			d.Logged = append(d.Logged, hit)
		}
	}
	return Hit{}, false
}

func (s *State) matches(r *Rule, p Packet) bool {
	v4, v6 := r.Families()
	switch {
	case p.Source.Is4() && !v4, p.Source.Is6() && !v6:
		return false
	case r.Protocol != 0 && r.Protocol != p.Protocol:
		return false
	case r.NotProtocol != 0 && r.NotProtocol == p.Protocol:
		return false
	case r.ICMP != nil && !isICMP(r.ICMP, p):
		return false
	case r.NotICMP != nil && isICMP(r.NotICMP, p):
		return false
	}
	return s.side(&r.Source, p.Source, p.Protocol, p.SourcePort) &&
		s.side(&r.Destination, p.Destination, p.Protocol, p.DestinationPort)
}

func isICMP(i *ICMP, p Packet) bool {
	return i.Type == p.ICMPType && (i.Code == nil || *i.Code == p.ICMPCode)
}

func (s *State) side(side *Side, a netip.Addr, protocol uint8, port uint16) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	inSet := func(id SetID) bool { return s.Sets[id] != nil && s.Sets[id].Contains(a) }
	isPort := func(r PortRange) bool { return r.First <= port && port <= r.Last }
	inPortSet := func(id SetID) bool { return s.Sets[id] != nil && s.Sets[id].ContainsPort(a, protocol, port) }
	switch {
	case len(side.Nets) > 0 && !slices.ContainsFunc(side.Nets, in):
		return false
	case slices.ContainsFunc(side.NotNets, in):
		return false
	case slices.ContainsFunc(side.Sets, func(id SetID) bool { return !inSet(id) }):
		return false
	case slices.ContainsFunc(side.NotSets, inSet):
		return false
	case len(side.Ports)+len(side.PortSets) > 0 &&
		!slices.ContainsFunc(side.Ports, isPort) && !slices.ContainsFunc(side.PortSets, inPortSet):
		return false
	}
	return !slices.ContainsFunc(side.NotPorts, isPort) && !slices.ContainsFunc(side.NotPortSets, inPortSet)
}
