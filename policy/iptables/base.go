package iptables

import (
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// baseChains renders what does not belong to one policy, pipeline or endpoint,
// for one table of one family.
func (s *state) baseChains(at place) []*chain {
	switch at.table {
	case filterTable:
		return s.filterChains(at)
	case rawTable:
		return s.rawChains(at)
	case mangleTable:
		return s.mangleChains(at.family)
	}
	return s.natChains(at.family)
}

// verdictChains are what policies go to in any table.
func (s *state) verdictChains() []*chain {
	return []*chain{
		newChain(allowChain, newRule("", setMark(s.allowBit(), 0))),
		newChain(passChain, newRule("", setMark(s.passBit(), 0))),
		newChain(stagedChain, newRule("", setMark(s.stagedBit(), 0))),
	}
}

func (s *state) filterChains(at place) []*chain {
	chains := append(s.verdictChains(), s.input(), s.forward(), s.output(), s.encapsulated(), s.protected())
	for _, d := range []device{iif, oif} {
		chains = append(chains, s.unknown(d)...)
	}
	if !s.settings.KeepInvalid {
		chains = append(chains, s.invalid(normalIn), s.invalid(normalOut), s.invalid(forwardIn), s.invalid(forwardOut))
	}
	if s.settings.ToHost != policy.Pass {
		chains = append(chains, s.toHost(at))
	}
	if s.hasServices(at.family) {
		chains = append(chains, s.services(at.family)...)
	}
	if len(s.tunnels()) > 0 {
		chains = append(chains, s.tunnelEnd(at))
	}
	if s.isUsed(normalIn) {
		chains = append(chains, s.pointChain(normalIn), s.hostIn(at))
	}
	if s.isUsed(normalOut) {
		chains = append(chains, s.pointChain(normalOut), s.hostOut(at))
	}
	for _, p := range []point{forwardIn, forwardOut} {
		if s.isUsed(p) {
			chains = append(chains, s.pointChain(p))
		}
	}
	return chains
}

// known begins a hook: established connections pass, and what belongs to none
// is dropped where policy holds.
func (s *state) known(c *chain, points ...point) {
	c.add(matchState("RELATED,ESTABLISHED"), "-j RETURN")
	for _, p := range points {
		if !s.settings.KeepInvalid {
			c.add(matchState("INVALID"), "-j "+p.invalidChain())
		}
	}
}

// input judges what workloads send to their host, and host endpoints receive.
// A packet of a workload has allowBit when it has come through its egress.
func (s *state) input() *chain {
	c := newChain(hookChain("INPUT"))
	s.known(c, normalIn)
	for _, match := range s.tunnels() {
		c.add(match, "-g "+tunnelChain)
	}
	s.noTunnels(c)
	c.add("", setMark(s.hostBit(), s.allowBit()|s.passBit()))
	c.add("", "-j "+fromTree)
	if s.settings.ToHost == policy.Pass {
		c.add(hasMark(s.allowBit()), "-j RETURN")
	} else {
		c.add(hasMark(s.allowBit()), "-g "+toHostChain)
	}
	c.add("", "-j "+unknownInChain)
	if s.isUsed(normalIn) {
		c.add("", setMark(0, s.hostBit()))
		c.add("", "-g "+hostInChain)
	}
	return c
}

// forward judges what is routed: by ingress of host endpoints, egress and
// ingress of workloads, egress of host endpoints. What comes through returns.
func (s *state) forward() *chain {
	c := newChain(hookChain("FORWARD"))
	s.known(c, forwardIn, forwardOut)
	if s.isUsed(forwardIn) {
		c.add("", setMark(0, s.allowBit()|s.passBit()))
		match := ""
		if s.hasEarly() {
			match = noMark(s.acceptedBit())
		}
		c.add(match, "-j "+forwardIn.chain)
	}
	s.noTunnels(c)
	c.add("", setMark(0, s.allowBit()|s.passBit()|s.hostBit()))
	c.add("", "-j "+fromTree)
	c.add(noMark(s.allowBit()), "-j "+unknownInChain)
	c.add("", setMark(0, s.allowBit()))
	c.add("", "-j "+toTree)
	c.add(noMark(s.allowBit()), "-j "+unknownOutChain)
	if s.isUsed(forwardOut) {
		c.add("", setMark(0, s.allowBit()))
		c.add("", "-j "+forwardOut.chain)
	}
	return c
}

// output judges what the host sends: to its own workloads without their policy,
// to nowhere by an interface that is no endpoint's.
func (s *state) output() *chain {
	c := newChain(hookChain("OUTPUT"))
	s.known(c, normalOut)
	c.add("", setMark(s.hostBit(), s.allowBit()|s.passBit()))
	c.add("", "-j "+toTree)
	c.add(hasMark(s.allowBit()), "-j RETURN")
	c.add("", "-j "+unknownOutChain)
	if s.isUsed(normalOut) {
		c.add("", setMark(0, s.hostBit()))
		c.add("", "-g "+hostOutChain)
	}
	return c
}

// invalid drops by interfaces that policy of workloads, or of host endpoints at
// the point, holds for.
func (s *state) invalid(p point) *chain {
	c := newChain(p.invalidChain())
	for _, match := range s.workloads(p.device) {
		c.add(match, "-j DROP")
	}
	s.eachInterface(p, func(match, id string) {
		if id == "" {
			c.add(match, "-j RETURN")
		} else {
			c.add(match, "-j DROP")
		}
	})
	return c
}

// workloads matches the interfaces that are named like a workload's, or are an
// endpoint's. Those of the first that are not the second pass nothing at all.
func (s *state) workloads(d device) []string {
	out := s.prefixes(d)
	for _, name := range slices.Sorted(maps.Keys(s.odd)) {
		out = append(out, d.is(name))
	}
	return out
}

func (s *state) prefixes(d device) []string {
	var out []string
	for _, prefix := range slices.Sorted(slices.Values(s.settings.WorkloadPrefixes)) {
		out = append(out, d.begins(prefix))
	}
	return slices.Compact(out)
}

// unknown drops what is named like a workload's interface and is none.
func (s *state) unknown(d device) []*chain {
	find, drop := newChain(unknownInChain), newChain(dropInChain)
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: policy.Egress, Rule: -1, Subject: policy.UnknownSubject}
	if d == oif {
		find, drop = newChain(unknownOutChain), newChain(dropOutChain)
		flow.Direction = policy.Ingress
	}
	for _, match := range s.prefixes(d) {
		find.add(match, "-g "+drop.name)
	}
	s.logged(drop, flow, "-j DROP")
	return []*chain{find, drop}
}
