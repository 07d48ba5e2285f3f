package fibtest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/fib"
)

// state is what all sources want, and what the kernel must then hold.
type state struct {
	name                string
	workload, bgp, hole map[string]fib.Route
	groups              map[fib.GroupKey][]fib.NextHop
	want                []string
}

var (
	toA  = []fib.NextHop{via("192.168.0.2", "up0")}
	toA6 = []fib.NextHop{via("fd00::2", "up0")}
	toB  = []fib.NextHop{via("172.20.0.2", "up1")}
	toAB = []fib.NextHop{via("192.168.0.2", "up0"), via("172.20.0.2", "up1")}
	// toAB6 is for both families: an IPv4 prefix can have IPv6 next hops.
	toAB6 = []fib.NextHop{via("fd00::2", "up0"), via("fd20::2", "up1")}
)

func states() []state {
	return []state{
		{name: "nothing"},
		{
			name:     "workloads",
			workload: map[string]fib.Route{"10.0.0.1/32": dev("w0"), "fd10::1/128": dev("w0")},
			hole:     map[string]fib.Route{"10.0.0.0/26": {Blackhole: true}, "fd10::/122": {Blackhole: true}},
			want: []string{
				"10.0.0.0/26 blackhole proto 121 metric 118",
				"10.0.0.1/32 dev w0 proto 118 metric 118",
				"fd10::/122 blackhole proto 121 metric 118",
				"fd10::1/128 dev w0 proto 118 metric 118",
			},
		},
		{
			name:   "learned",
			bgp:    map[string]fib.Route{"10.0.0.1/32": group("a"), "10.1.0.0/26": group("a"), "fd10::1/128": group("a6")},
			groups: map[fib.GroupKey][]fib.NextHop{"a": toA, "a6": toA6},
			want: []string{
				"10.0.0.1/32 group(via 192.168.0.2 dev up0) proto 120 metric 118",
				"10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118",
				"fd10::1/128 group(via fd00::2 dev up0) proto 120 metric 118",
			},
		},
		{
			name:   "multipath",
			bgp:    map[string]fib.Route{"10.0.0.1/32": group("a"), "10.1.0.0/26": group("b"), "fd10::1/128": group("a6"), "fd11::/64": group("a6")},
			groups: map[fib.GroupKey][]fib.NextHop{"a": toAB, "b": toB, "a6": toAB6},
			want: []string{
				"10.0.0.1/32 group(via 172.20.0.2 dev up1 + via 192.168.0.2 dev up0) proto 120 metric 118",
				"10.1.0.0/26 group(via 172.20.0.2 dev up1) proto 120 metric 118",
				"fd10::1/128 group(via fd00::2 dev up0 + via fd20::2 dev up1) proto 120 metric 118",
				"fd11::/64 group(via fd00::2 dev up0 + via fd20::2 dev up1) proto 120 metric 118",
			},
		},
		{
			name:     "both want a prefix",
			workload: map[string]fib.Route{"10.0.0.1/32": dev("w0"), "fd10::1/128": dev("w0")},
			bgp:      map[string]fib.Route{"10.0.0.1/32": group("a"), "10.1.0.0/26": group("x"), "fd10::1/128": group("x")},
			groups:   map[fib.GroupKey][]fib.NextHop{"a": toA, "x": toAB6},
			want: []string{
				"10.0.0.1/32 dev w0 proto 118 metric 118",
				"10.1.0.0/26 group(via fd00::2 dev up0 + via fd20::2 dev up1) proto 120 metric 118",
				"fd10::1/128 dev w0 proto 118 metric 118",
			},
		},
		{
			name:     "a block is owned before it is learned, its one address after",
			workload: map[string]fib.Route{"fd10::1/128": dev("w0")},
			bgp:      map[string]fib.Route{"10.0.0.1/32": group("a"), "10.1.0.0/26": group("a"), "fd11::/64": group("a6")},
			hole: map[string]fib.Route{
				"10.0.0.1/32": {Blackhole: true}, "10.1.0.0/26": {Blackhole: true},
				"fd10::1/128": {Blackhole: true}, "fd11::/64": {Blackhole: true},
			},
			groups: map[fib.GroupKey][]fib.NextHop{"a": toA, "a6": toA6},
			want: []string{
				"10.0.0.1/32 group(via 192.168.0.2 dev up0) proto 120 metric 118",
				"10.1.0.0/26 blackhole proto 121 metric 118",
				"fd10::1/128 dev w0 proto 118 metric 118",
				"fd11::/64 blackhole proto 121 metric 118",
			},
		},
		{
			name: "plain and holes in the same places",
			bgp: map[string]fib.Route{
				"10.0.0.1/32": {Blackhole: true}, "10.1.0.0/26": {NextHops: toAB}, "fd10::1/128": {NextHops: toAB6}, "fd11::/64": {Blackhole: true},
			},
			want: []string{
				"10.0.0.1/32 blackhole proto 120 metric 118",
				"10.1.0.0/26 via 172.20.0.2 dev up1 + via 192.168.0.2 dev up0 proto 120 metric 118",
				"fd10::1/128 via fd00::2 dev up0 + via fd20::2 dev up1 proto 120 metric 118",
				"fd11::/64 blackhole proto 120 metric 118",
			},
		},
	}
}

// enter makes the table want s, the orders of calls mixed by rng.
func (f *fixture) enter(s state, before *state, rng *rand.Rand) {
	steps := []func(){
		func() { f.table.Replace(fib.Workload, all(s.workload)) },
		func() { f.table.Replace(fib.BGP, all(s.bgp)) },
		func() { f.table.Replace(fib.Blackhole, all(s.hole)) },
		func() {
			for key, hops := range s.groups {
				f.table.SetGroup(key, hops)
			}
		},
	}
	rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, step := range steps {
		step()
	}
	if before != nil {
		for key := range before.groups {
			if _, ok := s.groups[key]; !ok {
				f.table.DeleteGroup(key)
			}
		}
	}
}

// interfere does what others do to our routes: whatever it is, it must not
// last.
func (f *fixture) interfere(rng *rand.Rand) string {
	delEntry := func(p string, protocol uint8) {
		f.host.Interfere(fib.Change{Op: fib.Delete, Entry: fib.Entry{Prefix: pfx(p), Table: mainTableID, Metric: 118, Protocol: protocol}})
	}
	switch rng.IntN(8) {
	case 0:
		for _, protocol := range []uint8{118, 120, 121} {
			delEntry("10.0.0.1/32", protocol)
			delEntry("fd10::1/128", protocol)
		}
		return "routes deleted"
	case 1:
		f.host.Interfere(fib.Change{Op: fib.Replace, Entry: fib.Entry{
			Prefix: pfx("10.0.0.1/32"), Table: mainTableID, Metric: 118, Protocol: 118,
			Hops: []fib.Hop{{Index: f.host.Index("up1")}},
		}}, fib.Change{Op: fib.Replace, Entry: fib.Entry{
			Prefix: pfx("fd10::1/128"), Table: mainTableID, Metric: 118, Protocol: 120,
			Hops: []fib.Hop{{Index: f.host.Index("up1")}},
		}})
		return "routes changed under our mark"
	case 2:
		for id := range uint32(32) {
			if f.host.HasObjects() {
				f.host.Interfere(fib.Change{Op: fib.Delete, Object: &fib.Object{ID: fib.DefaultObjectBase + id}})
			}
		}
		return "next-hop objects deleted"
	case 3:
		f.host.SetUp("up0", false)
		f.host.SetUp("up0", true)
		f.host.DeleteAddress("up0", pfx("fd00::1/64")) // which went with the link, or not
		f.host.AddAddress("up0", pfx("fd00::1/64"))
		return "uplink down and up"
	case 4:
		f.host.SetCarrier("up1", false)
		f.host.SetCarrier("up1", true)
		return "carrier lost and back"
	case 5:
		f.host.DeleteLink("w0")
		f.host.AddLink("w0")
		return "workload interface made again"
	case 6:
		f.host.Interfere(fib.Change{Op: fib.Create, Entry: fib.Entry{
			Prefix: pfx("10.9.0.0/24"), Table: mainTableID, Metric: 118, Protocol: 120, Kind: fib.KindBlackhole,
		}}, fib.Change{Op: fib.Create, Entry: fib.Entry{
			Prefix: pfx("10.0.0.1/32"), Table: mainTableID, Metric: 5, Protocol: 118, Kind: fib.KindBlackhole,
		}})
		return "routes added under our mark"
	}
	return "nothing"
}

// testWalk goes from any state to any other, with restarts and interference;
// what the kernel holds in the end depends on the state alone. The table never
// reads back by the clock: it is events that bring it home.
func testWalk(t *testing.T, newHost func(*testing.T) Host, plain bool, steps int) {
	f := newFixture(t, newHost, plain)
	rng := rand.New(rand.NewPCG(7, uint64(steps)))
	all := states()
	f.start()
	f.done()
	var before *state
	for range steps {
		s := all[rng.IntN(len(all))]
		what := "from start to " + s.name
		if before != nil {
			what = "from " + before.name + " to " + s.name
		}
		if rng.IntN(5) == 0 {
			what += " by restart"
			if rng.IntN(3) == 0 && f.host.HasObjects() {
				f.opts.PlainOnly = !f.opts.PlainOnly
				what += " in the other form"
			}
			f.start()
			f.enter(s, nil, rng)
			f.done()
		} else {
			f.enter(s, before, rng)
		}
		if rng.IntN(2) == 0 {
			what += ", " + f.interfere(rng) + " at once"
		}
		f.await(what, s.want...)
		what += ", then " + f.interfere(rng)
		f.await(what, s.want...)
		before = &all[slices.IndexFunc(all, func(x state) bool { return x.name == s.name })]
	}
}
