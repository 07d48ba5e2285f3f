package wire

import (
	"encoding/binary"
	"fmt"
)

// AttributeType is the type code of a path attribute.
type AttributeType uint8

// The path attributes known here.
const (
	AttrOrigin           AttributeType = 1
	AttrASPath           AttributeType = 2
	AttrNextHop          AttributeType = 3
	AttrMED              AttributeType = 4
	AttrLocalPref        AttributeType = 5
	AttrAtomicAggregate  AttributeType = 6
	AttrAggregator       AttributeType = 7
	AttrCommunities      AttributeType = 8  // RFC 1997
	AttrOriginatorID     AttributeType = 9  // RFC 4456
	AttrClusterList      AttributeType = 10 // RFC 4456
	AttrMPReach          AttributeType = 14 // RFC 4760
	AttrMPUnreach        AttributeType = 15 // RFC 4760
	AttrExtended         AttributeType = 16 // RFC 4360
	AttrAS4Path          AttributeType = 17 // RFC 6793
	AttrAS4Aggregator    AttributeType = 18 // RFC 6793
	AttrExtendedIPv6     AttributeType = 25 // RFC 5701; checked and passed on
	AttrLargeCommunities AttributeType = 32 // RFC 8092
	AttrOnlyToCustomer   AttributeType = 35 // RFC 9234
)

// String is the name of t in its RFC.
func (t AttributeType) String() string {
	switch t {
	case AttrOrigin:
		return "ORIGIN"
	case AttrASPath:
		return "AS_PATH"
	case AttrNextHop:
		return "NEXT_HOP"
	case AttrMED:
		return "MULTI_EXIT_DISC"
	case AttrLocalPref:
		return "LOCAL_PREF"
	case AttrAtomicAggregate:
		return "ATOMIC_AGGREGATE"
	case AttrAggregator:
		return "AGGREGATOR"
	case AttrCommunities:
		return "COMMUNITIES"
	case AttrOriginatorID:
		return "ORIGINATOR_ID"
	case AttrClusterList:
		return "CLUSTER_LIST"
	case AttrMPReach:
		return "MP_REACH_NLRI"
	case AttrMPUnreach:
		return "MP_UNREACH_NLRI"
	case AttrExtended:
		return "EXTENDED_COMMUNITIES"
	case AttrAS4Path:
		return "AS4_PATH"
	case AttrAS4Aggregator:
		return "AS4_AGGREGATOR"
	case AttrExtendedIPv6:
		return "IPV6_EXTENDED_COMMUNITIES"
	case AttrLargeCommunities:
		return "LARGE_COMMUNITY"
	case AttrOnlyToCustomer:
		return "ONLY_TO_CUSTOMER"
	}
	return fmt.Sprintf("attribute %d", uint8(t))
}

// Flags of an attribute (RFC 4271 §4.3).
const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagPartial    = 0x20
	flagExtended   = 0x10

	wellKnown             = flagTransitive
	optionalTransitive    = flagOptional | flagTransitive
	optionalNonTransitive = flagOptional
)

// flagsOf is the optional and transitive bits that t must have. False: not
// known here.
func flagsOf(t AttributeType) (uint8, bool) {
	switch t {
	case AttrOrigin, AttrASPath, AttrNextHop, AttrLocalPref, AttrAtomicAggregate:
		return wellKnown, true
	case AttrMED, AttrOriginatorID, AttrClusterList, AttrMPReach, AttrMPUnreach:
		return optionalNonTransitive, true
	case AttrAggregator, AttrCommunities, AttrExtended, AttrAS4Path, AttrAS4Aggregator,
		AttrExtendedIPv6, AttrLargeCommunities, AttrOnlyToCustomer:
		return optionalTransitive, true
	}
	return 0, false
}

// attribute is one path attribute where it stands.
type attribute struct {
	flags uint8
	code  AttributeType
	value []byte
	raw   []byte // flags, type, length and value
}

// nextAttribute splits the first attribute off b. False: b underruns or the
// attribute overruns it (RFC 7606 §4).
func nextAttribute(b []byte) (a attribute, rest []byte, ok bool) {
	if len(b) < 3 {
		return a, nil, false
	}
	head, length := 3, int(b[2])
	if b[0]&flagExtended != 0 {
		if len(b) < 4 {
			return a, nil, false
		}
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	if length > len(b)-head {
		return a, nil, false
	}
	end := head + length
	return attribute{flags: b[0], code: AttributeType(b[1]), value: b[head:end], raw: b[:end]}, b[end:], true
}

// canonical reports whether the header of a is as appendHeader writes it.
func (a attribute) canonical() bool {
	return a.flags&^flagExtended == cleanFlags(a.flags) && (a.flags&flagExtended != 0) == (len(a.value) > 255)
}

// cleanFlags is flags as they are to be sent: the unused ones zero, and the
// partial bit only where it means something (RFC 4271 §4.3).
func cleanFlags(flags uint8) uint8 {
	if flags&optionalTransitive == optionalTransitive {
		return flags & (optionalTransitive | flagPartial)
	}
	return flags & optionalTransitive
}

// appendHeader appends the header of an attribute of n octets, with the
// extended length only where it is needed.
func appendHeader(b []byte, flags uint8, t AttributeType, n int) []byte {
	flags = cleanFlags(flags)
	if n > 255 {
		return append(b, flags|flagExtended, byte(t), byte(n>>8), byte(n))
	}
	return append(b, flags, byte(t), byte(n))
}

func appendAttribute(b []byte, flags uint8, t AttributeType, value []byte) []byte {
	return append(appendHeader(b, flags, t, len(value)), value...)
}
