package fibtest

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/fib"
)

func (k *Kernel) applyEntry(op fib.Op, e fib.Entry, foreign bool) error {
	if e.Prefix != e.Prefix.Masked() {
		return fmt.Errorf("prefix %s has host bits: %w", e.Prefix, ErrInvalid)
	}
	e.Hops = slices.Clone(e.Hops)
	entries := k.routes[e.Prefix]
	slot := slices.IndexFunc(entries, func(x fib.Entry) bool { return sameSlot(x, e) })
	if op == fib.Delete {
		return k.deleteEntry(e, foreign)
	}
	if err := k.checkEntry(e); err != nil {
		return err
	}
	presence := fib.Present
	switch {
	case slot < 0:
		entries = append(entries, e)
	case op == fib.Create:
		return fib.ErrExists
	case equalEntry(entries[slot], e):
		return nil // the kernel says nothing either
	case slices.ContainsFunc(entries, func(x fib.Entry) bool { return equalEntry(x, e) }):
		return fmt.Errorf("the same route stands behind the first of its slot: %w", ErrInvalid)
	default:
		entries = slices.Clone(entries)
		entries[slot] = e
		presence = fib.Replacing
	}
	k.routes[e.Prefix] = entries
	if foreign {
		k.tellEntry(e, presence)
	}
	return nil
}

// Append implements Host.
func (k *Kernel) Append(e fib.Entry, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entries := slices.Clone(k.routes[e.Prefix])
	at := len(entries)
	if first {
		at = max(slices.IndexFunc(entries, func(x fib.Entry) bool { return sameSlot(x, e) }), 0)
	}
	k.routes[e.Prefix] = slices.Insert(entries, at, e)
	k.tellEntry(e, fib.Present)
}

func (k *Kernel) deleteEntry(e fib.Entry, foreign bool) error {
	entries := slices.Clone(k.routes[e.Prefix])
	i := slices.IndexFunc(entries, func(x fib.Entry) bool {
		return sameSlot(x, e) && (e.Protocol == 0 || x.Protocol == e.Protocol) &&
			(len(e.Hops) == 0 || slices.Equal(sorted(x.Hops), sorted(e.Hops))) &&
			(e.Object == 0 || x.Object == e.Object)
	})
	if i < 0 {
		return nil
	}
	if foreign {
		k.tellEntry(entries[i], fib.Gone)
	}
	k.setEntries(e.Prefix, slices.Delete(entries, i, i+1))
	return nil
}

func (k *Kernel) setEntries(p netip.Prefix, entries []fib.Entry) {
	if len(entries) == 0 {
		delete(k.routes, p)
		return
	}
	k.routes[p] = entries
}

// checkEntry refuses what the kernel refuses.
func (k *Kernel) checkEntry(e fib.Entry) error {
	is4 := e.Prefix.Addr().Is4()
	if e.Src.IsValid() && !k.hasAddress(e.Src) {
		return fmt.Errorf("source %s is not an address of this host: %w", e.Src, ErrInvalid)
	}
	switch {
	case e.Kind == fib.KindBlackhole:
		if len(e.Hops) > 0 || e.Object != 0 {
			return fmt.Errorf("blackhole with next hops: %w", ErrInvalid)
		}
		return nil
	case e.Object != 0:
		o, ok := k.objects[e.Object]
		if !ok {
			return fmt.Errorf("next-hop object %d does not exist: %w", e.Object, ErrInvalid)
		}
		if !is4 && k.hasIPv4(o) {
			return fmt.Errorf("IPv6 route with an IPv4 next hop: %w", ErrInvalid)
		}
		return nil
	case len(e.Hops) == 0:
		return fmt.Errorf("route without next hops: %w", ErrInvalid)
	}
	for _, h := range e.Hops {
		if !is4 && h.Gateway.Is4() {
			return fmt.Errorf("IPv6 route with an IPv4 gateway: %w", ErrInvalid)
		}
		if err := k.checkHop(h); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kernel) hasAddress(a netip.Addr) bool {
	for _, prefixes := range k.addresses {
		if slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true
		}
	}
	return false
}

func (k *Kernel) checkHop(h fib.Hop) error {
	link, ok := k.links[h.Index]
	switch {
	case !ok:
		return fmt.Errorf("no interface %d: %w", h.Index, ErrInvalid)
	case !link.Up:
		return fmt.Errorf("interface %s: %w", link.Name, ErrDown)
	case !h.Gateway.IsValid() || h.Onlink || h.Gateway.IsLinkLocalUnicast():
		return nil
	}
	for _, p := range k.addresses[h.Index] {
		if p.Masked().Contains(h.Gateway) {
			return nil
		}
	}
	return fmt.Errorf("gateway %s is not on the link: %w", h.Gateway, ErrInvalid)
}

func sameSlot(a, b fib.Entry) bool {
	return a.Table == b.Table && a.Metric == b.Metric && a.TOS == b.TOS
}

func equalEntry(a, b fib.Entry) bool {
	return sameSlot(a, b) && a.Protocol == b.Protocol && a.Kind == b.Kind && a.Object == b.Object &&
		a.Src == b.Src && slices.Equal(sorted(a.Hops), sorted(b.Hops))
}

func sorted(hops []fib.Hop) []fib.Hop {
	return slices.SortedFunc(slices.Values(hops), func(a, b fib.Hop) int {
		if c := a.Gateway.Compare(b.Gateway); c != 0 {
			return c
		}
		return int(a.Index - b.Index)
	})
}
