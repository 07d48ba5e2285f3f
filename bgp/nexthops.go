package bgp

import "net/netip"

// NextHops is the port to the routes of this host that are not BGP's own.
type NextHops interface {
	// Resolve says how packets to a leave this host. False: no route, or none
	// that can be used now.
	Resolve(a netip.Addr) (Resolution, bool)
}

// Resolution is how packets to an address leave this host.
type Resolution struct {
	Hops   []Hop
	Metric uint32 // of the route that they take; zero on a link of ours
	Local  bool   // they do not: the address is our own
}

// Costs is the port to who knows the way to the next hops of paths.
type Costs interface {
	// Cost of the way to nextHop; false: there is none now.
	Cost(nextHop netip.Addr) (cost uint32, reachable bool)
}

// Hop is one way out of this host.
type Hop struct {
	Gateway   netip.Addr // zero: the destination is on the link
	Interface string
	Onlink    bool  // the gateway is on the link although no route says so
	Weight    uint8 // share among several, less 1
}

// GroupKey names a set of BGP next hops.
type GroupKey string

// Group is a set of BGP next hops and the ways to them. Prefixes with the same
// set share a group: when a way changes below it, no route does.
type Group struct {
	Key      GroupKey
	NextHops []netip.Addr // in order
	// Hops leads to the next hops, one of a kind. None: no next hop can be
	// reached, and the routes that name the group lead nowhere for now.
	Hops []Hop
	// Unresolved has the next hops without a way, our own addresses included.
	Unresolved []netip.Addr
}

// Route is the group that packets to a prefix take.
type Route struct {
	Prefix netip.Prefix
	Group  GroupKey // empty: the prefix is gone, unless Discard
	// Discard says that packets are to be dropped.
	Discard bool
}

// Changes are to be applied in the order of the fields.
type Changes struct {
	Groups []Group // new, or with other hops
	Routes []Route
	Gone   []GroupKey // no route names them any longer
}
