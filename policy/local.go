package policy

import (
	"github.com/projectvrouter/vrouter/internal/resource"
)

// local is an endpoint that is policed here: of a workload or of the host.
type local struct {
	id       resource.ID
	item     *item // in the index that policies choose from
	workload *resource.WorkloadEndpoint
	host     *resource.HostEndpoint
	held     *pipelines // what it is told to be subject to; nil: it is not told
}

func (r *Resolver) localLocked(id resource.ID) *local {
	l := r.locals[id]
	if l == nil {
		l = &local{id: id, item: &item{}}
		l.item.local = l
		r.locals[id] = l
	}
	return l
}

func (r *Resolver) deleteLocalLocked(id resource.ID) {
	l := r.locals[id]
	if l == nil {
		return
	}
	delete(r.locals, id)
	if l.workload != nil {
		r.leaveInterfaceLocked(l)
	} else {
		r.dirty.hosts = true
	}
	r.endpoints.move(l.item, nil)
	r.holdLocked(l, nil)
}

// joinInterfaceLocked puts a workload endpoint on its interface.
func (r *Resolver) joinInterfaceLocked(l *local) {
	at := nodeInterface{l.workload.Node, l.workload.Interface}
	r.interfaces[at] = append(r.interfaces[at], l)
	r.touchInterfaceLocked(at, 2)
	r.touchLocalLocked(l)
}

// leaveInterfaceLocked takes a workload endpoint from its interface.
func (r *Resolver) leaveInterfaceLocked(l *local) {
	at := nodeInterface{l.workload.Node, l.workload.Interface}
	r.interfaces[at] = without(r.interfaces[at], l)
	r.touchInterfaceLocked(at, 1)
	if len(r.interfaces[at]) == 0 {
		delete(r.interfaces, at)
	}
	r.touchLocalLocked(l)
}

// touchInterfaceLocked has the endpoints on an interface told again if they are
// just n: it matters to each whether there are others.
func (r *Resolver) touchInterfaceLocked(at nodeInterface, n int) {
	if _, routed := r.left.routed[at.name]; routed && at.node == r.node {
		r.dirty.left[at.name] = struct{}{}
	}
	if len(r.interfaces[at]) == n {
		for _, l := range r.interfaces[at] {
			r.touchLocalLocked(l)
		}
	}
}

// localMovedLocked has a class that is new resolved, and the endpoint told.
func (r *Resolver) localMovedLocked(it *item, from, to *class) {
	if from != nil && len(from.items) == 0 {
		delete(r.dirty.classes, from)
		r.releaseLocked(from.pipelines)
		from.pipelines = nil
	}
	if to != nil && to.pipelines == nil {
		r.dirty.classes[to] = struct{}{}
	}
	r.touchLocalLocked(it.local)
}

func (r *Resolver) touchLocalLocked(l *local) {
	if l.workload != nil {
		r.dirty.endpoints[l.workload.Endpoint] = l.id
	} else {
		r.dirty.hosts = true
	}
}

// touchMatchingLocked has the classes resolved that a selection matches.
func (r *Resolver) touchMatchingLocked(s *selection) {
	for c := range r.endpoints.matching(s) {
		r.dirty.classes[c] = struct{}{}
	}
}

func (r *Resolver) touchAllLocked() {
	for _, c := range r.endpoints.classes {
		r.dirty.classes[c] = struct{}{}
	}
}

// touchProfileLocked has the classes resolved that are subject to a profile.
func (r *Resolver) touchProfileLocked(name string) {
	if name == r.general.defaultProfile() {
		r.touchAllLocked()
		return
	}
	if p := r.endpoints.parents[resource.ID{Kind: resource.KindProfile, Name: name}]; p != nil {
		for _, c := range p.classes {
			r.dirty.classes[c] = struct{}{}
		}
	}
}
