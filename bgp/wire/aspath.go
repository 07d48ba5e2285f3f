package wire

import (
	"encoding/binary"
	"iter"
)

// SegmentType is the type of an AS_PATH segment.
type SegmentType uint8

// The segment types (RFC 4271 §4.3). Those of confederations (RFC 5065 §3) are
// malformed here: no session of ours is within one.
const (
	ASSet      SegmentType = 1
	ASSequence SegmentType = 2

	confedSequence SegmentType = 3
	confedSet      SegmentType = 4
)

// Segment is a part of an AS_PATH.
type Segment struct {
	Type SegmentType
	AS   []uint32 // never empty
}

// ASPath is an AS_PATH, nearest AS first.
type ASPath []Segment

// Len is the length for path selection, where a set counts one (RFC 4271
// §9.1.2.2).
func (p ASPath) Len() int {
	n := 0
	for _, s := range p {
		if s.Type == ASSet {
			n++
		} else {
			n += len(s.AS)
		}
	}
	return n
}

// All yields the AS numbers in the order in which they stand.
func (p ASPath) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, s := range p {
			for _, as := range s.AS {
				if !yield(as) {
					return
				}
			}
		}
	}
}

// Flat is the AS numbers in the order in which they stand, sets too.
func (p ASPath) Flat() []uint32 {
	var flat []uint32
	for as := range p.All() {
		flat = append(flat, as)
	}
	return flat
}

// First is the leftmost AS, that of the external peer who sent the path; zero:
// the path is empty or begins with a set.
func (p ASPath) First() uint32 {
	if len(p) == 0 || p[0].Type != ASSequence {
		return 0
	}
	return p[0].AS[0]
}

// Count is how often as occurs.
func (p ASPath) Count(as uint32) int {
	n := 0
	for each := range p.All() {
		if each == as {
			n++
		}
	}
	return n
}

// checkASPath checks the value of an AS_PATH (RFC 7606 §7.2, RFC 7607 §2, RFC
// 5065 §5).
func checkASPath(v []byte, short bool) fault {
	size := 4
	if short {
		size = 2
	}
	kinds, ok := walkPath(v, size)
	switch {
	case !ok:
		return fault{TreatAsWithdraw, MalformedASPath, "malformed"}
	case kinds.zero:
		return fault{TreatAsWithdraw, MalformedASPath, "AS 0"}
	case kinds.confed:
		return fault{TreatAsWithdraw, MalformedASPath, "confederation segment"}
	}
	return fault{}
}

// pathKinds is what occurs in an AS_PATH.
type pathKinds struct{ zero, confed bool }

// walkPath checks the structure of an AS_PATH or AS4_PATH of numbers of size
// octets.
func walkPath(v []byte, size int) (kinds pathKinds, ok bool) {
	for len(v) > 0 {
		if len(v) < 2 || v[1] == 0 || len(v) < 2+int(v[1])*size || v[0] == 0 || v[0] > byte(confedSet) {
			return kinds, false
		}
		kinds.confed = kinds.confed || SegmentType(v[0]) >= confedSequence
		end := 2 + int(v[1])*size
		for at := 2; at < end; at += size {
			kinds.zero = kinds.zero || asAt(v[at:], size) == 0
		}
		v = v[end:]
	}
	return kinds, true
}

func asAt(b []byte, size int) uint32 {
	if size == 2 {
		return uint32(binary.BigEndian.Uint16(b))
	}
	return binary.BigEndian.Uint32(b)
}

// parsePath reads a checked AS_PATH. The segments share one array.
func parsePath(v []byte, size int) ASPath {
	if len(v) == 0 {
		return nil
	}
	path, numbers := ASPath(nil), make([]uint32, 0, len(v)/size)
	for len(v) > 0 {
		end, from := 2+int(v[1])*size, len(numbers)
		for at := 2; at < end; at += size {
			numbers = append(numbers, asAt(v[at:], size))
		}
		path = append(path, Segment{Type: SegmentType(v[0]), AS: numbers[from:len(numbers):len(numbers)]})
		v = v[end:]
	}
	return path
}

// value is p as the value of an AS_PATH of four-octet numbers. A segment of
// more than 255 is cut in two.
func (p ASPath) value() []byte {
	var b []byte
	for _, s := range p {
		for as := s.AS; len(as) > 0; {
			n := min(len(as), 255)
			b = append(b, byte(s.Type), byte(n))
			for _, number := range as[:n] {
				b = binary.BigEndian.AppendUint32(b, number)
			}
			as = as[n:]
		}
	}
	return b
}
