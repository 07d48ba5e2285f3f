package fib

import (
	"net/netip"
)

// Resolution is how this host reaches an address by routes that are not ours.
type Resolution struct {
	Prefix netip.Prefix // of the route that matched
	Metric uint32
	// NextHops of that route whose links are ready. On a directly connected
	// prefix the gateway is the address itself.
	NextHops []NextHop
	// Connected: the address is on the link, with no gateway between.
	Connected bool
	// Local: the address is this host's own; nothing else is set.
	Local bool
}

// Resolve finds the longest match for addr among the routes of others. It
// reports false when there is none, when what matches drops the packets, and
// when no link that it uses has a carrier.
func (t *Table) Resolve(addr netip.Addr) (Resolution, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outside.resolve(addr.Unmap())
}

// ResolveChanged signals that answers of Resolve may have changed.
func (t *Table) ResolveChanged() <-chan struct{} { return t.moved }

func (t *Table) movedLocked() {
	select {
	case t.moved <- struct{}{}:
	default:
	}
}

func (o *outside) resolve(addr netip.Addr) (Resolution, bool) {
	if o.local[addr.WithZone("")] > 0 {
		return Resolution{Local: true}, true
	}
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return o.resolveLinkLocal(addr)
	}
	lengths := &o.lengths[FamilyOf(addr)]
	for bits := addr.BitLen(); bits >= 0; bits-- {
		if lengths[bits] == 0 {
			continue
		}
		prefix, _ := addr.Prefix(bits)
		best, found := Resolution{}, false
		for _, e := range o.routes[prefix] {
			if found && e.Metric >= best.Metric {
				continue
			}
			if r, ok := o.resolveBy(e, addr); ok {
				best, found = r, true
			}
		}
		if found {
			return best, len(best.NextHops) > 0
		}
	}
	return Resolution{}, false
}

// resolveBy answers with e, if e is in use: a route whose links are all down
// is passed over, as the kernel does where ignore_routes_with_linkdown is set;
// one that drops matches, and resolves to nothing.
func (o *outside) resolveBy(e Entry, addr netip.Addr) (Resolution, bool) {
	r := Resolution{Prefix: e.Prefix, Metric: e.Metric}
	if e.Kind != KindUnicast {
		return r, true
	}
	for _, hop := range o.hopsOf(e) {
		link, ok := o.links[hop.Index]
		if !ok || !link.Carrier {
			continue
		}
		next := NextHop{Gateway: hop.Gateway, Interface: link.Name, Onlink: hop.Onlink, Weight: hop.Weight}
		if !hop.Gateway.IsValid() {
			next.Gateway, next.Weight, r.Connected = addr, 0, true
		}
		r.NextHops = append(r.NextHops, next)
	}
	return r, len(r.NextHops) > 0
}

// resolveLinkLocal answers for a link-local address, which only its zone can
// place.
func (o *outside) resolveLinkLocal(addr netip.Addr) (Resolution, bool) {
	index, ok := o.byName[addr.Zone()]
	if !ok || !o.links[index].Carrier {
		return Resolution{}, false
	}
	prefix, _ := addr.WithZone("").Prefix(64)
	hop := NextHop{Gateway: addr.WithZone(""), Interface: addr.Zone()}
	return Resolution{Prefix: prefix, NextHops: []NextHop{hop}, Connected: true}, true
}

// hopsOf returns the next hops of e, through its object where the kernel does
// not say them with the route (nexthop_compat_mode 0).
func (o *outside) hopsOf(e Entry) []Hop {
	if e.Object == 0 || len(e.Hops) > 0 {
		return e.Hops
	}
	object, ok := o.objects[e.Object]
	if !ok || object.Other {
		return nil
	}
	if !object.IsGroup {
		return []Hop{object.Hop}
	}
	var hops []Hop
	for _, m := range object.Group {
		if member, ok := o.objects[m.ID]; ok && !member.Other && !member.IsGroup {
			hop := member.Hop
			hop.Weight = m.Weight
			hops = append(hops, hop)
		}
	}
	return hops
}
