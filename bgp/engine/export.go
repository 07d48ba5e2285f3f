package engine

import (
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// exportPolicy is what of a bgp.Policy concerns what is sent. Equal ones are one
// object, so that peers which share them share a group; nil says nothing.
type exportPolicy struct {
	filters  bgp.Policy // with export rules
	nextHop  bgp.NextHopMode
	foreign  bool // also from outside the pools
	shutdown bool // with GRACEFUL_SHUTDOWN
}

func (o *exportPolicy) equal(p *exportPolicy) bool {
	return o.nextHop == p.nextHop && o.foreign == p.foreign && o.shutdown == p.shutdown && o.filters.Equal(&p.filters)
}

// exportOf is the exportPolicy of p.
func (r *rib) exportOf(p *bgp.Policy) *exportPolicy {
	if p == nil {
		return nil
	}
	o := &exportPolicy{nextHop: p.NextHop, foreign: p.ReflectForeign, shutdown: p.GracefulShutdown}
	for _, f := range p.Filters {
		if len(f.Export) > 0 {
			o.filters.Filters = append(o.filters.Filters, f)
		}
	}
	if o.equal(&exportPolicy{}) {
		return nil
	}
	for _, known := range r.exports {
		if known.equal(o) {
			return known
		}
	}
	r.exports = append(r.exports, o)
	return o
}

// forgetExports drops the policies that no group has.
func (r *rib) forgetExports() {
	r.exports = slices.DeleteFunc(r.exports, func(o *exportPolicy) bool {
		return !slices.ContainsFunc(r.groups, func(g *group) bool { return g.policy == o })
	})
}

// picks are the paths of a route that groups are offered, found when the first
// one asks.
type picks struct {
	i     routeID
	path  [2]pathID // without foreign ones, and with them
	asked [2]bool
}

func (r *rib) pick(k *picks, foreign bool) pathID {
	n := 0
	if foreign {
		n = 1
	}
	if !k.asked[n] {
		k.path[n], k.asked[n] = r.first(k.i, foreign), true
	}
	return k.path[n]
}

// choice is what a group is to be sent of a path. Set zero: nothing.
type choice struct {
	set  setID
	peer peerID // who gave it and does not get it; zero: ourselves
}

// choose is what g, which gets the best path only, gets of a route. The
// reference to the set is the caller's.
func (r *rib) choose(g *group, k *picks) choice {
	rec := r.routes.records.at(k.i)
	switch {
	case rec.standing == martian:
		return choice{}
	case rec.own != 0:
		return r.chooseOwn(g, rec)
	case !g.learns:
		return choice{}
	}
	if at := r.pick(k, g.policy != nil && g.policy.foreign); at != 0 {
		return r.consider(g, rec, r.paths.records.at(at))
	}
	return choice{}
}

// chooseOwn is what g gets of what we originate.
func (r *rib) chooseOwn(g *group, rec *route) choice {
	if g.policy == nil {
		if rec.standing != exported {
			return choice{}
		}
		r.sets.retain(rec.own)
		return choice{set: rec.own}
	}
	p := r.sets.sets[rec.own].path
	p.Prefix = rec.key.prefix()
	p.Interface = r.interfaces[p.Prefix]
	switch word, change := g.policy.filters.Export(&p, &g.example); {
	case word == bgp.Accepted:
		return r.send(g, choice{set: rec.own}, change)
	case word == bgp.NoMatch && rec.standing == exported:
		return r.send(g, choice{set: rec.own}, nil)
	}
	return choice{}
}

// consider is what g gets of a learned path. What a filter accepts may come from
// outside the pools, and makes a host transit; the rules of reflection hold
// whatever a filter says.
func (r *rib) consider(g *group, rec *route, p *path) choice {
	from := r.sources[p.peer].role
	if p.flags&discard != 0 || !g.takes(&r.sets.sets[p.set]) {
		return choice{}
	}
	c := choice{set: p.set, peer: p.peer}
	if g.policy == nil {
		if rec.standing != exported || !g.from[from] {
			return choice{}
		}
		r.sets.retain(c.set)
		return c
	}
	shown := r.path(rec.key.prefix(), p)
	word, change := g.policy.filters.Export(&shown, &g.example)
	within := rec.standing == exported || rec.standing == outside && g.policy.foreign
	if word == bgp.Accepted && g.may[from] || word == bgp.NoMatch && g.from[from] && within {
		return r.send(g, c, change)
	}
	return choice{}
}

// send is c as the policy of g changes it, with a reference to the set.
func (r *rib) send(g *group, c choice, o *bgp.Operations) choice {
	r.sets.retain(c.set)
	c.set = r.sets.change(c.set, o)
	if g.policy.shutdown {
		c.set = r.sets.change(c.set, r.shutdown)
	}
	if c.set == 0 {
		return choice{}
	}
	return c
}

// ownPath is the path identifier of what we originate; that of a learned path is
// greater, and stays for as long as its peer tells the path.
const ownPath = 1

// sent is a path that a group is sent under an identifier.
type sent struct {
	id uint32
	held
}

// chooseAll is what g, which gets several paths, gets of a route. It is valid
// until the next call; the references to the sets are the caller's.
func (r *rib) chooseAll(g *group, k *picks) []sent {
	all := r.wanted[:0]
	rec := r.routes.records.at(k.i)
	n := max(g.paths, 1)
	if rec.own != 0 && rec.standing != martian {
		if c := r.chooseOwn(g, rec); c.set != 0 {
			all = append(all, sent{ownPath, held{choice: c}})
			n--
		}
	}
	if g.paths == bgp.AllPaths {
		n = bgp.AllPaths
	}
	if g.learns && rec.standing != martian {
		for _, at := range r.top(k.i, n, g.policy != nil && g.policy.foreign) {
			if c := r.consider(g, rec, r.paths.records.at(at)); c.set != 0 {
				all = append(all, sent{ownPath + uint32(at), held{choice: c}})
			}
		}
	}
	r.wanted = all
	return all
}

// top is the n best paths of route i: each is the first of those that the better
// ones leave.
func (r *rib) top(i routeID, n int, foreign bool) []pathID {
	left := slices.Clone(r.candidates(i, foreign))
	if n == bgp.AllPaths || len(left) <= n {
		return left
	}
	var best []pathID
	for len(best) < n {
		first := r.rank(append(r.scratch[:0], left...))[0]
		best = append(best, first)
		left = slices.DeleteFunc(left, func(at pathID) bool { return at == first })
	}
	return best
}
