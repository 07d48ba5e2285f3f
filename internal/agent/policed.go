package agent

import (
	"context"
	"net/netip"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// admitted reports whether an endpoint may be reached: its policy is in force
// as it is now. Until then a route that stands stays as it is.
func (w *workloads) admitted(id resource.EndpointID) bool {
	l := w.byID[id]
	return l != nil && w.police.Policed(id) >= l.spec.Revision
}

// policed goes on with the endpoints whose policy has come into force.
func (w *workloads) policed(ctx context.Context) {
	touched := make(map[netip.Prefix]struct{})
	for _, s := range w.police.Drain() {
		l := w.byID[s.ID]
		if l == nil {
			continue
		}
		if w.anySource(l) != l.anySource {
			w.prepare(ctx, l)
		}
		for _, prefix := range l.prefixes() {
			touched[prefix] = struct{}{}
		}
	}
	for prefix := range touched {
		w.settle(prefix)
	}
	for prefix := range touched {
		if c := w.claims[prefix]; c != nil {
			w.advance(c.holder, w.byID[c.holder])
		}
	}
}

// sweep lets routes go that no endpoint wants, once the store has told
// everything and policy is in force: those of endpoints that were not admitted
// again yet stand until then.
func (w *workloads) sweep(synced, inForce <-chan struct{}) {
	if synced == nil && inForce == nil {
		w.table.Done(fib.Workload)
		for prefix := range w.routed {
			w.leave(prefix, false)
		}
	}
}
