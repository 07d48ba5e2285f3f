package bgptest

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// Accept says how a path is to be used, or why it is not.
type Accept func(bgp.Path) (bgp.Path, bgp.Refusal)

// RIB is what peers told, one path of each peer and prefix, as a Speaker needs
// it to answer Drain and Routes. It keeps paths as they came: what is accepted
// is asked anew each time, so that a policy may change. It is not safe for
// concurrent use. The zero value is empty.
type RIB struct {
	routes map[netip.Prefix]*ribRoute
	dirty  map[netip.Prefix]struct{} // may differ from what was told
}

type ribRoute struct {
	paths []bgp.Path // in order of peer
	told  []bgp.Path // as Drain gave them last
}

// Put puts p in the place of what its peer told of its prefix before.
func (r *RIB) Put(p bgp.Path) {
	if r.routes == nil {
		r.routes = make(map[netip.Prefix]*ribRoute)
		r.dirty = make(map[netip.Prefix]struct{})
	}
	route := r.routes[p.Prefix]
	if route == nil {
		route = new(ribRoute)
		r.routes[p.Prefix] = route
	}
	i, had := route.find(p.Peer)
	if had {
		route.paths[i] = p
	} else {
		route.paths = slices.Insert(route.paths, i, p)
	}
	r.dirty[p.Prefix] = struct{}{}
}

// Remove removes what peer told of prefix.
func (r *RIB) Remove(prefix netip.Prefix, peer netip.Addr) {
	route := r.routes[prefix]
	if route == nil {
		return
	}
	if i, had := route.find(peer); had {
		route.paths = slices.Delete(route.paths, i, i+1)
		r.dirty[prefix] = struct{}{}
	}
}

// Get is what peer told of prefix.
func (r *RIB) Get(prefix netip.Prefix, peer netip.Addr) (bgp.Path, bool) {
	route := r.routes[prefix]
	if route == nil {
		return bgp.Path{}, false
	}
	i, ok := route.find(peer)
	if !ok {
		return bgp.Path{}, false
	}
	return route.paths[i], true
}

func (r *ribRoute) find(peer netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(r.paths, peer, func(p bgp.Path, a netip.Addr) int { return p.Peer.Compare(a) })
}

// Touch makes Drain look again at the prefixes for which changed says true: a
// policy says something else about them now.
func (r *RIB) Touch(changed func(netip.Prefix) bool) {
	for p := range r.routes {
		if changed(p) {
			r.dirty[p] = struct{}{}
		}
	}
}

// Best is the best accepted paths to prefix.
func (r *RIB) Best(prefix netip.Prefix, accept Accept) []bgp.Path {
	if route := r.routes[prefix]; route != nil {
		return Best(route.accepted(accept))
	}
	return nil
}

func (r *ribRoute) accepted(accept Accept) []bgp.Path {
	var list []bgp.Path
	for _, p := range r.paths {
		if p, refused := accept(p); refused == "" {
			list = append(list, p)
		}
	}
	return list
}

// Drain is what Speaker.Drain is to tell.
func (r *RIB) Drain(accept Accept) []bgp.PathSet {
	var sets []bgp.PathSet
	for p := range r.dirty {
		route := r.routes[p]
		best := Best(route.accepted(accept))
		if !slices.EqualFunc(best, route.told, bgp.Path.Equal) {
			sets = append(sets, bgp.PathSet{Prefix: p, Paths: best})
		}
		route.told = best
		if len(route.paths) == 0 {
			delete(r.routes, p)
		}
	}
	clear(r.dirty)
	slices.SortFunc(sets, func(a, b bgp.PathSet) int { return bgp.ComparePrefix(a.Prefix, b.Prefix) })
	return sets
}

// Count is how many prefixes a peer is a source of.
type Count struct {
	Accepted int
	Stale    int // of the accepted ones
	First    int // where its path is the first of Best
}

// Counts counts by peer.
func (r *RIB) Counts(accept Accept) map[netip.Addr]Count {
	counts := make(map[netip.Addr]Count)
	for _, route := range r.routes {
		accepted := route.accepted(accept)
		for _, p := range accepted {
			c := counts[p.Peer]
			c.Accepted++
			if p.Stale {
				c.Stale++
			}
			counts[p.Peer] = c
		}
		if best := Best(accepted); len(best) > 0 {
			c := counts[best[0].Peer]
			c.First++
			counts[best[0].Peer] = c
		}
	}
	return counts
}

// Entries is what Speaker.Routes is to show, given what is originated, too.
func (r *RIB) Entries(f bgp.Query, own map[netip.Prefix]bgp.Attributes, export bgp.ExportPolicy, accept Accept) []bgp.Entry {
	var list []bgp.Entry
	for p, a := range own {
		if f.Match(p, netip.Addr{}) {
			refused := export.Own(p)
			list = append(list, bgp.Entry{Path: a.Path(p), Own: true, Best: refused == "", Refused: refused})
		}
	}
	for prefix, route := range r.routes {
		best := Best(route.accepted(accept))
		for _, p := range route.paths {
			if !f.Match(prefix, p.Peer) {
				continue
			}
			p, refused := accept(p)
			isBest := slices.ContainsFunc(best, func(b bgp.Path) bool { return b.Peer == p.Peer })
			list = append(list, bgp.Entry{Path: p, Best: isBest, Refused: refused})
		}
	}
	slices.SortFunc(list, func(a, b bgp.Entry) int {
		return cmp.Or(bgp.ComparePrefix(a.Prefix, b.Prefix), a.Peer.Compare(b.Peer))
	})
	return list
}
