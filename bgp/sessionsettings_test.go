package bgp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// full is settings that all say something, as n has it.
func full(n int) resource.SessionSettings {
	names := []string{fmt.Sprint("f", n)}
	families := []string{"IPv4", "IPv6"}
	d := func(unit time.Duration) *time.Duration { return new(time.Duration(n) * unit) }
	mode := resource.NextHopSelf
	return resource.SessionSettings{
		Filters: &names, Password: &resource.SecretRef{Name: "s", Key: fmt.Sprint("k", n)},
		SourceAddress: &resource.SourceAddress{Addr: netip.AddrFrom4([4]byte{10, 9, 0, byte(n)})},
		LocalASNumber: new(uint32(65000 + n)), AllowedLocalAS: new(n), NextHopMode: &mode,
		Multihop: new(uint8(n)), HoldTime: d(30 * time.Second), KeepaliveTime: d(5 * time.Second),
		ConnectRetry: d(time.Second), RestartTime: d(time.Minute), LongLived: d(time.Hour),
		AddPathSend: new(n), AddPathReceive: new(true), MaxPrefixes: &resource.MaxPrefixes{Limit: n, Warning: 50, WarnOnly: true},
		Families: &families, ExtendedNextHop: new(true), Role: new("Customer"), StrictRole: new(true),
		AnyFirstAS: new(true), Blackhole: new(true), ReflectForeign: new(true),
	}
}

// Each setting is that of the nearest level that says something, whichever
// others say nothing.
func TestSettingsAreInherited(t *testing.T) {
	shape := reflect.TypeFor[resource.SessionSettings]()
	for i := range shape.NumField() {
		name := shape.Field(i).Name
		for level := range 5 {
			// Levels from this one on say something of this one field.
			var set [5]resource.SessionSettings
			for n := level; n < len(set); n++ {
				from := full(n + 1)
				if name == "TTLSecurity" {
					from.TTLSecurity, from.Multihop = new(uint8(n+1)), nil
				}
				reflect.ValueOf(&set[n]).Elem().Field(i).Set(reflect.ValueOf(from).Field(i))
			}
			p := peer("p", func(p *resource.BGPPeer) { p.Settings, p.Group = set[0], "g" })
			b := newBuilder(Input{
				Node: "a", Nodes: []*resource.Node{node(t, "a", "10.0.0.1", "")},
				PeerGroups: []*resource.BGPPeerGroup{{Meta: resource.Meta{ID: resource.ID{Name: "g"}}, Settings: set[1]}},
				Configurations: []*resource.BGPConfiguration{
					named("node.a", func(c *resource.BGPConfiguration) { c.Sessions = set[2] }),
					named("node.b", func(c *resource.BGPConfiguration) { c.Sessions = full(9) }),
					named("default", func(c *resource.BGPConfiguration) { c.Sessions = set[3] }),
				},
				Defaults: set[4],
			})
			got, refused := b.settings(p, Global, b.self)
			if !reflect.DeepEqual(set[level], got) || refused != "" {
				t.Errorf("%s of level %d: got %+v %s", name, level, got, refused)
			}
			if fromFile, _ := b.settings(p, Config, b.self); level == 2 || level == 3 {
				if !reflect.DeepEqual(fromFile, set[4]) {
					t.Errorf("%s: a peer of the file has it from the store", name)
				}
			}
		}
	}
}

func TestSettingsThatDependOnEachOther(t *testing.T) {
	level := func(set func(*resource.SessionSettings)) *resource.SessionSettings {
		s := &resource.SessionSettings{}
		set(s)
		return s
	}
	hold := func(n int) *resource.SessionSettings {
		return level(func(s *resource.SessionSettings) { s.HoldTime = new(time.Duration(n) * time.Second) })
	}
	keepalive := func(n int) *resource.SessionSettings {
		return level(func(s *resource.SessionSettings) { s.KeepaliveTime = new(time.Duration(n) * time.Second) })
	}
	for _, c := range []struct {
		name            string
		levels          []*resource.SessionSettings
		hold, keepalive time.Duration
	}{
		{"both fit", []*resource.SessionSettings{hold(9), keepalive(3)}, 9 * time.Second, 3 * time.Second},
		{"the nearer hold time shortens keepalives", []*resource.SessionSettings{hold(9), keepalive(30)}, 9 * time.Second, 3 * time.Second},
		{"the nearer keepalive lengthens the hold time", []*resource.SessionSettings{keepalive(30), hold(9)}, 90 * time.Second, 30 * time.Second},
		{"only the nearest counts", []*resource.SessionSettings{hold(9), hold(90), keepalive(1), keepalive(2)}, 9 * time.Second, time.Second},
	} {
		s := inherit(c.levels)
		if value(s.HoldTime) != c.hold || value(s.KeepaliveTime) != c.keepalive {
			t.Errorf("%s: %s and %s", c.name, value(s.HoldTime), value(s.KeepaliveTime))
		}
	}
	multihop := level(func(s *resource.SessionSettings) { s.Multihop = new(uint8(2)) })
	security := level(func(s *resource.SessionSettings) { s.TTLSecurity = new(uint8(1)) })
	if s := inherit([]*resource.SessionSettings{multihop, security}); value(s.Multihop) != 2 || s.TTLSecurity != nil {
		t.Error("TTL security of a farther level beside a nearer multihop")
	}
	if s := inherit([]*resource.SessionSettings{security, multihop}); value(s.TTLSecurity) != 1 || s.Multihop != nil {
		t.Error("multihop of a farther level beside a nearer TTL security")
	}
}

// All settings arrive in the session.
func TestSettingsReachTheSession(t *testing.T) {
	set := full(3)
	set.Multihop, set.TTLSecurity = nil, new(uint8(1))
	filter := &resource.BGPFilter{Meta: resource.Meta{ID: resource.ID{Name: "f3"}}}
	in := Input{
		Node: "a", Nodes: []*resource.Node{node(t, "a", "10.0.0.1", "fd00::1")},
		Peers: []*resource.BGPPeer{peer("tor", func(p *resource.BGPPeer) {
			p.PeerIP, p.ASNumber, p.Settings = netip.MustParseAddr("10.0.0.254"), 64999, set
			p.Shutdown, p.ShutdownMessage = true, "moved"
		})},
		Filters: []*resource.BGPFilter{filter},
		Secrets: []*resource.Secret{{Meta: resource.Meta{ID: resource.ID{Name: "s"}}, Data: map[string]resource.SecretValue{"k3": []byte("secret")}}},
	}
	sessions, problems := Sessions(in)
	if len(sessions) != 1 || len(problems) != 0 {
		t.Fatalf("sessions %v, problems %v", sessions, problems)
	}
	got := sessions[0]
	policy := got.Policy
	got.Policy = nil
	want := Session{
		Name: "peer/tor/10.0.0.254", Kind: Global, Origin: "tor",
		Peer: netip.MustParseAddr("10.0.0.254"), PeerPort: 179, Local: netip.MustParseAddr("10.9.0.3"),
		Families: FamiliesOf(IPv4Unicast, IPv6Unicast), NextHop6: netip.MustParseAddr("fd00::1"), ExtendedNextHop: true,
		LocalAS: 65003, PeerAS: 64999, TTLSecurity: 1, Password: "secret",
		Hold: 90 * time.Second, Keepalive: 15 * time.Second, ConnectRetry: 3 * time.Second,
		RestartTime: 3 * time.Minute, LongLived: 3 * time.Hour, AddPathSend: 3, AddPathReceive: true,
		Role: RoleCustomer, StrictRole: true, Shutdown: true, ShutdownMessage: "moved",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	options := Options{
		AllowOwnAS: 3, AnyFirstAS: true, NextHop: NextHopSelf, Blackhole: true, ReflectForeign: true,
		MaxPrefix: MaxPrefix{Limit: 3, Warning: 50, WarnOnly: true},
	}
	if policy.Options != options || len(policy.Filters) != 1 || policy.Filters[0].Name != "f3" {
		t.Errorf("policy %+v", policy)
	}
}

// described is what sessions are in words, with what the lines of TestSessions
// leave out.
func described(in Input) string {
	sessions, problems := Sessions(in)
	var b strings.Builder
	for _, s := range sessions {
		b.WriteString(line(s))
		for _, w := range []struct {
			on   bool
			word string
		}{
			{s.Families != 0, "carries " + s.Families.String()},
			{s.NextHop4.IsValid() || s.NextHop6.IsValid(), fmt.Sprintf("next hops %s %s", s.NextHop4, s.NextHop6)},
			{s.Range.IsValid(), fmt.Sprintf("range %s limit %d", s.Range, s.RangeLimit)},
			{s.Password != "", "password"},
			{s.Multihop != 0 && s.Multihop != 255, fmt.Sprintf("hops %d", s.Multihop)},
			{s.TTLSecurity != 0, fmt.Sprintf("security %d", s.TTLSecurity)},
			{s.Role != RoleNone, "role " + s.Role.String()},
			{s.RestartTime != 0, "restart " + s.RestartTime.String()},
		} {
			if w.on {
				b.WriteString(" " + w.word)
			}
		}
		for _, f := range s.Policied().Filters {
			b.WriteString(" filter " + f.Name)
		}
		b.WriteString("\n")
	}
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestSettingsOfSessions(t *testing.T) {
	a, b := node(t, "a", "10.0.0.1", "fd00::1"), node(t, "b", "10.0.0.2", "fd00::2")
	both := &[]string{"IPv4", "IPv6"}
	toB := func(set func(*resource.BGPPeer)) []*resource.BGPPeer {
		return []*resource.BGPPeer{peer("p", func(p *resource.BGPPeer) {
			p.NodeSelector, p.PeerSelector = sel(t, "name == 'a'"), sel(t, "name == 'b'")
			set(p)
		})}
	}
	tor := func(set func(*resource.BGPPeer)) []*resource.BGPPeer {
		return []*resource.BGPPeer{peer("tor", func(p *resource.BGPPeer) {
			p.Node, p.PeerIP, p.ASNumber = "a", netip.MustParseAddr("10.0.0.254"), 65001
			set(p)
		})}
	}
	config := func(set func(*resource.BGPConfiguration)) []*resource.BGPConfiguration {
		return []*resource.BGPConfiguration{named("default", set)}
	}
	off := config(noMesh)
	secret := func(p *resource.BGPPeer, ref resource.SecretRef) { p.Settings.Password = &ref }
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"two families, two sessions", Input{Node: "a"},
			"mesh/b/ipv4 mesh 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b\n" +
				"mesh/b/ipv6 mesh fd00::1-[fd00::2]:179 as 64512-64512 passive node b"},
		{"two families on one session", Input{Node: "a", Configurations: config(func(c *resource.BGPConfiguration) {
			c.NodeToNodeMesh, c.Sessions.Families = true, both
		})}, "mesh/b/ipv4 mesh 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b carries ipv4,ipv6 next hops invalid IP fd00::1"},
		{"one end says so: two sessions", Input{Node: "a", Configurations: []*resource.BGPConfiguration{
			named("node.b", func(c *resource.BGPConfiguration) { c.Sessions.Families = both }),
		}}, "mesh/b/ipv4 mesh 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b\n" +
			"mesh/b/ipv6 mesh fd00::1-[fd00::2]:179 as 64512-64512 passive node b"},
		{"one family", Input{Node: "a", Configurations: config(func(c *resource.BGPConfiguration) {
			c.NodeToNodeMesh, c.Sessions.Families = true, &[]string{"IPv6"}
		})}, "mesh/b/ipv6 mesh fd00::1-[fd00::2]:179 as 64512-64512 passive node b carries ipv6"},
		{"over the other family", Input{Node: "a", Nodes: []*resource.Node{node(t, "a", "", "fd00::1"), node(t, "b", "10.0.0.2", "fd00::2")},
			Configurations: config(func(c *resource.BGPConfiguration) { c.NodeToNodeMesh, c.Sessions.Families = true, &[]string{"IPv4"} })},
			"mesh/b/ipv6 mesh fd00::1-[fd00::2]:179 as 64512-64512 passive node b carries ipv4"},
		{"extended next hop needs no IPv4 next hop", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			p.PeerIP, p.Settings.Families, p.Settings.ExtendedNextHop = netip.MustParseAddr("fd00::fe"), both, new(true)
		})}, "peer/tor/fd00::fe node fd00::1-[fd00::fe]:179 as 64512-65001 carries ipv4,ipv6"},
		{"IPv4 over IPv6 without it", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			p.PeerIP, p.Settings.Families = netip.MustParseAddr("fd00::fe"), both
		})}, "peer/tor/fd00::fe node fd00::1-[fd00::fe]:179 as 64512-65001 carries ipv4,ipv6 next hops 10.0.0.1 invalid IP"},
		{"local AS at the near end", Input{Node: "a", Configurations: off, Peers: toB(func(p *resource.BGPPeer) { p.Settings.LocalASNumber = new(uint32(65100)) })},
			"peer/p/10.0.0.2 node 10.0.0.1-10.0.0.2:179 as 65100-64512 node b\n" +
				"peer/p/fd00::2 node fd00::1-[fd00::2]:179 as 65100-64512 node b"},
		{"local AS at the far end, and the other role", Input{Node: "b", Configurations: off, Peers: toB(func(p *resource.BGPPeer) {
			p.Settings.LocalASNumber, p.Settings.Role = new(uint32(65100)), new("Provider")
		})}, "peer/p/10.0.0.1 node 10.0.0.2-10.0.0.1:179 as 64512-65100 node a role Customer\n" +
			"peer/p/fd00::1 node fd00::2-[fd00::1]:179 as 64512-65100 node a role Customer"},
		{"hops", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) { p.Settings.Multihop = new(uint8(1)) })},
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001 hops 1"},
		{"no hold timer", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) { p.Settings.HoldTime = new(time.Duration(0)) })},
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001 timers -1ns 0s"},
		{"TTL security", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) { p.Settings.TTLSecurity = new(uint8(2)) })},
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001 security 2"},
		{"the kernel's source address", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			p.Settings.SourceAddress = &resource.SourceAddress{None: true}
		})}, "peer/tor/10.0.0.254 node invalid IP-10.0.0.254:179 as 64512-65001"},
		{"a source address of the wrong family", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			p.Settings.SourceAddress = &resource.SourceAddress{Addr: netip.MustParseAddr("fd00::9")}
		})}, "BGPPeer tor: source address fd00::9 is no ipv4 address"},
		{"dynamic neighbours", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			p.PeerIP, p.PeerRange, p.RangeLimit = netip.Addr{}, netip.MustParsePrefix("10.1.0.0/24"), 10
		})}, "peer/tor node invalid IP-invalid AddrPort as 64512-65001 passive range 10.1.0.0/24 limit 10"},
		{"a filter is not there", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) { p.Settings.Filters = &[]string{"gone"} })},
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001 filter gone\n" +
				"BGPPeer tor: BGPFilter gone is not there: what reaches it is rejected"},
		{"a group is not there, and the mesh takes no place", Input{Node: "a", Peers: toB(func(p *resource.BGPPeer) { p.Group = "gone" })},
			"BGPPeer p: BGPPeerGroup gone is not there: no session"},
		{"a secret is not there", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{Name: "gone", Key: "k"})
		})}, "BGPPeer tor: password: there is no Secret gone: no session without it"},
		{"a secret lacks the key", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{Name: "s", Key: "k"})
		})}, "BGPPeer tor: password: the Secret s has no key k: no session without it"},
		{"an optional secret is not there", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{Name: "gone", Key: "k", Optional: true})
		})}, "peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001"},
		{"too long a secret, though optional", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{Name: "s", Key: "long", Optional: true})
		})}, "BGPPeer tor: password of 81 octets, the kernel takes 80 at most: no session without it"},
		{"a file", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) { secret(p, resource.SecretRef{File: "f"}) })},
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001 password"},
		{"an optional file that is not there", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{File: "gone", Optional: true})
		})}, "peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001"},
		{"an optional file that cannot be read", Input{Node: "a", Configurations: off, Peers: tor(func(p *resource.BGPPeer) {
			secret(p, resource.SecretRef{File: "closed", Optional: true})
		})}, "BGPPeer tor: password: file closed: permission denied: no session without it"},
		{"the mesh's password and restart time are of the mesh alone", Input{Node: "a", Nodes: []*resource.Node{node(t, "a", "10.0.0.1", ""), node(t, "b", "10.0.0.2", "")},
			Peers: tor(func(*resource.BGPPeer) {}), Configurations: config(func(c *resource.BGPConfiguration) {
				c.NodeToNodeMesh, c.MeshPassword, c.MeshRestartTime = true, &resource.SecretRef{Name: "s", Key: "mesh"}, time.Minute
			})}, "mesh/b/ipv4 mesh 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b password restart 1m0s\n" +
			"peer/tor/10.0.0.254 node 10.0.0.1-10.0.0.254:179 as 64512-65001"},
		{"a peer of ours listens elsewhere", Input{Node: "a", Configurations: append(config(noMesh), named("node.b", func(c *resource.BGPConfiguration) {
			c.ListenPort = 1179
		})), Peers: tor(func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.2"), 64512 })},
			"peer/tor/10.0.0.2:1179 node 10.0.0.1-10.0.0.2:1179 as 64512-64512 node b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.Nodes == nil {
				c.in.Nodes = []*resource.Node{a, b}
			}
			c.in.Secrets = []*resource.Secret{{Meta: resource.Meta{ID: resource.ID{Name: "s"}}, Data: map[string]resource.SecretValue{
				"mesh": []byte("m"), "long": []byte(strings.Repeat("x", 81)),
			}}}
			c.in.File = func(name string) ([]byte, error) {
				switch name {
				case "f":
					return []byte("word\n"), nil
				case "closed":
					return nil, errors.New("permission denied")
				}
				return nil, fs.ErrNotExist
			}
			if diff := cmp.Diff(c.want, described(c.in)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
