package engine

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// SetCosts sets who knows the way to next hops; nil: all are reached at no cost,
// which is right where nothing is forwarded. A path whose next hop is not
// reached is never best. It is asked soon, with no lock held.
func (e *Engine) SetCosts(c bgp.Costs) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.costs = c
	e.rib.trackHops(c != nil)
	e.touched()
}

// CostsChanged says that Costs may answer otherwise than before.
func (e *Engine) CostsChanged() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rib.sets.hops.askAgain()
	signal(e.dirty)
}

// SetMaxPaths bounds how many equal paths Drain tells of a prefix; zero: no
// bound.
func (e *Engine) SetMaxPaths(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rib.maxPaths == n {
		return
	}
	e.rib.maxPaths = n
	e.rib.markAll()
	e.touched()
}

// askCosts asks for what is not known of next hops.
func (e *Engine) askCosts() {
	e.mu.Lock()
	costs, list := e.costs, e.rib.sets.hops.asked()
	e.mu.Unlock()
	if costs == nil || len(list) == 0 {
		return
	}
	answers := make([]answer, len(list))
	for n, h := range list {
		answers[n].cost, answers[n].reached = costs.Cost(h.addr)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rib.answered(list, answers) {
		e.touched()
	}
}

// hop is a next hop and what its way costs.
type hop struct {
	addr netip.Addr
	refs int
	answer
	asked bool // the answer is out of date, or was never given
	fresh bool // it was never given
}

type answer struct {
	cost    uint32
	reached bool
}

// hops are the next hops of all attributes; without a map they are not looked
// at.
type hops struct {
	byAddr map[netip.Addr]*hop
	ask    []*hop
	// waiting has routes with a path whose next hop is fresh.
	waiting []routeID
}

// use is the hop of a, with a reference to it.
func (h *hops) use(a netip.Addr) *hop {
	if h.byAddr == nil || !a.IsValid() {
		return nil
	}
	known := h.byAddr[a]
	if known == nil {
		known = &hop{addr: a, asked: true, fresh: true}
		h.byAddr[a] = known
		h.ask = append(h.ask, known)
	}
	known.refs++
	return known
}

func (h *hops) leave(known *hop) {
	if known == nil {
		return
	}
	if known.refs--; known.refs == 0 {
		delete(h.byAddr, known.addr)
	}
}

func (h *hops) askAgain() {
	for _, known := range h.byAddr {
		if !known.asked {
			known.asked = true
			h.ask = append(h.ask, known)
		}
	}
}

// asked is what is to be asked for, once.
func (h *hops) asked() []*hop {
	list := h.ask
	h.ask = nil
	for _, known := range list {
		known.asked = false
	}
	return list
}

// trackHops begins or ends to look at next hops.
func (r *rib) trackHops(on bool) {
	h := &r.sets.hops
	*h = hops{}
	if on {
		h.byAddr = make(map[netip.Addr]*hop)
	}
	for n := range r.sets.sets {
		if set := &r.sets.sets[n]; set.refs > 0 {
			set.hop = h.use(set.path.NextHop)
		}
	}
	r.markAll()
	if !on {
		return
	}
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).first != 0 {
			h.waiting = append(h.waiting, i)
		}
	}
}

// answered takes what was asked for; false: nothing is other than before.
func (r *rib) answered(list []*hop, answers []answer) bool {
	changed := make(map[*hop]bool)
	for n, h := range list {
		switch {
		case h.fresh:
			h.fresh = false
		case h.answer != answers[n]:
			changed[h] = true
		}
		h.answer = answers[n]
	}
	waiting := r.sets.hops.waiting
	r.sets.hops.waiting = nil
	for _, i := range waiting {
		if r.routes.records.at(i).key.family == 0 { // it has gone since
			continue
		}
		r.mark(i)
		if r.awaits(i) { // what came while these were asked for
			r.sets.hops.waiting = append(r.sets.hops.waiting, i)
		}
	}
	if len(changed) > 0 {
		r.eachPath(func(i routeID, p *path) {
			if changed[r.sets.sets[p.set].hop] {
				r.mark(i)
			}
		})
	}
	return len(waiting) > 0 || len(changed) > 0
}

// awaits reports whether a path of route i has a next hop that is fresh.
func (r *rib) awaits(i routeID) bool {
	for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
		if h := r.pathSet(at).hop; h != nil && h.fresh {
			return true
		}
	}
	return false
}
