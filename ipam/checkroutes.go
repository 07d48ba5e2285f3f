package ipam

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// What a check finds in the kernels of hosts. What it is about is "NODE
// ADDRESS".
const (
	RouteNotAllocated FindingKind = "route-not-allocated" // to an address that nobody has
	RouteNoEndpoint   FindingKind = "route-no-endpoint"   // to an address that is held, and no endpoint has it
	RouteElsewhere    FindingKind = "route-elsewhere"     // to an address of an endpoint on another node
	NoRoute           FindingKind = "no-route"            // none to an address of an endpoint of the node
	NoObject          FindingKind = "no-endpoint-object"  // an address is noted as that of an endpoint that does not have it
)

// Placed is an endpoint that has an address.
type Placed struct {
	Key  string // of the endpoint in the store
	Node string
}

// NodeRoute is what a node says of its route to a local workload.
type NodeRoute struct {
	Programmed bool   // the kernel has it, with our mark
	Problem    string // why it has not, in words
}

// CheckRoutes compares the routes of nodes to their workloads with what is
// allocated, and with where endpoints are. Only nodes that are in routes are
// looked at: nothing is known of the others. The order of its findings depends
// on the contents alone.
//
// Contents, endpoints and kernels are not of one moment: what is found is a
// fault only if it is found again.
func (c *Contents) CheckRoutes(endpoints map[netip.Addr]Placed, routes map[string]map[netip.Addr]NodeRoute) []Finding {
	k := &checking{Contents: c, report: &Report{}, held: make(map[netip.Addr]string)}
	for _, b := range c.Blocks {
		for _, h := range b.Holdings() {
			k.held[h.Address] = h.Handle
		}
	}
	for _, node := range slices.Sorted(maps.Keys(routes)) {
		for _, a := range slices.SortedFunc(maps.Keys(routes[node]), netip.Addr.Compare) {
			if routes[node][a].Programmed {
				k.routeOf(node, a, endpoints)
			}
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(endpoints), netip.Addr.Compare) {
		e := endpoints[a]
		if known, asked := routes[e.Node]; asked && !known[a].Programmed {
			k.found(NoRoute, e.Node+" "+a.String(), "it is of %s; the node says: %s", Owner{OwnerEndpoint, e.Key},
				cmp.Or(known[a].Problem, "nothing of such a route"))
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(c.Endpoints), netip.Addr.Compare) {
		if _, placed := endpoints[a]; !placed {
			k.found(NoObject, a.String(), "it is noted for %s, which is gone, has others or cannot be read",
				Owner{OwnerEndpoint, c.Endpoints[a]})
		}
	}
	return k.report.Problems
}

// routeOf looks for the reason of a route in the kernel.
func (k *checking) routeOf(node string, a netip.Addr, endpoints map[netip.Addr]Placed) {
	subject := node + " " + a.String()
	e, placed := endpoints[a]
	handle, held := k.held[a]
	switch {
	case placed && e.Node == node:
	case placed:
		k.found(RouteElsewhere, subject, "it is of %s on node %s", Owner{OwnerEndpoint, e.Key}, e.Node)
	case k.Endpoints[a] != "": // which was seen at another moment
	case held:
		k.found(RouteNoEndpoint, subject, "handle %s holds it, and no endpoint has it", handle)
	default:
		k.found(RouteNotAllocated, subject, "nobody holds it")
	}
}
