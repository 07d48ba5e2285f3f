package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

var (
	origin   = attr(0x40, 1, 0)
	asPath   = attr(0x40, 2, 2, 1, 0, 0, 0xfd, 0xe9)
	nextHop  = attr(0x40, 3, 192, 0, 2, 1)
	pref     = attr(0x40, 5, 0, 0, 0, 100)
	nlri     = []byte{24, 10, 0, 0}
	reach6   = attr(0x80, 14, append(append([]byte{0, 2, 1, 16, 0x20, 1}, make([]byte, 14)...), 0, 16, 0xfd, 0)...)
	unreach6 = attr(0x80, 15, 0, 2, 1, 16, 0xfd, 0)
)

// verdictCase is one malformed UPDATE. Attributes are put after good ones
// before a good prefix, unless body says all.
type verdictCase struct {
	name    string
	attrs   [][]byte
	body    []byte
	opts    Options
	action  Action
	about   AttributeType
	subcode Subcode // of the session reset, or of the one that was spared
	data    []byte  // likewise; nil: not looked at
}

func with(attrs ...[]byte) [][]byte { return append([][]byte{origin, asPath, nextHop}, attrs...) }

// instead is the mandatory attributes with one in the place of its type.
func instead(a []byte) [][]byte {
	all := with()
	for i := range all {
		if all[i][1] == a[1] {
			all[i] = a
		}
	}
	return all
}

func TestRFC7606Section7(t *testing.T) { runVerdicts(t, section7()) }

func TestRFC7606Rules(t *testing.T) { runVerdicts(t, rules()) }

func section7() []verdictCase {
	two := Options{Families: both}
	return []verdictCase{
		{name: "7.1 ORIGIN of 0", attrs: instead(attr(0x40, 1)), action: TreatAsWithdraw, about: AttrOrigin, subcode: AttributeLengthError},
		{name: "7.1 ORIGIN of 2", attrs: instead(attr(0x40, 1, 0, 0)), action: TreatAsWithdraw, about: AttrOrigin, subcode: AttributeLengthError},
		{name: "7.1 ORIGIN undefined", attrs: instead(attr(0x40, 1, 3)), action: TreatAsWithdraw, about: AttrOrigin, subcode: InvalidOrigin, data: attr(0x40, 1, 3)},
		{name: "7.2 AS_PATH empty", attrs: instead(attr(0x40, 2)), action: OK},
		{name: "7.2 segment type 0", attrs: instead(attr(0x40, 2, 0, 1, 0, 0, 0, 1)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 segment type 5", attrs: instead(attr(0x40, 2, 5, 1, 0, 0, 0, 1)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 segment overruns", attrs: instead(attr(0x40, 2, 2, 2, 0, 0, 0, 1)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 one octet left", attrs: instead(attr(0x40, 2, 2, 1, 0, 0, 0, 1, 2)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 segment of none", attrs: instead(attr(0x40, 2, 2, 0)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 two octets over four", attrs: instead(attr(0x40, 2, 2, 1, 0xfd, 0xe9)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.2 confederation", attrs: instead(attr(0x40, 2, 3, 1, 0, 0, 0, 1)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "7.3 NEXT_HOP of 3", attrs: instead(attr(0x40, 3, 1, 2, 3)), action: TreatAsWithdraw, about: AttrNextHop, subcode: AttributeLengthError},
		{name: "7.3 NEXT_HOP of 16", attrs: instead(attr(0x40, 3, make([]byte, 16)...)), action: TreatAsWithdraw, about: AttrNextHop, subcode: AttributeLengthError},
		{name: "7.3 NEXT_HOP 0.0.0.0", attrs: instead(attr(0x40, 3, 0, 0, 0, 0)), action: TreatAsWithdraw, about: AttrNextHop, subcode: InvalidNextHop},
		{name: "7.3 NEXT_HOP multicast", attrs: instead(attr(0x40, 3, 224, 0, 0, 5)), action: TreatAsWithdraw, about: AttrNextHop, subcode: InvalidNextHop},
		{name: "7.3 NEXT_HOP broadcast", attrs: instead(attr(0x40, 3, 255, 255, 255, 255)), action: TreatAsWithdraw, about: AttrNextHop, subcode: InvalidNextHop},
		{name: "7.4 MED of 3", attrs: with(attr(0x80, 4, 1, 2, 3)), action: TreatAsWithdraw, about: AttrMED, subcode: AttributeLengthError},
		{name: "7.4 MED of 0", attrs: with(attr(0x80, 4)), action: TreatAsWithdraw, about: AttrMED, subcode: AttributeLengthError},
		{name: "7.5 LOCAL_PREF of 5", attrs: with(attr(0x40, 5, 1, 2, 3, 4, 5)), action: TreatAsWithdraw, about: AttrLocalPref, subcode: AttributeLengthError},
		{name: "7.5 LOCAL_PREF from outside", attrs: with(pref), opts: external, action: AttributeDiscard, about: AttrLocalPref},
		{name: "7.5 LOCAL_PREF of 5 from outside", attrs: with(attr(0x40, 5, 1, 2, 3, 4, 5)), opts: external, action: AttributeDiscard, about: AttrLocalPref},
		{name: "7.6 ATOMIC_AGGREGATE of 1", attrs: with(attr(0x40, 6, 1)), action: AttributeDiscard, about: AttrAtomicAggregate},
		{name: "7.7 AGGREGATOR of 6 over four", attrs: with(attr(0xc0, 7, 0, 1, 1, 2, 3, 4)), action: AttributeDiscard, about: AttrAggregator},
		{name: "7.7 AGGREGATOR of 8 over two", opts: two, attrs: [][]byte{origin, attr(0x40, 2), nextHop, attr(0xc0, 7, 0, 0, 0, 1, 1, 2, 3, 4)}, action: AttributeDiscard, about: AttrAggregator},
		{name: "7.7 AGGREGATOR of 6 over two", opts: two, attrs: [][]byte{origin, attr(0x40, 2), nextHop, attr(0xc0, 7, 0, 1, 1, 2, 3, 4)}, action: OK},
		{name: "7.8 COMMUNITIES empty", attrs: with(attr(0xc0, 8)), action: TreatAsWithdraw, about: AttrCommunities, subcode: OptionalAttributeError},
		{name: "7.8 COMMUNITIES of 6", attrs: with(attr(0xc0, 8, 1, 2, 3, 4, 5, 6)), action: TreatAsWithdraw, about: AttrCommunities, subcode: OptionalAttributeError},
		{name: "7.9 ORIGINATOR_ID of 5", attrs: with(attr(0x80, 9, 1, 2, 3, 4, 5)), action: TreatAsWithdraw, about: AttrOriginatorID, subcode: AttributeLengthError},
		{name: "7.9 ORIGINATOR_ID from outside", attrs: with(attr(0x80, 9, 1, 2, 3, 4)), opts: external, action: AttributeDiscard, about: AttrOriginatorID},
		{name: "7.10 CLUSTER_LIST empty", attrs: with(attr(0x80, 10)), action: TreatAsWithdraw, about: AttrClusterList, subcode: OptionalAttributeError},
		{name: "7.10 CLUSTER_LIST of 5", attrs: with(attr(0x80, 10, 1, 2, 3, 4, 5)), action: TreatAsWithdraw, about: AttrClusterList, subcode: OptionalAttributeError},
		{name: "7.10 CLUSTER_LIST from outside", attrs: with(attr(0x80, 10, 1, 2, 3, 4, 5)), opts: external, action: AttributeDiscard, about: AttrClusterList},
		{name: "7.11 next hop of 0", attrs: with(attr(0x80, 14, 0, 2, 1, 0, 0, 16, 0xfd, 0)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "7.11 next hop of 4 for IPv6", attrs: with(attr(0x80, 14, 0, 2, 1, 4, 1, 2, 3, 4, 0, 16, 0xfd, 0)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "7.11 next hop of 16 for IPv4", attrs: with(attr(0x80, 14, append([]byte{0, 1, 1, 16, 0x20}, make([]byte, 16)...)...)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "7.11 next hop of 255", attrs: with(attr(0x80, 14, 0, 2, 1, 255, 0, 0)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "7.12 MP_UNREACH of 2", attrs: with(attr(0x80, 15, 0, 2)), action: SessionReset, about: AttrMPUnreach, subcode: OptionalAttributeError},
		{name: "7.13 traffic engineering", attrs: with(attr(0x80, 24, 1, 2, 3)), action: OK},
		{name: "7.14 EXTENDED_COMMUNITIES empty", attrs: with(attr(0xc0, 16)), action: TreatAsWithdraw, about: AttrExtended, subcode: OptionalAttributeError},
		{name: "7.14 EXTENDED_COMMUNITIES of 9", attrs: with(attr(0xc0, 16, make([]byte, 9)...)), action: TreatAsWithdraw, about: AttrExtended, subcode: OptionalAttributeError},
		{name: "7.14 of unknown type", attrs: with(attr(0xc0, 16, 0xff, 0xff, 0, 0, 0, 0, 0, 0)), action: OK},
		{name: "7.15 IPv6 specific, empty", attrs: with(attr(0xc0, 25)), action: TreatAsWithdraw, about: AttrExtendedIPv6, subcode: OptionalAttributeError},
		{name: "7.15 IPv6 specific of 19", attrs: with(attr(0xc0, 25, make([]byte, 19)...)), action: TreatAsWithdraw, about: AttrExtendedIPv6, subcode: OptionalAttributeError},
		{name: "7.16 ATTR_SET is not looked into", attrs: with(attr(0xc0, 128, 1)), action: OK},
		{name: "RFC 8092 LARGE_COMMUNITY of 13", attrs: with(attr(0xc0, 32, make([]byte, 13)...)), action: TreatAsWithdraw, about: AttrLargeCommunities, subcode: OptionalAttributeError},
		{name: "RFC 8092 LARGE_COMMUNITY empty", attrs: with(attr(0xc0, 32)), action: TreatAsWithdraw, about: AttrLargeCommunities, subcode: OptionalAttributeError},
		{name: "RFC 9234 OTC of 3", attrs: with(attr(0xc0, 35, 1, 2, 3)), action: TreatAsWithdraw, about: AttrOnlyToCustomer, subcode: AttributeLengthError},
		{name: "RFC 7607 AS 0 in AS_PATH", attrs: instead(attr(0x40, 2, 2, 2, 0, 0, 0, 1, 0, 0, 0, 0)), action: TreatAsWithdraw, about: AttrASPath, subcode: MalformedASPath},
		{name: "RFC 7607 AS 0 in AGGREGATOR", attrs: with(attr(0xc0, 7, 0, 0, 0, 0, 1, 2, 3, 4)), action: AttributeDiscard, about: AttrAggregator},
		{name: "RFC 6793 AS4_PATH over four", attrs: with(attr(0xc0, 17, 2, 1, 0, 0, 0, 1)), action: AttributeDiscard, about: AttrAS4Path},
		{name: "RFC 6793 AS4_PATH malformed", opts: two, attrs: [][]byte{origin, attr(0x40, 2), nextHop, attr(0xc0, 17, 9, 1, 0, 0, 0, 1)}, action: AttributeDiscard, about: AttrAS4Path},
		{name: "RFC 6793 AS4_AGGREGATOR of 6", opts: two, attrs: [][]byte{origin, attr(0x40, 2), nextHop, attr(0xc0, 18, 0, 1, 1, 2, 3, 4)}, action: AttributeDiscard, about: AttrAS4Aggregator},
		{name: "RFC 6793 AS4_PATH before AS_PATH", opts: two, attrs: [][]byte{attr(0xc0, 17, 2, 1, 0, 1, 0, 0), origin, attr(0x40, 2, 2, 1, 0x5b, 0xa0), nextHop}, action: OK},
	}
}

func rules() []verdictCase {
	wrong := attr(0x40, 1, 9)
	return []verdictCase{
		{name: "good", attrs: with(pref), action: OK},
		{name: "3a withdrawn length", body: []byte{0, 9, 0, 0}, action: SessionReset, subcode: MalformedAttributeList, data: []byte{}},
		{name: "3a attribute length", body: []byte{0, 0, 0, 1}, action: SessionReset, subcode: MalformedAttributeList},
		{name: "3a no room for the second length", body: []byte{0, 1, 0, 0}, action: SessionReset, subcode: MalformedAttributeList},
		{name: "3c ORIGIN optional", attrs: instead(attr(0xc0, 1, 0)), action: TreatAsWithdraw, about: AttrOrigin, subcode: AttributeFlagsError, data: attr(0xc0, 1, 0)},
		{name: "3c ORIGIN not transitive", attrs: instead(attr(0x00, 1, 0)), action: TreatAsWithdraw, about: AttrOrigin, subcode: AttributeFlagsError},
		{name: "3c MED transitive", attrs: with(attr(0xc0, 4, 0, 0, 0, 0)), action: TreatAsWithdraw, about: AttrMED, subcode: AttributeFlagsError},
		{name: "3c COMMUNITIES not transitive", attrs: with(attr(0x80, 8, 0, 0, 0, 0)), action: TreatAsWithdraw, about: AttrCommunities, subcode: AttributeFlagsError},
		{name: "3c ATOMIC_AGGREGATE optional", attrs: with(attr(0xc0, 6)), action: TreatAsWithdraw, about: AttrAtomicAggregate, subcode: AttributeFlagsError},
		{name: "3c partial is not looked at", attrs: instead(attr(0x60, 1, 0)), action: OK},
		{name: "3c unused flags are not looked at", attrs: instead(attr(0x4f, 1, 0)), action: OK},
		{name: "3d ORIGIN missing", attrs: [][]byte{asPath, nextHop}, action: TreatAsWithdraw, about: AttrOrigin, subcode: MissingWellKnown, data: []byte{1}},
		{name: "3d AS_PATH missing", attrs: [][]byte{origin, nextHop}, action: TreatAsWithdraw, about: AttrASPath, subcode: MissingWellKnown, data: []byte{2}},
		{name: "3d NEXT_HOP missing", attrs: [][]byte{origin, asPath}, action: TreatAsWithdraw, about: AttrNextHop, subcode: MissingWellKnown, data: []byte{3}},
		{name: "3d NEXT_HOP not needed", body: update(nil, [][]byte{reach6, origin, asPath}), action: OK},
		{name: "3d nothing at all", attrs: [][]byte{}, action: TreatAsWithdraw, about: AttrOrigin, subcode: MissingWellKnown},
		{name: "3g ORIGIN twice", attrs: with(wrong), action: AttributeDiscard, about: AttrOrigin},
		{name: "3g unknown twice", attrs: with(attr(0xc0, 99), attr(0xc0, 99)), action: AttributeDiscard, about: 99},
		{name: "3g MP_REACH twice", attrs: with(reach6, reach6), action: SessionReset, about: AttrMPReach, subcode: MalformedAttributeList, data: []byte{}},
		{name: "3g MP_UNREACH twice", attrs: with(unreach6, unreach6), action: SessionReset, about: AttrMPUnreach, subcode: MalformedAttributeList},
		{name: "3h strongest of two", attrs: instead(wrong), body: update(nil, append(instead(wrong), attr(0x40, 6, 1)), nlri...), action: TreatAsWithdraw, about: AttrOrigin, subcode: InvalidOrigin},
		{name: "3h first of two alike", attrs: append(instead(wrong), attr(0x80, 4)), action: TreatAsWithdraw, about: AttrOrigin, subcode: InvalidOrigin},
		{name: "3h discard, then withdraw", attrs: with(attr(0x40, 6, 1), attr(0xc0, 8)), action: TreatAsWithdraw, about: AttrCommunities, subcode: OptionalAttributeError},
		{name: "3h withdraw, then reset", attrs: append(instead(wrong), attr(0x80, 15, 0)), action: SessionReset, about: AttrMPUnreach, subcode: OptionalAttributeError, data: attr(0x80, 15, 0)},
		{name: "3h withdraw, then a bad prefix", body: update(nil, instead(wrong), 33, 1, 2, 3, 4, 5), action: SessionReset, subcode: InvalidNetworkField},
		{name: "3i withdrawn of 33 bits", body: update([]byte{33, 1, 2, 3, 4, 5}, nil), action: SessionReset, subcode: InvalidNetworkField},
		{name: "3i withdrawn cut off", body: update([]byte{24, 10, 0}, nil), action: SessionReset, subcode: InvalidNetworkField},
		{name: "4 overrun", attrs: with(attr(0xc0, 8, 1, 2, 3, 4)[:5]), action: TreatAsWithdraw, subcode: MalformedAttributeList},
		{name: "4 underrun", attrs: with([]byte{0xc0, 8}), action: TreatAsWithdraw, subcode: MalformedAttributeList},
		{name: "4 underrun, extended", attrs: with([]byte{0xd0, 8, 0}), action: TreatAsWithdraw, subcode: MalformedAttributeList},
		{name: "5.1 NEXT_HOP beside MP_REACH alone", body: update(nil, with(reach6)), action: OK},
		{name: "5.2 error without prefixes", body: update(nil, [][]byte{wrong, asPath}), action: SessionReset, about: AttrOrigin, subcode: InvalidOrigin, data: wrong},
		{name: "5.2 error beside withdrawals", body: update(nlri, [][]byte{wrong}), action: SessionReset, about: AttrOrigin, subcode: InvalidOrigin},
		{name: "5.2 error beside MP_UNREACH", body: update(nil, [][]byte{unreach6, attr(0x80, 4)}), action: SessionReset, about: AttrMED, subcode: AttributeLengthError},
		{name: "5.2 overrun beside MP_UNREACH", body: update(nil, [][]byte{unreach6, {0xc0}}), action: SessionReset, subcode: MalformedAttributeList},
		{name: "5.2 discard without prefixes", body: update(nil, [][]byte{origin, attr(0x40, 6, 1)}), action: AttributeDiscard, about: AttrAtomicAggregate},
		{name: "5.3 prefix of 33 bits", body: update(nil, with(), 33, 1, 2, 3, 4, 5), action: SessionReset, subcode: InvalidNetworkField},
		{name: "5.3 prefix cut off", body: update(nil, with(), 24, 10, 0), action: SessionReset, subcode: InvalidNetworkField},
		{name: "5.3 MP_REACH of 4", attrs: with(attr(0x80, 14, 0, 2, 1, 0)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "5.3 MP_REACH of 3", attrs: with(attr(0x80, 14, 0, 2, 1)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "5.3 MP_REACH prefix of 129 bits", attrs: with(attr(0x80, 14, append(slices.Clone(reach6[3:24]), 129)...)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "5.3 MP_REACH prefix cut off", attrs: with(attr(0x80, 14, append(slices.Clone(reach6[3:24]), 24, 1)...)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "5.3 MP_REACH flags", attrs: with(attr(0xc0, 14, reach6[3:]...)), action: SessionReset, about: AttrMPReach, subcode: OptionalAttributeError},
		{name: "5.3 MP_UNREACH flags", attrs: with(attr(0x40, 15, unreach6[3:]...)), action: SessionReset, about: AttrMPUnreach, subcode: OptionalAttributeError},
		{name: "5.3 MP_UNREACH prefix cut off", attrs: with(attr(0x80, 15, 0, 2, 1, 128, 1)), action: SessionReset, about: AttrMPUnreach, subcode: OptionalAttributeError},
		{name: "MP_REACH next hop ::", attrs: with(attr(0x80, 14, append(append([]byte{0, 2, 1, 16}, make([]byte, 17)...), 16, 0xfd, 0)...)), action: TreatAsWithdraw, about: AttrMPReach, subcode: InvalidNextHop},
		{name: "MP_REACH of another family", attrs: with(attr(0x80, 14, 0, 25, 70, 4, 1, 2, 3, 4, 0, 99)), action: AttributeDiscard, about: AttrMPReach},
		{name: "MP_UNREACH of another family", attrs: with(attr(0x80, 15, 0, 1, 128, 99)), action: AttributeDiscard, about: AttrMPUnreach},
		{name: "only another family, in error", body: update(nil, [][]byte{wrong, asPath, attr(0x80, 14, 0, 25, 70, 4, 1, 2, 3, 4, 0, 99)}), action: TreatAsWithdraw, about: AttrOrigin, subcode: InvalidOrigin},
		{name: "family not negotiated", attrs: with(reach6), opts: Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast)}, action: AttributeDiscard, about: AttrMPReach},
		{name: "unknown well-known", attrs: with(attr(0x40, 99, 1)), action: SessionReset, about: 99, subcode: UnrecognizedWellKnown, data: attr(0x40, 99, 1)},
		{name: "unknown not transitive", attrs: with(attr(0x80, 99, 1)), action: OK},
		{name: "unknown, partial", attrs: with(attr(0xe0, 99, 1)), action: OK},
		{name: "add-path, id cut off", body: update(nil, with(), 0, 0, 1), opts: Options{FourByteAS: true, Families: both, AddPath: both}, action: SessionReset, subcode: InvalidNetworkField},
		{name: "not even lengths", body: []byte{0, 0, 0}, action: SessionReset, subcode: MalformedAttributeList},
	}
}

// message is the body and the options of c.
func (c verdictCase) message() ([]byte, Options) {
	if c.opts == (Options{}) {
		c.opts = internal
	}
	if c.body == nil {
		return update(nil, c.attrs, nlri...), c.opts
	}
	return c.body, c.opts
}

func runVerdicts(t *testing.T, cases []verdictCase) {
	t.Helper()
	var u Update // one for all: nothing may be left of the case before
	for _, c := range cases {
		body, opts := c.message()
		v := u.Parse(body, opts)
		if v.Action != c.action || v.Attribute != c.about {
			t.Errorf("%s: %s (%s), want %s (%s)", c.name, v, v.Attribute, c.action, c.about)
			continue
		}
		n := v.Notification()
		if c.subcode != 0 && (n.Code != UpdateError || n.Subcode != c.subcode) {
			t.Errorf("%s: %v, want subcode %d", c.name, n, c.subcode)
		}
		if c.data != nil && !bytes.Equal(n.Data, c.data) {
			t.Errorf("%s: data %x, want %x", c.name, n.Data, c.data)
		}
		if c.action == AttributeDiscard && !v.Discarded.Has(c.about) {
			t.Errorf("%s: %s was discarded", c.name, v.Discarded)
		}
		checkConsistent(t, c.name, &u, v)
	}
}

// checkConsistent checks what holds of every Update with its verdict.
func checkConsistent(t *testing.T, name string, u *Update, v Verdict) {
	t.Helper()
	if v.Bug != nil {
		t.Errorf("%s: %v", name, v.Bug)
	}
	switch {
	case v.Action == SessionReset && len(u.Announced)+len(u.Withdrawn) > 0:
		t.Errorf("%s: something left after a reset:\n%s", name, show(u))
	case v.Action == TreatAsWithdraw && len(u.Announced) > 0:
		t.Errorf("%s: announced although to be withdrawn:\n%s", name, show(u))
	}
	for _, a := range u.Announced {
		attrs, err := ParseAttributes(a.Attributes)
		if err != nil {
			t.Errorf("%s: %v in %x", name, err, a.Attributes)
		}
		if !attrs.NextHop.Addr.IsValid() {
			t.Errorf("%s: no next hop in %x", name, a.Attributes)
		}
		if u.opts.External && (attrs.HasLocalPref || attrs.OriginatorID.IsValid() || attrs.ClusterList != nil) {
			t.Errorf("%s: taken from an external peer: %+v", name, attrs)
		}
	}
}
