package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// node is a Node; more are "as=", "cluster=" and labels "key=value".
func node(t *testing.T, name, v4, v6 string, more ...string) *resource.Node {
	t.Helper()
	n := &resource.Node{Meta: resource.Meta{
		ID:     resource.ID{Kind: resource.KindNode, Name: name},
		Labels: map[string]string{"name": name},
	}}
	if v4 != "" {
		n.IPv4 = netip.MustParsePrefix(v4 + "/24")
	}
	if v6 != "" {
		n.IPv6 = netip.MustParsePrefix(v6 + "/64")
	}
	for _, m := range more {
		key, value, _ := strings.Cut(m, "=")
		switch key {
		case "as":
			fmt.Sscan(value, &n.ASNumber)
		case "cluster":
			n.RouteReflectorClusterID = netip.MustParseAddr(value)
		default:
			n.Labels[key] = value
		}
	}
	return n
}

func named[T any](name string, set func(*T)) *T {
	v := new(T)
	set(v)
	switch v := any(v).(type) {
	case *resource.BGPPeer:
		v.Name = name
	case *resource.BGPConfiguration:
		v.Name = name
	}
	return v
}

func peer(name string, set func(*resource.BGPPeer)) *resource.BGPPeer { return named(name, set) }

func sel(t *testing.T, text string) *selector.Selector {
	t.Helper()
	s, err := selector.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noMesh(c *resource.BGPConfiguration) { c.NodeToNodeMesh = false }

// line is what matters of a session, in one line.
func line(s Session) string {
	words := []string{s.Name, s.Kind.String(), fmt.Sprintf("%s-%s", s.Local, s.Endpoint()), fmt.Sprintf("as %d-%d", s.LocalAS, s.PeerAS)}
	for _, w := range []struct {
		on   bool
		word string
	}{
		{s.Passive, "passive"},
		{s.ReflectorClient, "client"},
		{s.ClusterID.IsValid(), "cluster " + s.ClusterID.String()},
		{s.PeerNode != "", "node " + s.PeerNode},
		{s.Hold != 0 || s.Keepalive != 0, fmt.Sprintf("timers %s %s", s.Hold, s.Keepalive)},
	} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}

func TestSessions(t *testing.T) {
	a := node(t, "a", "10.0.0.1", "fd00::1")
	b := node(t, "b", "10.0.0.2", "fd00::2")
	c := node(t, "c", "10.0.0.10", "")
	rr := node(t, "rr", "10.0.1.1", "", "cluster=244.0.0.1", "role=rr")
	rr2 := node(t, "rr2", "10.0.1.2", "", "cluster=244.0.0.1", "role=rr")
	rr3 := node(t, "rr3", "10.0.1.3", "", "cluster=244.0.0.3", "role=rr")
	toReflectors := peer("to-rr", func(p *resource.BGPPeer) {
		p.NodeSelector, p.PeerSelector = sel(t, "!has(role)"), sel(t, "role == 'rr'")
	})
	meshOff := named("default", noMesh)

	for _, c := range []struct {
		name     string
		in       Input
		want     []string
		problems []string
	}{
		{
			name: "mesh, passive by the greater address as text",
			in:   Input{Node: "b", Nodes: []*resource.Node{b, c, a}},
			want: []string{
				"mesh/a/ipv4 mesh 10.0.0.2-10.0.0.1:179 as 64512-64512 node a",
				"mesh/a/ipv6 mesh fd00::2-[fd00::1]:179 as 64512-64512 node a",
				"mesh/c/ipv4 mesh 10.0.0.2-10.0.0.10:179 as 64512-64512 node c", // "10.0.0.10" < "10.0.0.2"
			},
		}, {
			name: "mesh among several AS and ports",
			in: Input{
				Node:  "a",
				Nodes: []*resource.Node{a, node(t, "b", "10.0.0.2", "", "as=4200000001"), c},
				Configurations: []*resource.BGPConfiguration{
					named("default", func(c *resource.BGPConfiguration) {
						c.NodeToNodeMesh, c.ASNumber, c.ListenPort = true, 64600, 1179
					}),
					named("node.c", func(c *resource.BGPConfiguration) { c.ListenPort = 2179 }),
				},
			},
			want: []string{
				"mesh/b/ipv4 mesh 10.0.0.1-10.0.0.2:1179 as 64600-4200000001 passive node b",
				"mesh/c/ipv4 mesh 10.0.0.1-10.0.0.10:2179 as 64600-64600 passive node c",
			},
		}, {
			name: "no mesh with a reflector",
			in:   Input{Node: "a", Nodes: []*resource.Node{a, rr}},
		}, {
			name: "no mesh of a reflector",
			in:   Input{Node: "rr", Nodes: []*resource.Node{a, rr}},
		}, {
			name: "mesh off",
			in:   Input{Node: "a", Nodes: []*resource.Node{a, b}, Configurations: []*resource.BGPConfiguration{meshOff}},
		}, {
			name: "unknown node",
			in:   Input{Node: "x", Nodes: []*resource.Node{a}}, problems: []string{"node x is not known"},
		}, {
			name: "hosts to reflectors",
			in:   Input{Node: "a", Nodes: []*resource.Node{a, b, rr, rr2, rr3}, Configurations: []*resource.BGPConfiguration{meshOff}, Peers: []*resource.BGPPeer{toReflectors}},
			want: []string{
				"peer/to-rr/10.0.1.1 node 10.0.0.1-10.0.1.1:179 as 64512-64512 node rr",
				"peer/to-rr/10.0.1.2 node 10.0.0.1-10.0.1.2:179 as 64512-64512 node rr2",
				"peer/to-rr/10.0.1.3 node 10.0.0.1-10.0.1.3:179 as 64512-64512 node rr3",
			},
		}, {
			name: "reflector to two clients and an external peer",
			in: Input{
				Node: "rr", Nodes: []*resource.Node{a, b, rr}, Configurations: []*resource.BGPConfiguration{meshOff},
				Peers: []*resource.BGPPeer{toReflectors, peer("tor", func(p *resource.BGPPeer) {
					p.Node, p.PeerIP, p.ASNumber = "rr", netip.MustParseAddr("192.0.2.1"), 65001
				})},
			},
			want: []string{
				"peer/to-rr/10.0.0.1 node 10.0.1.1-10.0.0.1:179 as 64512-64512 client cluster 244.0.0.1 node a",
				"peer/to-rr/10.0.0.2 node 10.0.1.1-10.0.0.2:179 as 64512-64512 client cluster 244.0.0.1 node b",
				"peer/tor/192.0.2.1 node 10.0.1.1-192.0.2.1:179 as 64512-65001 cluster 244.0.0.1",
			},
		}, {
			name: "reflectors among themselves: clients but for those of one cluster",
			in: Input{
				Node: "rr", Nodes: []*resource.Node{rr, rr2, rr3},
				Peers: []*resource.BGPPeer{peer("rr-mesh", func(p *resource.BGPPeer) {
					p.NodeSelector, p.PeerSelector = sel(t, "has(role)"), sel(t, "has(role)")
				})},
			},
			want: []string{
				"peer/rr-mesh/10.0.1.2 node 10.0.1.1-10.0.1.2:179 as 64512-64512 cluster 244.0.0.1 node rr2",
				"peer/rr-mesh/10.0.1.3 node 10.0.1.1-10.0.1.3:179 as 64512-64512 client cluster 244.0.0.1 node rr3",
			},
		}, {
			name: "reverse peering by hand",
			in: Input{
				Node: "rr", Nodes: []*resource.Node{a, rr},
				Peers: []*resource.BGPPeer{peer("p", func(p *resource.BGPPeer) {
					p.NodeSelector, p.PeerSelector, p.ReverseManual = sel(t, "!has(role)"), sel(t, "has(role)"), true
				})},
			},
		}, {
			name: "reverse of an address of ours, with its port and AS",
			in: Input{
				Node: "rr", Nodes: []*resource.Node{a, b, rr}, Configurations: []*resource.BGPConfiguration{meshOff},
				Peers: []*resource.BGPPeer{
					peer("other-port", func(p *resource.BGPPeer) {
						p.Node, p.PeerIP, p.PeerPort, p.ASNumber = "b", netip.MustParseAddr("10.0.1.1"), 1179, 64512
					}),
					peer("right", func(p *resource.BGPPeer) {
						p.Node, p.PeerIP, p.ASNumber = "a", netip.MustParseAddr("10.0.1.1"), 64512
					}),
					peer("wrong-as", func(p *resource.BGPPeer) {
						p.Node, p.PeerIP, p.ASNumber = "b", netip.MustParseAddr("10.0.1.1"), 65000
					}),
				},
			},
			want: []string{"peer/right/10.0.0.1 node 10.0.1.1-10.0.0.1:179 as 64512-64512 client cluster 244.0.0.1 node a"},
		}, {
			name: "global peer: passive towards a greater node, never to itself",
			in: Input{
				Node: "a", Nodes: []*resource.Node{a, b, c}, Configurations: []*resource.BGPConfiguration{meshOff},
				Peers: []*resource.BGPPeer{
					peer("all", func(p *resource.BGPPeer) { p.PeerSelector = sel(t, "name in {'a', 'b'}") }),
					peer("tor", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.254"), 65001 }),
					peer("v6", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("fd00::fe"), 65001 }),
				},
			},
			want: []string{
				"peer/all/10.0.0.10 node 10.0.0.1-10.0.0.10:179 as 64512-64512 node c", // the way back of c's
				"peer/all/10.0.0.2 global 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b",
				"peer/all/fd00::2 global fd00::1-[fd00::2]:179 as 64512-64512 passive node b",
				"peer/tor/10.0.0.254 global 10.0.0.1-10.0.0.254:179 as 64512-65001",
				"peer/v6/fd00::fe global fd00::1-[fd00::fe]:179 as 64512-65001",
			},
		}, {
			name: "no address of the family",
			in: Input{
				Node: "c", Nodes: []*resource.Node{c},
				Peers: []*resource.BGPPeer{
					peer("all", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("fd00::fe"), 65001 }),
					peer("one", func(p *resource.BGPPeer) {
						p.Node, p.PeerIP, p.ASNumber = "c", netip.MustParseAddr("fd00::fe"), 65001
					}),
				},
			},
			problems: []string{"BGPPeer one: node c has no ipv6 address"},
		}, {
			name: "one session per address and port",
			in: Input{
				Node: "a", Nodes: []*resource.Node{a, b},
				ConfigPeers: []*resource.BGPPeer{
					peer("file", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.254"), 65001 }),
					peer("link", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("fe80::1%eth0"), 65001 }),
				},
				Defaults: resource.SessionSettings{HoldTime: new(120 * time.Second)},
				Peers: []*resource.BGPPeer{
					peer("a-node", func(p *resource.BGPPeer) {
						p.Node, p.PeerIP, p.ASNumber = "a", netip.MustParseAddr("10.0.0.253"), 65002
					}),
					peer("b-global", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.253"), 65003 }),
					peer("c-file", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.254"), 65004 }),
					peer("d-port", func(p *resource.BGPPeer) {
						p.PeerIP, p.PeerPort, p.ASNumber = netip.MustParseAddr("10.0.0.254"), 1179, 65004
						p.Settings.KeepaliveTime = new(time.Minute)
					}),
					peer("e-mesh", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.2"), 64512 }),
				},
			},
			want: []string{
				"mesh/b/ipv6 mesh fd00::1-[fd00::2]:179 as 64512-64512 passive node b timers 2m0s 0s",
				"peer/b-global/10.0.0.253 global 10.0.0.1-10.0.0.253:179 as 64512-65003 timers 2m0s 0s",
				"peer/d-port/10.0.0.254:1179 global 10.0.0.1-10.0.0.254:1179 as 64512-65004 timers 3m0s 1m0s",
				"peer/e-mesh/10.0.0.2 global 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node b timers 2m0s 0s",
				"peer/file/10.0.0.254 config 10.0.0.1-10.0.0.254:179 as 64512-65001 timers 2m0s 0s",
			},
			problems: []string{
				"BGPPeer link: fe80::1%eth0: sessions between link-local addresses are not supported",
				"BGPPeer c-file: shadowed at 10.0.0.254:179 by peer/file/10.0.0.254",
				"BGPPeer a-node: shadowed at 10.0.0.253:179 by peer/b-global/10.0.0.253",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the order of what comes in means nothing
				sessions, problems := Sessions(c.in)
				var got, said []string
				for _, s := range sessions {
					got = append(got, line(s))
				}
				for _, p := range problems {
					said = append(said, p.String())
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("sessions (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.problems, said); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
				slices.Reverse(c.in.Nodes)
				slices.Reverse(c.in.Peers)
			}
		})
	}
}

// TestSessionsMeet: whatever the objects, a session among nodes has its other
// end, and at least one end dials.
func TestSessionsMeet(t *testing.T) {
	nodes := []*resource.Node{
		node(t, "a", "10.0.0.1", "fd00::1", "rack=1"),
		node(t, "b", "10.0.0.2", "", "rack=1", "as=65010"),
		node(t, "c", "", "fd00::3", "rack=2"),
		node(t, "d", "10.0.0.10", "fd00::10", "rack=2", "role=rr", "cluster=244.0.0.1"),
		node(t, "e", "10.0.0.11", "fd00::11", "rack=1", "role=rr", "cluster=244.0.0.1"),
	}
	objects := []*resource.BGPPeer{
		peer("1", func(p *resource.BGPPeer) { p.PeerSelector = sel(t, "role == 'rr'") }),
		peer("2", func(p *resource.BGPPeer) {
			p.NodeSelector, p.PeerSelector = sel(t, "rack == '1'"), sel(t, "rack == '2'")
		}),
		peer("3", func(p *resource.BGPPeer) { p.Node, p.PeerSelector = "a", sel(t, "all()") }),
		peer("4", func(p *resource.BGPPeer) { p.PeerIP, p.ASNumber = netip.MustParseAddr("10.0.0.10"), 64512 }),
		peer("5", func(p *resource.BGPPeer) {
			p.NodeSelector, p.PeerSelector = sel(t, "has(role)"), sel(t, "has(role)")
		}),
	}
	for mask := range 1 << (len(objects) + 1) {
		in := Input{Nodes: nodes, Configurations: []*resource.BGPConfiguration{named("default", func(c *resource.BGPConfiguration) {
			c.NodeToNodeMesh = mask&1 != 0
		})}}
		for i, o := range objects {
			if mask&(2<<i) != 0 {
				in.Peers = append(in.Peers, o)
			}
		}
		ends := make(map[[2]netip.Addr]Session)
		for _, n := range nodes {
			in.Node = n.Name
			sessions, _ := Sessions(in)
			for _, s := range sessions {
				ends[[2]netip.Addr{s.Local, s.Peer}] = s
			}
		}
		for _, s := range ends {
			other, ok := ends[[2]netip.Addr{s.Peer, s.Local}]
			switch {
			case !ok:
				t.Errorf("objects %b: %s has no other end", mask, line(s))
			case s.Passive && other.Passive:
				t.Errorf("objects %b: nobody dials %s", mask, line(s))
			case s.LocalAS != other.PeerAS || s.Carried() != other.Carried():
				t.Errorf("objects %b: %s and %s do not fit", mask, line(s), line(other))
			}
		}
	}
}
