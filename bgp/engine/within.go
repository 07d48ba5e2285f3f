package engine

import (
	"iter"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// fewWithin bounds the prefixes that are looked up one by one rather than by a
// passage through the table.
const fewWithin = 1024

// within yields the routes to p and to what it holds, in no order.
func (r *rib) within(p netip.Prefix) iter.Seq[routeID] {
	return func(yield func(routeID) bool) {
		// A prefix of n free bits holds 2^(n+1)-1 prefixes.
		if free := p.Addr().BitLen() - p.Bits(); free < 63 && 2<<free <= fewWithin {
			r.lookUp(p.Masked(), yield)
			return
		}
		family := bgp.FamilyOf(p.Addr())
		for i := range routeID(r.routes.records.len()) {
			k := r.routes.records.at(i).key
			if k.family != family || int(k.bits) < p.Bits() || !p.Contains(k.prefix().Addr()) {
				continue
			}
			if !yield(i) {
				return
			}
		}
	}
}

// lookUp looks for p and then for its halves; false: yield wants no more.
func (r *rib) lookUp(p netip.Prefix, yield func(routeID) bool) bool {
	if i := r.routes.find(keyOf(p)); i != 0 && !yield(i) {
		return false
	}
	if p.Bits() == p.Addr().BitLen() {
		return true
	}
	low, high := halves(p)
	return r.lookUp(low, yield) && r.lookUp(high, yield)
}

// halves are the two prefixes of one more bit that p holds.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b) // of the length that it had
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(a, p.Bits()+1)
}
