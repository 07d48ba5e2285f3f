package engine

import "slices"

// What members of a group hold that have read the whole log: one path of a
// route, in a slab, or several by identifier, of which those that are withdrawn
// stay until everybody knows.

// place is the state of a path of route i, made if there is none. It is valid
// until the next call.
func (g *group) place(i routeID, id uint32) *held {
	if !g.several {
		return g.state.place(i)
	}
	list := g.more[i]
	n := slices.IndexFunc(list, func(s sent) bool { return s.id == id })
	if n < 0 {
		n = len(list)
		list = append(list, sent{id: id})
		g.more[i] = list
	}
	return &list[n].held
}

// holds is the state of a path of route i.
func (g *group) holds(i routeID, id uint32) held {
	if !g.several {
		return g.state.at(i)
	}
	for _, s := range g.more[i] {
		if s.id == id {
			return s.held
		}
	}
	return held{}
}

// knows reports whether there is a state of a path of route i.
func (g *group) knows(i routeID, id uint32) bool {
	if !g.several {
		return int(i) < g.state.len()
	}
	return slices.ContainsFunc(g.more[i], func(s sent) bool { return s.id == id })
}

// each calls f for the state of each path of route i, gone ones included.
func (g *group) each(i routeID, f func(id uint32, h held)) {
	if !g.several {
		if int(i) < g.state.len() {
			f(0, g.state.at(i))
		}
		return
	}
	for _, s := range g.more[i] {
		f(s.id, s.held)
	}
}

// end is above every route of which g has a state.
func (g *group) end(r *rib) int {
	if g.several {
		return r.routes.records.len()
	}
	return g.state.len()
}

// changedSince reports whether something of route i changed at entry or later.
func (g *group) changedSince(i routeID, entry uint64) bool {
	if !g.several {
		return int(i) < g.state.len() && g.state.at(i).changed >= entry
	}
	return slices.ContainsFunc(g.more[i], func(s sent) bool { return s.changed >= entry })
}

// forget drops what is withdrawn of route i and known to be by all members.
func (g *group) forget(i routeID) {
	list := g.more[i]
	if !slices.ContainsFunc(list, func(s sent) bool { return s.set == 0 && s.changed < g.told }) {
		return
	}
	list = slices.DeleteFunc(list, func(s sent) bool { return s.set == 0 && s.changed < g.told })
	if g.more[i] = list; len(list) == 0 {
		delete(g.more, i)
	}
}

// releaseAll gives back the references of a group that goes.
func (g *group) releaseAll(r *rib) {
	for i := range routeID(g.state.len()) {
		r.sets.release(g.state.at(i).set)
	}
	for _, list := range g.more {
		for _, s := range list {
			r.sets.release(s.set)
		}
	}
}
