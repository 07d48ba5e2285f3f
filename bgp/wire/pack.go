package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// Form is how UPDATEs for a session are to be written.
type Form struct {
	TwoByteAS       bool         // the peer knows no four-octet AS numbers
	ExtendedNextHop bool         // IPv4 prefixes may have IPv6 next hops (RFC 8950)
	AddPath         bgp.Families // their prefixes have path identifiers
	Max             int          // longest message; zero: MaxMessage
}

// ErrTooLarge says that attributes leave no room for a prefix in a message.
// What was announced before is to be withdrawn then (RFC 8654 §4).
var ErrTooLarge = errors.New("attributes do not fit into a message")

// Packer writes UPDATEs, each filled with prefixes of one set of attributes
// up to the longest message. Announce or Withdraw says what the prefixes that Add
// brings are; Close ends the last message. In between, the slice returned is to
// be handed to the next call and not to be changed.
//
// The messages follow one another in the slice. Attributes must be canonical.
type Packer struct {
	form   Form
	family bgp.Family

	head []byte // from the withdrawn routes' length to the first prefix
	tail []byte // what follows the last prefix
	mp   int    // where in head the length of the MP attribute stands; zero: no such
	ids  bool

	open  bool
	start int // of the open message
}

// NewPacker is a Packer for sessions of the given form.
func NewPacker(f Form) *Packer {
	if f.Max == 0 {
		f.Max = MaxMessage
	}
	return &Packer{form: f}
}

// Announce says that the prefixes that follow are of family f and have the
// canonical attributes raw, which is kept until the next call of Announce or
// Withdraw. It ends the message before. The error is ErrTooLarge, or says that
// there is no NEXT_HOP of the family; nothing may be added then.
//
// IPv4 with an IPv4 next hop goes into the message itself, all else into an
// MP_REACH_NLRI that stands first (RFC 7606 §5.1).
func (p *Packer) Announce(b []byte, f bgp.Family, raw []byte) ([]byte, error) {
	b = p.begin(b, f)
	if p.form.TwoByteAS {
		raw = AppendTwoByteAS(nil, raw)
	}
	hop := findAttribute(raw, AttrNextHop)
	if f == bgp.IPv4Unicast && len(hop) == 4 {
		p.head = append(p.head, 0, 0, byte(len(raw)>>8), byte(len(raw)))
		p.head = append(p.head, raw...)
		return b, p.check()
	}
	if len(hop) != 16 && len(hop) != 32 || f == bgp.IPv4Unicast && !p.form.ExtendedNextHop {
		return b, fmt.Errorf("encode UPDATE: %d octets of next hop for %s", len(hop), f)
	}
	p.tail = appendWithout(p.tail, raw, AttrNextHop)
	p.beginMP(AttrMPReach)
	p.head = append(p.head, byte(len(hop)))
	p.head = append(p.head, hop...)
	p.head = append(p.head, 0)
	return b, p.check()
}

// Withdraw says that the prefixes that follow, of family f, are withdrawn. It
// ends the message before.
func (p *Packer) Withdraw(b []byte, f bgp.Family) []byte {
	b = p.begin(b, f)
	if f == bgp.IPv4Unicast {
		p.head = append(p.head, 0, 0)
		p.tail = append(p.tail, 0, 0)
		return b
	}
	p.beginMP(AttrMPUnreach)
	return b
}

// Add adds a prefix of the family; id is left out unless the form wants it.
func (p *Packer) Add(b []byte, prefix netip.Prefix, id uint32) []byte {
	size := 1 + (prefix.Bits()+7)/8
	if p.ids {
		size += 4
	}
	if p.open && len(b)-p.start+size+len(p.tail) > p.form.Max {
		b = p.Close(b)
	}
	if !p.open {
		b, p.start = beginMessage(b, TypeUpdate)
		b, p.open = append(b, p.head...), true
	}
	return appendPrefix(b, prefix, id, p.ids)
}

// Close ends the open message, if there is one.
func (p *Packer) Close(b []byte) []byte {
	if !p.open {
		return b
	}
	p.open = false
	body := b[p.start+HeaderLen:]
	switch nlri := len(body) - len(p.head); {
	case p.mp != 0:
		binary.BigEndian.PutUint16(body[2:], uint16(len(body)-4+len(p.tail)))
		binary.BigEndian.PutUint16(body[p.mp:], uint16(len(p.head)-p.mp-2+nlri))
	case len(p.head) == 2: // withdrawn routes
		binary.BigEndian.PutUint16(body, uint16(nlri))
	}
	return endMessage(append(b, p.tail...), p.start)
}

func (p *Packer) begin(b []byte, f bgp.Family) []byte {
	b = p.Close(b)
	p.family, p.ids, p.mp = f, p.form.AddPath.Has(f), 0
	p.head, p.tail = p.head[:0], p.tail[:0]
	return b
}

// beginMP begins an MP attribute of the extended length (RFC 4760 §3, §4).
func (p *Packer) beginMP(t AttributeType) {
	p.head = append(p.head, 0, 0, 0, 0, optionalNonTransitive|flagExtended, byte(t))
	p.mp = len(p.head)
	p.head = appendFamily(append(p.head, 0, 0), p.family, false)
}

// check reports whether the longest prefix finds room.
func (p *Packer) check() error {
	longest := 5 + maxBits(p.family)/8
	if HeaderLen+len(p.head)+len(p.tail)+longest > p.form.Max {
		return fmt.Errorf("encode UPDATE: %w", ErrTooLarge)
	}
	return nil
}

// AppendAnnouncements appends UPDATEs that announce the prefixes with their
// path identifiers.
func AppendAnnouncements(b []byte, form Form, f bgp.Family, raw []byte, prefixes iter.Seq2[netip.Prefix, uint32]) ([]byte, error) {
	p := NewPacker(form)
	b, err := p.Announce(b, f, raw)
	if err != nil {
		return b, err
	}
	for prefix, id := range prefixes {
		b = p.Add(b, prefix, id)
	}
	return p.Close(b), nil
}

// AppendWithdrawals appends UPDATEs that withdraw the prefixes.
func AppendWithdrawals(b []byte, form Form, f bgp.Family, prefixes iter.Seq2[netip.Prefix, uint32]) []byte {
	p := NewPacker(form)
	b = p.Withdraw(b, f)
	for prefix, id := range prefixes {
		b = p.Add(b, prefix, id)
	}
	return p.Close(b)
}

// AppendEndOfRIB appends the End-of-RIB of family f (RFC 4724 §2).
func AppendEndOfRIB(b []byte, f bgp.Family) []byte {
	b, start := beginMessage(b, TypeUpdate)
	b = append(b, 0, 0)
	if f == bgp.IPv4Unicast {
		return endMessage(append(b, 0, 0), start)
	}
	b = append(b, 0, 6, optionalNonTransitive, byte(AttrMPUnreach), 3)
	return endMessage(appendFamily(b, f, false), start)
}
