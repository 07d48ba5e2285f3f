package fib

import (
	"net/netip"
	"slices"
	"unique"
)

// Source is who wants a route. When several want a prefix the strongest that
// can be realised wins.
type Source uint8

// The sources, the strongest first as far as single addresses go.
const (
	Workload   Source = iota // a local endpoint
	Overlay                  // a tunnel to another host
	BGP                      // learned
	Blackhole                // owned blocks, so that a packet to a free address loops nowhere
	numSources = iota
)

// Sources lists all sources.
func Sources() []Source { return []Source{Workload, Overlay, BGP, Blackhole} }

// order lists the sources for a prefix, the strongest first. Of a network that
// is an owned block, what is owned counts before what somebody tells of it: its
// former owner may go on for as long as graceful restart holds his path. The one
// address of a block may be lent to another host, and is where that tells it is.
func order(prefix netip.Prefix) [numSources]Source {
	if prefix.IsSingleIP() {
		return [...]Source{Workload, Overlay, BGP, Blackhole}
	}
	return [...]Source{Workload, Blackhole, Overlay, BGP}
}

func (s Source) String() string {
	if int(s) < numSources {
		return [...]string{"workload", "overlay", "bgp", "blackhole"}[s]
	}
	return "none"
}

// Family is an address family.
type Family uint8

// The address families.
const (
	IPv4 Family = iota
	IPv6
	numFamilies = iota
)

func (f Family) String() string {
	if f == IPv4 {
		return "ipv4"
	}
	return "ipv6"
}

// FamilyOf returns the family of a valid address; IPv4 in IPv6 is IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// NextHop is where a route sends packets.
type NextHop struct {
	Gateway   netip.Addr // invalid: the destination is on the link itself
	Interface string
	Onlink    bool  // the gateway is on the link although no route says so
	Weight    uint8 // share among several, less 1: 0 is one share
}

// Route is how packets to a prefix are to be treated. It is not changed after
// it was handed over. One of NextHops, Group and Blackhole is set.
type Route struct {
	NextHops []NextHop
	// Group names a set of next hops that [Table.SetGroup] describes. Routes
	// that share their fate share a group: when its next hops move, the
	// kernel is told once, whatever the number of routes.
	Group     GroupKey
	Blackhole bool
	Src       netip.Addr // preferred source of packets of this host, or none
}

// GroupKey identifies a group; for BGP, the set of BGP next hops.
type GroupKey string

// spec is a Route made comparable, so that 100,000 routes that say the same
// share one copy of it.
type spec struct {
	group     GroupKey
	hops      string // NextHops packed, see packNextHops
	src       netip.Addr
	blackhole bool
}

func internRoute(r Route) unique.Handle[spec] {
	return unique.Make(spec{group: r.Group, hops: packNextHops(r.NextHops), src: r.Src, blackhole: r.Blackhole})
}

func (s spec) route() Route {
	return Route{Group: s.group, NextHops: unpackNextHops(s.hops), Src: s.src, Blackhole: s.blackhole}
}

// entryValue is what an Entry of ours says beyond its slot, made comparable.
// It is interned: few distinct ones serve many routes.
type entryValue struct {
	hops     string // packed Hops; empty when object is set
	src      netip.Addr
	object   uint32
	protocol uint8
	kind     Kind
}

// value is what Table compares: equal values are equal pointers.
type value = unique.Handle[entryValue]

func valueOf(e Entry) value {
	v := entryValue{src: e.Src, object: e.Object, protocol: e.Protocol, kind: e.Kind}
	if e.Object == 0 && e.Kind == KindUnicast {
		v.hops = packHops(e.Hops)
	}
	return unique.Make(v)
}

// sortHops gives hops the one order that comparing needs.
func sortHops(hops []Hop) {
	slices.SortFunc(hops, func(a, b Hop) int {
		if c := a.Gateway.Compare(b.Gateway); c != 0 {
			return c
		}
		return int(a.Index - b.Index)
	})
}
