package policy

import (
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// policyEntry is a policy or a profile. It is told while a pipeline refers to
// it, and its rules' selectors are in use as long.
type policyEntry struct {
	id        resource.ID
	policy    *resource.Policy  // nil: it is not there
	profile   *resource.Profile // in its place
	selection *selection        // of a policy, among local endpoints
	uses      int               // pipelines that refer to it
	sets      []*liveSet        // that its rules use, each once
	told      *Policy
}

func (r *Resolver) entryLocked(id resource.ID) *policyEntry {
	e := r.policies[id]
	if e == nil {
		e = &policyEntry{id: id}
		r.policies[id] = e
	}
	return e
}

func (r *Resolver) putPolicyLocked(p *resource.Policy) {
	if p.Staged == resource.StagedDelete {
		r.deletePolicyLocked(p.ID) // it has nothing to evaluate
		return
	}
	e := r.entryLocked(p.ID)
	old := e.policy
	e.policy = p
	r.dirty.policies[e] = struct{}{}
	if old != nil && e.selection.selector.String() == p.Selector.String() && samePlace(old, p) {
		return
	}
	r.chooseLocked(e, r.endpoints.selection(p.Selector))
}

// samePlace tells whether two versions of a policy that select the same are in
// the same pipelines at the same place.
func samePlace(a, b *resource.Policy) bool {
	return a.Tier == b.Tier && a.Order == b.Order && a.IngressType == b.IngressType && a.EgressType == b.EgressType &&
		a.DoNotTrack == b.DoNotTrack && a.PreDNAT == b.PreDNAT && a.ApplyOnForward == b.ApplyOnForward
}

// chooseLocked has a policy select by another selection, or with nil by none.
func (r *Resolver) chooseLocked(e *policyEntry, to *selection) {
	from := e.selection
	if to != nil && to != from {
		to.policies = append(to.policies, e)
	}
	if to != nil {
		r.touchMatchingLocked(to)
	}
	if e.selection = to; from != nil && from != to {
		r.touchMatchingLocked(from)
		from.policies = without(from.policies, e)
		r.endpoints.dropIfUnused(from)
	}
}

func (r *Resolver) putProfileLocked(p *resource.Profile) {
	e := r.entryLocked(p.ID)
	if e.profile == nil {
		r.touchProfileLocked(p.Name)
	}
	e.profile = p
	r.dirty.policies[e] = struct{}{}
}

func (r *Resolver) deletePolicyLocked(id resource.ID) {
	e := r.policies[id]
	if e == nil || e.policy == nil && e.profile == nil {
		return
	}
	if e.policy != nil {
		r.chooseLocked(e, nil)
	} else {
		r.touchProfileLocked(id.Name)
	}
	e.policy, e.profile = nil, nil
	r.dirty.policies[e] = struct{}{}
}

// flushPolicyLocked resolves a policy that changed, or began or ceased to be
// referred to.
func (r *Resolver) flushPolicyLocked(e *policyEntry, u *Update) {
	if e.uses == 0 {
		if e.told != nil {
			e.told, u.Policies[e.id] = nil, nil
		}
		r.useLocked(e, nil)
		if e.policy == nil && e.profile == nil {
			delete(r.policies, e.id)
		}
		return
	}
	b := ruleBuilder{resolver: r}
	p := &Policy{ID: e.id}
	if e.policy != nil {
		p.Staged = e.policy.Staged != ""
		p.Ingress, p.Egress = b.rules(e.policy.Ingress), b.rules(e.policy.Egress)
	} else {
		p.Ingress, p.Egress = b.rules(e.profile.Ingress), b.rules(e.profile.Egress)
	}
	r.useLocked(e, b.sets)
	if !equalPolicies(e.told, p) {
		e.told, u.Policies[e.id] = p, p
	}
}

// useLocked says which sets a policy uses from now on.
func (r *Resolver) useLocked(e *policyEntry, sets []*liveSet) {
	for _, set := range sets {
		set.users[e] = struct{}{}
	}
	for _, set := range e.sets {
		if !slices.Contains(sets, set) {
			delete(set.users, e)
			r.dirty.sets[set] = struct{}{}
		}
	}
	e.sets = sets
}
