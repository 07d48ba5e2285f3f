package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// bestRIB has one pool, and n sources of which every third is external.
func bestRIB(n int) (*rib, []*source) {
	r := newRIB()
	r.setPools(bgp.NewPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}))
	var sources []*source
	for i := range n {
		s := bgp.Session{Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), LocalAS: modelAS, PeerAS: modelAS}
		if i%3 == 2 {
			s.PeerAS = 65000 + uint32(i)
		}
		sources = append(sources, r.addSource(s))
		sources[i].routerID = s.Peer
	}
	return r, sources
}

// tell announces a path with attributes of a.
func tell(t testing.TB, r *rib, s *source, p netip.Prefix, id uint32, a wire.Attributes) {
	t.Helper()
	set, err := r.sets.intern(a.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	r.announce(s.id, p, id, set, 0)
	r.sets.release(set)
}

// hostRoute is the nth of 10.0.0.0/8.
func hostRoute(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

// TestBestAsReference: what is best among random paths, with costs and stale
// ones, is what bgptest.Best says.
func TestBestAsReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	prefix := netip.MustParsePrefix("10.0.0.1/32")
	for range 5000 {
		r, sources := bestRIB(6)
		if random.IntN(2) == 0 {
			r.trackHops(true)
		}
		few := func(n int) uint32 { return uint32(random.IntN(n)) }
		for n := range random.IntN(8) {
			s := sources[random.IntN(len(sources))]
			a := wire.Attributes{
				NextHop: wire.NextHop{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(few(4))})},
				MED:     few(2), HasMED: true, LocalPref: 100 + few(2), HasLocalPref: true, Origin: bgp.Origin(few(2)),
			}
			if s.role == external || few(2) == 0 {
				a.ASPath = wire.ASPath{{Type: wire.ASSequence, AS: []uint32{65001 + few(2)}}}
			}
			if s.role == external {
				a.HasLocalPref = false
			} else if few(3) == 0 {
				a.OriginatorID = netip.AddrFrom4([4]byte{192, 0, 2, byte(few(3))})
				a.ClusterList = slices.Repeat([]netip.Addr{modelCluster}, 1+int(few(2)))
			}
			if few(4) == 0 {
				a.Communities = []bgp.Community{bgp.LongLivedStale}
			}
			tell(t, r, s, prefix, uint32(n%3), a)
		}
		for _, s := range sources {
			switch random.IntN(6) {
			case 0:
				r.outdate(s.id, stale)
			case 1:
				r.outdate(s.id, stale|longLived)
			}
		}
		list := r.sets.hops.asked()
		answers := make([]answer, len(list))
		for n := range answers {
			answers[n] = answer{cost: few(2), reached: few(4) > 0}
		}
		r.answered(list, answers)
		compareBest(t, r, prefix)
	}
}

func compareBest(t *testing.T, r *rib, prefix netip.Prefix) {
	t.Helper()
	var paths, got []bgp.Path
	i := r.route(prefix)
	for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
		if p := r.paths.records.at(at); r.reached(p) {
			paths = append(paths, r.path(prefix, p))
		}
	}
	for _, at := range r.best(i) {
		got = append(got, r.path(prefix, r.paths.records.at(at)))
	}
	if want := bgptest.Best(paths); !slices.EqualFunc(got, want, bgp.Path.Equal) {
		t.Fatalf("of %+v\nbest %+v\nwant %+v", paths, got, want)
	}
}

// TestBestOfTwo: what a host behind two reflectors has of every route, the same
// path twice, costs no allocation.
func TestBestOfTwo(t *testing.T) {
	r, sources := bestRIB(2)
	prefix := netip.MustParsePrefix("10.0.0.1/32")
	a := wire.Attributes{
		NextHop: wire.NextHop{Addr: netip.MustParseAddr("198.51.100.1")}, LocalPref: 100, HasLocalPref: true,
		OriginatorID: netip.MustParseAddr("192.0.2.9"), ClusterList: []netip.Addr{modelCluster},
	}
	for n, s := range sources {
		a.ClusterList = []netip.Addr{netip.AddrFrom4([4]byte{244, 0, 0, byte(n)})}
		tell(t, r, s, prefix, 0, a)
	}
	i := r.route(prefix)
	r.best(i)
	if n := testing.AllocsPerRun(100, func() {
		if len(r.best(i)) != 1 {
			t.Fatal("the same next hop counts twice")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMaxPaths: Drain tells the first of equal paths, and again when more are
// wanted.
func TestMaxPaths(t *testing.T) {
	e := New(testLog(t))
	r, sources := bestRIB(4)
	e.rib = r
	prefix := netip.MustParsePrefix("10.0.0.1/32")
	for n, s := range sources {
		if s.role != external {
			tell(t, r, s, prefix, 0, wire.Attributes{NextHop: wire.NextHop{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})}})
		}
	}
	for _, c := range []struct{ limit, want int }{{2, 2}, {1, 1}, {0, 3}} {
		e.SetMaxPaths(c.limit)
		if sets := e.Drain(); len(sets) != 1 || len(sets[0].Paths) != c.want {
			t.Errorf("at most %d: %+v", c.limit, sets)
		}
	}
}

// costs answers from a map; what is not in it is not reached.
type costs map[netip.Addr]uint32

func (c costs) Cost(a netip.Addr) (uint32, bool) { cost, ok := c[a]; return cost, ok }

// TestCosts: what is not reached is not told, the nearer one is best, and only
// what changed is told again.
// TestCostsAskedMeanwhile tells a route while the next hop of another is asked
// for.
func TestCostsAskedMeanwhile(t *testing.T) {
	e := New(testLog(t))
	r, sources := bestRIB(2)
	e.rib = r
	first, second := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	one, two := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	e.SetCosts(costs{first: 0, second: 0})
	tell(t, r, sources[0], one, 0, wire.Attributes{NextHop: wire.NextHop{Addr: first}})
	asked := r.sets.hops.asked()
	tell(t, r, sources[0], two, 0, wire.Attributes{NextHop: wire.NextHop{Addr: second}})
	r.answered(asked, []answer{{reached: true}})
	if sets := e.Drain(); len(sets) != 1 || sets[0].Prefix != one {
		t.Errorf("told %v, want the first route", sets)
	}
	e.askCosts()
	if sets := e.Drain(); len(sets) != 1 || sets[0].Prefix != two {
		t.Errorf("told %v, want the second route", sets)
	}
}

func TestCosts(t *testing.T) {
	e := New(testLog(t))
	r, sources := bestRIB(2)
	e.rib = r
	near, far := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	known := costs{far: 10}
	e.SetCosts(known)
	one, two := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	tell(t, r, sources[0], one, 0, wire.Attributes{NextHop: wire.NextHop{Addr: near}})
	tell(t, r, sources[1], one, 0, wire.Attributes{NextHop: wire.NextHop{Addr: far}})
	tell(t, r, sources[1], two, 0, wire.Attributes{NextHop: wire.NextHop{Addr: far}})
	check := func(when string, want ...string) {
		t.Helper()
		e.askCosts()
		var got []string
		for _, set := range e.Drain() {
			text := set.Prefix.String()
			for _, p := range set.Paths {
				text += " " + p.NextHop.String()
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %v, want %v", when, got, want)
		}
	}
	if sets := e.Drain(); len(sets) > 0 {
		t.Errorf("told before anybody was asked: %v", sets)
	}
	check("at first", "10.0.0.1/32 198.51.100.2", "10.0.0.2/32 198.51.100.2")
	known[near] = 10
	e.CostsChanged()
	check("equally far", "10.0.0.1/32 198.51.100.1 198.51.100.2")
	known[near] = 5
	e.CostsChanged()
	check("nearer", "10.0.0.1/32 198.51.100.1")
	delete(known, near)
	e.CostsChanged()
	check("not reached", "10.0.0.1/32 198.51.100.2")
	for entry := range e.Routes(bgp.Query{Within: one}) {
		if entry.Unreachable != (entry.NextHop == near) {
			t.Errorf("%s unreachable %t", entry.NextHop, entry.Unreachable)
		}
	}
	e.CostsChanged()
	check("no change")
	e.SetCosts(nil)
	check("nobody is asked", "10.0.0.1/32 198.51.100.1 198.51.100.2")
}
