package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// Append appends attrs in canonical form: what Update handed out comes back to
// the octet. Lists that are empty are left out, and a NEXT_HOP without address.
func (attrs *Attributes) Append(b []byte) []byte {
	unknown := attrs.Unknown
	if len(unknown) > 0 && unknown[0].Type == 0 { // reserved, and no less unknown
		b, unknown = unknown[0].append(b), unknown[1:]
	}
	b = append(b, wellKnown, byte(AttrOrigin), 1, byte(attrs.Origin))
	b = appendAttribute(b, wellKnown, AttrASPath, attrs.ASPath.value())
	if attrs.NextHop.Addr.IsValid() {
		b = appendAttribute(b, wellKnown, AttrNextHop, attrs.NextHop.value())
	}
	if attrs.HasMED {
		b = appendUint32(b, optionalNonTransitive, AttrMED, attrs.MED)
	}
	if attrs.HasLocalPref {
		b = appendUint32(b, wellKnown, AttrLocalPref, attrs.LocalPref)
	}
	if attrs.AtomicAggregate {
		b = appendHeader(b, wellKnown, AttrAtomicAggregate, 0)
	}
	if attrs.Aggregator.Addr.IsValid() {
		b = binary.BigEndian.AppendUint32(appendHeader(b, optionalTransitive, AttrAggregator, 8), attrs.Aggregator.AS)
		b = appendAddr4(b, attrs.Aggregator.Addr)
	}
	if n := len(attrs.Communities); n > 0 {
		b = appendHeader(b, optionalTransitive, AttrCommunities, 4*n)
		for _, c := range attrs.Communities {
			b = binary.BigEndian.AppendUint32(b, uint32(c))
		}
	}
	if attrs.OriginatorID.IsValid() {
		b = appendAddr4(appendHeader(b, optionalNonTransitive, AttrOriginatorID, 4), attrs.OriginatorID)
	}
	if n := len(attrs.ClusterList); n > 0 {
		b = appendHeader(b, optionalNonTransitive, AttrClusterList, 4*n)
		for _, id := range attrs.ClusterList {
			b = appendAddr4(b, id)
		}
	}
	return attrs.appendLate(b, unknown)
}

// appendLate appends the attributes beyond CLUSTER_LIST, among which unknown
// ones may stand.
func (attrs *Attributes) appendLate(b []byte, unknown []UnknownAttribute) []byte {
	before := func(t AttributeType) {
		for ; len(unknown) > 0 && unknown[0].Type < t; unknown = unknown[1:] {
			b = unknown[0].append(b)
		}
	}
	before(AttrExtended)
	if n := len(attrs.Extended); n > 0 {
		b = appendHeader(b, optionalTransitive, AttrExtended, 8*n)
		for _, c := range attrs.Extended {
			b = append(b, c[:]...)
		}
	}
	before(AttrLargeCommunities)
	if n := len(attrs.Large); n > 0 {
		b = appendHeader(b, optionalTransitive, AttrLargeCommunities, 12*n)
		for _, c := range attrs.Large {
			b = binary.BigEndian.AppendUint32(b, c.Global)
			b = binary.BigEndian.AppendUint32(b, c.Local1)
			b = binary.BigEndian.AppendUint32(b, c.Local2)
		}
	}
	before(AttrOnlyToCustomer)
	if attrs.OnlyToCustomer != 0 {
		b = appendUint32(b, optionalTransitive, AttrOnlyToCustomer, attrs.OnlyToCustomer)
	}
	before(255)
	if len(unknown) > 0 { // the type 255 itself
		b = unknown[0].append(b)
	}
	return b
}

func (u UnknownAttribute) append(b []byte) []byte {
	return appendAttribute(b, optionalTransitive|bit(u.Partial, flagPartial), u.Type, u.Value)
}

// Originated is the attributes of a route of our own, for internal and external
// sessions alike: AppendExternal makes the latter. A next hop that is not set is
// left to the caller.
func Originated(a bgp.Attributes) Attributes {
	pref := a.LocalPref
	if pref == 0 {
		pref = bgp.DefaultLocalPref
	}
	return Attributes{
		NextHop: NextHop{Addr: a.NextHop}, MED: a.MED, HasMED: a.MED != 0, LocalPref: pref, HasLocalPref: true,
		Communities: a.Communities, Large: a.LargeCommunities,
	}
}

func appendUint32(b []byte, flags uint8, t AttributeType, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, flags, t, 4), v)
}

func appendAddr4(b []byte, a netip.Addr) []byte {
	four := a.As4()
	return append(b, four[:]...)
}
