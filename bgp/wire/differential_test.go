package wire

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

// TestDifferential reads random good UPDATEs, their attributes in any order,
// and the same with a few octets changed, with GoBGP's codec and ours.
func TestDifferential(t *testing.T) {
	const rounds = 3000
	rnd := rand.New(rand.NewPCG(4271, 7606))
	good, changed := 0, 0
	for range rounds {
		o := Options{FourByteAS: true, Families: both}
		if rnd.IntN(3) == 0 {
			o.AddPath = both
		}
		body := randomUpdate(rnd, o)
		var u Update
		v := u.Parse(body, o)
		want, ok := oracle(body, o)
		if v.Action != OK || !ok {
			t.Fatalf("%s, GoBGP %t: %x", v, ok, body)
		}
		if got := ours(t, &u); got != want {
			t.Fatalf("%x: we read\n%s\nGoBGP reads\n%s", body, got, want)
		}
		good++
		for range 1 + rnd.IntN(3) {
			body[rnd.IntN(len(body))] = byte(rnd.Uint32())
		}
		v = u.Parse(body, o)
		checkConsistent(t, "changed", &u, v)
		if want, ok := oracle(body, o); ok && v.Action == OK {
			if got := ours(t, &u); got != want {
				t.Fatalf("changed, %x: we read\n%s\nGoBGP reads\n%s", body, got, want)
			}
			changed++
		}
	}
	if good != rounds || changed < rounds/10 {
		t.Errorf("%d of %d good ones were compared, %d changed ones", good, rounds, changed)
	}
}

// randomUpdate is the body of a good UPDATE with anything in it.
func randomUpdate(rnd *rand.Rand, o Options) []byte {
	run := func(f bgp.Family, most int) (b []byte) {
		for range rnd.IntN(most + 1) {
			b = appendPrefix(b, randomPrefix(rnd, f), rnd.Uint32(), o.AddPath.Has(f))
		}
		return b
	}
	told := run(bgp.IPv4Unicast, 5)
	a := randomAttributes(rnd)
	var attrs [][]byte
	for raw := a.Append(nil); len(raw) > 0; {
		one, rest, _ := nextAttribute(raw)
		attrs, raw = append(attrs, one.raw), rest
	}
	if n := run(bgp.IPv6Unicast, 5); len(n) > 0 {
		head := append([]byte{0, 2, 1}, [][]byte{{16}, {32}}[len(n)%2]...)
		head = append(head, NextHop{Addr: addr("2001:db8::1")}.value()...)
		if head[3] == 32 {
			head = append(head, NextHop{Addr: addr("fe80::1")}.value()...)
		}
		attrs = append(attrs, attr(0x80, 14, append(append(head, 0), n...)...))
	}
	if n := run(bgp.IPv6Unicast, 5); len(n) > 0 {
		attrs = append(attrs, attr(0x80, 15, append([]byte{0, 2, 1}, n...)...))
	}
	rnd.Shuffle(len(attrs), func(i, j int) { attrs[i], attrs[j] = attrs[j], attrs[i] })
	return update(run(bgp.IPv4Unicast, 5), attrs, told...)
}

func randomPrefix(rnd *rand.Rand, f bgp.Family) netip.Prefix {
	var b [16]byte
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	if f == bgp.IPv4Unicast {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), rnd.IntN(33))
	}
	b[0] = 0x20 // no IPv4 address mapped into IPv6, which prints otherwise
	return netip.PrefixFrom(netip.AddrFrom16(b), rnd.IntN(129))
}

func randomAttributes(rnd *rand.Rand) Attributes {
	some := func() bool { return rnd.IntN(3) == 0 }
	a := Attributes{Origin: bgp.Origin(rnd.IntN(3)), NextHop: NextHop{Addr: addr("192.0.2.1")}}
	for range rnd.IntN(4) {
		s := Segment{Type: SegmentType(1 + rnd.IntN(2))}
		for range 1 + rnd.IntN(4) {
			s.AS = append(s.AS, 1+rnd.Uint32N(1<<32-1))
		}
		a.ASPath = append(a.ASPath, s)
	}
	if some() {
		a.MED, a.HasMED = rnd.Uint32(), true
	}
	if some() {
		a.LocalPref, a.HasLocalPref = rnd.Uint32(), true
	}
	a.AtomicAggregate = some()
	if some() {
		a.Aggregator = Aggregator{AS: 1 + rnd.Uint32N(1<<31), Addr: addr("192.0.2.9")}
	}
	for range rnd.IntN(80) {
		a.Communities = append(a.Communities, bgp.Community(rnd.Uint32()))
	}
	for range rnd.IntN(3) {
		a.Large = append(a.Large, bgp.LargeCommunity{Global: rnd.Uint32(), Local1: rnd.Uint32(), Local2: rnd.Uint32()})
		a.ClusterList = append(a.ClusterList, randomPrefix(rnd, bgp.IPv4Unicast).Addr())
		a.OriginatorID = addr("192.0.2.3")
	}
	if some() {
		a.Extended = []ExtendedCommunity{{0, 2, 0, 1, 0, 0, 0, 1}}
		a.Unknown = []UnknownAttribute{{Type: 200, Value: make([]byte, rnd.IntN(300))}}
	}
	return a
}
