package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// Attributes are the path attributes of a route. A value is not changed once
// others have it.
type Attributes struct {
	Origin  bgp.Origin
	ASPath  ASPath
	NextHop NextHop

	MED, LocalPref       uint32
	HasMED, HasLocalPref bool

	AtomicAggregate bool
	Aggregator      Aggregator

	Communities []bgp.Community
	Extended    []ExtendedCommunity
	Large       []bgp.LargeCommunity

	OriginatorID netip.Addr // zero: none
	ClusterList  []netip.Addr

	OnlyToCustomer uint32 // the AS that says so; zero: none (RFC 9234 §5)

	// Unknown are optional transitive attributes that are passed on as they
	// came, in ascending order of type.
	Unknown []UnknownAttribute
}

// Aggregator is who aggregated a route (RFC 4271 §5.1.7). The zero value is
// none.
type Aggregator struct {
	AS   uint32
	Addr netip.Addr
}

// ExtendedCommunity is an extended community as it stands (RFC 4360).
type ExtendedCommunity [8]byte

// UnknownAttribute is an optional transitive attribute that is not known here.
type UnknownAttribute struct {
	Type    AttributeType
	Partial bool // somebody on the way did not know it; always so when sent on
	Value   []byte
}

// ParseAttributes reads attributes in canonical form, as Update has them. It
// keeps nothing of raw. The error says what does not hold to the form; what
// Update hands out always does.
func ParseAttributes(raw []byte) (attrs Attributes, err error) {
	defer func() {
		if r := recover(); r != nil {
			attrs, err = Attributes{}, bug("parse attributes", r)
		}
	}()
	last := -1
	for len(raw) > 0 {
		a, rest, ok := nextAttribute(raw)
		switch {
		case !ok:
			return Attributes{}, errors.New("parse attributes: cut off")
		case int(a.code) <= last:
			return Attributes{}, fmt.Errorf("parse attributes: %s not in order of type", a.code)
		case !a.canonical():
			return Attributes{}, fmt.Errorf("parse attributes: %s has no canonical header", a.code)
		}
		if err := attrs.set(a); err != nil {
			return Attributes{}, fmt.Errorf("parse attributes: %s: %w", a.code, err)
		}
		last, raw = int(a.code), rest
	}
	return attrs, nil
}

// Path is a as a path to p, without who gave it. The next hop of the path is
// the global one.
func (attrs *Attributes) Path(p netip.Prefix) bgp.Path {
	path := bgp.Path{
		Prefix: p, NextHop: attrs.NextHop.Addr, Origin: attrs.Origin,
		ASPath: attrs.ASPath.Flat(), ASPathLen: attrs.ASPath.Len(), LocalPref: bgp.DefaultLocalPref, MED: attrs.MED,
		Communities: attrs.Communities, LargeCommunities: attrs.Large,
		OriginatorID: attrs.OriginatorID, ClusterList: attrs.ClusterList,
	}
	if attrs.HasLocalPref {
		path.LocalPref = attrs.LocalPref
	}
	return path
}

// set takes the value of a, checked here.
func (attrs *Attributes) set(a attribute) error {
	v := a.value
	if f := checkCanonical(a); f.action != OK {
		return errors.New(f.why)
	}
	switch a.code {
	case AttrOrigin:
		attrs.Origin = bgp.Origin(v[0])
	case AttrASPath:
		attrs.ASPath = parsePath(v, 4)
	case AttrNextHop:
		attrs.NextHop = parseNextHop(v)
	case AttrMED:
		attrs.MED, attrs.HasMED = binary.BigEndian.Uint32(v), true
	case AttrLocalPref:
		attrs.LocalPref, attrs.HasLocalPref = binary.BigEndian.Uint32(v), true
	case AttrAtomicAggregate:
		attrs.AtomicAggregate = true
	case AttrAggregator:
		attrs.Aggregator = Aggregator{AS: binary.BigEndian.Uint32(v), Addr: netip.AddrFrom4([4]byte(v[4:]))}
	case AttrOriginatorID:
		attrs.OriginatorID = netip.AddrFrom4([4]byte(v))
	case AttrClusterList:
		attrs.ClusterList = list(v, 4, func(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) })
	case AttrCommunities:
		attrs.Communities = list(v, 4, func(b []byte) bgp.Community { return bgp.Community(binary.BigEndian.Uint32(b)) })
	case AttrExtended:
		attrs.Extended = list(v, 8, func(b []byte) ExtendedCommunity { return ExtendedCommunity(b) })
	case AttrLargeCommunities:
		attrs.Large = list(v, 12, largeCommunity)
	case AttrOnlyToCustomer:
		attrs.OnlyToCustomer = binary.BigEndian.Uint32(v)
	default:
		attrs.Unknown = append(attrs.Unknown, UnknownAttribute{
			Type: a.code, Partial: a.flags&flagPartial != 0, Value: append([]byte(nil), v...),
		})
	}
	return nil
}

// checkCanonical is checkFlags and checkValue for the canonical form.
func checkCanonical(a attribute) fault {
	_, known := flagsOf(a.code)
	switch {
	case a.code == AttrMPReach, a.code == AttrMPUnreach, a.code == AttrAS4Path, a.code == AttrAS4Aggregator,
		!known && a.flags&optionalTransitive != optionalTransitive:
		return fault{TreatAsWithdraw, MalformedAttributeList, "not in canonical form"}
	}
	if f := checkFlags(a); f.action != OK {
		return f
	}
	if n := len(a.value); a.code == AttrNextHop && (n == 16 || n == 32) {
		if !validNextHop(parseNextHop(a.value).Addr) {
			return fault{TreatAsWithdraw, InvalidNextHop, "not a host address"}
		}
		return fault{}
	}
	return checkValue(a, false, false)
}

func largeCommunity(b []byte) bgp.LargeCommunity {
	return bgp.LargeCommunity{
		Global: binary.BigEndian.Uint32(b), Local1: binary.BigEndian.Uint32(b[4:]), Local2: binary.BigEndian.Uint32(b[8:]),
	}
}

// list reads a checked list of units.
func list[T any](v []byte, unit int, read func([]byte) T) []T {
	all := make([]T, 0, len(v)/unit)
	for ; len(v) > 0; v = v[unit:] {
		all = append(all, read(v))
	}
	return all
}
