package fib

import (
	"net/netip"
	"slices"
)

// outside is what the kernel holds that is not ours: links, addresses, routes
// and next-hop objects of others. Its fields are guarded by Table.mu.
type outside struct {
	links     map[int32]Link
	byName    map[string]int32
	addresses map[Address]struct{}
	local     map[netip.Addr]int // how many interfaces have it
	routes    map[netip.Prefix][]Entry
	lengths   [numFamilies][129]int // how many prefixes of each length are in routes
	objects   map[uint32]Object
}

func newOutside() outside {
	return outside{
		links: make(map[int32]Link), byName: make(map[string]int32),
		addresses: make(map[Address]struct{}), local: make(map[netip.Addr]int),
		routes:  make(map[netip.Prefix][]Entry),
		objects: make(map[uint32]Object),
	}
}

// setLink takes what is known of a link.
func (o *outside) setLink(l Link) {
	old := o.links[l.Index]
	if old.Name != "" && old.Name != l.Name && o.byName[old.Name] == l.Index {
		delete(o.byName, old.Name)
	}
	o.links[l.Index] = l
	o.byName[l.Name] = l.Index
}

func (o *outside) dropLink(index int32) (old Link) {
	old = o.links[index]
	delete(o.links, index)
	if o.byName[old.Name] == index {
		delete(o.byName, old.Name)
	}
	return old
}

func (o *outside) setAddress(a Address, present bool) (changed bool) {
	_, had := o.addresses[a]
	switch {
	case had == present:
		return false
	case present:
		o.addresses[a] = struct{}{}
		o.local[a.Addr]++
	default:
		delete(o.addresses, a)
		if o.local[a.Addr]--; o.local[a.Addr] == 0 {
			delete(o.local, a.Addr)
		}
	}
	return true
}

// setRoutes replaces all that is known of prefix.
func (o *outside) setRoutes(prefix netip.Prefix, entries []Entry) {
	length := &o.lengths[FamilyOf(prefix.Addr())][prefix.Bits()]
	if _, had := o.routes[prefix]; had {
		*length--
	}
	if len(entries) == 0 {
		delete(o.routes, prefix)
		return
	}
	*length++
	o.routes[prefix] = entries
}

// add takes a route of somebody else.
func (o *outside) add(e Entry, replacing bool) {
	e.Hops = slices.Clone(e.Hops)
	sortHops(e.Hops)
	// The slices in routes are not changed in place: a reader may hold one.
	entries := slices.Clone(o.routes[e.Prefix])
	entries = slices.DeleteFunc(entries, func(x Entry) bool {
		return sameSlot(x, e) && replacing || sameEntry(x, e)
	})
	o.setRoutes(e.Prefix, append(entries, e))
}

// remove drops a route of somebody else.
func (o *outside) remove(e Entry) {
	sortHops(e.Hops)
	entries := slices.Clone(o.routes[e.Prefix])
	n := len(entries)
	entries = slices.DeleteFunc(entries, func(x Entry) bool { return sameEntry(x, e) })
	if len(entries) == n { // told otherwise than before: the slot and the mark must do
		entries = slices.DeleteFunc(entries, func(x Entry) bool { return sameSlot(x, e) && x.Protocol == e.Protocol })
	}
	o.setRoutes(e.Prefix, entries)
}

// vacate forgets what was in a slot that somebody has replaced.
func (o *outside) vacate(e Entry) {
	entries := slices.Clone(o.routes[e.Prefix])
	o.setRoutes(e.Prefix, slices.DeleteFunc(entries, func(x Entry) bool { return sameSlot(x, e) }))
}

// holder returns the stranger's route in our slot of prefix.
func (o *outside) holder(prefix netip.Prefix, metric uint32) (Entry, bool) {
	for _, e := range o.routes[prefix] {
		if e.Metric == metric && e.TOS == 0 {
			return e, true
		}
	}
	return Entry{}, false
}

// network returns somebody else's route to a network, of whatever metric: what
// is learned takes no network from the host, neither its default route, which
// DHCP and router advertisements give a worse metric than ours, nor one that it
// is connected to. Of single hosts both routes stand, and the metric decides.
func (o *outside) network(prefix netip.Prefix) (Entry, bool) {
	if prefix.IsSingleIP() {
		return Entry{}, false
	}
	for _, e := range o.routes[prefix] {
		if e.TOS == 0 {
			return e, true
		}
	}
	return Entry{}, false
}

// names reports whether a route of somebody else names a next-hop object.
func (o *outside) names(id uint32) bool {
	for _, entries := range o.routes {
		for _, e := range entries {
			if e.Object == id {
				return true
			}
		}
	}
	return false
}

func sameSlot(a, b Entry) bool { return a.Metric == b.Metric && a.TOS == b.TOS }

func sameEntry(a, b Entry) bool {
	return sameSlot(a, b) && a.Protocol == b.Protocol && a.Kind == b.Kind && a.Object == b.Object &&
		a.Src == b.Src && slices.Equal(a.Hops, b.Hops)
}
