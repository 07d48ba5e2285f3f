package bgp

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// maxDepth bounds how many BGP routes a next hop may be resolved over, one
// over the other. It also ends routes that lead to each other.
const maxDepth = 4

// Routes turns paths into routes: Put what Speaker.Drain told, take Drain to
// the FIB. A next hop is resolved over routes that are not BGP's; where there
// is none, over the most specific BGP route that holds it (RFC 4271 §5.1.3).
// It is not safe for concurrent use.
type Routes struct {
	nextHops NextHops
	maxPaths int // different next hops of a route; zero: any number
	routes   map[netip.Prefix]GroupKey
	lengths  map[int]int // of prefixes in routes, either family
	groups   map[GroupKey]*group

	changed map[netip.Prefix]bool // since the last Drain: another group, or gone
	refresh bool                  // NextHops may answer otherwise now
	nested  bool                  // an answer of Cost hung on BGP routes
}

// discardKey is the group of prefixes whose packets are dropped. It is told with
// the route, and never as a group.
const discardKey GroupKey = "discard"

type group struct {
	Group
	users int  // routes that name it
	told  bool // by Drain
	loose bool // a next hop has no way but over BGP routes, if any
}

// NewRoutes resolves next hops by n.
func NewRoutes(n NextHops) *Routes {
	return &Routes{
		nextHops: n,
		routes:   make(map[netip.Prefix]GroupKey),
		lengths:  make(map[int]int),
		groups:   make(map[GroupKey]*group),
		changed:  make(map[netip.Prefix]bool),
	}
}

// SetMaxPaths bounds how many next hops a route has, the first ones by the order
// of paths; zero: any number. It holds for what is put from now on.
func (r *Routes) SetMaxPaths(n int) { r.maxPaths = n }

// Put states the paths to a prefix.
func (r *Routes) Put(set PathSet) {
	old, had := r.routes[set.Prefix]
	key, nextHops := groupOf(set.Paths, r.maxPaths)
	if key == old {
		return
	}
	if had {
		r.groups[old].users--
		r.lengths[set.Prefix.Bits()]--
		delete(r.routes, set.Prefix)
	}
	if key != "" {
		g := r.groups[key]
		if g == nil {
			g = &group{Group: Group{Key: key, NextHops: nextHops}}
			r.groups[key] = g
		}
		g.users++
		r.lengths[set.Prefix.Bits()]++
		r.routes[set.Prefix] = key
	}
	r.changed[set.Prefix] = true
}

// Refresh makes Drain resolve all next hops again.
func (r *Routes) Refresh() { r.refresh = true }

// Drain is what changed since the last call.
func (r *Routes) Drain() Changes {
	var c Changes
	for key, g := range r.groups {
		if key == discardKey && g.users > 0 {
			continue
		}
		if g.users == 0 {
			delete(r.groups, key)
			if g.told {
				c.Gone = append(c.Gone, key)
			}
			continue
		}
		// A BGP route that came or went may be the way to a loose next hop.
		if !g.told || r.refresh || g.loose && len(r.changed) > 0 {
			before := g.Group
			r.resolve(g)
			if !g.told || !slices.Equal(before.Hops, g.Hops) || !slices.Equal(before.Unresolved, g.Unresolved) {
				c.Groups = append(c.Groups, g.Group)
			}
			g.told = true
		}
	}
	for p := range r.changed {
		if key := r.routes[p]; key == discardKey {
			c.Routes = append(c.Routes, Route{Prefix: p, Discard: true})
		} else {
			c.Routes = append(c.Routes, Route{Prefix: p, Group: key})
		}
	}
	clear(r.changed)
	r.refresh = false
	slices.SortFunc(c.Groups, func(a, b Group) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(c.Routes, func(a, b Route) int { return ComparePrefix(a.Prefix, b.Prefix) })
	slices.Sort(c.Gone)
	return c
}

// Group is the group of a prefix as Drain told it last; false: no route.
func (r *Routes) Group(p netip.Prefix) (Group, bool) {
	g, ok := r.groups[r.routes[p]]
	if !ok {
		return Group{}, false
	}
	return g.Group, true
}

// Groups is how many groups routes name.
func (r *Routes) Groups() int { return len(r.groups) }

// Cost implements Costs: the metric of the way to a next hop, over a route that
// is not BGP's or over BGP routes as Drain has it.
func (r *Routes) Cost(nextHop netip.Addr) (cost uint32, reachable bool) { return r.cost(nextHop, 0) }

func (r *Routes) cost(a netip.Addr, depth int) (cost uint32, reachable bool) {
	if res, ok := r.nextHops.Resolve(a); ok {
		return res.Metric, len(res.Hops) > 0 && !res.Local
	}
	r.nested = true
	if depth == maxDepth {
		return 0, false
	}
	for _, via := range r.longest(a) {
		if c, ok := r.cost(via, depth+1); ok && (!reachable || c < cost) {
			cost, reachable = c, true
		}
	}
	return cost, reachable
}

// Nested reports whether an answer of Cost since the last call hung on BGP
// routes, so that it may be another when one comes or goes.
func (r *Routes) Nested() bool {
	nested := r.nested
	r.nested = false
	return nested
}

func (r *Routes) resolve(g *group) {
	g.Hops, g.Unresolved, g.loose = nil, nil, false
	for _, a := range g.NextHops {
		hops, direct := r.way(a, 0)
		g.loose = g.loose || !direct
		if len(hops) == 0 {
			g.Unresolved = append(g.Unresolved, a)
		}
		g.Hops = join(g.Hops, hops)
	}
}

// way leads to a. Direct says that the answer does not depend on BGP routes.
func (r *Routes) way(a netip.Addr, depth int) (hops []Hop, direct bool) {
	if res, ok := r.nextHops.Resolve(a); ok {
		if res.Local {
			return nil, true
		}
		return res.Hops, true
	}
	if depth == maxDepth {
		return nil, false
	}
	for _, via := range r.longest(a) {
		more, _ := r.way(via, depth+1)
		hops = join(hops, more)
	}
	return hops, false
}

// longest is the next hops of the most specific BGP route that holds a.
func (r *Routes) longest(a netip.Addr) []netip.Addr {
	for bits := a.BitLen(); bits >= 0; bits-- {
		if r.lengths[bits] == 0 {
			continue
		}
		if p, err := a.Prefix(bits); err == nil {
			if key, ok := r.routes[p]; ok {
				return r.groups[key].NextHops
			}
		}
	}
	return nil
}

// join adds to hops those of more that lead elsewhere.
func join(hops, more []Hop) []Hop {
	for _, h := range more {
		same := func(o Hop) bool { return o.Gateway == h.Gateway && o.Interface == h.Interface }
		if !slices.ContainsFunc(hops, same) {
			hops = append(hops, h)
		}
	}
	return hops
}

// groupOf is the set of next hops of paths, most of them at most, and its name,
// empty for none.
func groupOf(paths []Path, most int) (GroupKey, []netip.Addr) {
	if len(paths) > 0 && paths[0].Discard {
		return discardKey, nil
	}
	var list []netip.Addr
	for _, p := range paths {
		if !p.Discard && !slices.Contains(list, p.NextHop) && (most == 0 || len(list) < most) {
			list = append(list, p.NextHop)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	var name strings.Builder
	for i, a := range list {
		if i > 0 {
			name.WriteByte(' ')
		}
		name.WriteString(a.String())
	}
	return GroupKey(name.String()), list
}
