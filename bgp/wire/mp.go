package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// mpReach is an MP_REACH_NLRI.
type mpReach struct {
	nextHop []byte
	nlri    NLRI
}

var (
	incorrectMP   = fault{SessionReset, OptionalAttributeError, "malformed"} // RFC 7606 §5.3, RFC 4760 §7
	notNegotiated = fault{AttributeDiscard, OptionalAttributeError, "family not negotiated"}
)

// parseReach reads an MP_REACH_NLRI (RFC 4760 §3). Of a family that was not
// negotiated nothing can be said but that it is passed over.
func (u *Update) parseReach(v []byte) fault {
	if len(v) < 5 {
		return incorrectMP
	}
	f := FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[2]}.Family()
	if !u.opts.Families.Has(f) {
		u.foreign = true
		return notNegotiated
	}
	n := int(v[3])
	if 5+n > len(v) || !u.nextHopFits(f, n) {
		return fault{SessionReset, OptionalAttributeError, "wrong length of the next hop"} // RFC 7606 §7.11
	}
	nlri, ok := ParseNLRI(f, u.opts.AddPath.Has(f), v[5+n:])
	if !ok {
		return incorrectMP
	}
	u.reach = mpReach{nextHop: trimLinkLocal(v[4 : 4+n]), nlri: nlri}
	if !validNextHop(parseNextHop(u.reach.nextHop).Addr) {
		return fault{TreatAsWithdraw, InvalidNextHop, "next hop is not a host address"}
	}
	return fault{}
}

// nextHopFits reports whether a next hop of n octets is one of family f (RFC
// 2545 §3, RFC 4760 §3, RFC 8950 §3).
func (u *Update) nextHopFits(f bgp.Family, n int) bool {
	switch n {
	case 4:
		return f == bgp.IPv4Unicast
	case 16, 32:
		return f == bgp.IPv6Unicast || u.opts.ExtendedNextHop
	}
	return false
}

func (u *Update) parseUnreach(v []byte) fault {
	if len(v) < 3 {
		return incorrectMP
	}
	f := FamilyCode{AFI: binary.BigEndian.Uint16(v), SAFI: v[2]}.Family()
	if !u.opts.Families.Has(f) {
		return notNegotiated
	}
	nlri, ok := ParseNLRI(f, u.opts.AddPath.Has(f), v[3:])
	if !ok {
		return incorrectMP
	}
	u.unreach, u.hasMP = nlri, true
	return fault{}
}

// NextHop is where packets to a prefix go.
type NextHop struct {
	Addr      netip.Addr
	LinkLocal netip.Addr // beside an IPv6 Addr; zero: none (RFC 2545 §3)
}

// trimLinkLocal drops a second address that is none: some speakers send zeros,
// or the same link-local address twice.
func trimLinkLocal(v []byte) []byte {
	if len(v) != 32 {
		return v
	}
	second := netip.AddrFrom16([16]byte(v[16:]))
	if !second.IsLinkLocalUnicast() || second == netip.AddrFrom16([16]byte(v)) {
		return v[:16]
	}
	return v
}

// parseNextHop reads 4, 16 or 32 octets.
func parseNextHop(v []byte) NextHop {
	switch len(v) {
	case 4:
		return NextHop{Addr: netip.AddrFrom4([4]byte(v))}
	case 16:
		return NextHop{Addr: netip.AddrFrom16([16]byte(v))}
	}
	return NextHop{Addr: netip.AddrFrom16([16]byte(v)), LinkLocal: netip.AddrFrom16([16]byte(v[16:]))}
}

// value is n as the value of a canonical NEXT_HOP.
func (n NextHop) value() []byte {
	b := n.Addr.AsSlice()
	if n.LinkLocal.IsValid() {
		b = append(b, n.LinkLocal.AsSlice()...)
	}
	return b
}
