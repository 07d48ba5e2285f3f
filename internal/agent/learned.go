package agent

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
)

// learned is the edge best paths → routes. Which routes share a group, and
// where it leads, is for bgp.Routes to say; the table is told what changed.
type learned struct {
	speaker bgp.Speaker
	table   *fib.Table
	log     hclog.Logger

	// rivals is signalled when a path to a watched prefix came or went.
	rivals chan struct{}

	mu       sync.Mutex // guards the rest
	routes   *bgp.Routes
	maxPaths int
	watched  map[netip.Prefix]struct{}
}

func newLearned(s bgp.Speaker, t *fib.Table, log hclog.Logger) *learned {
	return &learned{
		speaker: s, table: t, log: log, rivals: make(chan struct{}, 1),
		routes: bgp.NewRoutes(ways{t}), watched: make(map[netip.Prefix]struct{}),
	}
}

// Run carries learned paths to the table until ctx ends.
func (l *learned) Run(ctx context.Context, start <-chan struct{}) error {
	if !wait(ctx, start) {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.speaker.Changed():
			l.flush(false)
		case <-l.table.ResolveChanged():
			l.flush(true)
		}
	}
}

// setMaxPaths bounds how many next hops routes have from now on; zero: any
// number.
func (l *learned) setMaxPaths(n int) {
	l.mu.Lock()
	if n == l.maxPaths {
		l.mu.Unlock()
		return
	}
	l.maxPaths = n
	l.routes.SetMaxPaths(n)
	var set bgp.PathSet
	for e := range l.speaker.Routes(bgp.Query{}) {
		if e.Own || !e.Best {
			continue
		}
		if e.Prefix != set.Prefix {
			l.putLocked(set)
			set = bgp.PathSet{Prefix: e.Prefix}
		}
		set.Paths = append(set.Paths, e.Path)
	}
	l.putLocked(set)
	l.mu.Unlock()
	l.flush(false)
}

// putLocked states again the paths of a prefix that has a route.
func (l *learned) putLocked(set bgp.PathSet) {
	if _, ok := l.routes.Group(set.Prefix); ok {
		l.routes.Put(set)
	}
}

// flush carries over what the speaker has to tell now. When refresh is set the
// kernel's other routes may lead elsewhere than before.
func (l *learned) flush(refresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, set := range l.speaker.Drain() {
		l.routes.Put(set)
		if _, ok := l.watched[set.Prefix]; ok {
			signal(l.rivals)
		}
	}
	if refresh {
		l.routes.Refresh()
	}
	changes := l.routes.Drain()
	// A group is there before the first route names it, and until none does.
	for _, g := range changes.Groups {
		if len(g.Unresolved) > 0 {
			l.log.Debug("next hops have no way", "next_hops", g.Unresolved)
		}
		l.table.SetGroup(fib.GroupKey(g.Key), nextHops(g.Hops))
	}
	for _, r := range changes.Routes {
		if r.Discard {
			l.table.Put(fib.BGP, r.Prefix, fib.Route{Blackhole: true})
			continue
		}
		if r.Group == "" {
			l.table.Delete(fib.BGP, r.Prefix)
			continue
		}
		l.table.Put(fib.BGP, r.Prefix, fib.Route{Group: fib.GroupKey(r.Group)})
	}
	for _, key := range changes.Gone {
		l.table.DeleteGroup(fib.GroupKey(key))
	}
	if refresh || len(changes.Routes) > 0 && l.routes.Nested() {
		l.costsChanged()
	}
}

// weighing is a Speaker that looks at the way to next hops.
type weighing interface {
	SetCosts(bgp.Costs)
	CostsChanged()
}

// weigh lets the speaker know the way to next hops.
func (l *learned) weigh() {
	if w, ok := l.speaker.(weighing); ok {
		w.SetCosts(l)
	}
}

func (l *learned) costsChanged() {
	if w, ok := l.speaker.(weighing); ok {
		w.CostsChanged()
	}
}

// Cost implements bgp.Costs.
func (l *learned) Cost(nextHop netip.Addr) (cost uint32, reachable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes.Cost(nextHop)
}

// watch reports whether another host has a path to p, and asks for a signal of
// rivals when that changes.
func (l *learned) watch(p netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched[p] = struct{}{}
	_, ok := l.routes.Group(p)
	return ok
}

// unwatch ends what watch asked for.
func (l *learned) unwatch(p netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watched, p)
}

// nextHopsOf returns where a learned route is sent now.
func (l *learned) nextHopsOf(p netip.Prefix) []fib.NextHop {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, _ := l.routes.Group(p)
	return nextHops(g.Hops)
}

// groupCount returns how many sets of BGP next hops are in use.
func (l *learned) groupCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes.Groups()
}

// ways answers the port bgp.NextHops from the kernel's routes that are not ours.
type ways struct{ table *fib.Table }

// Resolve implements bgp.NextHops.
func (w ways) Resolve(a netip.Addr) (bgp.Resolution, bool) {
	r, ok := w.table.Resolve(a)
	if !ok {
		return bgp.Resolution{}, false
	}
	way := bgp.Resolution{Local: r.Local}
	if !r.Connected {
		way.Metric = r.Metric
	}
	for _, h := range r.NextHops {
		way.Hops = append(way.Hops, bgp.Hop(h))
	}
	return way, true
}

func nextHops(hops []bgp.Hop) []fib.NextHop {
	out := make([]fib.NextHop, 0, len(hops))
	for _, h := range hops {
		out = append(out, fib.NextHop(h))
	}
	return slices.Clip(out)
}
