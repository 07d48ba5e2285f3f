package mrt

import (
	"encoding/binary"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// flagExtended says that an attribute's length has two octets (RFC 4271 §4.3).
const flagExtended = 0x10

// optionalNonTransitive are the flags of MP_REACH_NLRI (RFC 4760 §3).
const optionalNonTransitive = 0x80

// appendAttributes appends the attributes of a path. A next hop that does not
// fit NEXT_HOP goes into an MP_REACH_NLRI that has nothing else, since the prefix
// stands before (RFC 6396 §4.3.4).
func appendAttributes(b []byte, e bgp.Entry) []byte {
	raw := e.Raw
	if raw == nil {
		raw = encode(e.Path)
	}
	for len(raw) > 0 {
		attribute, value := split(raw)
		if attribute == nil {
			return b
		}
		raw = raw[len(attribute):]
		if wire.AttributeType(attribute[1]) == wire.AttrNextHop && len(value) != 4 {
			b = append(b, optionalNonTransitive, byte(wire.AttrMPReach), byte(len(value)+1), byte(len(value)))
			b = append(b, value...)
			continue
		}
		b = append(b, attribute...)
	}
	return b
}

// split is the first of canonical attributes, and its value; nil: there is none.
func split(b []byte) (attribute, value []byte) {
	if len(b) < 3 {
		return nil, nil
	}
	head, n := 3, int(b[2])
	if b[0]&flagExtended != 0 {
		if len(b) < 4 {
			return nil, nil
		}
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	if len(b) < head+n {
		return nil, nil
	}
	return b[:head+n], b[head : head+n]
}

// encode is the attributes of a path of a Speaker that keeps no octets.
func encode(p bgp.Path) []byte {
	a := wire.Attributes{
		Origin: p.Origin, NextHop: wire.NextHop{Addr: p.NextHop}, MED: p.MED, HasMED: p.MED != 0,
		LocalPref: p.LocalPref, HasLocalPref: p.LocalPref != 0, Communities: p.Communities, Large: p.LargeCommunities,
		OriginatorID: p.OriginatorID, ClusterList: p.ClusterList,
	}
	if len(p.ASPath) > 0 {
		a.ASPath = wire.ASPath{{Type: wire.ASSequence, AS: p.ASPath}}
	}
	return a.Append(nil)
}
