package bgptest

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestBest(t *testing.T) {
	base := bgp.Path{Prefix: netip.MustParsePrefix("10.0.0.1/32"), LocalPref: 100, ASPath: []uint32{65001}, ASPathLen: 1}
	path := func(n byte, change ...func(*bgp.Path)) bgp.Path {
		p := base
		p.NextHop = netip.AddrFrom4([4]byte{192, 0, 2, n})
		p.Peer, p.PeerID = p.NextHop, p.NextHop
		for _, c := range change {
			c(&p)
		}
		return p
	}
	pref := func(n uint32) func(*bgp.Path) { return func(p *bgp.Path) { p.LocalPref = n } }
	as := func(list ...uint32) func(*bgp.Path) {
		return func(p *bgp.Path) { p.ASPath, p.ASPathLen = list, len(list) }
	}
	med := func(n uint32) func(*bgp.Path) { return func(p *bgp.Path) { p.MED = n } }
	internal := func(p *bgp.Path) { p.Internal = true }
	via := func(n byte) func(*bgp.Path) {
		return func(p *bgp.Path) { p.NextHop = netip.AddrFrom4([4]byte{192, 0, 2, n}) }
	}
	originator := func(n byte) func(*bgp.Path) {
		return func(p *bgp.Path) { p.OriginatorID = netip.AddrFrom4([4]byte{192, 0, 2, n}) }
	}
	for _, c := range []struct {
		name  string
		paths []bgp.Path
		want  []byte // last octets of the peers
	}{
		{"none", nil, nil},
		{"equal", []bgp.Path{path(2), path(1)}, []byte{1, 2}},
		{"local-pref", []bgp.Path{path(1), path(2, pref(101), as(1, 2, 3))}, []byte{2}},
		{"as path length", []bgp.Path{path(1, as(1, 2)), path(2, as(3))}, []byte{2}},
		{"a set counts one", []bgp.Path{path(1, as(1, 2)), path(2, as(3, 4, 5), func(p *bgp.Path) { p.ASPathLen = 2 })}, []byte{1, 2}},
		{"origin", []bgp.Path{path(1, func(p *bgp.Path) { p.Origin = bgp.OriginIncomplete }), path(2)}, []byte{2}},
		{"med of one AS", []bgp.Path{path(1, med(5)), path(2, med(4))}, []byte{2}},
		{"med of several AS", []bgp.Path{path(1, med(5)), path(2, as(65002), med(4)), path(3, med(6))}, []byte{1, 2}},
		{"med before external", []bgp.Path{path(1, med(5)), path(2, med(4), internal)}, []byte{2}},
		{"external", []bgp.Path{path(1, internal), path(2)}, []byte{2}},
		{"one next hop", []bgp.Path{path(1, via(9)), path(2, via(9)), path(3)}, []byte{1, 3}},
		{"originator", []bgp.Path{path(1, internal, originator(9)), path(2, internal), path(3, internal, originator(1))}, []byte{3, 2, 1}},
		{"cluster list", []bgp.Path{
			path(1, internal, originator(9), func(p *bgp.Path) { p.ClusterList = make([]netip.Addr, 2) }),
			path(2, internal, originator(9), func(p *bgp.Path) { p.ClusterList = make([]netip.Addr, 1) }),
		}, []byte{2, 1}},
	} {
		for range 2 { // in any order
			var got []byte
			for _, p := range Best(c.paths) {
				got = append(got, p.Peer.As4()[3])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
			slices.Reverse(c.paths)
		}
	}
}
