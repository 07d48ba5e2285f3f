package policy

import (
	"cmp"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// point is a place where packets are judged.
type point struct {
	takes func(*resource.Policy) bool
	// drops: a tier whose rules do not match may drop. Where packets are not
	// tracked, or their destination is not translated yet, none does: other
	// policy follows.
	drops bool
	end   Action
}

// normalPoint is for what workloads, or the host itself, send and receive.
func normalPoint() point { return point{takes: isTracked, drops: true, end: Deny} }

// forwardPoint is for what is routed through a host endpoint. What all tiers
// let pass goes on: profiles are not for it.
func forwardPoint() point {
	takes := func(p *resource.Policy) bool { return isTracked(p) && p.ApplyOnForward }
	return point{takes: takes, drops: true, end: Pass}
}

func untrackedPoint() point {
	return point{takes: func(p *resource.Policy) bool { return p.DoNotTrack }, end: Pass}
}

func preDNATPoint() point {
	return point{takes: func(p *resource.Policy) bool { return p.PreDNAT }, end: Pass}
}

func isTracked(p *resource.Policy) bool { return !p.DoNotTrack && !p.PreDNAT }

// placed is a policy that selects a class, with the tier that it is in.
type placed struct {
	tier   *resource.Tier
	policy *resource.Policy
}

// comparePlaced is the order of evaluation.
func comparePlaced(a, b placed) int {
	return cmp.Or(
		cmp.Compare(a.tier.Order, b.tier.Order), strings.Compare(a.tier.Name, b.tier.Name),
		cmp.Compare(a.policy.Order, b.policy.Order), strings.Compare(a.policy.Name, b.policy.Name),
		strings.Compare(a.policy.Namespace, b.policy.Namespace), cmp.Compare(a.policy.Kind, b.policy.Kind))
}

// pipeline returns what the policies make of the point in a direction; nil if
// that is nothing. They are in order. A tier that has but staged ones drops
// nothing.
func (at point) pipeline(list []placed, d Direction, profiles []resource.ID) *Pipeline {
	p := &Pipeline{Direction: d, Profiles: profiles, End: at.end}
	for _, l := range list {
		if !l.policy.Decides(d) || !at.takes(l.policy) {
			continue
		}
		if last := len(p.Tiers) - 1; last < 0 || p.Tiers[last].Name != l.tier.Name {
			p.Tiers = append(p.Tiers, Tier{Name: l.tier.Name, End: Pass, Policies: make([]Ref, 0, 8)})
		}
		t := &p.Tiers[len(p.Tiers)-1]
		ref := Ref{ID: l.policy.ID, Staged: l.policy.Staged != ""}
		t.Policies = append(t.Policies, ref)
		if !ref.Staged && at.drops && l.tier.DefaultAction == Deny {
			t.End = Deny
		}
	}
	if len(p.Tiers) == 0 && at.end == Pass {
		return nil
	}
	return p
}
