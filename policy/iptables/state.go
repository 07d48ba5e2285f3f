package iptables

import (
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// state is what should be, as far as rules depend on it: of sets only their
// kinds, and how many members they have.
type state struct {
	randomly  bool // iptables can choose ports at random
	settings  *policy.Settings
	sets      map[policy.SetID]*membership
	policies  map[resource.ID]*policy.Policy
	pipelines map[string]*policy.Pipeline
	endpoints map[resource.EndpointID]*policy.Endpoint
	hosts     map[string]*policy.HostEndpoint

	// What follows from it.
	byInterface map[string]map[resource.EndpointID]struct{}
	usersOf     map[string]int                            // endpoints by pipeline
	usersOfSet  map[policy.SetID]map[resource.ID]struct{} // policies
	refs        map[policyKey]map[string]struct{}         // pipelines
	spoofing    map[resource.EndpointID]struct{}          // what may send from more than its own
	odd         map[string]struct{}                       // interfaces of endpoints that no prefix covers
}

// policyKey is a policy in one direction.
type policyKey struct {
	id        resource.ID
	direction policy.Direction
}

func newState(randomly bool) *state {
	return &state{
		randomly:    randomly,
		settings:    &policy.Settings{},
		sets:        map[policy.SetID]*membership{},
		policies:    map[resource.ID]*policy.Policy{},
		pipelines:   map[string]*policy.Pipeline{},
		endpoints:   map[resource.EndpointID]*policy.Endpoint{},
		hosts:       map[string]*policy.HostEndpoint{},
		byInterface: map[string]map[resource.EndpointID]struct{}{},
		usersOf:     map[string]int{},
		usersOfSet:  map[policy.SetID]map[resource.ID]struct{}{},
		refs:        map[policyKey]map[string]struct{}{},
		spoofing:    map[resource.EndpointID]struct{}{},
		odd:         map[string]struct{}{},
	}
}

// tablesOf are the tables in which a pipeline is used.
func (s *state) tablesOf(id string) map[table]bool {
	out := map[table]bool{}
	if s.usersOf[id] > 0 {
		out[filterTable] = true
	}
	for _, p := range points() {
		for _, h := range s.hosts {
			if p.pipeline(h) == id {
				out[p.table] = true
			}
		}
	}
	return out
}

// tablesOfPolicy are the tables in which a policy is used.
func (s *state) tablesOfPolicy(key policyKey) map[table]bool {
	out := map[table]bool{}
	for id := range s.refs[key] {
		maps.Copy(out, s.tablesOf(id))
	}
	return out
}

// refsOf calls f for every policy and profile that a pipeline goes through.
func refsOf(p *policy.Pipeline, f func(policyKey)) {
	for _, tier := range p.Tiers {
		for _, ref := range tier.Policies {
			f(policyKey{ref.ID, p.Direction})
		}
	}
	for _, id := range p.Profiles {
		f(policyKey{id, p.Direction})
	}
}

// can tells whether a policy has rules with this action that are enforced.
func (s *state) can(action policy.Action, id resource.ID, d policy.Direction) bool {
	p := s.policies[id]
	return p != nil && !p.Staged && slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool {
		return r.Action == action
	})
}

// put files a value under two keys, and remove takes it away.
func put[K, L comparable](index map[K]map[L]struct{}, k K, l L) {
	if index[k] == nil {
		index[k] = map[L]struct{}{}
	}
	index[k][l] = struct{}{}
}

func remove[K, L comparable](index map[K]map[L]struct{}, k K, l L) {
	delete(index[k], l)
	if len(index[k]) == 0 {
		delete(index, k)
	}
}
