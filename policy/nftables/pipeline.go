package nftables

import (
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// pipelineChains renders a pipeline: its chain, and one for each tier that can
// be left by Pass, unless that is shared. A chain of a policy that comes to its
// end goes on here.
func (s *state) pipelineChains(p *policy.Pipeline) []*chain {
	main := &chain{name: pipelineChain(p.ID)}
	chains := []*chain{main}
	tiers := slices.Clone(p.Tiers)
	if len(p.Profiles) > 0 {
		profiles := policy.Tier{End: policy.Pass}
		for _, id := range p.Profiles {
			profiles.Policies = append(profiles.Policies, policy.Ref{ID: id})
		}
		tiers = append(tiers, profiles)
	}
	for n, tier := range tiers {
		left := s.tierPasses(&tier, p.Direction)
		switch {
		case n < len(p.Tiers) && isShared(&tier):
			main.rules = append(main.rules, newRule(jumpTo(sharedTierChain(&tier, p.Direction))))
		case left:
			target := &chain{name: tierChain(p.ID, n)}
			chains = append(chains, target)
			main.rules = append(main.rules, newRule(jumpTo(target.name)))
			s.renderTier(target, &tier, p.Direction)
		default:
			s.renderTier(main, &tier, p.Direction)
		}
		if !left && tier.End == policy.Deny {
			return chains // nothing comes this far
		}
	}
	if p.End == policy.Deny {
		main.rules = append(main.rules, s.denial(p.Direction, policy.ProfilesSubject))
	} else {
		main.rules = append(main.rules, newRule(setMark(s.acceptedBit(), false)))
	}
	return chains
}

// renderTier appends the policies of a tier and its end.
func (s *state) renderTier(c *chain, tier *policy.Tier, d policy.Direction) {
	staged := 0 // so far
	for _, ref := range tier.Policies {
		jump := newRule(jumpTo(policyChain(ref.ID, d)))
		if ref.Staged {
			switch staged++; staged {
			case 1:
				c.rules = append(c.rules, s.unsetStaged(tier)...)
			default: // of several the first decides
				jump = newRule(matchNoMark(s.stagedBit()), jumpTo(policyChain(ref.ID, d)))
			}
		}
		c.rules = append(c.rules, jump)
		if s.passes(ref.ID, d) {
			c.rules = append(c.rules, newRule(
				matchMark(s.passBit()), setMark(s.passBit(), false), leave()))
		}
	}
	if tier.End == policy.Deny {
		c.rules = append(c.rules, s.denial(d, policy.FlowTier(tier.Name)))
	}
}

// unsetStaged begins a tier with several staged policies.
func (s *state) unsetStaged(tier *policy.Tier) []rule {
	n := 0
	for _, ref := range tier.Policies {
		if ref.Staged {
			n++
		}
	}
	if n < 2 {
		return nil
	}
	return []rule{newRule(setMark(s.stagedBit(), false))}
}

// denial is the end of a tier or of a pipeline.
func (s *state) denial(d policy.Direction, subject string) rule {
	flow := policy.FlowPrefix{Action: policy.Deny, Direction: d, Rule: -1, Subject: subject}
	return newRule(append([]clause{counter()}, s.deny(flow)...)...)
}

func (s *state) tierPasses(tier *policy.Tier, d policy.Direction) bool {
	return slices.ContainsFunc(tier.Policies, func(ref policy.Ref) bool { return s.passes(ref.ID, d) })
}

// passes tells whether a policy has rules that leave the tier.
func (s *state) passes(id resource.ID, d policy.Direction) bool {
	p := s.policies[id]
	return p != nil && !p.Staged && slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool {
		return r.Action == policy.Pass
	})
}
