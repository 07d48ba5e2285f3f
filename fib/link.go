package fib

import (
	"net/netip"
	"slices"
)

// linkLocked takes news of a link. The kernel drops IPv4 routes with a link
// that goes down, and next-hop objects (and so routes) with one that loses its
// carrier, and says nothing; the same is concluded here.
func (t *Table) linkLocked(l Link, p Presence) {
	old, had := t.outside.links[l.Index]
	if p == Gone {
		if !had {
			return
		}
		l = Link{Index: l.Index, Name: old.Name}
		t.outside.dropLink(l.Index)
	} else {
		if had && old == l {
			return
		}
		t.outside.setLink(l)
	}
	t.log.Debug("link changed", "interface", l.Name, "up", l.Up, "carrier", l.Carrier, "gone", p == Gone)
	if had && old.Up && !l.Up {
		t.forgetVia(l.Index, old.Name)
	}
	if had && old.Carrier && !l.Carrier {
		t.objects.loseVia(l.Index)
	}
	if had && (old.Up && !l.Up || old.Carrier && !l.Carrier) && t.writesVia(l.Index) {
		t.doubtLocked() // it may have been made before, and have gone
	}
	if had && !old.Carrier && l.Carrier && t.objects.over(l.Name) {
		t.doubtLocked() // the kernel drops objects a moment later than the carrier, or not at all
	}
	for _, name := range []string{l.Name, old.Name} {
		if name == "" {
			continue
		}
		t.objects.staleVia(name)
		for prefix := range t.byInterface[name] {
			t.choose(prefix)
		}
	}
	if t.known && t.outside.uses(l.Index) {
		t.movedLocked()
	}
}

// forgetVia concludes what the kernel does to plain routes when a link goes
// down: those over this link alone are gone. Where others share the fate in a
// way that is not ours to know, the kernel is read back.
func (t *Table) forgetVia(index int32, name string) {
	forget := func(prefix netip.Prefix) {
		v, ok := t.routes.Observed(prefix)
		if !ok || v.Value().hops == "" {
			return
		}
		via := func(h Hop) bool { return h.Index == index }
		hops := unpackHops(v.Value().hops)
		if !slices.ContainsFunc(hops, via) {
			return
		}
		if len(hops) > 1 {
			t.doubtLocked()
			return
		}
		t.routes.Unobserve(prefix)
		t.markLocked(prefix)
	}
	for prefix := range t.byInterface[name] {
		forget(prefix)
	}
	if t.viaIndex[index] > 0 { // routes of a group in plain form, or found at start
		for prefix := range t.routes.All() {
			forget(prefix)
		}
	}
	if t.outside.forgetVia(index) {
		t.doubtLocked()
	}
}

// writesVia reports whether something is being written now that may lead over a
// link.
func (t *Table) writesVia(index int32) bool {
	for _, e := range t.writing {
		if slices.ContainsFunc(e.Hops, func(h Hop) bool { return h.Index == index }) {
			return true
		}
	}
	return t.making
}

// forgetVia drops IPv4 routes of others that the kernel has dropped with a
// link, and reports whether a read-back must tell what became of some.
func (o *outside) forgetVia(index int32) (doubt bool) {
	for prefix, entries := range o.routes {
		if FamilyOf(prefix.Addr()) == IPv6 {
			continue // removal is announced
		}
		for _, e := range entries {
			if !slices.ContainsFunc(o.hopsOf(e), func(h Hop) bool { return h.Index == index }) {
				continue
			}
			if len(e.Hops) == 1 && e.Object == 0 {
				o.remove(e)
			} else {
				doubt = true
			}
		}
	}
	return doubt
}

// uses reports whether a route of somebody else leads over a link.
func (o *outside) uses(index int32) bool {
	for _, entries := range o.routes {
		for _, e := range entries {
			if slices.ContainsFunc(o.hopsOf(e), func(h Hop) bool { return h.Index == index }) {
				return true
			}
		}
	}
	return false
}

// loseVia concludes that the objects over a link are gone.
func (o *objectTable) loseVia(index int32) {
	for id := range o.delta.All() {
		if v, ok := o.delta.Observed(id); ok && !v.isGroup && v.member.hop.Index == index {
			o.lose(id)
		}
	}
}

// lose concludes what goes with an object: its place in groups, groups left
// empty, and the routes that name those.
func (o *objectTable) lose(id uint32) {
	if v, ok := o.delta.Observed(id); !ok {
		return
	} else if v.isGroup {
		o.delta.Unobserve(id)
		o.lost[id] = struct{}{}
		return
	}
	o.delta.Unobserve(id)
	if o.refs[id] > 0 {
		o.lost[id] = struct{}{}
	}
	for gid := range o.delta.All() {
		v, ok := o.delta.Observed(gid)
		if !ok || !v.isGroup {
			continue
		}
		members := unpackMembers(v.members)
		rest := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.ID == id })
		switch {
		case len(rest) == len(members):
		case len(rest) == 0:
			o.lose(gid)
		default:
			v.members = packMembers(rest)
			o.delta.Observe(gid, v)
		}
	}
}
