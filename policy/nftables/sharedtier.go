package nftables

import (
	"strings"

	"github.com/projectvrouter/vrouter/policy"
)

// A sharedTier is a tier that pipelines have a chain in common for.
type sharedTier struct {
	tier      *policy.Tier
	direction policy.Direction
	pipelines map[string]struct{} // that have it
}

// manyPolicies is how many a tier has that is shared: the kernel checks all
// jumps of a table when a rule changes, and 100 pipelines with 1,000 policies
// each made that 13 ms. A shorter tier spares packets one more jump.
const manyPolicies = 16

// sharedTiers calls f for every tier of a pipeline that is shared, with the
// name of its chain: the same for what is rendered the same.
func sharedTiers(p *policy.Pipeline, f func(name string, tier *policy.Tier)) {
	for n := range p.Tiers {
		if tier := &p.Tiers[n]; isShared(tier) {
			f(sharedTierChain(tier, p.Direction), tier)
		}
	}
}

func isShared(tier *policy.Tier) bool { return len(tier.Policies) >= manyPolicies }

// sharedTierChain is the chain of a shared tier.
func sharedTierChain(tier *policy.Tier, d policy.Direction) string {
	var b strings.Builder
	b.WriteString(tier.Name + " " + tier.End.String())
	for _, ref := range tier.Policies {
		b.WriteString("\n" + policyChain(ref.ID, d))
		if ref.Staged {
			b.WriteString(" staged")
		}
	}
	return "tier-" + plain(tier.Name, 60) + "-" + hash(b.String(), 26)
}

// useTiers files the shared tiers of a pipeline.
func (s *state) useTiers(p *policy.Pipeline, d *dirty) {
	sharedTiers(p, func(name string, tier *policy.Tier) {
		if s.tiers[name] == nil {
			s.tiers[name] = &sharedTier{tier: tier, direction: p.Direction, pipelines: map[string]struct{}{}}
			d.tiers[name] = struct{}{}
		}
		s.tiers[name].pipelines[p.ID] = struct{}{}
	})
}

// leaveTiers takes away what useTiers filed.
func (s *state) leaveTiers(p *policy.Pipeline, d *dirty) {
	sharedTiers(p, func(name string, _ *policy.Tier) {
		shared := s.tiers[name]
		if shared == nil {
			return // the pipeline has the same tier twice
		}
		if delete(shared.pipelines, p.ID); len(shared.pipelines) == 0 {
			delete(s.tiers, name)
			d.tiers[name] = struct{}{}
		}
	})
}

// renderSharedTier renders the chain of a shared tier.
func (s *state) renderSharedTier(p *plan, units units, name string) {
	var chains []*chain
	if shared := s.tiers[name]; shared != nil {
		c := &chain{name: name}
		s.renderTier(c, shared.tier, shared.direction)
		chains = append(chains, c)
	}
	units.chains(p, name, chains)
}
