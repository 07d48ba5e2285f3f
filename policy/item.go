package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// item is what selectors choose among: an endpoint or a set of networks.
type item struct {
	class *class // nil: of none
	place int32  // among the items of class

	prefixes []netip.Prefix
	ports    []resource.EndpointPort // with names, each once

	local *local // of an item that policies choose; nil in the index of rules
}

// holders tells which items have a prefix. Nearly always that is one.
type holders struct {
	first map[netip.Prefix]*item
	more  map[netip.Prefix][]*item
}

func newHolders() holders {
	return holders{first: make(map[netip.Prefix]*item), more: make(map[netip.Prefix][]*item)}
}

func (h *holders) add(it *item, prefixes []netip.Prefix) {
	for _, p := range prefixes {
		if _, ok := h.first[p]; ok {
			h.more[p] = append(h.more[p], it)
		} else {
			h.first[p] = it
		}
	}
}

func (h *holders) remove(it *item, prefixes []netip.Prefix) {
	for _, p := range prefixes {
		others := h.more[p]
		switch {
		case h.first[p] != it:
			others = without(others, it)
		case len(others) > 0:
			h.first[p] = others[len(others)-1]
			others = without(others, h.first[p])
		default:
			delete(h.first, p)
		}
		if len(others) > 0 {
			h.more[p] = others
		} else {
			delete(h.more, p)
		}
	}
}

// others tells whether ok says yes to another item with the prefix.
func (h *holders) others(p netip.Prefix, than *item, ok func(*item) bool) bool {
	first := h.first[p]
	if first != nil && first != than && ok(first) {
		return true
	}
	if first == than && len(h.more) == 0 {
		return false
	}
	return slices.ContainsFunc(h.more[p], func(it *item) bool { return it != than && ok(it) })
}

func singles(addrs []netip.Addr) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}

// named returns the ports that have names, each once, in an order of their own.
func named(ports []resource.EndpointPort) []resource.EndpointPort {
	hasNone := func(p resource.EndpointPort) bool { return p.Name == "" }
	if len(ports) < 2 && !slices.ContainsFunc(ports, hasNone) {
		return ports // as most are
	}
	list := slices.DeleteFunc(slices.Clone(ports), hasNone)
	slices.SortFunc(list, func(a, b resource.EndpointPort) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	return slices.Clip(slices.Compact(list))
}
