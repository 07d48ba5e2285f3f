package engine

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// rule matches what lies in a prefix.
func rule(in string, change *bgp.Operations) *bgp.FilterRule {
	p := netip.MustParsePrefix(in)
	return &bgp.FilterRule{
		Family: bgp.IPv4Unicast, Prefix: p, Match: bgp.In, MinLength: uint8(p.Bits()), MaxLength: 32, Change: change,
	}
}

func reject(in string) *bgp.FilterRule {
	r := rule(in, nil)
	r.Reject = true
	return r
}

// updates is how many UPDATEs the router has got.
func (r *far) updates() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, k := range r.kinds {
		if k == wire.TypeUpdate {
			n++
		}
	}
	return n
}

// messages is how many messages the router has got, KEEPALIVEs apart.
func (r *far) messages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.kinds)
}

func beyond(as uint32, change ...func(*bgp.Session)) func(*bgp.Session) {
	return func(s *bgp.Session) {
		s.PeerAS = as
		for _, c := range change {
			c(s)
		}
	}
}

func policy(p *bgp.Policy) func(*bgp.Session) { return func(s *bgp.Session) { s.Policy = p } }

// TestExportPolicyChanges: of a policy that changes on a living session is sent
// what it changes, and nothing else.
func TestExportPolicyChanges(t *testing.T) {
	t.Parallel()
	g := newGround(t, 61)
	g.originate("10.1.0.1/32", "10.1.0.2/32", "10.1.0.3/32", "172.16.0.1/32")
	other := g.to(3, beyond(65002)) // of the same group at first
	g.sessions(g.to(2, beyond(65001)), other)
	r, o := g.dial(2, 65001), g.dial(3, 65002)
	wait(t, "End-of-RIB", func() bool { return r.synced().Has(bgp.IPv4Unicast) && o.synced().Has(bgp.IPv4Unicast) })
	if got := r.prefixes(); !slices.Equal(got, []string{"10.1.0.1/32", "10.1.0.2/32", "10.1.0.3/32"}) {
		t.Fatalf("without a policy the router holds %v", got)
	}
	before, others := r.updates(), o.updates()
	change := func() *bgp.Policy { // new objects each time
		mark := &bgp.Operations{AddCommunities: []bgp.Community{7}, Prepend: []uint32{65009}}
		return &bgp.Policy{Filters: []*bgp.Filter{{Export: []*bgp.FilterRule{
			reject("10.1.0.1/32"), rule("10.1.0.2/32", mark), rule("172.16.0.0/12", nil),
		}}}}
	}
	g.sessions(g.to(2, beyond(65001, policy(change()))), other)
	want := []string{"10.1.0.2/32", "10.1.0.3/32", "172.16.0.1/32"}
	wait(t, "what the policy gives", func() bool { return slices.Equal(r.prefixes(), want) && r.updates() >= before+3 })
	a, _ := r.held("10.1.0.2/32")
	if !slices.Equal(a.Communities, []bgp.Community{7}) || !slices.Equal(a.ASPath.Flat(), []uint32{modelAS, 65009}) {
		t.Errorf("communities %v, AS path %v", a.Communities, a.ASPath.Flat())
	}
	// The same again, then something to wait for.
	g.sessions(g.to(2, beyond(65001, policy(change()))), other)
	g.originate("10.1.0.9/32")
	wait(t, "a later route", func() bool { _, ok := r.held("10.1.0.9/32"); return ok })
	wait(t, "a later route at the other", func() bool { _, ok := o.held("10.1.0.9/32"); return ok })
	if n := r.updates() - before; n != 4 {
		t.Errorf("%d UPDATEs: want a withdrawal, a change, a new route, and the later one", n)
	}
	if n := o.updates() - others; n != 1 {
		t.Errorf("%d UPDATEs to the one whose policy stayed", n)
	}
	if p := g.peer(2); p.Established != 1 {
		t.Errorf("the session came up %d times", p.Established)
	}
	// Both alike again: the one that differs comes back.
	g.sessions(g.to(2, beyond(65001)), other)
	want = []string{"10.1.0.1/32", "10.1.0.2/32", "10.1.0.3/32", "10.1.0.9/32"}
	wait(t, "what was before", func() bool { return slices.Equal(r.prefixes(), want) && r.updates() >= before+6 })
}

// TestImportPolicyChanges: another policy is applied to what the peer has told,
// and the peer is not asked.
func TestImportPolicyChanges(t *testing.T) {
	t.Parallel()
	g := newGround(t, 62)
	g.sessions(g.to(2, beyond(65001)))
	r := g.dial(2, 65001)
	wait(t, "End-of-RIB", func() bool { return r.synced().Has(bgp.IPv4Unicast) })
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32", "0.0.0.0/0", "169.254.1.1/32")
	r.announce(wire.Attributes{ASPath: wire.ASPath{{Type: wire.ASSequence, AS: []uint32{65002, 65001}}}}, "10.2.0.3/32")
	told := make(map[string]bgp.Path)
	learned := func(want ...string) {
		t.Helper()
		wait(t, "paths", func() bool {
			for _, set := range g.Drain() {
				if delete(told, set.Prefix.String()); len(set.Paths) > 0 {
					told[set.Prefix.String()] = set.Paths[0]
				}
			}
			return slices.Equal(slices.Sorted(maps.Keys(told)), want)
		})
	}
	wait(t, "all five", func() bool { return g.peer(2).Received == 5 })
	learned("10.2.0.1/32", "10.2.0.2/32")
	before := r.messages()
	better := &bgp.Operations{Priority: 512, HasPriority: true}
	let := &bgp.Filter{Import: []*bgp.FilterRule{reject("10.2.0.1/32"), rule("0.0.0.0/0", better)}}
	g.sessions(g.to(2, beyond(65001, policy(&bgp.Policy{Filters: []*bgp.Filter{let}, Options: bgp.Options{AnyFirstAS: true}}))))
	learned("0.0.0.0/0", "10.2.0.2/32", "10.2.0.3/32")
	if p := told["10.2.0.2/32"]; p.LocalPref != 1<<31-1-512 {
		t.Errorf("LOCAL_PREF %d", p.LocalPref)
	}
	for prefix, why := range map[string]bgp.Refusal{"10.2.0.1/32": bgp.Filtered, "169.254.1.1/32": bgp.Martian} {
		if e := g.paths(prefix); len(e) != 1 || e[0].Refused != why {
			t.Errorf("%s: %+v, want refused: %s", prefix, e, why)
		}
	}
	g.sessions(g.to(2, beyond(65001)))
	learned("10.2.0.1/32", "10.2.0.2/32")
	if n := r.messages() - before; n != 0 {
		t.Errorf("the router was sent %d messages", n)
	}
}

// TestTransitByFilter: a host is transit where a filter says so, with itself as
// next hop to external peers, and never between internal ones.
func TestTransitByFilter(t *testing.T) {
	t.Parallel()
	g := newGround(t, 63)
	all := policy(&bgp.Policy{Filters: []*bgp.Filter{{
		Import: []*bgp.FilterRule{rule("0.0.0.0/0", nil)}, Export: []*bgp.FilterRule{rule("0.0.0.0/0", nil)},
	}}})
	g.sessions(g.to(2, beyond(65001, all)), g.to(3, beyond(65002, all)), g.to(4, all), g.to(5, all), g.to(6))
	east, west, in, mate, plain := g.dial(2, 65001), g.dial(3, 65002), g.dial(4, modelAS), g.dial(5, modelAS), g.dial(6, modelAS)
	east.announce(wire.Attributes{}, "0.0.0.0/0")
	in.announce(wire.Attributes{}, "10.2.0.1/32")
	wait(t, "the default route", func() bool {
		_, west := west.held("0.0.0.0/0")
		_, in := in.held("0.0.0.0/0")
		return west && in
	})
	wait(t, "the route of the internal peer", func() bool {
		_, east := east.held("10.2.0.1/32")
		_, west := west.held("10.2.0.1/32")
		return east && west
	})
	if a, _ := west.held("0.0.0.0/0"); a.NextHop.Addr != g.at || !slices.Equal(a.ASPath.Flat(), []uint32{modelAS, 65001}) {
		t.Errorf("next hop %s, AS path %v", a.NextHop.Addr, a.ASPath.Flat())
	}
	if a, _ := in.held("0.0.0.0/0"); a.NextHop.Addr != g.router(2) || a.LocalPref != bgp.DefaultLocalPref {
		t.Errorf("within the AS next hop %s, LOCAL_PREF %d", a.NextHop.Addr, a.LocalPref)
	}
	g.originate("10.1.0.9/32")
	wait(t, "a later route", func() bool {
		_, mate := mate.held("10.1.0.9/32")
		_, plain := plain.held("10.1.0.9/32")
		return mate && plain
	})
	if _, ok := mate.held("10.2.0.1/32"); ok {
		t.Error("an internal route was passed on to an internal peer")
	}
	if got := plain.prefixes(); !slices.Equal(got, []string{"10.1.0.9/32"}) {
		t.Errorf("the peer without filter holds %v", got)
	}
}

// TestWellKnownOptions: GRACEFUL_SHUTDOWN of an external peer makes its path the
// last choice, BLACKHOLE discards where the peer may say so, and a node that is
// drained says the former of all it has.
func TestWellKnownOptions(t *testing.T) {
	t.Parallel()
	g := newGround(t, 64)
	honour := beyond(65001, policy(&bgp.Policy{Options: bgp.Options{Blackhole: true}}))
	drained := policy(&bgp.Policy{Options: bgp.Options{GracefulShutdown: true}})
	reflect := func(s *bgp.Session) { s.ClusterID = modelCluster }
	g.originate("10.1.0.1/32")
	g.sessions(g.to(2, honour, reflect), g.to(3, reflect))
	r, in := g.dial(2, 65001), g.dial(3, modelAS)
	r.announce(wire.Attributes{Communities: []bgp.Community{bgp.GracefulShutdown}}, "10.2.0.1/32")
	r.announce(wire.Attributes{Communities: []bgp.Community{bgp.Blackhole}}, "10.2.0.2/32")
	r.announce(wire.Attributes{}, "10.2.0.3/32")
	wait(t, "the last route", func() bool { _, ok := in.held("10.2.0.3/32"); return ok })
	if a, ok := in.held("10.2.0.1/32"); !ok || a.LocalPref != 0 || !a.HasLocalPref {
		t.Errorf("GRACEFUL_SHUTDOWN: sent %t with LOCAL_PREF %d", ok, a.LocalPref)
	}
	if _, ok := in.held("10.2.0.2/32"); ok {
		t.Error("what is to be discarded was sent on")
	}
	if e := g.paths("10.2.0.2/32"); len(e) != 1 || !e[0].Discard || !e[0].Best {
		t.Errorf("BLACKHOLE: %+v", e)
	}
	g.sessions(g.to(2, honour, reflect), g.to(3, reflect, drained))
	wait(t, "the end of the drained node", func() bool {
		a, _ := in.held("10.1.0.1/32")
		return slices.Equal(a.Communities, []bgp.Community{bgp.GracefulShutdown}) && a.LocalPref == 0
	})
}

// TestSeveralPaths: several paths of one peer are kept apart, and sent on as
// many as are wanted with identifiers that stay; the plain peer gets the best.
func TestSeveralPaths(t *testing.T) {
	t.Parallel()
	g := newGround(t, 65)
	client := func(s *bgp.Session) { s.ClusterID, s.ReflectorClient = modelCluster, true }
	many := func(n int) func(*bgp.Session) {
		return func(s *bgp.Session) { client(s); s.AddPathSend = n }
	}
	g.sessions(g.to(2, client, func(s *bgp.Session) { s.AddPathReceive = true }), g.to(3, client),
		g.to(4, many(bgp.AllPaths)), g.to(5, many(2)), g.to(6, client))
	both := func(o *wire.Open) {
		o.Capabilities.AddPathSend, o.Capabilities.AddPathReceive = o.Capabilities.Families, o.Capabilities.Families
	}
	giver, other := g.dial(2, modelAS, both), g.dial(3, modelAS)
	all, two, plain := g.dial(4, modelAS, both), g.dial(5, modelAS, both), g.dial(6, modelAS)
	p := netip.MustParsePrefix("10.2.0.1/32")
	tell := func(id uint32, hop byte, pref uint32) {
		t.Helper()
		a := wire.Attributes{
			NextHop:   wire.NextHop{Addr: netip.AddrFrom4([4]byte{198, 51, 100, hop})},
			LocalPref: pref, HasLocalPref: true,
		}
		one := func(yield func(netip.Prefix, uint32) bool) { yield(p, id) }
		b, err := wire.AppendAnnouncements(nil, giver.form, bgp.IPv4Unicast, a.Append(nil), one)
		if err != nil {
			t.Fatal(err)
		}
		giver.send(b)
	}
	hops := func(r *far) map[uint32]byte {
		r.mu.Lock()
		defer r.mu.Unlock()
		got := make(map[uint32]byte)
		for id, a := range r.paths[p] {
			got[id] = a.NextHop.Addr.As4()[3]
		}
		return got
	}
	has := func(what string, r *far, want ...byte) {
		t.Helper()
		wait(t, what, func() bool { return slices.Equal(slices.Sorted(maps.Values(hops(r))), want) })
	}
	tell(7, 1, 100)
	tell(8, 2, 100)
	other.announce(wire.Attributes{NextHop: wire.NextHop{Addr: netip.MustParseAddr("198.51.100.3")}, LocalPref: 90}, p.String())
	has("all paths", all, 1, 2, 3)
	has("two paths", two, 1, 2)
	has("the best path", plain, 1)
	has("the paths of others", other, 1)
	before := hops(all)
	tell(7, 4, 200)
	has("the changed path", all, 2, 3, 4)
	has("the changed path among two", two, 2, 4)
	has("the better path", plain, 4)
	for id, hop := range hops(all) {
		if was := before[id]; was != hop && (was != 1 || hop != 4) {
			t.Errorf("identifier %d went from path %d to path %d", id, was, hop)
		}
	}
	gone := func(yield func(netip.Prefix, uint32) bool) { yield(p, 8) }
	giver.send(wire.AppendWithdrawals(nil, giver.form, bgp.IPv4Unicast, gone))
	has("what is left", all, 3, 4)
	has("the next one among two", two, 3, 4)
	giver.cut()
	other.withdraw(p.String())
	has("the paths of one that may come back", all, 4)
}
