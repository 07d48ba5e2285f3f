package fib

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// strayKey tells routes with our mark apart that lie outside our slots.
type strayKey struct {
	prefix netip.Prefix
	metric uint32
	tos    uint8
	value  value
}

func strayKeyOf(e Entry) strayKey {
	return strayKey{prefix: e.Prefix, metric: e.Metric, tos: e.TOS, value: valueOf(e)}
}

// news is what events have told during a read-back: it is younger than what
// the read-back tells, or the same.
type news struct {
	links     map[int32]struct{}
	addresses map[Address]struct{}
	objects   map[uint32]struct{}
	routes    map[netip.Prefix]struct{}
	strays    map[strayKey]struct{}
}

// readBack reads all there is. What is not found is gone; what the kernel was
// seen to do meanwhile stands.
func (t *Table) readBack(ctx context.Context) error {
	r := &reader{t: t, found: newOutside(), strays: make(map[strayKey]Entry)}
	t.mu.Lock()
	t.doubt = false
	t.news = &news{
		links: make(map[int32]struct{}), addresses: make(map[Address]struct{}),
		objects: make(map[uint32]struct{}), routes: make(map[netip.Prefix]struct{}),
		strays: make(map[strayKey]struct{}),
	}
	t.routes.BeginRead()
	t.objects.delta.BeginRead()
	t.mu.Unlock()

	start := time.Now()
	err := t.kernel.Read(ctx, t.opts.Table, r)

	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.news
	t.news = nil
	t.routes.EndRead(err == nil)
	t.objects.delta.EndRead(err == nil)
	if err != nil {
		t.doubt = true
		return err
	}
	t.stats.ReadBacks++
	t.stats.LastReadBack = time.Since(start)
	first, found := !t.known, t.routes.Len()
	t.known = true
	t.mergeLocked(r, seen)
	clear(t.failed)
	t.objects.forgive()
	t.objects.idle = true
	if first {
		t.chooseAll()
		t.log.Info("read kernel routes", "adopted", found, "interfaces", len(t.outside.links))
	}
	return nil
}

// mergeLocked takes over what a read-back found beside our routes and objects.
func (t *Table) mergeLocked(r *reader, seen *news) {
	links := merge(t.outside.links, r.found.links, seen.links)
	addresses := merge(t.outside.addresses, r.found.addresses, seen.addresses)
	routes := merge(t.outside.routes, r.found.routes, seen.routes)
	t.outside.objects = merge(t.outside.objects, r.found.objects, seen.objects)
	strays := merge(t.strays, r.strays, seen.strays)
	for _, e := range t.strays {
		if e.Object != 0 {
			t.objects.unref(e.Object)
		}
	}
	for _, e := range strays {
		if e.Object != 0 {
			t.objects.refs[e.Object]++
		}
	}
	t.strays = strays

	changed := !maps.Equal(addresses, t.outside.addresses) ||
		!maps.EqualFunc(routes, t.outside.routes, func(a, b []Entry) bool { return slices.EqualFunc(a, b, sameEntry) })
	for a := range addresses {
		t.outside.setAddress(a, true)
	}
	for a := range t.outside.addresses {
		if _, ok := addresses[a]; !ok {
			t.outside.setAddress(a, false)
		}
	}
	for prefix := range t.outside.routes {
		if _, ok := routes[prefix]; !ok {
			t.outside.setRoutes(prefix, nil)
			t.routes.Requeue(prefix)
		}
	}
	for prefix, entries := range routes {
		t.outside.setRoutes(prefix, entries)
	}
	for id := range t.outside.objects {
		if _, ours := t.objects.delta.Wanted(id); ours {
			t.objects.clash = true
		}
	}
	for index := range t.outside.links {
		if _, ok := links[index]; !ok {
			t.linkLocked(Link{Index: index}, Gone)
		}
	}
	for _, link := range links {
		t.linkLocked(link, Present)
	}
	if changed {
		for prefix := range t.wanted[BGP] {
			if !prefix.IsSingleIP() {
				t.choose(prefix) // somebody else may have come or gone
			}
		}
		t.movedLocked()
	}
}

// merge returns what a read found, corrected by what is known of the keys in
// news.
func merge[K comparable, V any](current, read map[K]V, news map[K]struct{}) map[K]V {
	for key := range news {
		if v, ok := current[key]; ok {
			read[key] = v
		} else {
			delete(read, key)
		}
	}
	return read
}

// reader is the Observer of a read-back.
type reader struct {
	t      *Table
	found  outside
	strays map[strayKey]Entry
	last   netip.Prefix // slot of ours seen last

	cached Entry // without its prefix: many routes say the same
	value  value // of cached
}

// valueOf is valueOf with a memory of one, for routes that name an object.
func (r *reader) valueOf(e Entry) value {
	if e.Object == 0 {
		return valueOf(e)
	}
	c := &r.cached
	if c.Object != e.Object || c.Protocol != e.Protocol || c.Src != e.Src || c.Kind != e.Kind {
		r.cached, r.value = e, valueOf(e)
		r.cached.Hops = nil
	}
	return r.value
}

func (r *reader) ObserveLink(l Link, _ Presence)       { r.found.setLink(l) }
func (r *reader) ObserveAddress(a Address, _ Presence) { r.found.setAddress(a, true) }

func (r *reader) ObserveObject(o Object, _ Presence) {
	t := r.t
	if _, ours := t.sourceOf(o.Protocol); !ours {
		o.Group = slices.Clone(o.Group)
		r.found.objects[o.ID] = o
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.objects.delta.Seen(o.ID, objectValueOf(o))
}

func (r *reader) ObserveEntry(e Entry, _ Presence) {
	t := r.t
	source, ours := t.sourceOf(e.Protocol)
	if !ours {
		r.found.add(e, false)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		t.adopted[source][FamilyOf(e.Prefix.Addr())] = true
	}
	if e.Metric != t.opts.Metric || e.TOS != 0 || r.last == e.Prefix {
		// The kernel reads out what shares a slot one after the other, the
		// one in use first.
		if v, ok := t.routes.Observed(e.Prefix); r.last == e.Prefix && sameSlot(e, Entry{Metric: t.opts.Metric}) && (!ok || v == valueOf(e)) {
			return
		}
		e.Hops = slices.Clone(e.Hops)
		r.strays[strayKeyOf(e)] = e
		return
	}
	r.last = e.Prefix
	t.routes.Seen(e.Prefix, r.valueOf(e))
}
