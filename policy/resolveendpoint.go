package policy

import (
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// flushEndpointLocked tells a workload endpoint if it is another than before;
// nil is gone.
func (r *Resolver) flushEndpointLocked(id resource.EndpointID, l *local, u *Update) {
	old := r.told.endpoints[id]
	if l == nil {
		if old != nil {
			delete(r.told.endpoints, id)
			u.Endpoints[id] = nil
		}
		return
	}
	e := r.endpointLocked(l)
	if old == nil || !equalEndpoints(old, e) {
		r.told.endpoints[id], u.Endpoints[id] = e, e
	}
}

// endpointLocked returns what a workload endpoint is subject to. Of several on
// one interface nobody can tell whose a packet is: they have no addresses, and
// pipelines that let nothing through.
func (r *Resolver) endpointLocked(l *local) *Endpoint {
	w := l.workload
	e := &Endpoint{ID: w.Endpoint, Revision: w.Revision, Interface: w.Interface}
	if r.isSharedLocked(w) {
		r.holdLocked(l, r.closedLocked())
	} else {
		r.holdLocked(l, l.item.class.pipelines)
		if e.Addresses = w.Addresses; r.general.spoofing {
			e.Spoofs = w.Spoofs
		}
	}
	e.Ingress, e.Egress = l.held.normal[Ingress].id(), l.held.normal[Egress].id()
	return e
}

// closedLocked returns pipelines that let nothing through.
func (r *Resolver) closedLocked() *pipelines {
	if r.closed == nil {
		r.closed = &pipelines{}
		for _, d := range []Direction{Ingress, Egress} {
			e := r.pipelineLocked(&Pipeline{Direction: d, End: Deny})
			e.classes++ // for good
			r.closed.normal[d] = e
		}
	}
	return r.closed
}

// isSharedLocked tells whether another endpoint has the interface, too.
func (r *Resolver) isSharedLocked(w *resource.WorkloadEndpoint) bool {
	return len(r.interfaces[nodeInterface{w.Node, w.Interface}]) > 1
}

func equalEndpoints(a, b *Endpoint) bool {
	return a.ID == b.ID && a.Revision == b.Revision && a.Interface == b.Interface &&
		a.Ingress == b.Ingress && a.Egress == b.Egress &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Spoofs, b.Spoofs)
}

// flushHostsLocked tells the host endpoints that are others than before. They
// are few.
func (r *Resolver) flushHostsLocked(u *Update) {
	now, inForce := make(map[string]*HostEndpoint), make(map[*local]bool)
	for at, l := range r.hostsLocked(nil) {
		p := l.item.class.pipelines
		r.holdLocked(l, p)
		inForce[l] = true
		h := &HostEndpoint{
			ID: l.id, Revision: l.host.Revision, Interface: at,
			Normal: pair(p.normal), Forward: pair(p.forward), Untracked: pair(p.untracked), PreDNAT: p.preDNAT.id(),
		}
		if old := r.told.hosts[at]; old != nil && *old == *h {
			h = old
		} else {
			u.HostEndpoints[at] = h
		}
		now[at] = h
	}
	for at := range r.told.hosts {
		if now[at] == nil {
			u.HostEndpoints[at] = nil
		}
	}
	r.told.hosts = now
	for _, l := range r.locals {
		if l.host != nil && !inForce[l] {
			r.holdLocked(l, nil)
		}
	}
}

// hostsLocked returns the host endpoint of each interface that has one: of
// several the first by name. It calls conflict, if any, with those that come
// too late.
func (r *Resolver) hostsLocked(conflict func(late, first *local, at string)) map[string]*local {
	var list []*local
	for _, l := range r.locals {
		if l.host != nil && !r.isWorkloadsLocked(l.host.Interface) {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *local) int { return strings.Compare(a.id.Name, b.id.Name) })
	hosts := make(map[string]*local)
	for _, l := range list {
		for _, at := range r.interfacesLocked(l.host) {
			if first := hosts[at]; first == nil {
				hosts[at] = l
			} else if conflict != nil {
				conflict(l, first, at)
			}
		}
	}
	return hosts
}

// isWorkloadsLocked tells whether an interface is named as those of workloads
// are: no host endpoint holds for it but that of all interfaces (as in Calico).
func (r *Resolver) isWorkloadsLocked(name string) bool {
	s := r.told.settings
	if s == nil {
		s = &r.general.defaults
	}
	return slices.ContainsFunc(s.WorkloadPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// interfacesLocked returns where a host endpoint is, in order.
func (r *Resolver) interfacesLocked(h *resource.HostEndpoint) []string {
	var list []string
	switch {
	case h.Interface != "" && r.node != "":
		return []string{h.Interface}
	case h.Interface != "":
		return []string{h.Node + "/" + h.Interface}
	case r.node == "":
		for _, a := range h.Expected {
			list = append(list, h.Node+"/"+a.String())
		}
		return list
	}
	for name, addrs := range r.host.Interfaces {
		if r.isWorkloadsLocked(name) {
			continue
		}
		for _, a := range addrs {
			if slices.Contains(h.Expected, a) {
				list = append(list, name)
				break
			}
		}
	}
	slices.Sort(list)
	return list
}
