package reflectorbench

import "encoding/binary"

// Message types (RFC 4271 §4.1).
const (
	msgOpen         = 1
	msgUpdate       = 2
	msgNotification = 3
	msgKeepalive    = 4
)

// Sizes of a message (RFC 4271 §4.1).
const (
	headerLen  = 19
	maxMessage = 4096
)

// Path attribute types (RFC 4271 §4.3, RFC 4456 §8, RFC 4760 §3).
const (
	attrOrigin       = 1
	attrASPath       = 2
	attrNextHop      = 3
	attrMED          = 4
	attrLocalPref    = 5
	attrOriginatorID = 9
	attrClusterList  = 10
	attrMPReach      = 14
	attrMPUnreach    = 15
)

// Flags of a path attribute (RFC 4271 §4.3).
const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagExtended   = 0x10
)

const (
	afiIPv4     = 1
	afiIPv6     = 2
	safiUnicast = 1

	localPref = 100 // of every route
)

// appendHeader begins a message; endMessage fills in its length.
func appendHeader(dst []byte, kind byte) []byte {
	for range 16 {
		dst = append(dst, 0xff)
	}
	return append(dst, 0, 0, kind)
}

// endMessage ends the message that began at start.
func endMessage(dst []byte, start int) []byte {
	binary.BigEndian.PutUint16(dst[start+16:], uint16(len(dst)-start))
	return dst
}

func appendKeepalive(dst []byte) []byte {
	return endMessage(appendHeader(dst, msgKeepalive), len(dst))
}

// openMessage is an OPEN for one unicast family with route refresh (RFC
// 2918) and four-octet AS numbers (RFC 6793). Hold is in seconds. There is no
// graceful restart: a client that dies is withdrawn at once.
func openMessage(id uint32, hold uint16, ipv6 bool) []byte {
	afi := byte(afiIPv4)
	if ipv6 {
		afi = afiIPv6
	}
	dst := append(appendHeader(nil, msgOpen), 4)
	dst = binary.BigEndian.AppendUint16(dst, asNumber)
	dst = binary.BigEndian.AppendUint16(dst, hold)
	dst = binary.BigEndian.AppendUint32(dst, id)
	capabilities := []byte{
		1, 4, 0, afi, 0, safiUnicast, // multiprotocol (RFC 4760)
		2, 0,
		65, 4, 0, 0, asNumber >> 8, asNumber & 0xff,
	}
	dst = append(dst, byte(2+len(capabilities)), 2, byte(len(capabilities)))
	return endMessage(append(dst, capabilities...), 0)
}

// noMED leaves the attribute out.
const noMED = 0

// announcement is all routes of client c in as few UPDATEs as they fit.
func (p Plan) announcement(c int, med uint32) (dst []byte) {
	for from := 0; from < p.Routes; {
		n := min(p.Routes-from, p.perMessage())
		dst = p.appendUpdate(dst, c, from, n, med)
		from += n
	}
	return dst
}

// perMessage is how many routes of one attribute set fit into an UPDATE.
func (p Plan) perMessage() int {
	const fixed = headerLen + 64 // lengths and attributes, with room to spare
	if p.IPv6 {
		return (maxMessage - fixed - 32) / 17
	}
	return (maxMessage - fixed) / 5
}

// appendUpdate announces n routes of client c, beginning with its number from,
// in one UPDATE: next hop itself, one attribute set.
func (p Plan) appendUpdate(dst []byte, c, from, n int, med uint32) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, msgUpdate), 0, 0, 0, 0) // no withdrawn routes; length of the attributes
	attrs := len(dst)
	dst = append(dst, flagTransitive, attrOrigin, 1, 0, flagTransitive, attrASPath, 0)
	if !p.IPv6 {
		dst = append(dst, flagTransitive, attrNextHop, 4)
		dst = append(dst, p.clientAddr(c).AsSlice()...)
	}
	if med != noMED {
		dst = binary.BigEndian.AppendUint32(append(dst, flagOptional, attrMED, 4), med)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, flagTransitive, attrLocalPref, 4), localPref)
	if p.IPv6 {
		dst = append(dst, flagOptional|flagExtended, attrMPReach)
		dst = binary.BigEndian.AppendUint16(dst, uint16(5+16+17*n))
		dst = append(dst, 0, afiIPv6, safiUnicast, 16)
		dst = append(append(dst, p.clientAddr(c).AsSlice()...), 0)
		dst = p.appendNLRI(dst, c, from, n)
	}
	binary.BigEndian.PutUint16(dst[attrs-2:], uint16(len(dst)-attrs))
	if !p.IPv6 {
		dst = p.appendNLRI(dst, c, from, n)
	}
	return endMessage(dst, start)
}

func (p Plan) appendNLRI(dst []byte, c, from, n int) []byte {
	first := c*p.Routes + from
	base := offset(p.pool(), first).AsSlice()
	low := base[len(base)-4:]
	address := binary.BigEndian.Uint32(low)
	for i := range uint32(n) {
		binary.BigEndian.PutUint32(low, address+i)
		dst = append(append(dst, byte(8*len(base))), base...)
	}
	return dst
}

// appendEndOfRIB writes the marker of the family (RFC 4724 §2).
func (p Plan) appendEndOfRIB(dst []byte) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, msgUpdate), 0, 0)
	if p.IPv6 {
		dst = append(dst, 0, 6, flagOptional, attrMPUnreach, 3, 0, afiIPv6, safiUnicast)
	} else {
		dst = append(dst, 0, 0)
	}
	return endMessage(dst, start)
}
