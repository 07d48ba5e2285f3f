package ipam

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"net/netip"
)

// offset returns the address n after a. It must not leave a's family.
func offset(a netip.Addr, n uint64) netip.Addr {
	if a.Is4() {
		raw := a.As4()
		binary.BigEndian.PutUint32(raw[:], binary.BigEndian.Uint32(raw[:])+uint32(n))
		return netip.AddrFrom4(raw)
	}
	raw := a.As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(raw[8:]), n, 0)
	binary.BigEndian.PutUint64(raw[8:], low)
	binary.BigEndian.PutUint64(raw[:8], binary.BigEndian.Uint64(raw[:8])+carry)
	return netip.AddrFrom16(raw)
}

// distance returns how far b lies after a, of the same family; what exceeds 64
// bits is cut off.
func distance(a, b netip.Addr) uint64 {
	if a.Is4() {
		x, y := a.As4(), b.As4()
		return uint64(binary.BigEndian.Uint32(y[:]) - binary.BigEndian.Uint32(x[:]))
	}
	x, y := a.As16(), b.As16()
	return binary.BigEndian.Uint64(y[8:]) - binary.BigEndian.Uint64(x[8:])
}

// maxWalked bounds how many blocks of a pool are claimed by themselves. No
// cluster has as many; IPv6 pools do.
const maxWalked = 1 << 32

// blockAt returns the n-th block of a pool; n is below maxWalked.
func blockAt(pool *Pool, n uint64) netip.Prefix {
	shift := pool.CIDR.Addr().BitLen() - pool.BlockSize // 12 at most
	return netip.PrefixFrom(offset(pool.CIDR.Addr(), n<<shift), pool.BlockSize)
}

// blockCount returns how many blocks a pool has, at most maxWalked.
func blockCount(pool *Pool) uint64 {
	if more := pool.BlockSize - pool.CIDR.Bits(); more < 0 {
		return 0
	} else if more < 32 {
		return 1 << more
	}
	return maxWalked
}

// walk is the order in which a host tries the blocks of a pool. Each host
// begins elsewhere and takes other steps, so that hosts that start together
// seldom meet. The number of blocks is a power of two, so that any odd step
// comes by all of them.
type walk struct{ start, step, count uint64 }

func newWalk(pool *Pool, node string) walk {
	h := hashOf(node, pool.CIDR.String())
	return walk{start: h >> 32, step: h | 1, count: blockCount(pool)}
}

// at returns the i-th block to try; i is below count.
func (w walk) at(pool *Pool, i uint64) netip.Prefix {
	return blockAt(pool, (w.start+i*w.step)%w.count)
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
