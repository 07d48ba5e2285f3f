package ipam

import (
	"encoding/binary"
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

// halves returns the two halves of a prefix that is not a single address.
func halves(p netip.Prefix) [2]netip.Prefix {
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	raw := p.Addr().AsSlice()
	raw[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	high, _ := netip.AddrFromSlice(raw) // of the length of an address
	return [2]netip.Prefix{low, netip.PrefixFrom(high, p.Bits()+1)}
}
