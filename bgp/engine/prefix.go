package engine

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// prefixKey is a prefix without pointers.
type prefixKey struct {
	hi, lo uint64
	bits   uint8
	family bgp.Family
}

// keyOf is p, which is masked, as a key.
func keyOf(p netip.Prefix) prefixKey {
	a := p.Addr()
	if a.Is4() {
		four := a.As4()
		return prefixKey{lo: uint64(binary.BigEndian.Uint32(four[:])), bits: uint8(p.Bits()), family: bgp.IPv4Unicast}
	}
	b := a.As16()
	return prefixKey{
		hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:]),
		bits: uint8(p.Bits()), family: bgp.IPv6Unicast,
	}
}

// prefix is what keyOf was given.
func (k prefixKey) prefix() netip.Prefix {
	if k.family == bgp.IPv4Unicast {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], uint32(k.lo))
		return netip.PrefixFrom(netip.AddrFrom4(four), int(k.bits))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(k.bits))
}

// hash mixes k with a seed that no peer knows, so that none can choose prefixes
// that collide.
func (k prefixKey) hash(seed [2]uint64) uint64 {
	h, l := bits.Mul64(k.hi^seed[0], uint64(k.bits)<<8^uint64(k.family)^seed[1])
	h, l = bits.Mul64(h^l^k.lo^seed[1], seed[0]|1)
	return h ^ l
}
