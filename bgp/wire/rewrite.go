package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// AppendReflected appends raw, canonical attributes of an internal path, as a
// reflector sends them on (RFC 4456 §8): ORIGINATOR_ID set to originator unless
// it is there, cluster put before CLUSTER_LIST, all else as it was, next hop
// included. originator is the BGP identifier of the peer that sent the path.
func AppendReflected(b, raw []byte, originator, cluster netip.Addr) []byte {
	clusters := append(make([]byte, 0, 64), cluster.AsSlice()...)
	clusters = append(clusters, findAttribute(raw, AttrClusterList)...)
	put := []insertion{
		{optionalNonTransitive, AttrOriginatorID, originator.AsSlice()},
		{optionalNonTransitive, AttrClusterList, clusters},
	}
	if findAttribute(raw, AttrOriginatorID) != nil {
		put = put[1:]
	}
	return rewrite(b, raw, AttributeTypes{}, put)
}

// AppendInternal appends raw as it goes to an internal peer that is not
// reflected to: with LOCAL_PREF localPref unless it has one, and with nextHop
// unless that is zero. What external peers told goes this way, and what we
// originate.
func AppendInternal(b, raw []byte, localPref uint32, nextHop NextHop) []byte {
	var put []insertion
	if nextHop.Addr.IsValid() {
		put = append(put, insertion{wellKnown, AttrNextHop, nextHop.value()})
	}
	if findAttribute(raw, AttrLocalPref) == nil {
		put = append(put, insertion{wellKnown, AttrLocalPref, binary.BigEndian.AppendUint32(nil, localPref)})
	}
	return rewrite(b, raw, AttributeTypes{}, put)
}

// AppendCommunities appends raw with communities added that it lacks.
func AppendCommunities(b, raw []byte, add ...bgp.Community) []byte {
	list := bytes.Clone(findAttribute(raw, AttrCommunities))
	for _, c := range add {
		if !hasCommunity(list, c) {
			list = binary.BigEndian.AppendUint32(list, uint32(c))
		}
	}
	return rewrite(b, raw, AttributeTypes{}, []insertion{{optionalTransitive, AttrCommunities, list}})
}

func hasCommunity(list []byte, c bgp.Community) bool {
	for ; len(list) >= 4; list = list[4:] {
		if binary.BigEndian.Uint32(list) == uint32(c) {
			return true
		}
	}
	return false
}

// AppendOnlyToCustomer appends raw with OTC set to as, unless it is there (RFC
// 9234 §5).
func AppendOnlyToCustomer(b, raw []byte, as uint32) []byte {
	if findAttribute(raw, AttrOnlyToCustomer) != nil {
		return append(b, raw...)
	}
	return rewrite(b, raw, AttributeTypes{}, []insertion{{optionalTransitive, AttrOnlyToCustomer, binary.BigEndian.AppendUint32(nil, as)}})
}

// AppendLastResort appends raw as it goes to an internal peer that knows
// nothing of long-lived stale paths: with LOCAL_PREF 0, and not to be told
// outside the AS (RFC 9494 §4.6).
func AppendLastResort(b, raw []byte) []byte {
	put := []insertion{{wellKnown, AttrLocalPref, []byte{0, 0, 0, 0}}}
	return AppendCommunities(b, rewrite(nil, raw, AttributeTypes{}, put), bgp.NoExport)
}

// External is how attributes are changed towards an external peer.
type External struct {
	AS      uint32 // put before the AS_PATH (RFC 4271 §5.1.2)
	Prepend uint8  // how often more than once
	NextHop NextHop
	// KeepMED sends the MED, which is right for one that we set ourselves and
	// wrong for one that another AS gave (RFC 4271 §5.1.4).
	KeepMED bool
	// OnlyToCustomer is set unless it is there; zero: not (RFC 9234 §5).
	OnlyToCustomer uint32
}

// AppendExternal appends raw as it goes to an external peer: AS put before the
// AS_PATH, without LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST (RFC 4271 §5.1.5,
// RFC 4456 §8), and with a zero NextHop the next hop left as it is (RFC 4271
// §5.1.3).
func AppendExternal(b, raw []byte, e External) []byte {
	put := []insertion{{wellKnown, AttrASPath, prepended(findAttribute(raw, AttrASPath), e.AS, int(e.Prepend)+1)}}
	if e.NextHop.Addr.IsValid() {
		put = append(put, insertion{wellKnown, AttrNextHop, e.NextHop.value()})
	}
	if e.OnlyToCustomer != 0 && findAttribute(raw, AttrOnlyToCustomer) == nil {
		put = append(put, insertion{optionalTransitive, AttrOnlyToCustomer, binary.BigEndian.AppendUint32(nil, e.OnlyToCustomer)})
	}
	var drop AttributeTypes
	drop.add(AttrLocalPref)
	drop.add(AttrOriginatorID)
	drop.add(AttrClusterList)
	if !e.KeepMED {
		drop.add(AttrMED)
	}
	return rewrite(b, raw, drop, put)
}

// prepended is the AS_PATH v with as put before it n times, in its first
// segment if that is a sequence with room, else in one of its own.
func prepended(v []byte, as uint32, n int) []byte {
	first := make([]byte, 0, 2+4*n+len(v))
	for n > 0 {
		some := min(n, 255)
		if len(v) > 0 && SegmentType(v[0]) == ASSequence && int(v[1])+n <= 255 {
			first, v = append(first, byte(ASSequence), v[1]+byte(n)), v[2:]
			some = n
		} else {
			first = append(first, byte(ASSequence), byte(some))
		}
		for range some {
			first = binary.BigEndian.AppendUint32(first, as)
		}
		n -= some
	}
	return append(first, v...)
}

// AppendTwoByteAS appends raw as a peer that knows no four-octet AS numbers
// reads it: numbers that do not fit are ASTrans, and stand in AS4_PATH and
// AS4_AGGREGATOR (RFC 6793 §4.2.2). A Packer whose Form says so does this by
// itself.
func AppendTwoByteAS(b, raw []byte) []byte {
	var put, late []insertion
	path := findAttribute(raw, AttrASPath)
	short, wide := narrowed(path)
	put = append(put, insertion{wellKnown, AttrASPath, short})
	if wide {
		late = append(late, insertion{optionalTransitive, AttrAS4Path, path})
	}
	if v := findAttribute(raw, AttrAggregator); v != nil {
		as := binary.BigEndian.Uint32(v)
		if as > 65535 {
			late = append(late, insertion{optionalTransitive, AttrAS4Aggregator, v})
			as = ASTrans
		}
		short := binary.BigEndian.AppendUint16(nil, uint16(as))
		put = append(put, insertion{optionalTransitive, AttrAggregator, append(short, v[4:]...)})
	}
	return rewrite(b, raw, AttributeTypes{}, append(put, late...))
}

// narrowed is the AS_PATH v with numbers of two octets, and whether one did
// not fit.
func narrowed(v []byte) (short []byte, wide bool) {
	for len(v) > 0 {
		end := 2 + 4*int(v[1])
		short = append(short, v[0], v[1])
		for at := 2; at < end; at += 4 {
			as := binary.BigEndian.Uint32(v[at:])
			if as > 65535 {
				as, wide = ASTrans, true
			}
			short = binary.BigEndian.AppendUint16(short, uint16(as))
		}
		v = v[end:]
	}
	return short, wide
}

// insertion is an attribute that takes the place of one of its type.
type insertion struct {
	flags uint8
	code  AttributeType
	value []byte
}

// rewrite appends raw without those in drop and with those in put, which is in
// order of type. An unknown attribute gets the partial bit: it goes through a
// speaker that does not know it (RFC 4271 §5).
func rewrite(b, raw []byte, drop AttributeTypes, put []insertion) []byte {
	for len(raw) > 0 {
		a, rest, ok := nextAttribute(raw)
		if !ok {
			break
		}
		raw = rest
		replaced := false
		for ; len(put) > 0 && put[0].code <= a.code; put = put[1:] {
			b = appendAttribute(b, put[0].flags, put[0].code, put[0].value)
			replaced = put[0].code == a.code
		}
		if replaced || drop.Has(a.code) {
			continue
		}
		at := len(b)
		b = append(b, a.raw...)
		if _, known := flagsOf(a.code); !known {
			b[at] |= flagPartial
		}
	}
	for _, p := range put {
		b = appendAttribute(b, p.flags, p.code, p.value)
	}
	return b
}

// appendWithout appends raw as it is, but for the attribute t.
func appendWithout(b, raw []byte, t AttributeType) []byte {
	for len(raw) > 0 {
		a, rest, ok := nextAttribute(raw)
		if !ok {
			break
		}
		if a.code != t {
			b = append(b, a.raw...)
		}
		raw = rest
	}
	return b
}

// findAttribute is the value of t in canonical attributes; nil: it is not
// there.
func findAttribute(raw []byte, t AttributeType) []byte {
	for len(raw) > 0 {
		a, rest, ok := nextAttribute(raw)
		if !ok || a.code > t {
			return nil
		}
		if a.code == t {
			return a.value
		}
		raw = rest
	}
	return nil
}
