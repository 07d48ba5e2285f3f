package engine

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// owners judges by the next hop that a prefix must have.
type owners map[netip.Prefix]netip.Addr

func (o owners) Judge(p *bgp.Path, _ *bgp.Session) bgp.Refusal {
	switch owner, ok := o[p.Prefix]; {
	case !ok:
		return "it is nobody's"
	case owner != p.NextHop:
		return "it is another's"
	}
	return ""
}

// TestOrigins: what is refused stays, is counted, and is neither told nor sent;
// it is judged again when its prefix, or all, changed.
func TestOrigins(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	e := New(testLog(t))
	e.rib = m.rib
	good, bad := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	one, two := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	origins := owners{one: good}
	e.SetOrigins(origins)
	giver, taker := m.peers[0], m.peers[1]
	m.toggle(taker)
	tell := func(p netip.Prefix, hop netip.Addr) {
		t.Helper()
		a := wire.Attributes{NextHop: wire.NextHop{Addr: hop}}
		set, err := m.rib.sets.intern(a.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		m.rib.announce(giver.source.id, p, 0, set, m.rib.judge(giver.source, set))
		m.rib.sets.release(set)
	}
	check := func(when string, want ...netip.Prefix) {
		t.Helper()
		m.rib.pack()
		for m.read(taker) {
		}
		m.rib.drain()
		for _, p := range []netip.Prefix{one, two} {
			wanted := slices.Contains(want, p)
			if _, has := taker.holds[modelPath{prefix: p}]; has != wanted {
				t.Errorf("%s: %s sent %t", when, p, has)
			}
			if _, told := m.rib.told[m.rib.routes.find(keyOf(p))]; told != wanted {
				t.Errorf("%s: %s told %t", when, p, told)
			}
		}
		if c := giver.source.counts; c.received != 2 || c.accepted != len(want) {
			t.Errorf("%s: received %d, accepted %d", when, c.received, c.accepted)
		}
	}
	tell(one, good)
	tell(two, good)
	check("at first", one)
	got := make(map[bgp.Refusal]int)
	if giver.source.addRefused(got, m.rib.refusals); len(got) != 1 || got["it is nobody's"] != 1 {
		t.Errorf("refused %v", got)
	}
	tell(one, bad) // takes the place of the good one
	check("replaced by a wrong one")
	origins[one], origins[two] = bad, good
	e.OriginsChanged(one)
	check("one is judged again", one)
	e.OriginsChanged(netip.MustParsePrefix("10.0.0.0/8"))
	check("all of a prefix", one, two)
	clear(origins)
	e.OriginsChanged()
	check("all")
	e.SetOrigins(nil)
	check("nobody is asked", one, two)
}

// TestWithin: looking up one by one and walking find the same.
func TestWithin(t *testing.T) {
	r := newRIB()
	for _, p := range []string{
		"0.0.0.0/0", "10.0.0.0/24", "10.0.0.0/26", "10.0.0.64/26", "10.0.0.65/32", "10.0.0.127/32", "10.0.0.128/32", "10.0.0.100/31",
		"::/0", "fd00::/122", "fd00::3f/128", "fd00::40/128", "a00::/8",
	} {
		r.route(netip.MustParsePrefix(p))
	}
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).key.family == 0 {
			continue
		}
		within := r.routes.records.at(i).key.prefix()
		var want, got []netip.Prefix
		for j := range routeID(r.routes.records.len()) {
			if k := r.routes.records.at(j).key; k.family != 0 && (bgp.Query{Within: within}).Match(k.prefix(), netip.Addr{}) {
				want = append(want, k.prefix())
			}
		}
		for j := range r.within(within) {
			got = append(got, r.routes.records.at(j).key.prefix())
		}
		slices.SortFunc(want, bgp.ComparePrefix)
		slices.SortFunc(got, bgp.ComparePrefix)
		if !slices.Equal(got, want) {
			t.Errorf("within %s: %v, want %v", within, got, want)
		}
	}
}
