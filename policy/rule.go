package policy

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Action is what happens to a packet: Allow and Deny end the evaluation of the
// direction, Pass leaves the tier, Log goes on with the next rule.
type Action = resource.Action

// The actions of a rule.
const (
	Allow = resource.ActionAllow
	Deny  = resource.ActionDeny
	Pass  = resource.ActionPass
	Log   = resource.ActionLog
)

// Direction is the side of an endpoint that a packet is on.
type Direction = resource.Direction

// The directions, seen from the endpoint.
const (
	Ingress = resource.DirectionIngress // to the endpoint
	Egress  = resource.DirectionEgress  // from the endpoint
)

// Rule is one rule with its selectors resolved. All criteria that are given
// must hold; what is zero or empty is not given. A list is alternatives, except
// Sets and NotSets, all of which must hold.
type Rule struct {
	// Index is the place of the rule in its list as written, by which it is
	// counted and explained. Rules that can never match are left out.
	Index  int
	Action Action

	IPVersion   uint8 // 4 or 6; zero: both, as far as Families allows
	Protocol    uint8 // IANA number
	NotProtocol uint8
	ICMP        *ICMP // of Protocol, which is 1 or 58
	NotICMP     *ICMP

	Source, Destination Side
}

// ICMP is a type, with or without a code.
type ICMP = resource.ICMP

// Side is what a rule says of one end of a packet.
type Side struct {
	Nets, NotNets []netip.Prefix
	Sets, NotSets []SetID // of kind [Addresses] or [Networks]
	Ports         []PortRange
	NotPorts      []PortRange
	// PortSets and NotPortSets are of kind [Ports]: further alternatives to
	// Ports and NotPorts, looked up by address, protocol and port of this side.
	PortSets, NotPortSets []SetID
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// String renders 80 or 80:90.
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d:%d", r.First, r.Last)
}

// Families tells for which families the rule can hold: one that has networks of
// the other family only, in Nets or in NotNets, does not exist for this one (as
// in Calico).
func (r *Rule) Families() (v4, v6 bool) {
	v4, v6 = r.IPVersion != 6, r.IPVersion != 4
	for _, nets := range [][]netip.Prefix{r.Source.Nets, r.Source.NotNets, r.Destination.Nets, r.Destination.NotNets} {
		if len(nets) == 0 {
			continue
		}
		var has4, has6 bool
		for _, p := range nets {
			has4, has6 = has4 || p.Addr().Is4(), has6 || p.Addr().Is6()
		}
		v4, v6 = v4 && has4, v6 && has6
	}
	return v4, v6
}
