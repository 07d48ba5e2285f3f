package wire

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// NLRI is a run of prefixes of one family as they stand in a message. It is
// checked: All yields each. It lies in the buffer of the message and is valid
// as long as that. The zero value is empty.
type NLRI struct {
	family bgp.Family
	ids    bool // path identifiers before the prefixes (RFC 7911 §3)
	data   []byte
}

// ParseNLRI checks data (RFC 7606 §5.3). False: a length beyond the family's,
// or a prefix that is cut off.
func ParseNLRI(f bgp.Family, ids bool, data []byte) (NLRI, bool) {
	longest, head := maxBits(f), 1
	if ids {
		head = 5
	}
	for i := 0; i < len(data); {
		if len(data)-i < head {
			return NLRI{}, false
		}
		bits := int(data[i+head-1])
		i += head + (bits+7)/8
		if bits > longest || i > len(data) {
			return NLRI{}, false
		}
	}
	return NLRI{family: f, ids: ids, data: data}, true
}

// Family is the family of the prefixes.
func (n NLRI) Family() bgp.Family { return n.family }

// Empty reports whether there is no prefix.
func (n NLRI) Empty() bool { return len(n.data) == 0 }

// Count is how many prefixes there are.
func (n NLRI) Count() int {
	count, head := 0, n.head()
	for i := 0; i < len(n.data); count++ {
		i += head + (int(n.data[i+head-1])+7)/8
	}
	return count
}

// All yields each prefix, masked, with its path identifier; zero without
// add-path. A prefix may come twice. It does not allocate.
func (n NLRI) All() iter.Seq2[netip.Prefix, uint32] {
	return func(yield func(netip.Prefix, uint32) bool) {
		for b := n.data; len(b) > 0; {
			var id uint32
			if n.ids {
				id, b = binary.BigEndian.Uint32(b), b[4:]
			}
			bits := int(b[0])
			size := (bits + 7) / 8
			if !yield(makePrefix(n.family, b[1:1+size], bits), id) {
				return
			}
			b = b[1+size:]
		}
	}
}

func (n NLRI) head() int {
	if n.ids {
		return 5
	}
	return 1
}

// makePrefix is the prefix of the given octets. The bits beyond its length
// mean nothing (RFC 4271 §4.3) and are cleared.
func makePrefix(f bgp.Family, b []byte, bits int) netip.Prefix {
	if f == bgp.IPv4Unicast {
		var v uint32
		if len(b) == 4 {
			v = binary.BigEndian.Uint32(b)
		} else {
			for i, octet := range b {
				v |= uint32(octet) << (24 - 8*i)
			}
		}
		v &= ^uint32(0) << (32 - bits)
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), bits)
	}
	if len(b) == 16 && bits == 128 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), bits)
	}
	var a [16]byte
	copy(a[:], b)
	if bits%8 != 0 {
		a[bits/8] &= 0xff << (8 - bits%8)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

// appendPrefix appends p as NLRI.
func appendPrefix(b []byte, p netip.Prefix, id uint32, ids bool) []byte {
	if ids {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	bits := p.Bits()
	b = append(b, byte(bits))
	start := len(b)
	if p.Addr().Is4() {
		a := p.Addr().As4()
		b = append(b, a[:(bits+7)/8]...)
	} else {
		a := p.Addr().As16()
		b = append(b, a[:(bits+7)/8]...)
	}
	if bits%8 != 0 {
		b[start+bits/8] &= 0xff << (8 - bits%8)
	}
	return b
}

func maxBits(f bgp.Family) int {
	if f == bgp.IPv4Unicast {
		return 32
	}
	return 128
}
