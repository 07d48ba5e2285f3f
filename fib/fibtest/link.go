package fibtest

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/fib"
)

const mainTable = 254

// AddLink implements Host.
func (k *Kernel) AddLink(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nextIndex++
	k.lower[k.nextIndex] = true
	k.setLink(fib.Link{Index: k.nextIndex, Name: name, Up: true, Carrier: true})
}

// DeleteLink implements Host.
func (k *Kernel) DeleteLink(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	index := k.index(name)
	link := k.links[index]
	k.flush(index, false)
	for _, p := range k.addresses[index] {
		k.tellAddress(p, index, fib.Gone)
	}
	delete(k.addresses, index)
	delete(k.links, index)
	delete(k.lower, index)
	k.tell(func(o fib.Observer) { o.ObserveLink(link, fib.Gone) })
}

// SetUp implements Host.
func (k *Kernel) SetUp(name string, up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	link := k.links[k.index(name)]
	if link.Up == up {
		return
	}
	link.Up, link.Carrier = up, up && k.lower[link.Index]
	if !up {
		k.flush(link.Index, false)
	}
	k.setLink(link)
	if up {
		for _, p := range k.addresses[link.Index] {
			k.connect(p, link.Index)
		}
	}
}

// SetCarrier implements Host.
func (k *Kernel) SetCarrier(name string, carrier bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	link := k.links[k.index(name)]
	k.lower[link.Index] = carrier
	if !link.Up || link.Carrier == carrier {
		return
	}
	link.Carrier = carrier
	if !carrier {
		k.flush(link.Index, true)
	}
	k.setLink(link)
}

// AddAddress implements Host.
func (k *Kernel) AddAddress(name string, prefix netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	index := k.index(name)
	k.addresses[index] = append(k.addresses[index], prefix)
	k.tellAddress(prefix, index, fib.Present)
	if k.links[index].Up {
		k.connect(prefix, index)
	}
}

// DeleteAddress implements Host.
func (k *Kernel) DeleteAddress(name string, prefix netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	index := k.index(name)
	k.addresses[index] = slices.DeleteFunc(k.addresses[index], func(p netip.Prefix) bool { return p == prefix })
	k.tellAddress(prefix, index, fib.Gone)
	for p, entries := range k.routes {
		k.setEntries(p, slices.DeleteFunc(slices.Clone(entries), func(e fib.Entry) bool {
			connected := e.Protocol == protocolKernel && p == prefix.Masked()
			if connected {
				k.tellEntry(e, fib.Gone)
			}
			return connected || e.Src == prefix.Addr() // those silently
		}))
	}
}

// Index implements Host.
func (k *Kernel) Index(name string) int32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.index(name)
}

func (k *Kernel) index(name string) int32 {
	for index, l := range k.links {
		if l.Name == name {
			return index
		}
	}
	return 0
}

func (k *Kernel) setLink(l fib.Link) {
	k.links[l.Index] = l
	k.tell(func(o fib.Observer) { o.ObserveLink(l, fib.Present) })
}

func (k *Kernel) tellAddress(p netip.Prefix, index int32, presence fib.Presence) {
	k.tell(func(o fib.Observer) {
		o.ObserveAddress(fib.Address{Addr: p.Addr(), Index: index}, presence)
	})
}

// connect makes the route of an address.
func (k *Kernel) connect(p netip.Prefix, index int32) {
	e := fib.Entry{
		Prefix: p.Masked(), Table: mainTable, Protocol: protocolKernel, Hops: []fib.Hop{{Index: index}},
	}
	k.routes[e.Prefix] = append(slices.Clone(k.routes[e.Prefix]), e)
	k.tellEntry(e, fib.Present)
}

// flush removes what leads over a link that goes: next-hop objects, and unless
// the carrier alone is lost plain routes; those of IPv4 silently.
func (k *Kernel) flush(index int32, carrierOnly bool) {
	for id, o := range k.objects {
		if !o.IsGroup && o.Hop.Index == index {
			k.removeObject(id, false)
		}
	}
	if carrierOnly {
		return
	}
	via := func(h fib.Hop) bool { return h.Index == index }
	for p, entries := range k.routes {
		var rest []fib.Entry
		for _, e := range entries {
			hops := slices.DeleteFunc(slices.Clone(e.Hops), via)
			if len(hops) == len(e.Hops) {
				rest = append(rest, e)
				continue
			}
			if p.Addr().Is6() {
				k.tellEntry(e, fib.Gone)
			}
			if e.Hops = hops; len(hops) > 0 {
				rest = append(rest, e)
			}
		}
		k.setEntries(p, rest)
	}
}
