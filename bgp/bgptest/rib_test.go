package bgptest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestRIB(t *testing.T) {
	var rib RIB
	refuse := map[netip.Addr]bool{}
	accept := func(p bgp.Path) (bgp.Path, bgp.Refusal) {
		if refuse[p.Peer] {
			return p, bgp.NotInPool
		}
		return p, ""
	}
	drain := func() (told []string) {
		for _, s := range rib.Drain(accept) {
			text := s.Prefix.String()
			for _, p := range s.Paths {
				text += " " + p.NextHop.String()
			}
			told = append(told, text)
		}
		return told
	}
	put := func(p string, peer string, stale bool) {
		rib.Put(bgp.Path{Prefix: netip.MustParsePrefix(p), Peer: netip.MustParseAddr(peer), PeerID: netip.MustParseAddr(peer), NextHop: netip.MustParseAddr(peer), Stale: stale})
	}
	for i, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, nil},
		{func() { put("10.0.0.2/32", "192.0.2.1", false); put("10.0.0.1/32", "192.0.2.2", false) },
			[]string{"10.0.0.1/32 192.0.2.2", "10.0.0.2/32 192.0.2.1"}},
		{func() { put("10.0.0.1/32", "192.0.2.1", false) }, []string{"10.0.0.1/32 192.0.2.1 192.0.2.2"}},
		{func() { put("10.0.0.1/32", "192.0.2.1", true) }, []string{"10.0.0.1/32 192.0.2.2"}}, // a fresh one is better
		{func() { put("10.0.0.2/32", "192.0.2.1", true) }, nil},                               // where there is none, stale is no news
		{func() {
			put("10.0.0.3/32", "192.0.2.1", false)
			rib.Remove(netip.MustParsePrefix("10.0.0.3/32"), netip.MustParseAddr("192.0.2.1"))
		}, nil},
		{func() {
			refuse[netip.MustParseAddr("192.0.2.1")] = true
			rib.Touch(func(netip.Prefix) bool { return true })
		},
			[]string{"10.0.0.2/32"}},
		{func() {
			clear(refuse)
			rib.Touch(func(p netip.Prefix) bool { return p == netip.MustParsePrefix("10.0.0.2/32") })
		},
			[]string{"10.0.0.2/32 192.0.2.1"}},
		{func() { rib.Remove(netip.MustParsePrefix("10.0.0.2/32"), netip.MustParseAddr("192.0.2.9")) }, nil}, // nobody told it
		{func() { rib.Remove(netip.MustParsePrefix("10.0.0.2/32"), netip.MustParseAddr("192.0.2.1")) }, []string{"10.0.0.2/32"}},
	} {
		step.do()
		if got := drain(); !slices.Equal(got, step.want) {
			t.Errorf("step %d: told %v, want %v", i, got, step.want)
		}
	}
	counts := fmt.Sprint(rib.Counts(accept))
	if want := "map[192.0.2.1:{1 1 0} 192.0.2.2:{1 0 1}]"; counts != want {
		t.Errorf("counts %s, want %s", counts, want)
	}
}
