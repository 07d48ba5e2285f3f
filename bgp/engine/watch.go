package engine

import (
	"cmp"
	"iter"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// routesAtOnce is how many prefixes are looked at before others get the lock.
const routesAtOnce = 512

// Routes implements bgp.Speaker. Each prefix is as it stands when its turn
// comes, so that whoever looks at a large table holds up nobody.
func (e *Engine) Routes(q bgp.Query) iter.Seq[bgp.Entry] {
	keys := e.prefixes(q)
	return func(yield func(bgp.Entry) bool) {
		for portion := range slices.Chunk(keys, routesAtOnce) {
			for _, s := range e.states(portion, q) {
				for _, entry := range s.Entries {
					if !yield(entry) {
						return
					}
				}
			}
		}
	}
}

// prefixes is those that q may choose entries of, in order.
func (e *Engine) prefixes(q bgp.Query) []prefixKey {
	e.mu.Lock()
	keys := e.prefixesLocked(q)
	e.mu.Unlock()
	slices.SortFunc(keys, prefixKey.compare)
	return slices.Compact(keys)
}

func (e *Engine) prefixesLocked(q bgp.Query) []prefixKey {
	r := e.rib
	var keys []prefixKey
	add := func(i routeID) {
		rec := r.routes.records.at(i)
		if (rec.first != 0 || rec.own != 0) && q.Match(rec.key.prefix(), q.Peer) {
			keys = append(keys, rec.key)
		}
	}
	switch {
	case q.Within.IsValid():
		for i := range r.within(q.Within) {
			add(i)
		}
	case q.Peer.IsValid():
		for _, s := range r.sources {
			if s == nil || s.want.Peer != q.Peer {
				continue
			}
			for _, i := range s.routes {
				add(i)
			}
		}
	default:
		for i := range routeID(r.routes.records.len()) {
			add(i)
		}
	}
	return keys
}

// states is what the table has of the prefixes now.
func (e *Engine) states(keys []prefixKey, q bgp.Query) []bgp.RouteState {
	e.mu.Lock()
	defer e.mu.Unlock()
	states := make([]bgp.RouteState, 0, len(keys))
	for _, k := range keys {
		states = append(states, bgp.RouteState{Prefix: k.prefix(), Entries: e.entriesLocked(k, q)})
	}
	return states
}

// entriesLocked is the entries of one prefix that q chooses, in order.
func (e *Engine) entriesLocked(k prefixKey, q bgp.Query) []bgp.Entry {
	p := k.prefix()
	i := e.rib.routes.find(k)
	if i == 0 || !q.Match(p, q.Peer) {
		return nil
	}
	var list []bgp.Entry
	if a, own := e.own[p]; own && !q.Peer.IsValid() {
		refused := bgp.ExportPolicy{Pools: e.rib.pools}.Own(p)
		list = append(list, bgp.Entry{
			Path: a.Path(p), Own: true, Best: refused == "", Refused: refused, Raw: e.rib.sets.sets[e.rib.routes.records.at(i).own].raw,
		})
	}
	list = e.rib.appendEntries(list, i, q.Peer)
	slices.SortStableFunc(list, func(a, b bgp.Entry) int {
		return cmp.Or(a.Peer.Compare(b.Peer), cmp.Compare(a.PathID, b.PathID))
	})
	return list
}

// compare orders as bgp.ComparePrefix does.
func (k prefixKey) compare(o prefixKey) int {
	return cmp.Or(cmp.Compare(k.family, o.family), cmp.Compare(k.hi, o.hi), cmp.Compare(k.lo, o.lo), cmp.Compare(k.bits, o.bits))
}

// maxPending is how many prefixes may wait for the reader of a watch; the
// memory of more is better spent on telling all anew.
const maxPending = 1 << 17

// watch is a bgp.RouteWatch.
type watch struct {
	engine  *Engine
	query   bgp.Query
	changed chan struct{}

	// Owned by the reader.
	rest  []prefixKey // of the first passage through the table, or of another
	first bool        // that passage is not complete

	// Guarded by Engine.mu.
	pending map[prefixKey]bool
	lost    bool // there were too many
}

// WatchRoutes implements bgp.Speaker.
func (e *Engine) WatchRoutes(q bgp.Query) bgp.RouteWatch {
	w := &watch{engine: e, query: q, changed: make(chan struct{}, 1), pending: make(map[prefixKey]bool), first: true}
	e.mu.Lock()
	e.rib.watches = append(e.rib.watches, w)
	e.mu.Unlock()
	w.rest = e.prefixes(q) // what changes from here on is pending, too
	signal(w.changed)
	return w
}

// note says that the prefix may be another now; Engine.mu is held.
func (w *watch) note(k prefixKey) {
	if w.lost || !w.query.Match(k.prefix(), w.query.Peer) {
		return
	}
	if w.pending[k] = true; len(w.pending) > maxPending {
		w.pending, w.lost = make(map[prefixKey]bool), true
	}
	signal(w.changed)
}

// Changed implements bgp.RouteWatch.
func (w *watch) Changed() <-chan struct{} { return w.changed }

// Next implements bgp.RouteWatch.
func (w *watch) Next(n int) (states []bgp.RouteState, synced, reset bool) {
	n = min(n, routesAtOnce)
	var keys []prefixKey
	if reset = w.restarts(); reset {
		w.rest, w.first = w.engine.prefixes(w.query), true
	}
	if len(w.rest) > 0 {
		keys, w.rest = w.rest[:min(n, len(w.rest))], w.rest[min(n, len(w.rest)):]
	} else {
		keys = w.take(n)
	}
	synced = w.first && len(w.rest) == 0
	if synced {
		w.first = false
	}
	signal(w.changed) // there may be more; when there is nothing, it ends
	if len(keys) == 0 {
		w.rearm()
	}
	return w.engine.states(keys, w.query), synced, reset
}

// restarts reports whether all is to be told anew, and begins to note changes
// again.
func (w *watch) restarts() bool {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	lost := w.lost
	w.lost = false
	return lost
}

// take takes up to n of what is pending.
func (w *watch) take(n int) []prefixKey {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	keys := make([]prefixKey, 0, min(n, len(w.pending)))
	for k := range w.pending {
		if len(keys) == n {
			break
		}
		keys = append(keys, k)
		delete(w.pending, k)
	}
	slices.SortFunc(keys, prefixKey.compare)
	return keys
}

// rearm takes back the signal when nothing is pending.
func (w *watch) rearm() {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if len(w.pending) > 0 || w.lost {
		return
	}
	select {
	case <-w.changed:
	default:
	}
}

// Close implements bgp.RouteWatch.
func (w *watch) Close() {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	w.engine.rib.watches = slices.DeleteFunc(w.engine.rib.watches, func(o *watch) bool { return o == w })
}

// note tells the watches that route i may be another now.
func (r *rib) note(i routeID) {
	for _, w := range r.watches {
		w.note(r.routes.records.at(i).key)
	}
}

var _ bgp.RouteWatch = (*watch)(nil)
