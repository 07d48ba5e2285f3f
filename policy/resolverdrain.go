package policy

import (
	"maps"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// dirty is what has to be looked at before the next update is told.
type dirty struct {
	classes   map[*class]struct{}
	pipelines map[*pipelineEntry]struct{}
	policies  map[*policyEntry]struct{}
	sets      map[*liveSet]struct{}
	endpoints map[resource.EndpointID]resource.ID
	left      map[string]struct{} // interfaces
	hosts     bool
	general   bool
}

func newDirty() dirty {
	return dirty{
		classes: make(map[*class]struct{}), pipelines: make(map[*pipelineEntry]struct{}),
		policies: make(map[*policyEntry]struct{}), sets: make(map[*liveSet]struct{}),
		endpoints: make(map[resource.EndpointID]resource.ID), left: make(map[string]struct{}), general: true,
	}
}

// told is what updates have said so far, of what does not remember it itself.
type told struct {
	settings  *Settings
	endpoints map[resource.EndpointID]*Endpoint
	hosts     map[string]*HostEndpoint
}

func newTold() told {
	return told{endpoints: make(map[resource.EndpointID]*Endpoint), hosts: make(map[string]*HostEndpoint)}
}

// Drain returns what has changed since the last Drain or All. The first one is
// everything.
func (r *Resolver) Drain() *Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.flushLocked()
	for set := range r.dirty.sets {
		if c := set.tell(r.peers, false); c != nil {
			u.Sets[set.id] = c
		}
	}
	clear(r.dirty.sets)
	return u
}

// All returns everything, with every set New.
func (r *Resolver) All() *Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushLocked()
	clear(r.dirty.sets)
	u := newUpdate()
	u.Settings = r.told.settings
	for id, set := range r.sets {
		u.Sets[id] = set.tell(r.peers, true)
	}
	for id, e := range r.policies {
		if e.told != nil {
			u.Policies[id] = e.told
		}
	}
	for id, e := range r.pipelines {
		if e.isTold {
			u.Pipelines[id] = e.pipeline
		}
	}
	u.Endpoints, u.HostEndpoints = maps.Clone(r.told.endpoints), maps.Clone(r.told.hosts)
	return u
}

func newUpdate() *Update {
	return &Update{
		Sets: make(map[SetID]*SetChange), Policies: make(map[resource.ID]*Policy),
		Pipelines: make(map[string]*Pipeline), Endpoints: make(map[resource.EndpointID]*Endpoint),
		HostEndpoints: make(map[string]*HostEndpoint),
	}
}

// flushLocked works out what follows from what was put, and returns what is new
// of it but for the members of sets. Each step leaves work to those after it.
func (r *Resolver) flushLocked() *Update {
	u := newUpdate()
	if r.dirty.general {
		r.flushGeneralLocked(u)
		r.dirty.general = false
	}
	known := make(map[string]*pipelines)
	for c := range r.dirty.classes {
		if r.resolveLocked(c, known) {
			for _, it := range c.items {
				r.touchLocalLocked(it.local)
			}
		}
	}
	clear(r.dirty.classes)
	for id, key := range r.dirty.endpoints {
		r.flushEndpointLocked(id, r.locals[key], u)
	}
	clear(r.dirty.endpoints)
	for name := range r.dirty.left {
		r.flushLeftLocked(name, u)
	}
	clear(r.dirty.left)
	if r.dirty.hosts {
		r.flushHostsLocked(u)
		r.dirty.hosts = false
	}
	for e := range r.dirty.pipelines {
		r.flushPipelineLocked(e, u)
	}
	clear(r.dirty.pipelines)
	for set := range r.dirty.sets {
		r.refitLocked(set)
	}
	for e := range r.dirty.policies {
		r.flushPolicyLocked(e, u)
	}
	clear(r.dirty.policies)
	for set := range r.dirty.sets {
		if len(set.users) > 0 || set.fixed {
			continue
		}
		r.dropSetLocked(set)
		if set.isTold {
			u.Sets[set.id] = &SetChange{Kind: set.kind, Origin: set.origin, Gone: true}
		}
		delete(r.dirty.sets, set)
	}
	return u
}

// refitLocked puts another set in the place of one whose kind does not fit its
// members any more. Who uses it is resolved again.
func (r *Resolver) refitLocked(set *liveSet) {
	s := set.selection
	if len(set.users) == 0 || set.kind == set.fitting() || s.addresses != set {
		return
	}
	s.addresses = r.newSetLocked(selectionSet(r.peers, s))
	for e := range set.users {
		r.dirty.policies[e] = struct{}{}
	}
}
