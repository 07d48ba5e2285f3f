package agent

import (
	"context"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// gates is told which interfaces the kernel's routes to workloads may lead to:
// one that no endpoint is on any longer passes nothing until its last route is
// gone, in whatever order policy and routes follow what is stored.
type gates interface {
	// Reach: a route to an endpoint is about to lead to its interface. False:
	// the endpoint is not there any longer, and no route may come.
	Reach(id resource.EndpointID, name string) bool
	// Keep: a route of an earlier run leads to an interface.
	Keep(name string)
	// Leave: no route leads to an interface any longer.
	Leave(name string)
}

// adopt takes over the routes of an earlier run, before policy is enforced
// anew: they stand longer than the policy of endpoints that went meanwhile.
func (w *workloads) adopt() {
	for prefix, names := range w.table.Left(fib.Workload) {
		w.routed[prefix] = names
		for _, name := range names {
			if w.routes[name]++; w.routes[name] == 1 {
				w.police.Keep(name)
			}
		}
	}
}

// reach asks whether the route to a prefix may lead to an endpoint's interface,
// and remembers that it may do so from now on.
func (w *workloads) reach(prefix netip.Prefix, id resource.EndpointID) bool {
	name, before := w.byID[id].spec.Interface, w.routed[prefix]
	if slices.Contains(before, name) {
		return true
	}
	if w.routes[name] == 0 && !w.police.Reach(id, name) {
		return false
	}
	w.routed[prefix] = append(before, name)
	w.routes[name]++
	if len(before) > 0 {
		w.leave(prefix, false)
	}
	return true
}

// leave notes that the route to a prefix is to lead elsewhere, or to go. Flows
// are forgotten with it if the endpoint is another one then.
func (w *workloads) leave(prefix netip.Prefix, flows bool) {
	w.leaving[prefix] = w.leaving[prefix] || flows
}

// left goes on once the kernel sends nothing any longer to where a prefix was:
// the interface may be as it likes, and flows are forgotten, which the next
// packet would have brought back before.
func (w *workloads) left(ctx context.Context, prefix netip.Prefix) {
	flows, leaving := w.leaving[prefix]
	if !leaving || !w.release(prefix) {
		return
	}
	delete(w.leaving, prefix)
	if !flows {
		return
	}
	if err := w.ifs.Forget(ctx, prefix.Addr()); err != nil {
		w.log.Warn("flows of an address that left were not forgotten", "prefix", prefix, "error", err)
	}
}

// release tells of the interfaces that the route to a prefix leads to no longer,
// and reports whether it leads at most to where its holder is.
func (w *workloads) release(prefix netip.Prefix) (arrived bool) {
	wanted, holder := "", "" // by the table, by the store
	if c := w.claims[prefix]; c != nil {
		wanted, holder = c.at, w.byID[c.holder].spec.Interface
	}
	leads := w.table.Interfaces(prefix)
	var rest []string
	for _, name := range w.routed[prefix] {
		if name == wanted || slices.Contains(leads, name) {
			rest = append(rest, name)
			continue
		}
		if w.routes[name]--; w.routes[name] == 0 {
			delete(w.routes, name)
			w.police.Leave(name)
		}
	}
	if w.routed[prefix] = rest; len(rest) == 0 {
		delete(w.routed, prefix)
	}
	return !slices.ContainsFunc(rest, func(name string) bool { return name != holder })
}
