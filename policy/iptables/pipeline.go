package iptables

import (
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// pipelineChains renders a pipeline for one table of one family: its chain,
// and one for each tier that can be left by Pass. It ends with the packet
// dropped, with allowBit set, or with neither: that is to go on as if there
// were no policy.
func (s *state) pipelineChains(at place, p *policy.Pipeline) []*chain {
	main := newChain(pipelineChain(p.ID))
	chains := []*chain{main}
	s.toOwnHost(main, at, p)
	tiers := slices.Clone(p.Tiers)
	if len(p.Profiles) > 0 {
		profiles := policy.Tier{End: policy.Pass}
		for _, id := range p.Profiles {
			profiles.Policies = append(profiles.Policies, policy.Ref{ID: id})
		}
		tiers = append(tiers, profiles)
	}
	for n, tier := range tiers {
		if !s.tierCan(policy.Pass, &tier, p.Direction) {
			s.renderTier(main, at, &tier, p.Direction, s.allowBit())
			if tier.End == policy.Deny {
				return chains // nothing comes this far
			}
			continue
		}
		c := newChain(tierChain(p.ID, n))
		chains = append(chains, c)
		s.renderTier(c, at, &tier, p.Direction, s.allowBit()|s.passBit())
		main.add("", "-j "+c.name)
		if s.tierCan(policy.Allow, &tier, p.Direction) {
			main.add(hasMark(s.allowBit()), "-j RETURN")
		}
		main.add("", setMark(0, s.passBit()))
	}
	if p.End == policy.Deny {
		s.denial(main, at, p.Direction, policy.ProfilesSubject)
	}
	return chains
}

// toOwnHost begins a pipeline for what is between a workload and its own host:
// no policy of ingress, and the host's services before egress.
func (s *state) toOwnHost(c *chain, at place, p *policy.Pipeline) {
	switch {
	case at.table != filterTable || p.End != policy.Deny:
	case p.Direction == policy.Ingress:
		c.add(hasMark(s.hostBit()), "-g "+allowChain)
	case s.hasServices(at.family):
		c.add(hasMark(s.hostBit()), "-j "+servicesChain)
		c.add(hasMark(s.allowBit()), "-j RETURN")
	}
}

// renderTier appends the policies of a tier and its end; a policy that has
// decided has set one of the bits.
func (s *state) renderTier(c *chain, at place, tier *policy.Tier, d policy.Direction, bits uint32) {
	staged := false
	for _, ref := range tier.Policies {
		jump := "-j " + policyChain(ref.ID, d)
		switch {
		case !ref.Staged:
			c.add("", jump)
			if s.can(policy.Allow, ref.ID, d) || s.can(policy.Pass, ref.ID, d) {
				c.add(anyMark(bits), "-j RETURN")
			}
		case !staged:
			c.add("", setMark(0, s.stagedBit()))
			c.add("", jump)
			staged = true
		default: // of several the first decides
			c.add(noMark(s.stagedBit()), jump)
		}
	}
	if tier.End == policy.Deny {
		s.denial(c, at, d, policy.FlowTier(tier.Name))
	}
}

// denial is the end of a tier or of a pipeline.
func (s *state) denial(c *chain, at place, d policy.Direction, subject string) {
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: d, Rule: -1, Subject: subject}
	s.logged(c, flow, s.deny(at))
}

// logged appends a target that is logged first.
func (s *state) logged(c *chain, flow policy.FlowPrefix, target string) {
	if log := s.log(flow); log != "" {
		c.add("", log)
	}
	c.add("", target)
}

func (s *state) tierCan(action policy.Action, tier *policy.Tier, d policy.Direction) bool {
	return slices.ContainsFunc(tier.Policies, func(ref policy.Ref) bool { return s.can(action, ref.ID, d) })
}
