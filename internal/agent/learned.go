package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
)

// learned is the edge best paths → routes. Routes that have the same set of
// BGP next hops share a group, so that a way that changes below them (another
// gateway, a link that fails) costs one message and no route.
type learned struct {
	speaker bgp.Speaker
	table   *fib.Table
	log     hclog.Logger

	mu     sync.Mutex // guards the rest
	groups map[fib.GroupKey]*group
	routes map[netip.Prefix]fib.GroupKey
}

// group is a set of BGP next hops in use.
type group struct {
	nextHops []netip.Addr
	routes   int // that name it
}

func newLearned(s bgp.Speaker, t *fib.Table, log hclog.Logger) *learned {
	return &learned{
		speaker: s, table: t, log: log,
		groups: make(map[fib.GroupKey]*group), routes: make(map[netip.Prefix]fib.GroupKey),
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
			l.flush()
		case <-l.table.ResolveChanged():
			l.resolveAll()
		}
	}
}

// flush carries over what the speaker has to tell now.
func (l *learned) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, set := range l.speaker.Drain() {
		l.putLocked(set)
	}
}

func (l *learned) putLocked(set bgp.PathSet) {
	old, had := l.routes[set.Prefix]
	if len(set.Paths) == 0 {
		delete(l.routes, set.Prefix)
		l.table.Delete(fib.BGP, set.Prefix)
	} else {
		key := l.groupLocked(set.Paths)
		if had && old == key {
			return
		}
		l.groups[key].routes++
		l.routes[set.Prefix] = key
		l.table.Put(fib.BGP, set.Prefix, fib.Route{Group: key})
	}
	if !had {
		return
	}
	g := l.groups[old]
	if g.routes--; g.routes == 0 {
		delete(l.groups, old)
		l.table.DeleteGroup(old)
	}
}

// groupLocked returns the group of the paths' next hops.
func (l *learned) groupLocked(paths []bgp.Path) fib.GroupKey {
	nextHops := make([]netip.Addr, 0, len(paths))
	for _, p := range paths {
		nextHops = append(nextHops, p.NextHop)
	}
	slices.SortFunc(nextHops, netip.Addr.Compare)
	nextHops = slices.Compact(nextHops)
	var text strings.Builder
	for _, a := range nextHops {
		text.WriteString(a.String())
		text.WriteByte(' ')
	}
	key := fib.GroupKey(text.String())
	if _, ok := l.groups[key]; !ok {
		l.groups[key] = &group{nextHops: nextHops}
		l.table.SetGroup(key, l.resolve(nextHops))
	}
	return key
}

func (l *learned) resolveAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, g := range l.groups {
		l.table.SetGroup(key, l.resolve(g.nextHops))
	}
}

// resolve finds the ways to BGP next hops over routes that are not ours (RFC
// 4271 §9.1.2.1). A next hop without a way is left out; one that is our own
// address would be a loop.
func (l *learned) resolve(nextHops []netip.Addr) []fib.NextHop {
	var hops []fib.NextHop
	for _, a := range nextHops {
		way, ok := l.table.Resolve(a)
		if !ok {
			l.log.Debug("next hop has no way", "next_hop", a)
			continue
		}
		if way.Local {
			l.log.Warn("next hop is our own address", "next_hop", a)
			continue
		}
		hops = append(hops, way.NextHops...)
	}
	return hops
}

// nextHops returns where the routes of a group are sent now.
func (l *learned) nextHops(key fib.GroupKey) []fib.NextHop {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g, ok := l.groups[key]; ok {
		return l.resolve(g.nextHops)
	}
	return nil
}

func (l *learned) groupCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.groups)
}
