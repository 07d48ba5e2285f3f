package nftables

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/policy"
)

// widest sorts prefixes and leaves out those that others contain.
func widest(nets []netip.Prefix) []netip.Prefix {
	nets = slices.Clone(nets)
	slices.SortFunc(nets, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	out := nets[:0]
	for _, p := range nets {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// prefixElements are prefixes as the kernel has intervals: the first address,
// and the first beyond.
func prefixElements(nets []netip.Prefix) []element {
	var out []element
	for _, p := range nets {
		out = append(out, element{key: addrKey(p.Addr())})
		if next := after(p); next.IsValid() {
			out = append(out, element{key: addrKey(next), end: true})
		}
	}
	return out
}

// after is the first address beyond a prefix; invalid when there is none.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last.Next()
}

// joined sorts ranges and joins those that touch.
func joined(ranges []policy.PortRange) []policy.PortRange {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b policy.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	out := ranges[:0]
	for _, r := range ranges {
		if last := len(out) - 1; last >= 0 && int(r.First) <= int(out[last].Last)+1 {
			out[last].Last = max(out[last].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

func portElements(ranges []policy.PortRange) []element {
	var out []element
	for _, r := range ranges {
		out = append(out, element{key: string(bigEndian(r.First))})
		if r.Last < 65535 {
			out = append(out, element{key: string(bigEndian(r.Last + 1)), end: true})
		}
	}
	return out
}

func bigEndian(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// dashed is a range in the language of nft.
func dashed(r policy.PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

func braces(nets []netip.Prefix) string {
	texts := make([]string, len(nets))
	for i, p := range nets {
		texts[i] = p.String()
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}
