package agent

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

// Interfaces is the port to the host ends of workloads' interfaces.
type Interfaces interface {
	// Prepare makes an interface fit for a workload: link-local gateway,
	// reverse path filter, forwarding. With anySource sources are not checked
	// by the reverse path: whoever polices the interface does that. An
	// interface that is not there is no error: the call is repeated when it
	// appears.
	Prepare(ctx context.Context, name string, kind resource.InterfaceType, anySource bool) error
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
	blocks  *blocks
	stages  *stages
	police  police
	polices bool // there is a police
	log     hclog.Logger
	tried   chan struct{} // closed once every endpoint and block known at the start was tried

	byID    map[resource.EndpointID]*local
	claims  map[netip.Prefix]*claim
	routed  map[netip.Prefix][]string // interfaces that the kernel's route may lead to
	routes  map[string]int            // how often each is among them
	leaving map[netip.Prefix]bool     // the kernel may send elsewhere than it should; true: flows are to be forgotten then
	// troubled endpoints have problems: they are looked at again now and then,
	// news or not.
	troubled map[resource.EndpointID]struct{}
	finished time.Time // when they were looked at
}

// local is an endpoint of this node.
type local struct {
	spec      *resource.WorkloadEndpoint
	trouble   error // of the interface
	anySource bool  // the interface was prepared for it
}

// prefixes of the endpoint's addresses, in their order.
func (l *local) prefixes() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(l.spec.Addresses))
	for _, a := range l.spec.Addresses {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

func newWorkloads(v *view.View, b *view.Blocks, t *fib.Table, ifs Interfaces, o *origins, s *stages, p police, log hclog.Logger) *workloads {
	w := &workloads{
		view: v, table: t, ifs: ifs, origins: o, stages: s, police: p,
		log: log, tried: make(chan struct{}),
		byID: make(map[resource.EndpointID]*local), claims: make(map[netip.Prefix]*claim),
		routed: make(map[netip.Prefix][]string), routes: make(map[string]int), leaving: make(map[netip.Prefix]bool),
		troubled: make(map[resource.EndpointID]struct{}),
	}
	w.blocks = newBlocks(b, t, o, w.claimed, log.Named("blocks"))
	return w
}

// Run carries endpoints to the kernel and what the kernel holds to BGP, from
// the time that it is known which endpoints the node has.
func (w *workloads) Run(ctx context.Context, known <-chan struct{}) error {
	if !wait(ctx, known) {
		return nil
	}
	if w.view.Knows() && !wait(ctx, w.police.Tried()) {
		return nil // endpoints that were policed before are so again, before they are tried
	}
	synced, inForce, blocksSynced := w.view.Synced(), w.police.Ready(), w.blocks.claims.Synced()
	w.endpoints(ctx)
	var again <-chan time.Time // wakes for finish
	var due time.Time          // when it does
	for {
		w.closeTried()
		if pause := w.unfinished(); pause > 0 && (again == nil || time.Until(due) > pause) {
			again, due = time.After(pause), time.Now().Add(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-synced:
			// Only now has the store told everything: what is missing is gone.
			w.endpoints(ctx)
			synced = nil
			w.sweep(synced, inForce)
		case <-inForce:
			w.policed(ctx)
			inForce = nil
			w.sweep(synced, inForce)
		case <-w.police.Changed():
			w.policed(ctx)
		case <-w.view.EndpointsChanged():
			w.endpoints(ctx)
		case <-blocksSynced:
			w.follow()
			w.table.Done(fib.Blackhole)
			blocksSynced = nil
		case <-w.blocks.claims.Changed():
			w.heard()
		case <-w.ifs.Changed():
			w.appeared(ctx, w.ifs.Drain())
		case <-w.table.Changed():
			w.programmed(ctx, w.table.Drain())
		case <-w.origins.exports.changed:
			w.retell()
		case <-w.origins.rivals.rivals:
			w.origins.settle()
		case <-again:
			again = nil
			w.finish(ctx)
		}
	}
}

// endpoints carries what changed in the view to the table.
func (w *workloads) endpoints(ctx context.Context) {
	// All claims first: an address may pass from one endpoint to another.
	touched := make(map[netip.Prefix]struct{})
	news := make(map[resource.EndpointID]struct{})
	for _, e := range w.view.DrainEndpoints() {
		w.change(ctx, e, touched)
		news[e.ID] = struct{}{}
	}
	w.origins.exports.setModes(w.view.Pools) // a pool may be as new as its first endpoint
	w.follow()                               // what is told of an address hangs on its block
	for prefix := range touched {
		w.settle(prefix)
		if c := w.claims[prefix]; c != nil {
			for _, id := range c.by {
				news[id] = struct{}{}
			}
		}
	}
	for id := range news {
		if l := w.byID[id]; l != nil {
			w.advance(id, l)
		}
	}
	for prefix := range touched {
		w.left(ctx, prefix)
	}
}

// change takes over what became of one endpoint, and adds the prefixes whose
// claims have changed to touched.
func (w *workloads) change(ctx context.Context, e view.Endpoint, touched map[netip.Prefix]struct{}) {
	if old := w.byID[e.ID]; old != nil {
		for i, prefix := range old.prefixes() {
			if e.Spec == nil || !slices.Contains(e.Spec.Addresses, old.spec.Addresses[i]) {
				w.unclaim(prefix, e.ID)
				touched[prefix] = struct{}{}
			}
		}
	}
	if e.Spec == nil {
		delete(w.byID, e.ID)
		delete(w.troubled, e.ID)
		w.stages.forget(e.ID)
		return
	}
	l := &local{spec: e.Spec}
	w.byID[e.ID] = l
	w.prepare(ctx, l)
	for _, prefix := range l.prefixes() {
		w.claim(prefix, e.ID)
		touched[prefix] = struct{}{}
	}
}

// prepare has the interface of an endpoint made fit.
func (w *workloads) prepare(ctx context.Context, l *local) {
	l.anySource = w.anySource(l)
	l.trouble = w.ifs.Prepare(ctx, l.spec.Interface, l.spec.InterfaceType, l.anySource)
}

// anySource tells whether an endpoint may send from addresses that are not
// routed to it. Policy says from which, once some of it is in force.
func (w *workloads) anySource(l *local) bool {
	return w.polices && len(l.spec.Spoofs) > 0 && w.police.Policed(l.spec.Endpoint) > 0
}

// appeared prepares the interfaces that came, or came again.
func (w *workloads) appeared(ctx context.Context, names []string) {
	came := make(map[string]struct{}, len(names))
	for _, name := range names {
		came[name] = struct{}{}
	}
	for id, l := range w.byID {
		if _, ok := came[l.spec.Interface]; ok {
			w.prepare(ctx, l)
			w.advance(id, l)
		}
	}
}

// programmed takes over what the kernel holds now.
func (w *workloads) programmed(ctx context.Context, news []fib.Status) {
	touched := make(map[resource.EndpointID]struct{})
	blocks := false
	for _, s := range news {
		w.left(ctx, s.Prefix)
		blocks = w.blocks.programmed(s) || blocks
		if c := w.claims[s.Prefix]; c != nil {
			c.status = s
			touched[c.holder] = struct{}{}
		}
	}
	if blocks {
		maps.Copy(touched, w.troubled) // some may wait for their block
		w.tellBlocks()
	}
	for id := range touched {
		if l := w.byID[id]; l != nil {
			w.advance(id, l)
		}
	}
}

// advance originates what the kernel forwards, withdraws what it cannot, and
// states how far the endpoint has come. What is about to be written or repaired
// stays as it was: others need not hear of a moment.
func (w *workloads) advance(id resource.EndpointID, l *local) {
	p := Progress{Revision: l.spec.Revision, Programmed: l.trouble == nil, Advertised: true}
	if l.trouble != nil {
		p.Problems = append(p.Problems, l.trouble.Error())
	}
	for _, prefix := range l.prefixes() {
		c := w.claims[prefix]
		var problem string
		switch s := c.status; {
		case c.holder != id:
			problem = fmt.Sprintf("the address is held by endpoint %s", c.holder)
		case w.police.Policed(id) < l.spec.Revision:
			problem = "its policy is not in force yet"
		case s.Programmed && s.Source == fib.Workload:
			if err := w.tell(prefix, l.spec); err != nil {
				p.Advertised = false
				p.Problems = append(p.Problems, fmt.Sprintf("%s: %v", prefix, err))
			}
			continue
		case s.Err != nil:
			w.origins.withdraw(prefix)
			problem = s.Err.Error()
		default:
			problem = "its route is not in the kernel yet"
		}
		p.Programmed = false
		p.Problems = append(p.Problems, fmt.Sprintf("%s: %s", prefix, problem))
	}
	p.Advertised = p.Advertised && p.Programmed
	if delete(w.troubled, id); len(p.Problems) > 0 {
		w.troubled[id] = struct{}{}
	}
	w.stages.set(id, p)
}

// closeTried ends the first pass once the kernel was tried for every route.
func (w *workloads) closeTried() {
	if isClosed(w.tried) {
		return
	}
	for _, c := range w.claims {
		if !c.status.Programmed && c.status.Err == nil && w.admitted(c.holder) {
			return
		}
	}
	if !w.blocks.tried() {
		return
	}
	close(w.tried)
}
