package wire

import (
	"encoding/binary"

	"github.com/projectvrouter/vrouter/bgp"
)

// Options are how the UPDATEs of a session are to be read.
type Options struct {
	External        bool         // the peer is of another AS
	FourByteAS      bool         // both ends have RFC 6793
	Families        bgp.Families // negotiated; others are passed over
	AddPath         bgp.Families // of them with path identifiers
	ExtendedNextHop bool         // IPv4 prefixes may have IPv6 next hops (RFC 8950)
}

// Update is an UPDATE message taken apart. All of it lies in the buffer of the
// message or of the Update: it is valid until the buffer is overwritten or the
// next Parse, which uses the Update again. The zero value is ready.
type Update struct {
	// Withdrawn comes before Announced: a prefix in both is announced (RFC
	// 4271 §4.3). With TreatAsWithdraw it has what was announced, too.
	Withdrawn []NLRI
	Announced []Announcement
	// EndOfRIB is the family whose first transfer is complete (RFC 4724 §2);
	// zero: the message says something else.
	EndOfRIB bgp.Family

	opts    Options
	attrs   []attribute // kept, in ascending order of type
	seen    AttributeTypes
	reach   mpReach
	unreach NLRI
	hasMP   bool // MP_UNREACH_NLRI is there
	direct  bool // the attributes are canonical where they stand
	foreign bool // MP_REACH_NLRI of a family that is passed over is there
	scratch []byte
}

// Announcement is prefixes of one family with what they have in common.
type Announcement struct {
	NLRI       NLRI
	Attributes []byte // canonical, NEXT_HOP included; see the package
}

// Parse takes the body of an UPDATE apart and says what is to be made of it.
// After a SessionReset u is empty. It never panics, and allocates only to grow
// u.
func (u *Update) Parse(body []byte, o Options) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			u.clear(o)
			v = Verdict{Action: SessionReset, Why: "bug in the decoder", Bug: bug("decode UPDATE", r)}
		}
	}()
	u.clear(o)
	v = u.parse(body)
	if v.Action == SessionReset {
		u.clear(o)
	}
	return v
}

func (u *Update) clear(o Options) {
	*u = Update{
		Withdrawn: u.Withdrawn[:0], Announced: u.Announced[:0],
		opts: o, attrs: u.attrs[:0], scratch: u.scratch[:0], direct: o.FourByteAS,
	}
}

func (u *Update) parse(body []byte) (v Verdict) {
	withdrawn, attrs, nlri, ok := splitUpdate(body)
	if !ok {
		v.worse(fault{SessionReset, MalformedAttributeList, "lengths beyond the message"}, 0, nil)
		return v
	}
	ids := u.opts.AddPath.Has(bgp.IPv4Unicast)
	gone, ok := ParseNLRI(bgp.IPv4Unicast, ids, withdrawn)
	if !ok {
		v.worse(fault{SessionReset, InvalidNetworkField, "malformed withdrawn route"}, 0, nil)
		return v
	}
	if u.walk(attrs, &v); v.Action == SessionReset {
		return v
	}
	told, ok := ParseNLRI(bgp.IPv4Unicast, ids, nlri)
	if !ok {
		v.worse(fault{SessionReset, InvalidNetworkField, "malformed prefix"}, 0, nil)
		return v
	}
	if u.judge(told, &v); v.Action == SessionReset {
		return v
	}
	switch {
	case len(body) == 4 && u.opts.Families.Has(bgp.IPv4Unicast):
		u.EndOfRIB = bgp.IPv4Unicast
	case u.hasMP && u.unreach.Empty() && u.seen == onlyUnreach && len(withdrawn)+len(nlri) == 0:
		u.EndOfRIB = u.unreach.family
	}
	if !u.opts.Families.Has(bgp.IPv4Unicast) {
		gone, told = NLRI{}, NLRI{}
	}
	if u.withdraw(gone, u.unreach); v.Action == TreatAsWithdraw {
		u.withdraw(told, u.reach.nlri)
		return v
	}
	u.announce(told, attrs)
	return v
}

// splitUpdate cuts body into withdrawn routes, path attributes and prefixes
// (RFC 4271 §4.3).
func splitUpdate(body []byte) (withdrawn, attrs, nlri []byte, ok bool) {
	if len(body) < 4 {
		return nil, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(body))
	if n > len(body)-4 {
		return nil, nil, nil, false
	}
	withdrawn, body = body[2:2+n], body[2+n:]
	n = int(binary.BigEndian.Uint16(body))
	if n > len(body)-2 {
		return nil, nil, nil, false
	}
	return withdrawn, body[2 : 2+n], body[2+n:], true
}

// walk checks each attribute and keeps those that are to be kept. It stops at
// a SessionReset.
func (u *Update) walk(b []byte, v *Verdict) {
	for len(b) > 0 {
		a, rest, ok := nextAttribute(b)
		if !ok {
			v.worse(fault{TreatAsWithdraw, MalformedAttributeList, "attribute overruns the attributes"}, 0, nil)
			return
		}
		b = rest
		if u.seen.Has(a.code) {
			u.direct = false
			if a.code == AttrMPReach || a.code == AttrMPUnreach {
				v.worse(fault{SessionReset, MalformedAttributeList, "twice"}, a.code, nil)
				return
			}
			v.worse(fault{AttributeDiscard, MalformedAttributeList, "twice"}, a.code, a.raw)
			continue
		}
		u.seen.add(a.code)
		f := u.check(a)
		if f.action != OK {
			v.worse(f, a.code, a.raw)
		}
		if f.action == SessionReset {
			return
		}
		if len(u.attrs) == maxAttributes {
			// What is withdrawn may stand farther on.
			v.worse(fault{TreatAsWithdraw, MalformedAttributeList, "more attributes than any route needs"}, 0, nil)
			continue
		}
		u.keep(a, f)
	}
}

func (u *Update) check(a attribute) fault {
	if f := checkFlags(a); f.action != OK {
		return f
	}
	switch a.code {
	case AttrMPReach:
		return u.parseReach(a.value)
	case AttrMPUnreach:
		return u.parseUnreach(a.value)
	}
	f := checkValue(a, u.opts.External, !u.opts.FourByteAS)
	if f.action == OK {
		f = checkBounds(a, !u.opts.FourByteAS)
	}
	return f
}

// keep puts a in its place among those kept, mostly the last. What is not known and not
// transitive is dropped in silence (RFC 4271 §5).
func (u *Update) keep(a attribute, f fault) {
	_, known := flagsOf(a.code)
	switch {
	case a.code == AttrMPReach, a.code == AttrMPUnreach, f.action == AttributeDiscard,
		!known && a.flags&flagTransitive == 0:
		u.direct = false
		return
	case !a.canonical():
		u.direct = false
	}
	u.attrs = append(u.attrs, a)
	for i := len(u.attrs) - 1; i > 0 && u.attrs[i-1].code > a.code; i-- {
		u.attrs[i], u.attrs[i-1] = u.attrs[i-1], a
		u.direct = false
	}
}

// judge checks what concerns the attributes as a whole.
func (u *Update) judge(told NLRI, v *Verdict) {
	switch {
	case !told.Empty() || !u.reach.nlri.Empty():
		for _, t := range [...]AttributeType{AttrOrigin, AttrASPath, AttrNextHop} {
			if !u.seen.Has(t) && (t != AttrNextHop || !told.Empty()) {
				v.worse(fault{TreatAsWithdraw, MissingWellKnown, "missing"}, t, wellKnownTypes[t-1:t])
			}
		}
	case v.Action == TreatAsWithdraw && !u.foreign:
		// Attributes in error, and nothing that they belong to: the prefixes
		// may have been where the error is (RFC 7606 §5.2).
		v.Action = SessionReset
	}
}

var (
	wellKnownTypes = []byte{byte(AttrOrigin), byte(AttrASPath), byte(AttrNextHop)}
	onlyUnreach    = AttributeTypes{1 << AttrMPUnreach}
)

func (u *Update) withdraw(runs ...NLRI) {
	for _, n := range runs {
		if !n.Empty() {
			u.Withdrawn = append(u.Withdrawn, n)
		}
	}
}

// announce takes the prefixes of the message and those of MP_REACH_NLRI, each
// with their next hop.
func (u *Update) announce(told NLRI, attrs []byte) {
	switch {
	case told.Empty():
	case u.direct:
		u.Announced = append(u.Announced, Announcement{NLRI: told, Attributes: attrs})
	default:
		u.Announced = append(u.Announced, Announcement{NLRI: told, Attributes: u.canonical(u.nextHop())})
	}
	if !u.reach.nlri.Empty() {
		u.Announced = append(u.Announced, Announcement{NLRI: u.reach.nlri, Attributes: u.canonical(u.reach.nextHop)})
	}
}

func (u *Update) nextHop() []byte {
	for _, a := range u.attrs {
		if a.code == AttrNextHop {
			return a.value
		}
	}
	return nil
}
