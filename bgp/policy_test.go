package bgp

import (
	"net/netip"
	"slices"
	"testing"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

func TestPools(t *testing.T) {
	pools := NewPools([]Pool{
		{Prefix: prefix("10.0.0.0/8")},
		{Prefix: prefix("10.66.0.0/16"), DisableExport: true},
		{Prefix: prefix("10.66.6.0/24")},
		{Prefix: prefix("192.168.0.5/16")}, // host bits mean nothing
		{Prefix: prefix("fd00::/64")},
	})
	for _, c := range []struct {
		prefix       string
		held, export bool
	}{
		{"10.0.0.0/8", true, true},
		{"10.1.2.3/32", true, true},
		{"10.66.0.1/32", true, false},
		{"10.66.6.1/32", true, true}, // the most specific pool decides
		{"10.66.6.0/23", true, false},
		{"192.168.255.255/32", true, true},
		{"0.0.0.0/0", false, false},
		{"10.0.0.0/7", false, false}, // holds a pool, lies in none
		{"11.0.0.0/32", false, false},
		{"fd00::1/128", true, true},
		{"fd00::/63", false, false},
		{"a00::/8", false, false}, // the bits of 10.0.0.0/8 in another family
	} {
		if held, export := pools.Holds(prefix(c.prefix)); held != c.held || export != c.export {
			t.Errorf("%s: held %t, export %t", c.prefix, held, export)
		}
	}
	if held, _ := (Pools{}).Holds(prefix("10.0.0.1/32")); held {
		t.Error("no pools hold something")
	}
	if !pools.Equal(NewPools(pools.All())) || pools.Equal(Pools{}) {
		t.Error("pools made of their list are not equal, or equal to none")
	}
}

func TestImport(t *testing.T) {
	policy := ImportPolicy{
		Pools: NewPools([]Pool{{Prefix: prefix("10.0.0.0/8"), DisableExport: true}}),
		ASN:   64512, RouterID: addr("192.0.2.1"),
		Own: map[netip.Addr]bool{addr("192.0.2.1"): true},
	}
	internal := Session{LocalAS: 64512, PeerAS: 64512, Local: addr("192.0.2.9"), ClusterID: addr("244.0.0.1")}
	external := Session{LocalAS: 65000, PeerAS: 65001, Local: addr("192.0.2.9")}
	with := func(change func(*Session)) Session {
		s := external
		change(&s)
		return s
	}
	filter := func(reject bool) *Policy {
		rule := &FilterRule{Family: IPv4Unicast, Reject: reject}
		return &Policy{Filters: []*Filter{{Name: "f", Import: []*FilterRule{rule}}}}
	}
	all, none := filter(false), filter(true)
	good := Path{Prefix: prefix("10.0.0.1/32"), NextHop: addr("192.0.2.2"), LocalPref: 200}
	for _, c := range []struct {
		name    string
		session Session
		change  func(*Path)
		want    Refusal
	}{
		{"good", internal, func(*Path) {}, ""},
		{"good, external", external, func(p *Path) { p.ASPath = []uint32{65001, 65002} }, ""},
		{"another AS first", external, func(p *Path) { p.ASPath = []uint32{65002, 65001} }, NotFirstAS},
		{"no AS", external, func(*Path) {}, NotFirstAS},
		{"any AS first", with(func(s *Session) { s.Policy = &Policy{Options: Options{AnyFirstAS: true}} }), func(*Path) {}, ""},
		{"our AS once too often", with(func(s *Session) { s.Policy = &Policy{Options: Options{AllowOwnAS: 1}} }),
			func(p *Path) { p.ASPath = []uint32{65001, 64512, 64512} }, OwnAS},
		{"our AS as often as allowed", with(func(s *Session) { s.Policy = &Policy{Options: Options{AllowOwnAS: 2}} }),
			func(p *Path) { p.ASPath = []uint32{65001, 64512, 64512} }, ""},
		{"a martian", with(func(s *Session) { s.Policy = all }), func(p *Path) {
			p.Prefix, p.ASPath = prefix("169.254.1.1/32"), []uint32{65001}
		}, Martian},
		{"outside, let in", with(func(s *Session) { s.Policy = all }), func(p *Path) {
			p.Prefix, p.ASPath = prefix("0.0.0.0/0"), []uint32{65001}
		}, ""},
		{"rejected", with(func(s *Session) { s.Policy = none }), func(p *Path) { p.ASPath = []uint32{65001} }, Filtered},

		{"our AS", external, func(p *Path) { p.ASPath = []uint32{65001, 64512} }, OwnAS},
		{"the session's AS", external, func(p *Path) { p.ASPath = []uint32{65000} }, OwnAS},
		{"our router id", internal, func(p *Path) { p.OriginatorID = addr("192.0.2.1") }, OwnOriginator},
		{"our router id from outside", external, func(p *Path) {
			p.OriginatorID, p.ASPath = addr("192.0.2.1"), []uint32{65001}
		}, ""},
		{"our cluster", internal, func(p *Path) { p.ClusterList = []netip.Addr{addr("244.0.0.2"), addr("244.0.0.1")} }, OwnCluster},
		{"our address", internal, func(p *Path) { p.NextHop = addr("192.0.2.1") }, OwnNextHop},
		{"our address of the session", internal, func(p *Path) { p.NextHop = addr("192.0.2.9") }, OwnNextHop},
		{"no next hop", internal, func(p *Path) { p.NextHop = addr("0.0.0.0") }, NoNextHop},
		{"outside", internal, func(p *Path) { p.Prefix = prefix("11.0.0.1/32") }, NotInPool},
	} {
		p := good
		c.change(&p)
		got, refused := policy.Import(c.session, p)
		if refused != c.want {
			t.Errorf("%s: %q, want %q", c.name, refused, c.want)
		}
		if want := map[bool]uint32{true: 200, false: DefaultLocalPref}[got.Internal]; got.LocalPref != want {
			t.Errorf("%s: LOCAL_PREF %d", c.name, got.LocalPref)
		}
	}
}

func TestReflects(t *testing.T) {
	sessions := func(cluster netip.Addr) map[string]Session {
		all := map[string]Session{
			"client": {LocalAS: 1, PeerAS: 1, ReflectorClient: true},
			"plain":  {LocalAS: 1, PeerAS: 1},
			"tor":    {LocalAS: 1, PeerAS: 2},
		}
		n := byte(0)
		for name, s := range all {
			n++
			s.Peer, s.ClusterID = netip.AddrFrom4([4]byte{192, 0, 2, n}), cluster
			all[name] = s
		}
		return all
	}
	want := []string{"client>plain", "client>tor", "plain>client", "plain>tor", "tor>client", "tor>plain"}
	for _, reflector := range []bool{true, false} {
		cluster := netip.Addr{}
		if reflector {
			cluster = addr("244.0.0.1")
		}
		var got []string
		all := sessions(cluster)
		for from, f := range all {
			for to, s := range all {
				if from != to {
					if (ExportPolicy{}).Reflects(f, s) {
						got = append(got, from+">"+to)
					}
				}
			}
		}
		slices.Sort(got)
		if !reflector {
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("reflector %t: %v, want %v", reflector, got, want)
		}
	}
	// Two of a kind.
	a := Session{LocalAS: 1, PeerAS: 1, Peer: addr("192.0.2.1"), ClusterID: addr("244.0.0.1")}
	for _, c := range []struct {
		change func(*Session)
		want   bool
	}{
		{func(s *Session) { s.ReflectorClient = true }, true},
		{func(*Session) {}, false},
		{func(s *Session) { s.PeerAS = 2 }, false},
	} {
		from, to := a, a
		to.Peer = addr("192.0.2.2")
		c.change(&from)
		c.change(&to)
		if got := (ExportPolicy{}).Reflects(from, to); got != c.want {
			t.Errorf("%+v to another one: %t", from, got)
		}
		if (ExportPolicy{}).Reflects(from, from) {
			t.Errorf("%+v to itself", from)
		}
	}
}

func TestSessionCheck(t *testing.T) {
	good := Session{Peer: addr("192.0.2.1"), Local: addr("192.0.2.2"), LocalAS: 1, PeerAS: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*Session){
		func(s *Session) { s.Range = netip.MustParsePrefix("192.0.2.0/24") },
		func(s *Session) { s.Peer, s.Range = netip.Addr{}, netip.MustParsePrefix("192.0.2.1/24") },
		func(s *Session) { s.Peer = netip.Addr{} },
		func(s *Session) { s.Local = addr("2001:db8::1") },
		func(s *Session) { s.Local = s.Peer },
		func(s *Session) { s.LocalAS = 0 },
		func(s *Session) { s.ReflectorClient = true },
		func(s *Session) { s.ReflectorClient, s.ClusterID, s.PeerAS = true, addr("1.1.1.1"), 2 },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("change %d: no error", i)
		}
	}
}
