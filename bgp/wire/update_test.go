package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestUpdate(t *testing.T) {
	good := join(origin, asPath, nextHop, pref)
	hop6 := reach6[7:23]
	good6 := join(origin, asPath, attr(0x40, 3, hop6...), pref)
	ids := Options{FourByteAS: true, Families: both, AddPath: both}
	v4hop6 := Options{FourByteAS: true, Families: both, ExtendedNextHop: true}
	for _, c := range []struct {
		name string
		body []byte
		opts Options
		want string
	}{
		{"in order", update(nil, [][]byte{good}, 8, 10, 32, 10, 0, 0, 1, 0), internal,
			"+ 10.0.0.0/8\n+ 10.0.0.1/32\n+ 0.0.0.0/0\n  " + hex.EncodeToString(good)},
		{"bits beyond the length", update([]byte{9, 10, 0xff}, [][]byte{good}, 20, 10, 1, 0xff), internal,
			"- 10.128.0.0/9\n+ 10.1.240.0/20\n  " + hex.EncodeToString(good)},
		{"out of order, with what is dropped", update(nil, [][]byte{attr(0x80, 99, 1), pref, nextHop, attr(0x40, 6, 1), asPath, origin, origin}, nlri...), internal,
			"+ 10.0.0.0/24\n  " + hex.EncodeToString(good)},
		{"needless extended length, flags that mean nothing", update(nil, [][]byte{{0x7f, 1, 0, 1, 0}, asPath, nextHop, pref}, nlri...), internal,
			"+ 10.0.0.0/24\n  " + hex.EncodeToString(good)},
		{"from outside", update(nil, [][]byte{good, attr(0x80, 9, 1, 1, 1, 1), attr(0x80, 10, 1, 1, 1, 1)}, nlri...), external,
			"+ 10.0.0.0/24\n  " + hex.EncodeToString(join(origin, asPath, nextHop))},
		{"ipv6", update(nil, [][]byte{reach6, origin, asPath, pref}), internal,
			"+ fd00::/16\n  " + hex.EncodeToString(good6)},
		{"ipv6, NEXT_HOP to be ignored", update(nil, [][]byte{good, reach6}), internal,
			"+ fd00::/16\n  " + hex.EncodeToString(good6)},
		{"both families", update(nlri, [][]byte{reach6, unreach6, good}, nlri...), internal,
			"- 10.0.0.0/24\n- fd00::/16\n+ 10.0.0.0/24\n  " + hex.EncodeToString(good) + "\n+ fd00::/16\n  " + hex.EncodeToString(good6)},
		{"treat as withdraw", update(nil, [][]byte{reach6, good, attr(0xc0, 8)}, nlri...), internal,
			"- 10.0.0.0/24\n- fd00::/16"},
		{"ipv4 in MP_REACH", update(nil, [][]byte{attr(0x80, 14, 0, 1, 1, 4, 192, 0, 2, 1, 0, 24, 10, 0, 0), origin, asPath, pref}), internal,
			"+ 10.0.0.0/24\n  " + hex.EncodeToString(good)},
		{"ipv4 over ipv6", update(nil, [][]byte{attr(0x80, 14, join([]byte{0, 1, 1, 16}, hop6, []byte{0, 24, 10, 0, 0})...), origin, asPath, pref}), v4hop6,
			"+ 10.0.0.0/24\n  " + hex.EncodeToString(good6)},
		{"a second address that is none", update(nil, [][]byte{attr(0x80, 14, join([]byte{0, 2, 1, 32}, hop6, make([]byte, 16), []byte{0, 16, 0xfd, 0})...), origin, asPath, pref}), internal,
			"+ fd00::/16\n  " + hex.EncodeToString(good6)},
		{"path identifiers", update([]byte{0, 0, 0, 7, 8, 10}, [][]byte{good}, 0, 0, 1, 0, 24, 10, 0, 0), ids,
			"- 10.0.0.0/8 id 7\n+ 10.0.0.0/24 id 256\n  " + hex.EncodeToString(good)},
		{"ipv6 only, ipv4 passed over", update(nlri, [][]byte{reach6, good}, nlri...), Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv6Unicast)},
			"+ fd00::/16\n  " + hex.EncodeToString(good6)},
		{"end of ipv4", []byte{0, 0, 0, 0}, internal, "end of ipv4"},
		{"end of ipv4, by MP_UNREACH", update(nil, [][]byte{attr(0x80, 15, 0, 1, 1)}), internal, "end of ipv4"},
		{"end of ipv6", update(nil, [][]byte{attr(0x80, 15, 0, 2, 1)}), internal, "end of ipv6"},
		{"end of a family that is not spoken", update(nil, [][]byte{attr(0x80, 15, 0, 1, 128)}), internal, ""},
		{"no end", update(nlri, [][]byte{attr(0x80, 15, 0, 2, 1)}), internal, "- 10.0.0.0/24"},
		{"attributes and no prefix", update(nil, [][]byte{good}), internal, ""},
	} {
		var u Update
		v := u.Parse(c.body, c.opts)
		if got := show(&u); got != c.want {
			t.Errorf("%s (%s):\n%s\nwant:\n%s", c.name, v, got, c.want)
		}
		checkConsistent(t, c.name, &u, v)
	}
}

func TestAS4Merge(t *testing.T) {
	seq := func(as ...uint32) ASPath { return ASPath{{ASSequence, as}} }
	const trans = ASTrans
	for _, c := range []struct {
		name        string
		path, path4 ASPath
		want        ASPath
	}{
		{"none", seq(1, 2), nil, seq(1, 2)},
		{"all", seq(trans, trans), seq(70000, 70001), seq(70000, 70001)},
		{"some", seq(1, trans, 3), seq(70000, 3), seq(1, 70000, 3)},
		{"longer than AS_PATH", seq(trans), seq(70000, 3), seq(trans)},
		{"with a set", ASPath{{ASSequence, []uint32{1, trans}}, {ASSet, []uint32{4, 5}}}, ASPath{{ASSequence, []uint32{70000}}, {ASSet, []uint32{4, 70005}}},
			ASPath{{ASSequence, []uint32{1, 70000}}, {ASSet, []uint32{4, 70005}}}},
		{"a set in front", ASPath{{ASSet, []uint32{1, 2}}, {ASSequence, []uint32{trans}}}, seq(70000), ASPath{{ASSet, []uint32{1, 2}}, {ASSequence, []uint32{70000}}}},
		{"a confederation in it", seq(1, trans), ASPath{{confedSequence, []uint32{9}}, {ASSequence, []uint32{70000}}}, seq(1, 70000)},
	} {
		short, _ := narrowed(c.path.value())
		attrs := [][]byte{origin, attr(0x40, 2, short...), nextHop}
		if c.path4 != nil {
			attrs = append(attrs, attr(0xc0, 17, c.path4.value()...))
		}
		got := parseOne(t, c.name, update(nil, attrs, nlri...), Options{Families: both})
		if !reflect.DeepEqual(got.ASPath, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got.ASPath, c.want)
		}
	}
	path, path4 := attr(0x40, 2, 2, 1, 0x5b, 0xa0), attr(0xc0, 17, 2, 1, 0, 1, 0, 0)
	for _, c := range []struct {
		name  string
		attrs [][]byte
		want  Aggregator
		first uint32
	}{
		{"of two octets", [][]byte{path, attr(0xc0, 7, 0, 9, 1, 2, 3, 4)}, Aggregator{9, addr("1.2.3.4")}, trans},
		{"of four", [][]byte{path, path4, attr(0xc0, 7, 0x5b, 0xa0, 1, 2, 3, 4), attr(0xc0, 18, 0, 1, 0, 0, 1, 2, 3, 5)}, Aggregator{65536, addr("1.2.3.5")}, 65536},
		{"out of date", [][]byte{path, path4, attr(0xc0, 7, 0, 9, 1, 2, 3, 4), attr(0xc0, 18, 0, 1, 0, 0, 1, 2, 3, 5)}, Aggregator{9, addr("1.2.3.4")}, trans},
		{"no AGGREGATOR", [][]byte{path, path4, attr(0xc0, 18, 0, 1, 0, 0, 1, 2, 3, 5)}, Aggregator{}, 65536},
	} {
		got := parseOne(t, c.name, update(nil, append([][]byte{origin, nextHop}, c.attrs...), nlri...), Options{Families: both})
		if got.Aggregator != c.want || got.ASPath.First() != c.first {
			t.Errorf("aggregator %s: %+v, %v", c.name, got.Aggregator, got.ASPath)
		}
	}
}

// parseOne is the attributes of an UPDATE of one announcement.
func parseOne(t *testing.T, name string, body []byte, o Options) Attributes {
	t.Helper()
	var u Update
	if v := u.Parse(body, o); v.Action != OK || len(u.Announced) != 1 {
		t.Fatalf("%s: %s", name, v)
	}
	attrs, err := ParseAttributes(u.Announced[0].Attributes)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return attrs
}

func TestASPath(t *testing.T) {
	p := ASPath{{ASSequence, []uint32{1, 2}}, {ASSet, []uint32{3, 4}}, {ASSequence, []uint32{1}}}
	if p.Len() != 4 || p.First() != 1 || p.Count(1) != 2 || !reflect.DeepEqual(p.Flat(), []uint32{1, 2, 3, 4, 1}) {
		t.Errorf("%d %d %d %v", p.Len(), p.First(), p.Count(1), p.Flat())
	}
	if first := p[1:].First(); first != 0 {
		t.Errorf("a set in front is of AS %d", first)
	}
	long := ASPath{{ASSequence, repeat(7, 600)}}
	if got := parsePath(long.value(), 4); len(got) != 3 || got.Len() != 600 {
		t.Errorf("%d segments of %d", len(got), got.Len())
	}
}

func TestParseAttributesRefuses(t *testing.T) {
	for name, raw := range map[string][]byte{
		"cut off":          {0x40, 1},
		"order":            join(asPath, origin),
		"twice":            join(origin, origin),
		"MP_REACH":         join(origin, asPath, reach6),
		"AS4_PATH":         attr(0xc0, 17, 2, 1, 0, 0, 0, 1),
		"extended length":  {0x50, 1, 0, 1, 0},
		"not transitive":   attr(0x80, 99),
		"next hop of 5":    attr(0x40, 3, 1, 2, 3, 4, 5),
		"next hop ::":      attr(0x40, 3, make([]byte, 16)...),
		"AS of two octets": attr(0x40, 2, 2, 1, 0, 1),
		"unused flags":     {0x41, 1, 1, 0},
	} {
		if _, err := ParseAttributes(raw); err == nil || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPath(t *testing.T) {
	a := full()
	p := a.Path(prefix("10.0.0.1/32"))
	want := bgp.Path{
		Prefix: prefix("10.0.0.1/32"), NextHop: addr("192.0.2.1"), Origin: bgp.OriginIncomplete,
		ASPath: []uint32{65001, 4200000000, 1, 2}, ASPathLen: 3, LocalPref: 0, MED: 7,
		Communities: a.Communities, LargeCommunities: a.Large, OriginatorID: a.OriginatorID, ClusterList: a.ClusterList,
	}
	if !p.Equal(want) {
		t.Errorf("%+v", p)
	}
	if pref := (&Attributes{}).Path(p.Prefix).LocalPref; pref != bgp.DefaultLocalPref {
		t.Errorf("LOCAL_PREF %d where none was said", pref)
	}
}

func TestOriginated(t *testing.T) {
	a := Originated(bgp.Attributes{NextHop: addr("192.0.2.1"), MED: 3, Communities: []bgp.Community{1}})
	got, err := ParseAttributes(a.Append(nil))
	if err != nil || got.LocalPref != bgp.DefaultLocalPref || !got.HasMED || got.ASPath.Len() != 0 || len(got.Communities) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	v4, v6 := message(t, bgp.IPv4Unicast, 500)[HeaderLen:], message(t, bgp.IPv6Unicast, 500)[HeaderLen:]
	var u Update
	sum := 0
	parse := func() {
		for _, body := range [...][]byte{v4, v6} {
			u.Parse(body, internal)
			for _, a := range u.Announced {
				for p, id := range a.NLRI.All() {
					sum += p.Bits() + int(id)
				}
			}
		}
	}
	parse()
	if n := testing.AllocsPerRun(10, parse); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
