package nftables

import (
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// A point is one of the places where policy of host endpoints holds.
type point struct {
	vmap     string
	device   device
	early    bool // see decideEarly
	pipeline func(*policy.HostEndpoint) string
}

func points() []point {
	return []point{
		{untrackedInMap, iif, true, func(h *policy.HostEndpoint) string { return h.Untracked.Ingress }},
		{untrackedOutMap, oif, true, func(h *policy.HostEndpoint) string { return h.Untracked.Egress }},
		{preDNATMap, iif, true, func(h *policy.HostEndpoint) string { return h.PreDNAT }},
		{hostInMap, iif, false, func(h *policy.HostEndpoint) string { return h.Normal.Ingress }},
		{hostOutMap, oif, false, func(h *policy.HostEndpoint) string { return h.Normal.Egress }},
		{hostForwardInMap, iif, false, func(h *policy.HostEndpoint) string { return h.Forward.Ingress }},
		{hostForwardOutMap, oif, false, func(h *policy.HostEndpoint) string { return h.Forward.Egress }},
	}
}

func pointOf(vmap string) point {
	for _, p := range points() {
		if p.vmap == vmap {
			return p
		}
	}
	panic("no point " + vmap)
}

// isUsed tells whether any host endpoint says something at the point.
func (s *state) isUsed(vmap string) bool {
	p := pointOf(vmap)
	for _, h := range s.hosts {
		if p.pipeline(h) != "" {
			return true
		}
	}
	return false
}

// hasEarly tells whether packets are decided on before connection tracking or
// before translation.
func (s *state) hasEarly() bool {
	return s.isUsed(untrackedInMap) || s.isUsed(untrackedOutMap) || s.isUsed(preDNATMap)
}

// hostNames are the interfaces with a host endpoint of their own.
func (s *state) hostNames() []string {
	names := slices.Sorted(maps.Keys(s.hosts))
	return slices.DeleteFunc(names, func(name string) bool { return name == policy.AnyInterface })
}

// hostElements is what the map of a point says of every interface with a host
// endpoint of its own: with an empty pipeline the packet goes on.
func (s *state) hostElements(p point) map[string]verdict {
	out := map[string]verdict{}
	for _, name := range s.hostNames() {
		switch id := p.pipeline(s.hosts[name]); {
		case id != "":
			out[name] = gotoVerdict(pipelineChain(id))
		case p.early:
			out[name] = gotoVerdict(undecidedChain)
		default:
			out[name] = acceptVerdict
		}
	}
	return out
}

// decide sends packets to the pipelines of a point.
func (s *state) decide(vmap string) []rule {
	p := pointOf(vmap)
	rules := []rule{newRule(dispatch(p.device, vmap))}
	if all := s.hosts[policy.AnyInterface]; all != nil && p.pipeline(all) != "" {
		rules = append(rules, newRule(matchInterface(p.device, "lo", true), goTo(pipelineChain(p.pipeline(all)))))
	}
	return rules
}

// decideEarly is decide where what is let in is known later by a bit of the
// mark: it is set before, and cleared by who does not let in.
func (s *state) decideEarly(vmap string) []rule {
	rules := []rule{newRule(setMark(s.acceptedBit(), true))}
	rules = append(rules, s.decide(vmap)...)
	return append(rules, newRule(setMark(s.acceptedBit(), false)))
}

// hostInput is what the stage of input does for host endpoints.
func (s *state) hostInput() []rule {
	if !s.isUsed(hostInMap) {
		return nil
	}
	rules := s.unlessAccepted()
	rules = append(rules, alwaysOpen(failsafeInChain, peersInChain)...)
	return append(rules, s.decide(hostInMap)...)
}

func (s *state) hostOutput() []rule {
	if !s.isUsed(hostOutMap) {
		return nil
	}
	rules := s.unlessAccepted()
	rules = append(rules, alwaysOpen(failsafeOutChain, peersOutChain)...)
	return append(rules, s.decide(hostOutMap)...)
}

// alwaysOpen goes through chains that accept what passes host endpoints
// whatever policy says, after neighbour discovery.
func alwaysOpen(chains ...string) []rule {
	rules := []rule{newRule(jumpTo(neighboursChain))}
	for _, name := range chains {
		rules = append(rules, newRule(jumpTo(name)))
	}
	return rules
}

func (s *state) unlessAccepted() []rule {
	if !s.hasEarly() {
		return nil
	}
	return []rule{newRule(matchMark(s.acceptedBit()), accept())}
}

// hostChains renders the stages that are there for host endpoints alone, each
// only when it is used.
func (s *state) hostChains() []*chain {
	var out []*chain
	if s.isUsed(hostForwardInMap) {
		c := &chain{name: forwardInChain, base: filterHook("forward", filterPriority), rules: []rule{established()}}
		c.rules = append(append(c.rules, s.unlessAccepted()...), s.decide(hostForwardInMap)...)
		out = append(out, c)
	}
	if s.isUsed(hostForwardOutMap) {
		c := &chain{name: forwardOutChain, base: filterHook("forward", filterPriority+3), rules: []rule{established()}}
		c.rules = append(c.rules, s.decide(hostForwardOutMap)...)
		out = append(out, c)
	}
	if s.hasEarly() {
		out = append(out, s.earlyChains()...)
	}
	if len(s.hosts) > 0 {
		out = append(out, s.failsafeIn(), s.failsafeOut(), s.peers(peersInChain, source), s.peers(peersOutChain, destination))
	}
	return out
}
