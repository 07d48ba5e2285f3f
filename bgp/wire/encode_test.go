package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func full() Attributes {
	return Attributes{
		Origin: bgp.OriginIncomplete, NextHop: NextHop{Addr: addr("192.0.2.1")},
		ASPath: ASPath{{ASSequence, []uint32{65001, 4200000000}}, {ASSet, []uint32{1, 2}}},
		MED:    7, HasMED: true, LocalPref: 0, HasLocalPref: true, AtomicAggregate: true,
		Aggregator:   Aggregator{AS: 4200000000, Addr: addr("192.0.2.9")},
		Communities:  []bgp.Community{0xffff0000, 1},
		Extended:     []ExtendedCommunity{{0, 2, 3, 4, 5, 6, 7, 8}},
		Large:        []bgp.LargeCommunity{{Global: 1, Local1: 2, Local2: 3}},
		OriginatorID: addr("192.0.2.3"), ClusterList: []netip.Addr{addr("192.0.2.4"), addr("192.0.2.5")},
		OnlyToCustomer: 65001,
		Unknown: []UnknownAttribute{
			{Type: 11, Value: []byte{1}}, {Type: 25, Value: make([]byte, 20)}, {Type: 33, Partial: true, Value: []byte{}},
			{Type: 128, Value: bytes.Repeat([]byte{7}, 300)}, {Type: 255, Value: []byte{1, 2}},
		},
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	for name, a := range map[string]Attributes{"full": full(), "v4": sample(bgp.IPv4Unicast), "v6": sample(bgp.IPv6Unicast)} {
		raw := a.Append(nil)
		got, err := ParseAttributes(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range a.Unknown {
			if len(a.Unknown[i].Value) == 0 {
				got.Unknown[i].Value = a.Unknown[i].Value
			}
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("%s:\n%+v\n%+v", name, got, a)
		}
		if again := got.Append(nil); !bytes.Equal(again, raw) {
			t.Errorf("%s: %x\n%x", name, again, raw)
		}
	}
}

func TestPackRoundTrip(t *testing.T) {
	v6hop := sample(bgp.IPv6Unicast)
	for _, c := range []struct {
		name     string
		family   bgp.Family
		attrs    Attributes
		form     Form
		count    int
		messages int
	}{
		{"ipv4", bgp.IPv4Unicast, sample(bgp.IPv4Unicast), Form{}, 1000, 2},
		{"ipv4, full", bgp.IPv4Unicast, full(), Form{}, 1, 1},
		{"ipv4, ids", bgp.IPv4Unicast, sample(bgp.IPv4Unicast), Form{AddPath: both}, 1000, 3},
		{"ipv4 over ipv6", bgp.IPv4Unicast, v6hop, Form{ExtendedNextHop: true}, 1000, 2},
		{"ipv6", bgp.IPv6Unicast, v6hop, Form{}, 1000, 5},
		{"ipv6, ids", bgp.IPv6Unicast, v6hop, Form{AddPath: both}, 1000, 6},
		{"ipv6, extended messages", bgp.IPv6Unicast, v6hop, Form{Max: MaxExtended}, 1000, 1},
		{"ipv4, two-octet AS", bgp.IPv4Unicast, full(), Form{TwoByteAS: true}, 1000, 2},
		{"ipv6, two-octet AS", bgp.IPv6Unicast, v6hop, Form{TwoByteAS: true}, 10, 1},
	} {
		raw := AppendInternal(nil, c.attrs.Append(nil), 100, NextHop{}) // unknown ones made partial
		stream, err := AppendAnnouncements([]byte("before"), c.form, c.family, raw, hosts(c.family, c.count))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		withdrawn := AppendWithdrawals(nil, c.form, c.family, hosts(c.family, c.count))
		withdrawn = AppendEndOfRIB(withdrawn, c.family)

		o := Options{Families: both, FourByteAS: !c.form.TwoByteAS, AddPath: c.form.AddPath, ExtendedNextHop: c.form.ExtendedNextHop}
		told, messages, _ := readBack(t, c.name, stream[len("before"):], o, raw)
		gone, _, end := readBack(t, c.name, withdrawn, o, nil)
		var want []netip.Prefix
		for p := range hosts(c.family, c.count) {
			want = append(want, p)
		}
		if !reflect.DeepEqual(told, want) || !reflect.DeepEqual(gone, want) || end != c.family {
			t.Errorf("%s: %d told, %d withdrawn of %d; end of %s", c.name, len(told), len(gone), len(want), end)
		}
		if messages != c.messages {
			t.Errorf("%s: %d messages, want %d", c.name, messages, c.messages)
		}
	}
}

// readBack parses what was packed and returns its prefixes.
func readBack(t *testing.T, name string, stream []byte, o Options, raw []byte) (prefixes []netip.Prefix, messages int, end bgp.Family) {
	t.Helper()
	r := NewReader(bytes.NewReader(stream), 0)
	r.AllowExtended()
	var u Update
	for {
		m, err := r.Next()
		if err != nil {
			return prefixes, messages, end
		}
		messages++
		if v := u.Parse(m.Body, o); v.Action != OK {
			t.Fatalf("%s: %s", name, v)
		}
		runs := u.Withdrawn
		for _, a := range u.Announced {
			runs = append(runs, a.NLRI)
			if !bytes.Equal(a.Attributes, raw) {
				t.Fatalf("%s: attributes\n%x, want\n%x", name, a.Attributes, raw)
			}
		}
		for _, n := range runs {
			for p, id := range n.All() {
				if want := uint32(len(prefixes)); o.AddPath.Has(n.Family()) && id != want {
					t.Fatalf("%s: %s has id %d, want %d", name, p, id, want)
				}
				prefixes = append(prefixes, p)
			}
		}
		end = max(end, u.EndOfRIB)
	}
}

func TestPackRefuses(t *testing.T) {
	big := sample(bgp.IPv4Unicast)
	big.Communities = make([]bgp.Community, 1010)
	p := NewPacker(Form{})
	if _, err := p.Announce(nil, bgp.IPv4Unicast, big.Append(nil)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	v4, v6 := sample(bgp.IPv4Unicast), sample(bgp.IPv6Unicast)
	if _, err := p.Announce(nil, bgp.IPv6Unicast, v4.Append(nil)); err == nil {
		t.Error("IPv6 with an IPv4 next hop")
	}
	if _, err := p.Announce(nil, bgp.IPv4Unicast, v6.Append(nil)); err == nil {
		t.Error("IPv4 with an IPv6 next hop that was not negotiated")
	}
	if b := p.Close(p.Withdraw(nil, bgp.IPv6Unicast)); len(b) != 0 {
		t.Errorf("a message without a prefix: %x", b)
	}
}

func TestReflected(t *testing.T) {
	a := full()
	a.OriginatorID, a.ClusterList = netip.Addr{}, nil
	first := AppendReflected(nil, a.Append(nil), addr("192.0.2.7"), addr("192.0.2.8"))
	a.OriginatorID, a.ClusterList = addr("192.0.2.7"), []netip.Addr{addr("192.0.2.8")}
	sent(t, first, a)
	second := AppendReflected(nil, first, addr("192.0.2.10"), addr("192.0.2.11"))
	a.ClusterList = []netip.Addr{addr("192.0.2.11"), addr("192.0.2.8")}
	sent(t, second, a)
	// From nothing but what is mandatory.
	bare := Attributes{NextHop: NextHop{Addr: addr("192.0.2.1")}}
	got := AppendReflected(nil, bare.Append(nil), addr("192.0.2.7"), addr("192.0.2.8"))
	bare.OriginatorID, bare.ClusterList = addr("192.0.2.7"), []netip.Addr{addr("192.0.2.8")}
	sent(t, got, bare)
}

// sent checks raw against a, whose unknown attributes have become partial.
func sent(t *testing.T, raw []byte, a Attributes) {
	t.Helper()
	a.Unknown = append([]UnknownAttribute(nil), a.Unknown...)
	for i := range a.Unknown {
		_, known := flagsOf(a.Unknown[i].Type)
		a.Unknown[i].Partial = a.Unknown[i].Partial || !known
	}
	if want := a.Append(nil); !bytes.Equal(raw, want) {
		t.Errorf("\n%x, want\n%x", raw, want)
	}
	if _, err := ParseAttributes(raw); err != nil {
		t.Error(err)
	}
}

func TestExternal(t *testing.T) {
	a := full()
	got := AppendExternal(nil, a.Append(nil), External{AS: 64512, NextHop: NextHop{Addr: addr("192.0.2.20")}})
	a.ASPath[0].AS = append([]uint32{64512}, a.ASPath[0].AS...)
	a.NextHop.Addr, a.OriginatorID, a.ClusterList, a.HasLocalPref, a.HasMED = addr("192.0.2.20"), netip.Addr{}, nil, false, false
	sent(t, got, a)

	// A set or nothing in front makes a segment of its own, and so does a full one.
	for _, c := range []struct{ before, after ASPath }{
		{nil, ASPath{{ASSequence, []uint32{9, 9, 9}}}},
		{ASPath{{ASSet, []uint32{1}}}, ASPath{{ASSequence, []uint32{9, 9, 9}}, {ASSet, []uint32{1}}}},
		{ASPath{{ASSequence, repeat(1, 253)}}, ASPath{{ASSequence, []uint32{9, 9, 9}}, {ASSequence, repeat(1, 253)}}},
		{ASPath{{ASSequence, repeat(1, 252)}}, ASPath{{ASSequence, append([]uint32{9, 9, 9}, repeat(1, 252)...)}}},
	} {
		a := Attributes{ASPath: c.before, MED: 3, HasMED: true}
		got := AppendExternal(nil, a.Append(nil), External{AS: 9, Prepend: 2, KeepMED: true, OnlyToCustomer: 9})
		a.ASPath, a.OnlyToCustomer = c.after, 9
		sent(t, got, a)
	}
	if path := prepended(nil, 9, 256); len(path) != 2+255*4+2+4 {
		t.Errorf("256 times takes %d octets", len(path))
	}
}

func repeat(as uint32, n int) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		all[i] = as
	}
	return all
}

func TestInternal(t *testing.T) {
	a := full()
	sent(t, AppendInternal(nil, a.Append(nil), 200, NextHop{}), a)
	a.HasLocalPref = false
	got := AppendInternal(nil, a.Append(nil), 200, NextHop{Addr: addr("2001:db8::1")})
	a.HasLocalPref, a.LocalPref, a.NextHop.Addr = true, 200, addr("2001:db8::1")
	sent(t, got, a)
}
