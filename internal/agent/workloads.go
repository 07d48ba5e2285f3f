package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

// Interfaces is the port to the host ends of workloads' interfaces.
type Interfaces interface {
	// Prepare makes an interface fit for a workload: link-local gateway,
	// reverse path filter, forwarding. An interface that is not there is no
	// error: the call is repeated when it appears.
	Prepare(ctx context.Context, name string, kind resource.InterfaceType) error
	// Changed is signalled when interfaces have appeared; Drain names them.
	Changed() <-chan struct{}
	Drain() []string
	// Forget deletes what the kernel remembers of flows to and from an
	// address that has left.
	Forget(ctx context.Context, a netip.Addr) error
}

// workloads is the edge local endpoints → routes → originations → stages. All
// its state belongs to Run.
type workloads struct {
	view    *view.View
	table   *fib.Table
	ifs     Interfaces
	origins *origins
	stages  *stages
	log     hclog.Logger
	tried   chan struct{} // closed once every endpoint known at the start was tried

	byID  map[resource.EndpointID]*local
	owner map[netip.Prefix]resource.EndpointID
}

// local is an endpoint of this node.
type local struct {
	spec    *resource.WorkloadEndpoint
	routes  map[netip.Prefix]fib.Status
	trouble error // of the interface
}

func newWorkloads(v *view.View, t *fib.Table, ifs Interfaces, o *origins, s *stages, log hclog.Logger) *workloads {
	return &workloads{
		view: v, table: t, ifs: ifs, origins: o, stages: s, log: log, tried: make(chan struct{}),
		byID: make(map[resource.EndpointID]*local), owner: make(map[netip.Prefix]resource.EndpointID),
	}
}

// Run carries endpoints to the kernel and what the kernel holds to BGP, from
// the time that it is known which endpoints the node has.
func (w *workloads) Run(ctx context.Context, known <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-known:
	}
	synced := w.view.Synced()
	w.endpoints(ctx)
	for {
		w.closeTried()
		select {
		case <-ctx.Done():
			return nil
		case <-synced:
			// Only now has the store told everything: what is missing is gone.
			w.endpoints(ctx)
			w.table.Done(fib.Workload, fib.IPv4)
			w.table.Done(fib.Workload, fib.IPv6)
			synced = nil
		case <-w.view.EndpointsChanged():
			w.endpoints(ctx)
		case <-w.ifs.Changed():
			w.appeared(ctx, w.ifs.Drain())
		case <-w.table.Changed():
			w.programmed(ctx, w.table.Drain())
		}
	}
}

// endpoints carries what changed in the view to the table.
func (w *workloads) endpoints(ctx context.Context) {
	changed := w.view.DrainEndpoints()
	// What leaves goes first: an address may pass from one endpoint to another.
	for _, e := range changed {
		if old := w.byID[e.ID]; old != nil {
			w.drop(ctx, e.ID, old, e.Spec)
		}
	}
	for _, e := range changed {
		if e.Spec == nil {
			delete(w.byID, e.ID)
			w.stages.forget(e.ID)
			continue
		}
		w.put(ctx, e.ID, e.Spec)
	}
}

// drop takes away the routes of an endpoint that its new spec lacks.
func (w *workloads) drop(ctx context.Context, id resource.EndpointID, old *local, now *resource.WorkloadEndpoint) {
	for prefix := range old.routes {
		if now != nil && slices.Contains(now.Addresses, prefix.Addr()) {
			continue
		}
		delete(old.routes, prefix)
		if w.owner[prefix] != id {
			continue
		}
		delete(w.owner, prefix)
		w.origins.withdraw(prefix)
		w.table.Delete(fib.Workload, prefix)
		if err := w.ifs.Forget(ctx, prefix.Addr()); err != nil {
			w.log.Warn("flows of an address that left were not forgotten", "prefix", prefix, "error", err)
		}
	}
}

func (w *workloads) put(ctx context.Context, id resource.EndpointID, spec *resource.WorkloadEndpoint) {
	l := w.byID[id]
	if l == nil {
		l = &local{routes: make(map[netip.Prefix]fib.Status)}
		w.byID[id] = l
	}
	l.spec = spec
	l.trouble = w.ifs.Prepare(ctx, spec.Interface, spec.InterfaceType)
	for _, a := range spec.Addresses {
		prefix := netip.PrefixFrom(a, a.BitLen())
		w.owner[prefix] = id
		w.table.Put(fib.Workload, prefix, fib.Route{NextHops: []fib.NextHop{{Interface: spec.Interface}}})
		// Asked, not assumed: a route that stands already makes no news.
		l.routes[prefix] = w.table.Get(prefix).Status
	}
	w.advance(id, l)
}

// appeared prepares the interfaces that came, or came again.
func (w *workloads) appeared(ctx context.Context, names []string) {
	for id, l := range w.byID {
		if slices.Contains(names, l.spec.Interface) {
			l.trouble = w.ifs.Prepare(ctx, l.spec.Interface, l.spec.InterfaceType)
			w.advance(id, l)
		}
	}
}

// programmed takes over what the kernel holds now.
func (w *workloads) programmed(_ context.Context, news []fib.Status) {
	touched := make(map[resource.EndpointID]struct{})
	for _, s := range news {
		id, ok := w.owner[s.Prefix]
		if !ok {
			continue
		}
		w.byID[id].routes[s.Prefix] = s
		touched[id] = struct{}{}
	}
	for id := range touched {
		w.advance(id, w.byID[id])
	}
}

// advance originates what the kernel forwards, withdraws what it does not, and
// states how far the endpoint has come.
func (w *workloads) advance(id resource.EndpointID, l *local) {
	p := Progress{Revision: l.spec.Revision, Programmed: l.trouble == nil, Advertised: true}
	if l.trouble != nil {
		p.Problems = append(p.Problems, l.trouble.Error())
	}
	for _, a := range l.spec.Addresses {
		prefix := netip.PrefixFrom(a, a.BitLen())
		s := l.routes[prefix]
		if !s.Programmed || s.Source != fib.Workload {
			p.Programmed = false
			w.origins.withdraw(prefix)
			p.Problems = append(p.Problems, fmt.Sprintf("%s: %s", prefix, reason(s)))
			continue
		}
		if err := w.origins.originate(prefix); err != nil {
			p.Advertised = false
			p.Problems = append(p.Problems, fmt.Sprintf("%s: %v", prefix, err))
		}
	}
	p.Advertised = p.Advertised && p.Programmed
	w.stages.set(id, p)
}

func reason(s fib.Status) string {
	if s.Err != nil {
		return s.Err.Error()
	}
	return "its route is not in the kernel yet"
}

// closeTried ends the first pass once the kernel was tried for every route.
func (w *workloads) closeTried() {
	select {
	case <-w.tried:
		return
	default:
	}
	for _, l := range w.byID {
		for _, s := range l.routes {
			if !s.Programmed && s.Err == nil {
				return
			}
		}
	}
	close(w.tried)
}

// origins originates prefixes, as the better path while another host still has
// one: so the new home of a workload that moved wins at once. It has one user
// at a time, the edge that holds it.
type origins struct {
	speaker bgp.Speaker
	all     map[netip.Prefix]bool // value: as the better path
	better  int
}

// elevatedLocalPref is what Calico gives a route of elevated priority: 2³¹−1
// less the priority, 512.
const elevatedLocalPref = 1<<31 - 1 - 512

func newOrigins(s bgp.Speaker) *origins {
	return &origins{speaker: s, all: make(map[netip.Prefix]bool)}
}

func (o *origins) originate(p netip.Prefix) error {
	if _, ok := o.all[p]; ok {
		return nil
	}
	return o.announce(p, o.contested(p))
}

func (o *origins) announce(p netip.Prefix, better bool) error {
	var a bgp.Attributes
	if better {
		a.LocalPref = elevatedLocalPref
	}
	if err := o.speaker.Originate(p, a); err != nil {
		return fmt.Errorf("originate: %w", err)
	}
	if was := o.all[p]; was != better {
		o.better += map[bool]int{true: 1, false: -1}[better]
	}
	o.all[p] = better
	return nil
}

func (o *origins) withdraw(p netip.Prefix) {
	better, ok := o.all[p]
	if !ok {
		return
	}
	if better {
		o.better--
	}
	delete(o.all, p)
	_ = o.speaker.Withdraw(p) // fails only when the speaker has stopped
}

// settle announces as plain what is no longer contested.
func (o *origins) settle() {
	for p, better := range o.all {
		if better && !o.contested(p) {
			_ = o.announce(p, false) // tried again at the next settle
		}
	}
}

// contested reports whether a peer still has a path to p of its own.
func (o *origins) contested(p netip.Prefix) bool {
	for e := range o.speaker.Routes(bgp.Filter{Within: p}) {
		if !e.Own && e.Prefix == p && e.Refused == "" {
			return true
		}
	}
	return false
}
