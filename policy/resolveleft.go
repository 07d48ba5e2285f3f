package policy

import (
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// left is what is known of the interfaces of this host that routes lead to: one
// that no endpoint is on any more passes nothing, until the last of them is
// gone. Which names are of workloads' interfaces only settings say.
type left struct {
	routed map[string]struct{} // interfaces that routes lead to
	closed map[string]*local   // of these, what is told in the place of an endpoint
}

func newLeft() left {
	return left{routed: make(map[string]struct{}), closed: make(map[string]*local)}
}

// Reach says that a route to an endpoint is about to lead to its interface, and
// reports whether the endpoint is on it. If not, it has moved or gone, and no
// route may come: nothing would close the interface. If so, the interface is
// closed once no endpoint is on it, until Leave.
func (r *Resolver) Reach(id resource.EndpointID, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	isOn := slices.ContainsFunc(r.interfaces[nodeInterface{r.node, name}], func(l *local) bool { return l.workload.Endpoint == id })
	if isOn {
		r.left.routed[name] = struct{}{}
	}
	return isOn
}

// Keep says that a route of an earlier process leads to an interface: as Reach,
// whoever is on it.
func (r *Resolver) Keep(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left.routed[name] = struct{}{}
	r.dirty.left[name] = struct{}{}
	r.signal()
}

// Leave says that no route leads to an interface any more.
func (r *Resolver) Leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.left.routed, name)
	r.dirty.left[name] = struct{}{}
	r.signal()
}

// flushLeftLocked tells what an interface is that routes lead to and that nobody
// is on: an endpoint without a name and without addresses, with pipelines that
// let nothing through.
func (r *Resolver) flushLeftLocked(name string, u *Update) {
	id := resource.EndpointID{Endpoint: name}
	_, closes := r.left.routed[name]
	closes = closes && len(r.interfaces[nodeInterface{r.node, name}]) == 0
	was := r.left.closed[name]
	switch {
	case closes && was == nil:
		l := &local{}
		r.holdLocked(l, r.closedLocked())
		e := &Endpoint{ID: id, Interface: name, Ingress: l.held.normal[Ingress].id(), Egress: l.held.normal[Egress].id()}
		r.left.closed[name], r.told.endpoints[id], u.Endpoints[id] = l, e, e
	case !closes && was != nil:
		r.holdLocked(was, nil)
		delete(r.left.closed, name)
		delete(r.told.endpoints, id)
		u.Endpoints[id] = nil
	}
}
