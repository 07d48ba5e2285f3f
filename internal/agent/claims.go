package agent

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// claim is a prefix that local endpoints want. The store lets one endpoint have
// an address; two want it where the local copy and the store disagree until
// the view is in sync, and where somebody wrote to the store by himself.
type claim struct {
	by     []resource.EndpointID
	holder resource.EndpointID // whose route is in the table, or will be
	at     string              // interface of the route in the table; empty: there is none
	status fib.Status
}

// claim notes that an endpoint wants a prefix.
func (w *workloads) claim(prefix netip.Prefix, id resource.EndpointID) {
	c := w.claims[prefix]
	if c == nil {
		c = &claim{holder: id}
		w.claims[prefix] = c
	}
	if !slices.Contains(c.by, id) {
		c.by = append(c.by, id)
	}
}

// unclaim notes that an endpoint does not want a prefix any longer.
func (w *workloads) unclaim(prefix netip.Prefix, id resource.EndpointID) {
	c := w.claims[prefix]
	if c == nil {
		return
	}
	c.by = slices.DeleteFunc(c.by, func(o resource.EndpointID) bool { return o == id })
	if c.holder == id {
		w.leave(prefix, true)
	}
}

// claimed reports whether an endpoint wants a prefix.
func (w *workloads) claimed(prefix netip.Prefix) bool {
	c := w.claims[prefix]
	return c != nil && len(c.by) > 0
}

// settle carries what the claims to a prefix come to into the table. Of several
// endpoints the one written last has it, however they came.
func (w *workloads) settle(prefix netip.Prefix) {
	c := w.claims[prefix]
	if c == nil {
		return
	}
	if len(c.by) == 0 {
		delete(w.claims, prefix)
		w.origins.withdraw(prefix)
		w.table.Delete(fib.Workload, prefix)
		return
	}
	holder := slices.MaxFunc(c.by, func(a, b resource.EndpointID) int {
		return cmp.Or(cmp.Compare(w.byID[a].spec.Revision, w.byID[b].spec.Revision), cmp.Compare(a.String(), b.String()))
	})
	if holder != c.holder {
		c.holder = holder
		w.leave(prefix, true)
	}
	if !w.admitted(holder) || !w.reach(prefix, holder) {
		c.status = fib.Status{Prefix: prefix}
		return
	}
	c.at = w.byID[holder].spec.Interface
	hop := fib.NextHop{Interface: c.at}
	w.table.Put(fib.Workload, prefix, fib.Route{NextHops: []fib.NextHop{hop}})
	// Asked, not assumed: a route that stands already makes no news.
	c.status = w.table.Get(prefix).Status
}
