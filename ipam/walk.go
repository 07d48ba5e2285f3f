package ipam

import (
	"hash/fnv"
	"net/netip"
	"slices"
)

// maxWalked bounds how many blocks of a part of a pool are claimed by
// themselves. No cluster has as many; IPv6 pools do.
const maxWalked = 1 << 32

// blockAt returns the n-th block of a prefix; n is below maxWalked.
func blockAt(cidr netip.Prefix, size int, n uint64) netip.Prefix {
	shift := cidr.Addr().BitLen() - size // MaxBlockBits at most
	return netip.PrefixFrom(offset(cidr.Addr(), n<<shift), size)
}

// blockCount returns how many blocks a prefix has, at most maxWalked.
func blockCount(cidr netip.Prefix, size int) uint64 {
	if more := size - cidr.Bits(); more < 0 {
		return 0
	} else if more < 32 {
		return 1 << more
	}
	return maxWalked
}

// walk is the order in which a host tries the blocks of a pool that are not
// reserved. Each host begins elsewhere and takes other steps, so that hosts that
// start together seldom meet.
type walk struct {
	node  string
	size  int // prefix length of a block
	parts []part
	count uint64 // of blocks
	tried uint64 // before this one nothing is to be claimed
}

// part is a prefix that a walk comes by. The number of its blocks is a power of
// two, so that any odd step comes by all of them.
type part struct {
	cidr  netip.Prefix
	count uint64
}

func newWalk(pool *Pool, reservations []netip.Prefix, node string) *walk {
	w := &walk{node: node, size: pool.BlockSize}
	for _, cidr := range unreserved(pool.CIDR, pool.BlockSize, reservations) {
		p := part{cidr, blockCount(cidr, pool.BlockSize)}
		w.parts = append(w.parts, p)
		w.count += p.count
	}
	if len(w.parts) > 1 { // begin with each as often as it is large
		first, at := 0, hashOf(node, pool.CIDR.String())%w.count
		for ; at >= w.parts[first].count; first++ {
			at -= w.parts[first].count
		}
		w.parts = append(w.parts[first:], w.parts[:first]...)
	}
	return w
}

// at returns the i-th block to try; i is below count.
func (w *walk) at(i uint64) netip.Prefix {
	n := 0
	for ; i >= w.parts[n].count; n++ {
		i -= w.parts[n].count
	}
	p := w.parts[n]
	h := hashOf(w.node, p.cidr.String())
	start, step := h>>32, h|1
	return blockAt(p.cidr, w.size, (start+i*step)%p.count)
}

// unreserved returns what reservations leave of a prefix, as prefixes that are
// no longer than a block. A block with any address left is left whole.
func unreserved(p netip.Prefix, size int, reservations []netip.Prefix) []netip.Prefix {
	return appendUnreserved(nil, p, reservedBlocks(p, max(size, p.Bits()), reservations))
}

// reservedBlocks returns the blocks of a prefix of which every address is
// reserved, neighbours as one where one reservation has them, in order.
func reservedBlocks(p netip.Prefix, size int, reservations []netip.Prefix) (blocks []netip.Prefix) {
	sorted := slices.DeleteFunc(slices.Clone(reservations), func(r netip.Prefix) bool { return !r.Overlaps(p) })
	slices.SortFunc(sorted, netip.Prefix.Compare) // a prefix comes before those in it
	var last, block netip.Prefix
	var left int // addresses of block that are not reserved
	for _, r := range sorted {
		switch {
		case last.Overlaps(r):
			continue
		case r.Bits() <= size:
			blocks = append(blocks, r)
		default:
			if !block.Overlaps(r) {
				block = netip.PrefixFrom(r.Addr(), size).Masked()
				left = 1 << (r.Addr().BitLen() - size)
			}
			if left -= 1 << (r.Addr().BitLen() - r.Bits()); left == 0 {
				blocks = append(blocks, block)
			}
		}
		last = r
	}
	return blocks
}

// appendUnreserved appends what is left of a prefix by others, which are in
// order, each in it or around it, and none in another.
func appendUnreserved(to []netip.Prefix, p netip.Prefix, others []netip.Prefix) []netip.Prefix {
	if len(others) == 0 {
		return append(to, p)
	}
	if others[0].Bits() <= p.Bits() {
		return to
	}
	h := halves(p)
	second, _ := slices.BinarySearchFunc(others, h[1].Addr(), func(o netip.Prefix, a netip.Addr) int { return o.Addr().Compare(a) })
	to = appendUnreserved(to, h[0], others[:second])
	return appendUnreserved(to, h[1], others[second:])
}

func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // a hash never fails
		_, _ = h.Write([]byte{0})
	}
	return mix(h.Sum64())
}

// mix spreads a hash over all of its bits (the finalizer of SplitMix64): FNV of
// names that differ in the last character differs in few.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
