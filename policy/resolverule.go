package policy

import (
	"reflect"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// ruleBuilder resolves the rules of one policy and collects the sets that they
// use, each once.
type ruleBuilder struct {
	resolver *Resolver
	sets     []*liveSet
}

// rules returns those that can match.
func (b *ruleBuilder) rules(list []resource.Rule) []Rule {
	rules := make([]Rule, 0, len(list))
	for i := range list {
		if rule, ok := b.rule(i, &list[i]); ok {
			rules = append(rules, rule)
		}
	}
	return rules
}

func (b *ruleBuilder) rule(i int, from *resource.Rule) (Rule, bool) {
	r := Rule{
		Index: i, Action: from.Action,
		IPVersion: from.IPVersion, Protocol: from.Protocol, NotProtocol: from.NotProtocol,
		ICMP: from.ICMP, NotICMP: from.NotICMP,
	}
	if r.Protocol != 0 && r.Protocol == r.NotProtocol {
		return Rule{}, false
	}
	r.Source.Nets, r.Source.NotNets = from.Source.Nets, from.Source.NotNets
	r.Destination.Nets, r.Destination.NotNets = from.Destination.Nets, from.Destination.NotNets
	if !r.narrow() {
		return Rule{}, false // before it asks for sets
	}
	b.side(&r.Source, &from.Source, from.Protocol)
	b.side(&r.Destination, &from.Destination, from.Protocol)
	if ref := from.Source.Service; ref != nil {
		r.Source.Sets = append(r.Source.Sets, b.use(b.resolver.serviceSetLocked(*ref, Addresses)))
	}
	if ref := from.Destination.Service; ref != nil {
		r.Destination.PortSets = append(r.Destination.PortSets, b.use(b.resolver.serviceSetLocked(*ref, Ports)))
	}
	return r, true
}

// narrow takes out of the rule a family that a negated catch-all network leaves
// nothing of, and tells whether anything is left.
func (r *Rule) narrow() bool {
	v4, v6 := r.Families()
	for _, side := range []*Side{&r.Source, &r.Destination} {
		for _, p := range side.NotNets {
			if p.Bits() == 0 {
				v4, v6 = v4 && !p.Addr().Is4(), v6 && !p.Addr().Is6()
			}
		}
	}
	switch {
	case !v4 && !v6:
		return false
	case !v6:
		r.IPVersion = 4
	case !v4:
		r.IPVersion = 6
	}
	return true
}

func (b *ruleBuilder) side(side *Side, from *resource.Entity, protocol uint8) {
	if from.Selector != nil {
		side.Sets = append(side.Sets, b.use(b.resolver.selectorSetLocked(from.Selector)))
	}
	if from.NotSelector != nil {
		side.NotSets = append(side.NotSets, b.use(b.resolver.selectorSetLocked(from.NotSelector)))
	}
	side.Ports, side.PortSets = b.ports(from.Ports, from.Selector, protocol)
	side.NotPorts, side.NotPortSets = b.ports(from.NotPorts, from.Selector, protocol)
}

// ports returns numbers as ranges, and names as sets of what the side's
// selector chooses, or else of all endpoints.
func (b *ruleBuilder) ports(list []resource.Port, of *selector.Selector, protocol uint8) (ranges []PortRange, sets []SetID) {
	if of == nil {
		of = selector.All()
	}
	for _, port := range list {
		if port.Name == "" {
			ranges = append(ranges, PortRange{port.First, port.Last})
			continue
		}
		id := b.use(b.resolver.portSetLocked(of, protocol, port.Name))
		if !slices.Contains(sets, id) {
			sets = append(sets, id)
		}
	}
	return ranges, sets
}

func (b *ruleBuilder) use(set *liveSet) SetID {
	if !slices.Contains(b.sets, set) {
		b.sets = append(b.sets, set)
	}
	return set.id
}

// equalPolicies tells whether two resolved policies do the same.
func equalPolicies(a, b *Policy) bool { return a != nil && reflect.DeepEqual(a, b) }

// selectorSetLocked returns the set of what a selector matches.
func (r *Resolver) selectorSetLocked(sel *selector.Selector) *liveSet {
	s := r.peers.selection(sel)
	if s.addresses == nil {
		s.addresses = r.newSetLocked(selectionSet(r.peers, s))
	}
	return s.addresses
}

// portSetLocked returns the set of the named ports of what a selector matches.
func (r *Resolver) portSetLocked(sel *selector.Selector, protocol uint8, name string) *liveSet {
	s := r.peers.selection(sel)
	for _, set := range s.ports {
		if set.protocol == protocol && set.port == name {
			return set
		}
	}
	set := r.newSetLocked(portSet(s, protocol, name))
	s.ports = append(s.ports, set)
	return set
}

// newSetLocked takes up a set. It is told with the next update if it then has
// users.
func (r *Resolver) newSetLocked(set *liveSet) *liveSet {
	r.sets[set.id] = set
	r.dirty.sets[set] = struct{}{}
	return set
}

// dropSetLocked forgets a set that nobody uses.
func (r *Resolver) dropSetLocked(set *liveSet) {
	delete(r.sets, set.id)
	s := set.selection
	if s == nil {
		return
	}
	if s.addresses == set {
		s.addresses = nil
	}
	s.ports = slices.DeleteFunc(s.ports, func(o *liveSet) bool { return o == set })
	r.peers.dropIfUnused(s)
}
