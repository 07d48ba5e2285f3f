package fib

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// resubscribe is the pause before events are asked for again after they could
// not be had at all; lost ones are asked for again at once.
const resubscribe = time.Second

// watch hears of what others change until ctx is done; started is closed when
// it hears, or when it cannot.
func (t *Table) watch(ctx context.Context, started chan struct{}) {
	once := sync.OnceFunc(func() { close(started) })
	ready := func() {
		once()
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.known { // what happened while nobody listened
			t.doubtLocked()
		}
	}
	for ctx.Err() == nil {
		err := t.kernel.Watch(ctx, t.opts.Table, ready, watcher{t})
		if ctx.Err() != nil {
			break
		}
		once()
		t.log.Warn("kernel events interrupted", "error", err, "retry_in", resubscribe)
		if errors.Is(err, ErrOverrun) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe):
		}
	}
}

// watcher is the Observer of events.
type watcher struct{ t *Table }

func (w watcher) ObserveLink(l Link, p Presence) {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news != nil {
		t.news.links[l.Index] = struct{}{}
	}
	t.linkLocked(l, p)
	t.retryLocked()
}

func (w watcher) ObserveAddress(a Address, p Presence) {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news != nil {
		t.news.addresses[a] = struct{}{}
	}
	if !t.outside.setAddress(a, p != Gone) {
		return
	}
	if p == Gone && (t.withSrc[a.Addr] > 0 || t.outside.prefers(a.Addr) || t.writesFrom(a.Addr)) {
		t.doubtLocked() // IPv4 routes with this source went without a word
	}
	t.movedLocked()
	t.retryLocked()
}

// writesFrom reports whether a route with this source is being written now.
func (t *Table) writesFrom(src netip.Addr) bool {
	for _, e := range t.writing {
		if e.Src == src {
			return true
		}
	}
	return false
}

func (o *outside) prefers(src netip.Addr) bool {
	for _, entries := range o.routes {
		if slices.ContainsFunc(entries, func(e Entry) bool { return e.Src == src }) {
			return true
		}
	}
	return false
}

func (w watcher) ObserveObject(o Object, p Presence) {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news != nil {
		t.news.objects[o.ID] = struct{}{}
	}
	_, was := t.objects.delta.Observed(o.ID)
	_, ours := t.sourceOf(o.Protocol)
	if ours || was {
		t.stats.Foreign++
	}
	_, wanted := t.objects.delta.Wanted(o.ID)
	switch {
	case p == Gone:
		delete(t.outside.objects, o.ID)
		t.objects.lose(o.ID)
		t.objects.delta.Unobserve(o.ID) // also one that is being made
	case ours:
		t.objects.delta.Observe(o.ID, objectValueOf(o))
	default:
		o.Group = slices.Clone(o.Group)
		t.outside.objects[o.ID] = o
		t.objects.delta.Unobserve(o.ID)
		if was || wanted { // replaced by a stranger: our routes now name his object
			t.objects.clash = true
		}
		t.movedLocked()
	}
	t.kickLocked()
}

func (w watcher) ObserveEntry(e Entry, p Presence) {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ours := t.sourceOf(e.Protocol)
	inSlot := e.Metric == t.opts.Metric && e.TOS == 0
	if t.news != nil && (!ours || p == Replacing) {
		t.news.routes[e.Prefix] = struct{}{}
	}
	switch {
	case ours && inSlot:
		t.slotLocked(e, p)
	case ours:
		t.strayLocked(e, p)
	default:
		t.strangerLocked(e, p, inSlot)
	}
	t.kickLocked()
}

// slotLocked takes news of a route in one of our slots with our mark.
func (t *Table) slotLocked(e Entry, p Presence) {
	t.stats.Foreign++
	v := valueOf(e)
	old, had := t.routes.Observed(e.Prefix)
	switch {
	case p == Gone:
		t.routes.Unobserve(e.Prefix)
		if had && old != v { // a part of it, or one of several
			t.doubtLocked()
		}
	case p == Present && had && old != v: // put beside ours: which is in use?
		t.doubtLocked()
	default:
		if t.routes.Observe(e.Prefix, v); p == Replacing {
			t.outside.vacate(e)
		}
	}
	t.log.Debug("route changed by others", "prefix", e.Prefix, "gone", p == Gone)
	t.markLocked(e.Prefix)
}

// strayLocked takes news of a route with our mark outside our slots.
func (t *Table) strayLocked(e Entry, p Presence) {
	key := strayKeyOf(e)
	if t.news != nil {
		t.news.strays[key] = struct{}{}
	}
	_, had := t.strays[key]
	switch {
	case p == Gone && had:
		if delete(t.strays, key); e.Object != 0 {
			t.objects.unref(e.Object)
		}
	case p != Gone && !had:
		e.Hops = slices.Clone(e.Hops)
		if t.strays[key] = e; e.Object != 0 {
			t.objects.refs[e.Object]++
		}
	}
}

// strangerLocked takes news of a route of somebody else.
func (t *Table) strangerLocked(e Entry, p Presence, inSlot bool) {
	if p == Gone {
		t.outside.remove(e)
	} else {
		t.outside.add(e, p == Replacing)
	}
	if inSlot {
		if _, had := t.routes.Observed(e.Prefix); p == Replacing {
			if t.routes.Unobserve(e.Prefix); had { // ours, or another stranger's beside it
				t.doubtLocked()
			}
		}
		t.routes.Requeue(e.Prefix)
		t.markLocked(e.Prefix)
	}
	if _, learned := t.wanted[BGP][e.Prefix]; learned {
		t.choose(e.Prefix)
	}
	t.movedLocked()
	t.retryLocked()
}

// retryLocked lets what the kernel refused be tried again: what has changed may
// be what was in the way.
func (t *Table) retryLocked() {
	for prefix := range t.failed {
		t.routes.Requeue(prefix)
	}
	clear(t.failed)
	t.objects.forgive()
	t.kickLocked()
}
