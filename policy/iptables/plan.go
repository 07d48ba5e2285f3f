package iptables

import (
	"maps"
	"slices"
)

// plan is what the chains of ours should be, of all or of a part. What is not
// mentioned stays.
type plan map[place]map[string]*chain // nil: is to go

func (p plan) put(at place, name string, c *chain) {
	if p[at] == nil {
		p[at] = map[string]*chain{}
	}
	p[at][name] = c
}

// units remembers the chains that each thing had, so that those it has no more
// can go, and the lists that it uses.
type units struct {
	chains   map[string]map[place][]string
	listings map[string]listing
	lists    lists
}

func newUnits() *units {
	return &units{
		chains: map[string]map[place][]string{}, listings: map[string]listing{},
		lists: lists{all: map[string]*list{}, moved: map[string]struct{}{}},
	}
}

// render makes the plan for what is dirty.
func (s *state) render(d *dirty, u *units) plan {
	p := plan{}
	clear(u.lists.moved)
	if d.all {
		d.base, d.trees = true, true
		for key := range s.refs {
			d.policies[key] = struct{}{}
		}
		for id := range s.pipelines {
			d.pipelines[id] = struct{}{}
		}
	}
	for key := range d.policies {
		used := s.tablesOfPolicy(key)
		u.render(p, policyChain(key.id, key.direction), func(at place, l listing) []*chain {
			if !used[at.table] {
				return nil
			}
			return s.policyChains(at, key, l)
		})
	}
	for id := range d.pipelines {
		pipeline, used := s.pipelines[id], s.tablesOf(id)
		u.render(p, pipelineChain(id), func(at place, _ listing) []*chain {
			if pipeline == nil || !used[at.table] {
				return nil
			}
			return s.pipelineChains(at, pipeline)
		})
	}
	if d.base {
		u.render(p, "base", func(at place, _ listing) []*chain { return s.baseChains(at) })
	}
	if d.trees {
		trees := s.trees()
		u.render(p, "trees", func(at place, _ listing) []*chain {
			if at.table != filterTable {
				return nil
			}
			return trees
		})
	}
	return p
}

// render puts the chains of a unit into the plan, for every place.
func (u *units) render(p plan, unit string, chains func(place, listing) []*chain) {
	before, now := u.chains[unit], map[place][]string{}
	l := listing{}
	for _, at := range places() {
		for _, c := range chains(at, l) {
			p.put(at, c.name, c)
			now[at] = append(now[at], c.name)
		}
		for _, name := range before[at] {
			if !slices.Contains(now[at], name) {
				p.put(at, name, nil)
			}
		}
	}
	u.lists.use(unit, u.listings[unit], l)
	keep(u.chains, unit, now)
	keep(u.listings, unit, l)
}

func keep[K comparable, V any, M ~map[K]V](all map[string]M, unit string, now M) {
	if len(now) == 0 {
		delete(all, unit)
		return
	}
	all[unit] = now
}

// sortedNames are the names of the chains in a plan for one place.
func sortedNames(chains map[string]*chain) []string { return slices.Sorted(maps.Keys(chains)) }
