package wire

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
)

// canonical is the attributes kept, in canonical form with the given next hop,
// in u's own buffer.
func (u *Update) canonical(nextHop []byte) []byte {
	b, start := u.scratch, len(u.scratch)
	as4 := as4Of(u.attrs)
	placed := false
	for _, a := range u.attrs {
		if a.code >= AttrNextHop && !placed {
			b, placed = appendAttribute(b, wellKnown, AttrNextHop, nextHop), true
		}
		switch {
		case a.code == AttrNextHop:
		case u.opts.FourByteAS:
			b = appendCanonical(b, a)
		case a.code == AttrAS4Path, a.code == AttrAS4Aggregator:
		case a.code == AttrASPath:
			b = as4.appendPath(b, a.value)
		case a.code == AttrAggregator:
			b = as4.appendAggregator(b, a)
		default:
			b = appendCanonical(b, a)
		}
	}
	if !placed {
		b = appendAttribute(b, wellKnown, AttrNextHop, nextHop)
	}
	u.scratch = b
	return b[start:len(b):len(b)]
}

func appendCanonical(b []byte, a attribute) []byte {
	if a.canonical() {
		return append(b, a.raw...)
	}
	return appendAttribute(b, a.flags, a.code, a.value)
}

// as4 is what a peer of two-octet AS numbers passed on from others (RFC 6793
// §4.2.3).
type as4 struct {
	path       []byte // of AS4_PATH; nil: none, or to be ignored
	aggregator []byte // of AS4_AGGREGATOR, likewise
}

func as4Of(attrs []attribute) as4 {
	var merged as4
	var aggregator []byte
	for _, a := range attrs {
		switch a.code {
		case AttrAggregator:
			aggregator = a.value
		case AttrAS4Path:
			merged.path = a.value
		case AttrAS4Aggregator:
			merged.aggregator = a.value
		}
	}
	switch {
	case aggregator == nil:
		merged.aggregator = nil
	case merged.aggregator != nil && binary.BigEndian.Uint16(aggregator) != ASTrans:
		return as4{} // somebody of two octets aggregated since: both are out of date
	}
	return merged
}

func (m as4) appendAggregator(b []byte, a attribute) []byte {
	if m.aggregator != nil {
		return appendAttribute(b, a.flags, a.code, m.aggregator)
	}
	b = append(appendHeader(b, a.flags, a.code, 8), 0, 0)
	return append(b, a.value...)
}

// appendPath appends the AS_PATH that v, of two octets, and AS4_PATH make: of v
// as much from the left as it is longer. An AS4_PATH that is longer than v is
// ignored, and so are confederations in it (RFC 6793 §6).
func (m as4) appendPath(b []byte, v []byte) []byte {
	path := parsePath(v, 2)
	var tail ASPath
	for _, s := range parsePath(m.path, 4) {
		if s.Type < confedSequence {
			tail = append(tail, s)
		}
	}
	if surplus := path.Len() - tail.Len(); surplus >= 0 && len(tail) > 0 {
		path = append(path.leading(surplus), tail...).joined()
	}
	return appendAttribute(b, wellKnown, AttrASPath, path.value())
}

// leading is the first n of p, as Len counts.
func (p ASPath) leading(n int) ASPath {
	var head ASPath
	for _, s := range p {
		switch {
		case n == 0:
			return head
		case s.Type == ASSet:
			n--
		default:
			s.AS = s.AS[:min(n, len(s.AS))]
			n -= len(s.AS)
		}
		head = append(head, s)
	}
	return head
}

// joined is p with neighbouring sequences made one, as they were before the
// merge.
func (p ASPath) joined() ASPath {
	var whole ASPath
	for _, s := range p {
		last := len(whole) - 1
		if last >= 0 && s.Type == ASSequence && whole[last].Type == ASSequence && len(whole[last].AS)+len(s.AS) <= 255 {
			whole[last].AS = append(whole[last].AS[:len(whole[last].AS):len(whole[last].AS)], s.AS...)
			continue
		}
		whole = append(whole, s)
	}
	return whole
}

// bug is a panic as an error.
func bug(doing string, panicked any) error {
	return fmt.Errorf("%s: panic: %v\n%s", doing, panicked, debug.Stack())
}
