package nftables

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/policy"
)

// policyChains renders the rules of a policy in one direction: its chain, and
// chains of rules that log.
func (s *state) policyChains(key policyKey) []*chain {
	p := s.policies[key.id]
	main := &chain{name: policyChain(key.id, key.direction)}
	chains := []*chain{main}
	if p == nil {
		return chains // nothing matches, and the tier goes on
	}
	subject := policy.FlowSubject(p.ID)
	for i := range p.Rules(key.direction) {
		r := &p.Rules(key.direction)[i]
		tail := s.tail(p, key.direction, r, subject)
		var alternatives [][]clause
		apart := s.product(r) > mostProduct
		if !apart {
			alternatives = s.alternatives(r)
			apart = tooLong(alternatives, tail)
		}
		if apart {
			name := apartChain(main.name, r.Index)
			main.rules = append(main.rules, s.callApart(p, r, name)...)
			chains = append(chains, s.apart(name, r, tail)...)
			continue
		}
		target := main
		if r.Action == policy.Log && len(alternatives) > 1 {
			// A packet that two alternatives match is logged once.
			target = &chain{name: logChain(main.name, r.Index)}
			chains = append(chains, target)
			main.rules = append(main.rules, newRule(jumpTo(target.name)))
			tail = append(tail, leave())
		}
		for _, match := range alternatives {
			target.rules = append(target.rules, rule{clauses: append(match, tail...), index: r.Index})
		}
	}
	return chains
}

// tail is what a rule does with what it matched. Allow ends this hook's
// evaluation; Pass is known to the tier by a bit of the mark.
func (s *state) tail(p *policy.Policy, d policy.Direction, r *policy.Rule, subject string) []clause {
	out := []clause{counter()}
	if p.Staged {
		if r.Action != policy.Log {
			out = append(out, setMark(s.stagedBit(), true), leave())
		}
		return out
	}
	flow := policy.FlowPrefix{Action: r.Action, Direction: d, Rule: r.Index, Subject: subject}
	switch r.Action {
	case policy.Allow:
		return append(out, accept())
	case policy.Pass:
		return append(out, setMark(s.passBit(), true), leave())
	case policy.Log:
		return append(out, s.log(flow)...)
	}
	return append(out, s.deny(flow)...)
}

// deny logs and drops, or rejects.
func (s *state) deny(flow policy.FlowPrefix) []clause {
	if s.settings.Reject {
		return append(s.log(flow), reject())
	}
	return append(s.log(flow), drop())
}

func (s *state) log(flow policy.FlowPrefix) []clause {
	if s.settings.FlowGroup == 0 {
		return nil
	}
	return []clause{logTo(s.settings.FlowGroup, flow.String())}
}

// alternatives renders what a rule matches as lists of clauses of which one
// must hold as a whole: nft knows no "or" between two sets.
func (s *state) alternatives(r *policy.Rule) [][]clause {
	v4, v6 := r.Families()
	if !hasAddresses(&r.Source) && !hasAddresses(&r.Destination) {
		var head []clause
		switch {
		case !v4 && !v6:
			return nil
		case !v6:
			head = append(head, matchFamily(ipv4))
		case !v4:
			head = append(head, matchFamily(ipv6))
		}
		return s.portAlternatives([][]clause{append(head, plainMatches(r)...)}, r, nil)
	}
	var out [][]clause
	if v4 {
		out = append(out, s.ofFamily(r, ipv4)...)
	}
	if v6 {
		out = append(out, s.ofFamily(r, ipv6)...)
	}
	return out
}

// hasAddresses tells whether a side asks for what differs by family.
func hasAddresses(side *policy.Side) bool {
	return len(side.Nets)+len(side.NotNets)+len(side.Sets)+len(side.NotSets)+
		len(side.PortSets)+len(side.NotPortSets) > 0
}

// plainMatches renders what is the same for both families and has no
// alternatives.
func plainMatches(r *policy.Rule) []clause {
	var out []clause
	if r.Protocol != 0 {
		out = append(out, matchProtocol(r.Protocol, false))
	}
	if r.NotProtocol != 0 {
		out = append(out, matchProtocol(r.NotProtocol, true))
	}
	if r.ICMP != nil {
		out = append(out, matchICMP(r.ICMP, false))
	}
	if r.NotICMP != nil {
		out = append(out, matchICMP(r.NotICMP, true))
	}
	for _, e := range []end{source, destination} {
		out = append(out, portList(e, sideOf(r, e).NotPorts, true, mostOfNegated)...)
	}
	return out
}

func sideOf(r *policy.Rule, e end) *policy.Side {
	if e == destination {
		return &r.Destination
	}
	return &r.Source
}

// ofFamily renders the alternatives for one family.
func (s *state) ofFamily(r *policy.Rule, f *family) [][]clause {
	head := append([]clause{matchFamily(f)}, plainMatches(r)...)
	for _, e := range []end{source, destination} {
		side := sideOf(r, e)
		head = append(head, netList(e, netsOf(side.NotNets, f), true, mostOfNegated)...)
		for _, id := range side.NotSets {
			head = append(head, matchNotSet(e, f, s.lengths(id, f), id)...)
		}
		for _, id := range side.NotPortSets {
			if len(s.lengths(id, f)) > 0 {
				head = append(head, matchPortSet(e, f, id, true))
			}
		}
	}
	out := [][]clause{head}
	for _, e := range []end{source, destination} {
		if nets := netsOf(sideOf(r, e).Nets, f); len(nets) > 0 {
			out = product(out, netList(e, nets, false, mostOfList/max(1, len(out))))
		}
	}
	out = s.portAlternatives(out, r, f)
	for _, e := range []end{source, destination} {
		for _, id := range sideOf(r, e).Sets {
			out = product(out, s.setChoices(e, id, f))
		}
	}
	return out
}

// portAlternatives continues lists by the ports of both ends, where sets of
// ports and lists are alternatives to each other.
func (s *state) portAlternatives(out [][]clause, r *policy.Rule, f *family) [][]clause {
	for _, e := range []end{source, destination} {
		side := sideOf(r, e)
		if len(side.Ports)+len(side.PortSets) == 0 {
			continue
		}
		choices := portList(e, side.Ports, false, mostOfList/max(1, len(out)))
		for _, id := range side.PortSets {
			if len(s.lengths(id, f)) > 0 {
				choices = append(choices, matchPortSet(e, f, id, false))
			}
		}
		out = product(out, choices)
	}
	return out
}

func netsOf(nets []netip.Prefix, f *family) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range nets {
		if familyOf(p.Addr()) == f {
			out = append(out, p)
		}
	}
	return out
}

func (s *state) setChoices(e end, id policy.SetID, f *family) []clause {
	var out []clause
	for _, bits := range s.lengths(id, f) {
		out = append(out, matchSet(e, f, bits, id))
	}
	return out
}

// product continues every list by every choice.
func product(lists [][]clause, choices []clause) [][]clause {
	out := make([][]clause, 0, len(lists)*len(choices))
	for _, list := range lists {
		for _, choice := range choices {
			out = append(out, append(list[:len(list):len(list)], choice))
		}
	}
	return out
}
