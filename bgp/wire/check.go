package wire

import (
	"encoding/binary"
	"net/netip"
)

// checkFlags says what is wrong with the flags of a (RFC 7606 §3 c). The
// partial bit is not looked at.
func checkFlags(a attribute) fault {
	want, known := flagsOf(a.code)
	switch {
	case !known && a.flags&flagOptional == 0:
		return fault{SessionReset, UnrecognizedWellKnown, "unrecognized well-known attribute"}
	case !known || a.flags&optionalTransitive == want:
		return fault{}
	case a.code == AttrMPReach || a.code == AttrMPUnreach:
		return fault{SessionReset, OptionalAttributeError, "wrong flags"} // RFC 7606 §5.3
	}
	return fault{TreatAsWithdraw, AttributeFlagsError, "wrong flags"}
}

// checkValue says what is wrong with the value of a (RFC 7606 §7). AS numbers
// have four octets, or two with short. MP_REACH_NLRI and MP_UNREACH_NLRI are
// checked where they are read.
func checkValue(a attribute, external, short bool) fault {
	v, n := a.value, len(a.value)
	switch a.code {
	case AttrOrigin:
		switch {
		case n != 1:
			return badLength
		case v[0] > 2:
			return fault{TreatAsWithdraw, InvalidOrigin, "undefined value"}
		}
	case AttrASPath:
		return checkASPath(v, short)
	case AttrNextHop:
		switch {
		case n != 4:
			return badLength
		case !validNextHop(netip.AddrFrom4([4]byte(v))):
			return fault{TreatAsWithdraw, InvalidNextHop, "not a host address"}
		}
	case AttrMED:
		if n != 4 {
			return badLength
		}
	case AttrLocalPref, AttrOriginatorID, AttrClusterList:
		return checkInternal(a, external)
	case AttrAtomicAggregate:
		if n != 0 {
			return fault{AttributeDiscard, AttributeLengthError, "wrong length"}
		}
	case AttrAggregator:
		return checkAggregator(v, short)
	case AttrAS4Path, AttrAS4Aggregator:
		return checkAS4(a, short)
	case AttrCommunities:
		return checkMultiple(n, 4)
	case AttrExtended:
		return checkMultiple(n, 8)
	case AttrExtendedIPv6:
		return checkMultiple(n, 20)
	case AttrLargeCommunities:
		return checkMultiple(n, 12)
	case AttrOnlyToCustomer:
		if n != 4 {
			return badLength // RFC 9234 §5
		}
	}
	return fault{}
}

var badLength = fault{TreatAsWithdraw, AttributeLengthError, "wrong length"}

// checkInternal checks what external peers have no say in (RFC 7606 §7.5,
// §7.9, §7.10).
func checkInternal(a attribute, external bool) fault {
	switch {
	case external:
		return fault{AttributeDiscard, OptionalAttributeError, "from an external peer"}
	case a.code == AttrClusterList:
		return checkMultiple(len(a.value), 4)
	case len(a.value) != 4:
		return badLength
	}
	return fault{}
}

// checkMultiple checks that n is a multiple of unit, and not zero.
func checkMultiple(n, unit int) fault {
	if n == 0 || n%unit != 0 {
		return fault{TreatAsWithdraw, OptionalAttributeError, "length is no non-zero multiple of the unit"}
	}
	return fault{}
}

func checkAggregator(v []byte, short bool) fault {
	switch n := len(v); {
	case short && n != 6, !short && n != 8:
		return fault{AttributeDiscard, AttributeLengthError, "wrong length"}
	case short && binary.BigEndian.Uint16(v) == 0, !short && binary.BigEndian.Uint32(v) == 0:
		return fault{AttributeDiscard, OptionalAttributeError, "AS 0"} // RFC 7607 §2
	}
	return fault{}
}

// checkAS4 checks AS4_PATH and AS4_AGGREGATOR (RFC 6793 §6). Between two
// speakers of four-octet numbers they must not be (§4.1).
func checkAS4(a attribute, short bool) fault {
	if !short {
		return fault{AttributeDiscard, OptionalAttributeError, "over a session of four-octet AS numbers"}
	}
	f := fault{}
	if a.code == AttrAS4Aggregator {
		f = checkAggregator(a.value, false)
	} else if kinds, ok := walkPath(a.value, 4); !ok || kinds.zero || len(a.value) == 0 {
		f = fault{AttributeDiscard, OptionalAttributeError, "malformed"}
	}
	return f
}

// validNextHop reports whether a can be the address of a host (RFC 4271 §6.3).
// That of a loopback interface can; where it leads is not known here.
func validNextHop(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first < 224
	}
	return !a.IsUnspecified() && !a.IsMulticast()
}
