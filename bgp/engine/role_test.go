package engine

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestRoleChanges: who becomes a reflector, or ceases to be one, resets no
// session. What the role gives is sent, what it takes away is withdrawn, and
// nothing else moves.
func TestRoleChanges(t *testing.T) {
	t.Parallel()
	g := newGround(t, 66)
	g.originate("10.1.0.1/32")
	reflector := func(s *bgp.Session) { s.ClusterID = modelCluster }
	set := func(change ...func(*bgp.Session)) {
		t.Helper()
		var list []bgp.Session
		for i, c := range change {
			list = append(list, g.to(2+i, c))
		}
		g.sessions(list...)
	}
	mesh := func(*bgp.Session) {}
	set(mesh, mesh, mesh)
	routers := []*far{g.dial(2, modelAS), g.dial(3, modelAS), g.dial(4, modelAS)}
	prefixes := []string{"10.2.0.1/32", "10.3.0.1/32", "10.4.0.1/32"}
	for i, r := range routers {
		r.announce(wire.Attributes{}, prefixes[i])
		wait(t, "path", func() bool { return g.peer(2+i).Accepted == 1 })
		wait(t, "End-of-RIB", func() bool { return r.synced().Has(bgp.IPv4Unicast) })
	}
	counts := func() (n [3]int) {
		for i, r := range routers {
			n[i] = r.updates()
		}
		return n
	}
	marker := byte(0)
	// holds waits until everybody has what is said beside our own routes, and
	// checks that so many UPDATEs were enough for that.
	holds := func(before, news [3]int, want ...[]string) {
		t.Helper()
		marker++ // behind all that the change had to tell
		last := netip.AddrFrom4([4]byte{10, 1, 1, marker}).String() + "/32"
		g.originate(last)
		for i, r := range routers {
			wait(t, last, func() bool { _, ok := r.held(last); return ok })
			got := slices.DeleteFunc(r.prefixes(), func(p string) bool { return p < "10.2" })
			if !slices.Equal(got, want[i]) {
				t.Errorf("router %d holds %v, want %v", 2+i, got, want[i])
			}
			if n := r.updates() - before[i] - 1; n != news[i] {
				t.Errorf("router %d got %d UPDATEs, want %d", 2+i, n, news[i])
			}
			if p := g.peer(2 + i); p.Established != 1 || p.State != bgp.Established {
				t.Errorf("session with router %d is %s, came up %d times", 2+i, p.State, p.Established)
			}
		}
	}
	none := []string{}
	holds(counts(), [3]int{}, none, none, none)

	before := counts()
	set(reflected, reflector, reflector)
	holds(before, [3]int{2, 1, 1}, []string{"10.3.0.1/32", "10.4.0.1/32"}, []string{"10.2.0.1/32"}, []string{"10.2.0.1/32"})
	// Another one is the client: between these two nothing changes.
	before = counts()
	set(reflector, reflected, reflector)
	holds(before, [3]int{1, 1, 2}, []string{"10.3.0.1/32"}, []string{"10.2.0.1/32", "10.4.0.1/32"}, []string{"10.3.0.1/32"})
	// Another cluster id: the same paths, otherwise.
	before = counts()
	other := netip.MustParseAddr("244.0.0.9")
	set(func(s *bgp.Session) { s.ClusterID = other },
		func(s *bgp.Session) { s.ClusterID, s.ReflectorClient = other, true },
		func(s *bgp.Session) { s.ClusterID = other })
	holds(before, [3]int{1, 2, 1}, []string{"10.3.0.1/32"}, []string{"10.2.0.1/32", "10.4.0.1/32"}, []string{"10.3.0.1/32"})
	if a, _ := routers[0].held("10.3.0.1/32"); !slices.Equal(a.ClusterList, []netip.Addr{other}) {
		t.Errorf("cluster list %v", a.ClusterList)
	}
	// What bears our cluster id is refused as long as it is ours.
	routers[0].announce(wire.Attributes{ClusterList: []netip.Addr{other}, OriginatorID: netip.MustParseAddr("192.0.2.77")}, "10.2.0.9/32")
	wait(t, "a loop refused", func() bool { e := g.paths("10.2.0.9/32"); return len(e) == 1 && e[0].Refused == bgp.OwnCluster })
	before = counts()
	set(mesh, mesh, mesh)
	holds(before, [3]int{1, 1, 1}, none, none, none)
	wait(t, "the loop to be none", func() bool { e := g.paths("10.2.0.9/32"); return len(e) == 1 && e[0].Refused == "" })
}
