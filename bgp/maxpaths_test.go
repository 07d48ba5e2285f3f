package bgp

import (
	"net/netip"
	"testing"
)

// A route has no more next hops than the maximum, different ones, the best
// first; the maximum holds for what is put after it.
func TestMaxPaths(t *testing.T) {
	set := PathSet{Prefix: netip.MustParsePrefix("10.0.0.1/32")}
	for _, hop := range []string{"192.0.2.9", "192.0.2.9", "192.0.2.2", "192.0.2.5"} {
		set.Paths = append(set.Paths, Path{Prefix: set.Prefix, NextHop: netip.MustParseAddr(hop)})
	}
	for _, c := range []struct {
		most int
		want GroupKey
	}{
		{0, "192.0.2.2 192.0.2.5 192.0.2.9"}, {2, "192.0.2.2 192.0.2.9"}, {1, "192.0.2.9"}, {8, "192.0.2.2 192.0.2.5 192.0.2.9"},
	} {
		r := NewRoutes(nil)
		r.SetMaxPaths(c.most)
		r.Put(set)
		if got := r.routes[set.Prefix]; got != c.want {
			t.Errorf("at most %d: %q, want %q", c.most, got, c.want)
		}
	}
}
