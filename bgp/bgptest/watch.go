package bgptest

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// watch is a bgp.RouteWatch that compares the whole RIB with what it told.
type watch struct {
	fake    *Fake
	query   bgp.Query
	changed chan struct{}
	told    map[netip.Prefix]string
	synced  bool
}

// WatchRoutes implements bgp.Speaker.
func (f *Fake) WatchRoutes(q bgp.Query) bgp.RouteWatch {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	w := &watch{fake: f, query: q, changed: make(chan struct{}, 1), told: make(map[netip.Prefix]string)}
	f.watches = append(f.watches, w)
	signal(w.changed)
	return w
}

// tellWatches lets all watches look.
func (n *Network) tellWatches() {
	for _, f := range n.fakes {
		for _, w := range f.watches {
			signal(w.changed)
		}
	}
}

func (w *watch) Changed() <-chan struct{} { return w.changed }

func (w *watch) Next(n int) (states []bgp.RouteState, synced, reset bool) {
	now := make(map[netip.Prefix][]bgp.Entry)
	var order []netip.Prefix
	for e := range w.fake.Routes(w.query) {
		if now[e.Prefix] == nil {
			order = append(order, e.Prefix)
		}
		now[e.Prefix] = append(now[e.Prefix], e)
	}
	for p := range w.told {
		if now[p] == nil {
			order = append(order, p)
		}
	}
	slices.SortFunc(order, bgp.ComparePrefix)
	for _, p := range order {
		text := ""
		if now[p] != nil {
			text = fmt.Sprintf("%+v", now[p])
		}
		if w.told[p] == text {
			continue
		}
		if len(states) == n {
			signal(w.changed)
			return states, false, false
		}
		if w.told[p] = text; text == "" {
			delete(w.told, p)
		}
		states = append(states, bgp.RouteState{Prefix: p, Entries: now[p]})
	}
	synced = !w.synced
	w.synced = true
	return states, synced, false
}

func (w *watch) Close() {
	w.fake.network.mu.Lock()
	defer w.fake.network.mu.Unlock()
	w.fake.watches = slices.DeleteFunc(w.fake.watches, func(o *watch) bool { return o == w })
}
