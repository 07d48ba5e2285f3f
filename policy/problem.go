package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Problem says why an object is not in force as it was meant.
type Problem struct {
	ID     resource.ID
	Reason string
}

// String renders KIND/NAMESPACE/NAME: REASON.
func (p Problem) String() string { return fmt.Sprintf("%s: %s", p.ID, p.Reason) }

// Problems returns what is accepted and cannot be enforced as it stands, in the
// order of objects: policies in tiers that are not there, endpoints without
// their profiles, or with one interface for several.
func (r *Resolver) Problems() []Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Problem
	report := func(id resource.ID, format string, args ...any) {
		list = append(list, Problem{ID: id, Reason: fmt.Sprintf(format, args...)})
	}
	for id, e := range r.policies {
		if e.policy != nil && r.tiers[e.policy.Tier] == nil {
			report(id, "inactive: there is no tier %s", e.policy.Tier)
		}
	}
	for id, l := range r.locals {
		if w := l.workload; w != nil && r.isSharedLocked(w) {
			report(id, "passes nothing: interface %s has several endpoints", w.Interface)
		}
		if h := l.host; h != nil && r.isWorkloadsLocked(h.Interface) {
			report(id, "not in force: interface %s is named as those of workloads are", h.Interface)
		}
		for _, p := range l.item.class.parents {
			if e := r.policies[resource.ID{Kind: resource.KindProfile, Name: p.id.Name}]; p.id.Kind == resource.KindProfile && (e == nil || e.profile == nil) {
				report(id, "there is no profile %s", p.id.Name)
			}
		}
	}
	r.hostsLocked(func(late, first *local, at string) {
		report(late.id, "not in force: interface %s has host endpoint %s, the first by name", at, first.id.Name)
	})
	slices.SortFunc(list, func(a, b Problem) int { return strings.Compare(a.String(), b.String()) })
	return list
}
