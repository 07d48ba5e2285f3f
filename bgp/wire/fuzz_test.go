package wire

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/projectvrouter/vrouter/bgp"
)

func FuzzReader(f *testing.F) {
	f.Add(AppendKeepalive(AppendEndOfRIB(nil, bgp.IPv6Unicast)), false)
	f.Add(message(f, bgp.IPv4Unicast, 1500), true)
	f.Add(AppendNotification(nil, &Notification{Code: Cease}), false)
	f.Fuzz(func(t *testing.T, stream []byte, extended bool) {
		read := func(in io.Reader) (all []byte, last error) {
			r := NewReader(in, 0)
			if extended {
				r.AllowExtended()
			}
			for {
				m, err := r.Next()
				if err != nil {
					return all, err
				}
				var start int
				all, start = beginMessage(all, m.Type)
				all = endMessage(append(all, m.Body...), start)
			}
		}
		whole, end := read(bytes.NewReader(stream))
		if !bytes.HasPrefix(stream, whole) {
			t.Errorf("messages are not those of the stream")
		}
		halves, end2 := read(iotest.HalfReader(bytes.NewReader(stream)))
		if !bytes.Equal(whole, halves) || end.Error() != end2.Error() {
			t.Errorf("other messages from a slower stream: %v, %v", end, end2)
		}
		if errors.Is(end, io.EOF) && len(whole) != len(stream) {
			t.Errorf("%d octets of %d, and no error", len(whole), len(stream))
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, o := range []Open{fullOpen(), {AS: 1, RouterID: addr("1.1.1.1")}} {
		b, err := AppendOpen(nil, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[HeaderLen:])
	}
	f.Add(unhex(f, "04 fde9 005a c0000201 ff ff 0009 02 0006 4104 0000fde9"))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := ParseOpen(body)
		if err != nil {
			var n *Notification
			if !errors.As(err, &n) || n.Error() == "" {
				t.Errorf("%v", err)
			}
			return
		}
		o.Capabilities.Names()
		if _, err := Negotiate(fullOpen(), o, false); err != nil && err.Error() == "" {
			t.Error("an error that says nothing")
		}
		// What cannot be said again is left out; the rest comes back.
		o.Capabilities.Unknown, o.Capabilities.FourByteAS, o.Capabilities.AS = nil, true, o.AS
		b, err := AppendOpen(nil, o)
		if err != nil {
			return // too long
		}
		again, err := ParseOpen(b[HeaderLen:])
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Errorf("%v\n%+v\n%+v", err, again, o)
		}
	})
}

// fuzzOptions makes options of an octet.
func fuzzOptions(b byte) Options {
	o := Options{External: b&1 != 0, FourByteAS: b&2 == 0, ExtendedNextHop: b&4 != 0, Families: both}
	if b&8 != 0 {
		o.AddPath = both
	}
	if b&16 != 0 {
		o.Families = bgp.FamiliesOf(bgp.IPv4Unicast)
	}
	return o
}

func FuzzUpdate(f *testing.F) {
	for _, c := range append(section7(), rules()...) {
		body, _ := c.message()
		f.Add(body, byte(0))
	}
	for i, family := range both.All() {
		f.Add(message(f, family, 5)[HeaderLen:], byte(0))
		a := full()
		a.NextHop = sample(family).NextHop
		b, err := AppendAnnouncements(nil, Form{AddPath: both, TwoByteAS: i == 0}, family, a.Append(nil), hosts(family, 3))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[HeaderLen:], byte(8|2*(1-i)))
	}
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		if len(body) > MaxExtended-HeaderLen {
			return
		}
		o, before := fuzzOptions(how), bytes.Clone(body)
		var u Update
		v := u.Parse(body, o)
		checkConsistent(t, "update", &u, v)
		_, _ = v.String(), v.Notification().Error()
		if !bytes.Equal(body, before) {
			t.Error("the message was changed")
		}
		for _, n := range u.Withdrawn {
			checkRun(t, n)
		}
		for _, a := range u.Announced {
			checkRun(t, a.NLRI)
			if err := repack(a, o); err != nil {
				t.Error(err)
			}
		}
		if o.FourByteAS && o.Families == both && v.Action == OK {
			if want, ok := oracle(body, o); ok {
				if got := ours(t, &u); got != want {
					t.Errorf("we read\n%s\nGoBGP reads\n%s", got, want)
				}
			}
		}
	})
}

// checkRun checks that a run says of itself what it yields.
func checkRun(t *testing.T, n NLRI) {
	t.Helper()
	count := 0
	for p := range n.All() {
		count++
		if p != p.Masked() || bgp.FamilyOf(p.Addr()) != n.Family() && !p.Addr().Is4In6() {
			t.Errorf("%s of %s", p, n.Family())
		}
	}
	if count != n.Count() || n.Empty() {
		t.Errorf("%d prefixes, count says %d", count, n.Count())
	}
}

// repack writes what was read and reads it again.
func repack(a Announcement, o Options) error {
	form := Form{TwoByteAS: !o.FourByteAS, ExtendedNextHop: o.ExtendedNextHop, AddPath: o.AddPath, Max: MaxExtended}
	b, err := AppendAnnouncements(nil, form, a.NLRI.Family(), a.Attributes, a.NLRI.All())
	if errors.Is(err, ErrTooLarge) {
		return nil
	}
	if err != nil {
		return err
	}
	var got []netip.Prefix
	var u Update
	r := NewReader(bytes.NewReader(b), 0)
	r.AllowExtended()
	for m, err := r.Next(); !errors.Is(err, io.EOF); m, err = r.Next() {
		if err != nil {
			return err
		}
		if v := u.Parse(m.Body, o); v.Action != OK || len(u.Announced) != 1 {
			return errors.New("what was written reads " + v.String())
		}
		if o.FourByteAS && !bytes.Equal(u.Announced[0].Attributes, a.Attributes) {
			return errors.New("other attributes after writing")
		}
		for p := range u.Announced[0].NLRI.All() {
			got = append(got, p)
		}
	}
	var want []netip.Prefix
	for p := range a.NLRI.All() {
		want = append(want, p)
	}
	if !reflect.DeepEqual(got, want) {
		return errors.New("other prefixes after writing")
	}
	return nil
}

func FuzzAttributes(f *testing.F) {
	for _, a := range []Attributes{full(), sample(bgp.IPv4Unicast), sample(bgp.IPv6Unicast)} {
		f.Add(a.Append(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := ParseAttributes(raw)
		if err != nil {
			if bytes.Contains([]byte(err.Error()), []byte("panic")) {
				t.Error(err)
			}
			return
		}
		again, err := ParseAttributes(a.Append(nil))
		if err != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("%v\n%+v\n%+v", err, a, again)
		}
		for name, edited := range map[string][]byte{
			"reflected": AppendReflected(nil, raw, addr("192.0.2.1"), addr("192.0.2.2")),
			"internal":  AppendInternal(nil, raw, 100, NextHop{}),
			"external":  AppendExternal(nil, raw, External{AS: 64512, Prepend: 3, NextHop: NextHop{Addr: addr("192.0.2.1")}}),
		} {
			e, err := ParseAttributes(edited)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if name == "reflected" && (!e.OriginatorID.IsValid() || len(e.ClusterList) != len(a.ClusterList)+1 || !reflect.DeepEqual(e.ASPath, a.ASPath)) {
				t.Errorf("%s: %+v", name, e)
			}
			if name == "external" && (e.ASPath.First() != 64512 || e.ASPath.Len() != a.ASPath.Len()+4 || e.HasLocalPref || e.HasMED) {
				t.Errorf("%s: %+v", name, e)
			}
		}
	})
}

// FuzzTwoByteAS sends a path through a peer that knows two octets and merges it
// back.
func FuzzTwoByteAS(f *testing.F) {
	a := full()
	f.Add(a.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := ParseAttributes(raw)
		if err != nil {
			return
		}
		a.NextHop = NextHop{Addr: addr("192.0.2.1")}
		if a.Aggregator.AS == ASTrans || a.ASPath.Count(ASTrans) > 0 {
			return // cannot be told apart
		}
		b, err := AppendAnnouncements(nil, Form{TwoByteAS: true, Max: MaxExtended}, bgp.IPv4Unicast, a.Append(nil), hosts(bgp.IPv4Unicast, 1))
		if err != nil {
			return // too long
		}
		var u Update
		if v := u.Parse(b[HeaderLen:], Options{Families: both}); v.Action != OK {
			t.Fatalf("%s", v)
		}
		got, err := ParseAttributes(u.Announced[0].Attributes)
		if err != nil || !reflect.DeepEqual(got.ASPath.Flat(), a.ASPath.Flat()) {
			t.Errorf("%v: %v, want %v", err, got.ASPath, a.ASPath)
		}
		if got.Aggregator != a.Aggregator {
			t.Errorf("%+v, want %+v", got.Aggregator, a.Aggregator)
		}
	})
}

func FuzzNotification(f *testing.F) {
	f.Add([]byte{6, 2, 2, 'h', 'i'})
	f.Add([]byte{6, 9, 6, 9, 6, 9})
	f.Add([]byte{3, 11})
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := ParseNotification(body)
		if err != nil {
			return
		}
		if n.Error() == "" {
			t.Error("an error that says nothing")
		}
		b := AppendNotification(nil, n)
		_, length, err := CheckHeader(b, false)
		if err != nil || length != len(b) {
			t.Errorf("%d of %d octets, %v", length, len(b), err)
		}
		if len(body) <= MaxMessage-HeaderLen && !bytes.Equal(b[HeaderLen:], body) {
			t.Errorf("%x became %x", body, b[HeaderLen:])
		}
	})
}

func FuzzRouteRefresh(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1}, true)
	f.Fuzz(func(t *testing.T, body []byte, enhanced bool) {
		m, err := ParseRouteRefresh(body, enhanced)
		if err != nil || m.Family == 0 {
			return
		}
		b := AppendRouteRefresh(nil, m)
		if again, err := ParseRouteRefresh(b[HeaderLen:], true); err != nil || again != m {
			t.Errorf("%+v, %v", again, err)
		}
	})
}
