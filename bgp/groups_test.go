package bgp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
)

func reflectorGroup(t *testing.T, name, members string, set ...func(*resource.ReflectorGroup)) *resource.ReflectorGroup {
	t.Helper()
	g := &resource.ReflectorGroup{Meta: resource.Meta{ID: resource.ID{Kind: resource.KindReflectorGroup, Name: name}}}
	if members != "" {
		g.MemberSelector = sel(t, members)
	}
	for _, f := range set {
		f(g)
	}
	return g
}

func elected(name string, members ...string) *resource.ReflectorMembership {
	m := &resource.ReflectorMembership{Meta: resource.Meta{ID: resource.ID{Kind: resource.KindReflectorMembership, Name: name}}}
	for _, n := range members {
		m.Members = append(m.Members, resource.ReflectorMember{Node: n})
	}
	return m
}

func TestGroupSessions(t *testing.T) {
	h1 := node(t, "h1", "10.0.0.1", "fd00::1", "rack=a")
	h2 := node(t, "h2", "10.0.0.2", "", "rack=b")
	r1 := node(t, "r1", "10.0.1.1", "fd00::11", "cluster=10.0.1.1", "rr=one")
	r2 := node(t, "r2", "10.0.1.2", "", "cluster=10.0.1.2", "rr=one")
	r3 := node(t, "r3", "10.0.1.3", "", "cluster=10.0.1.3", "rr=two")
	one := reflectorGroup(t, "one", "rr == 'one'", func(g *resource.ReflectorGroup) { g.NodeSelector = sel(t, "rack == 'a'") })
	two := reflectorGroup(t, "two", "rr == 'two'", func(g *resource.ReflectorGroup) { g.NodeSelector = sel(t, "rack == 'b'") })
	all := []*resource.Node{h1, h2, r1, r2, r3}
	both := []*resource.ReflectorGroup{one, two}
	plain := reflectorGroup(t, "plain", "", func(g *resource.ReflectorGroup) {
		g.Election = &resource.ReflectorElection{Count: 2, Candidates: sel(t, "all()")}
	})
	h3 := node(t, "h3", "10.0.0.3", "")
	top := reflectorGroup(t, "top", "rr == 'top'", func(g *resource.ReflectorGroup) { g.NodeSelector = sel(t, "rr in {'one', 'two'}") })
	r4 := node(t, "r4", "10.0.1.4", "", "cluster=10.0.1.4", "rr=top")
	tiers := []*resource.ReflectorGroup{one, two, top}

	for _, c := range []struct {
		name     string
		in       Input
		want     []string
		problems []string
	}{
		{
			name: "a host peers with all reflectors of its group, and with no other host that has one",
			in:   Input{Node: "h1", Nodes: all, Groups: both},
			want: []string{
				"group/one/r1/ipv4 group 10.0.0.1-10.0.1.1:179 as 64512-64512 passive node r1",
				"group/one/r1/ipv6 group fd00::1-[fd00::11]:179 as 64512-64512 passive node r1",
				"group/one/r2/ipv4 group 10.0.0.1-10.0.1.2:179 as 64512-64512 passive node r2",
			},
		}, {
			name: "a reflector peers with its hosts and the reflectors of others, and with none of its own group",
			in:   Input{Node: "r1", Nodes: all, Groups: both},
			want: []string{
				"group/one/h1/ipv4 group 10.0.1.1-10.0.0.1:179 as 64512-64512 client cluster 10.0.1.1 node h1",
				"group/one/h1/ipv6 group fd00::11-[fd00::1]:179 as 64512-64512 client cluster 10.0.1.1 node h1",
				"group/one/r3/ipv4 group 10.0.1.1-10.0.1.3:179 as 64512-64512 passive cluster 10.0.1.1 node r3",
			},
		}, {
			name: "a group without a member takes nobody out of the mesh",
			in:   Input{Node: "h1", Nodes: []*resource.Node{h1, h2}, Groups: []*resource.ReflectorGroup{plain}},
			want: []string{"mesh/h2/ipv4 mesh 10.0.0.1-10.0.0.2:179 as 64512-64512 passive node h2"},
		}, {
			name: "an elected host reflects, and keeps the mesh with those whom no group covers",
			in: Input{
				Node: "h1", Nodes: []*resource.Node{h1, h2, h3},
				Groups: []*resource.ReflectorGroup{reflectorGroup(t, "plain", "", func(g *resource.ReflectorGroup) {
					g.Election, g.NodeSelector = plain.Election, sel(t, "has(rack)")
				})},
				Memberships: []*resource.ReflectorMembership{elected("plain", "h1")},
			},
			want: []string{
				"group/plain/h2/ipv4 group 10.0.0.1-10.0.0.2:179 as 64512-64512 passive client cluster 10.0.0.1 node h2",
				"mesh/h3/ipv4 mesh 10.0.0.1-10.0.0.3:179 as 64512-64512 passive cluster 10.0.0.1 node h3",
			},
		}, {
			name: "elected hosts have routes of their own, which the other reflectors of the group need",
			in: Input{
				Node: "h1", Nodes: []*resource.Node{h1, h2, h3}, Groups: []*resource.ReflectorGroup{plain},
				Memberships: []*resource.ReflectorMembership{elected("plain", "h1", "h2")},
			},
			want: []string{
				"group/plain/h2/ipv4 group 10.0.0.1-10.0.0.2:179 as 64512-64512 passive cluster 10.0.0.1 node h2",
				"group/plain/h3/ipv4 group 10.0.0.1-10.0.0.3:179 as 64512-64512 passive client cluster 10.0.0.1 node h3",
			},
		}, {
			name: "reflectors that are hosts of a group are its clients, and peer with no other",
			in:   Input{Node: "r4", Nodes: append(all[:len(all):len(all)], r4), Groups: tiers},
			want: []string{
				"group/top/r1/ipv4 group 10.0.1.4-10.0.1.1:179 as 64512-64512 client cluster 10.0.1.4 node r1",
				"group/top/r2/ipv4 group 10.0.1.4-10.0.1.2:179 as 64512-64512 client cluster 10.0.1.4 node r2",
				"group/top/r3/ipv4 group 10.0.1.4-10.0.1.3:179 as 64512-64512 client cluster 10.0.1.4 node r3",
			},
		}, {
			name: "those of the group are no clients of them",
			in:   Input{Node: "r3", Nodes: append(all[:len(all):len(all)], r4), Groups: tiers},
			want: []string{
				"group/top/r4/ipv4 group 10.0.1.3-10.0.1.4:179 as 64512-64512 passive cluster 10.0.1.3 node r4",
				"group/two/h2/ipv4 group 10.0.1.3-10.0.0.2:179 as 64512-64512 client cluster 10.0.1.3 node h2",
			},
		}, {
			name: "groups that are hosts of each other are side by side",
			in: Input{Node: "r3", Nodes: []*resource.Node{r3, r4}, Groups: []*resource.ReflectorGroup{
				top, reflectorGroup(t, "two", "rr == 'two'", func(g *resource.ReflectorGroup) { g.NodeSelector = sel(t, "rr == 'top'") }),
			}},
			want: []string{"group/two/r4/ipv4 group 10.0.1.3-10.0.1.4:179 as 64512-64512 passive cluster 10.0.1.3 node r4"},
		}, {
			name: "a BGPPeer wins over a group",
			in: Input{
				Node: "h2", Nodes: all, Groups: both,
				Peers: []*resource.BGPPeer{peer("to-rr", func(p *resource.BGPPeer) {
					p.NodeSelector, p.PeerSelector = sel(t, "has(rack)"), sel(t, "rr == 'two'")
				})},
			},
			want: []string{"peer/to-rr/10.0.1.3 node 10.0.0.2-10.0.1.3:179 as 64512-64512 node r3"},
		}, {
			name: "a cluster id that cannot be had",
			in: Input{Node: "r3", Nodes: []*resource.Node{r3}, Groups: []*resource.ReflectorGroup{
				reflectorGroup(t, "two", "rr == 'two'", func(g *resource.ReflectorGroup) { g.ClusterID = netip.MustParseAddr("1.1.1.1") }),
			}},
			problems: []string{"node r3 reflects with cluster id 10.0.1.3, and a group asks for 1.1.1.1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			sessions, problems := Sessions(c.in)
			var got, found []string
			for _, s := range sessions {
				got = append(got, line(s))
			}
			for _, p := range problems {
				found = append(found, p.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("sessions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.problems, found); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGroupSettings(t *testing.T) {
	filters := []string{"f"}
	g := reflectorGroup(t, "g", "has(rr)", func(g *resource.ReflectorGroup) { g.Settings.Filters = &filters })
	b := newBuilder(Input{Node: "r", Groups: []*resource.ReflectorGroup{g}, Nodes: []*resource.Node{
		node(t, "h", "10.0.0.1", ""), node(t, "r", "10.0.1.1", "", "cluster=10.0.1.1", "rr=x"),
	}})
	for _, c := range []struct {
		self, other string
		want        relation
	}{{"h", "r", reflector}, {"r", "h", client}} {
		if got, _ := b.grouping.between(c.self, c.other); got != c.want {
			t.Errorf("%s is %d to %s, want %d", c.other, got, c.self, c.want)
		}
	}
}

// TestAnotherGroupMovesItsShare shows that rendezvous hashing spreads hosts,
// and moves none that need not move.
func TestAnotherGroupMovesItsShare(t *testing.T) {
	const hosts = 1000
	var nodes []*resource.Node
	for i := range hosts {
		nodes = append(nodes, node(t, fmt.Sprintf("host%d", i), fmt.Sprintf("10.%d.%d.1", i/200, i%200), ""))
	}
	var groups []*resource.ReflectorGroup
	var before *Grouping
	for n := 1; n <= 5; n++ {
		name := fmt.Sprintf("g%d", n)
		nodes = append(nodes, node(t, "rr"+name, fmt.Sprintf("10.9.9.%d", n), "", "cluster=1.1.1.1", "rr="+name))
		groups = append(groups, reflectorGroup(t, name, fmt.Sprintf("rr == '%s'", name)))
		now := NewGrouping(groups, nil, nodes)
		moved := 0
		for i := range hosts {
			host := nodes[i].Name
			if now.HostOf(host) == name {
				moved++
			} else if before != nil && now.HostOf(host) != before.HostOf(host) {
				t.Fatalf("%s moved from %s to %s when %s came", host, before.HostOf(host), now.HostOf(host), name)
			}
		}
		if share := hosts / n; moved < share*8/10 || moved > share*12/10 {
			t.Errorf("group %d of as many got %d of %d hosts", n, moved, hosts)
		}
		before = now
	}
}

// TestGroupsReachEverybody draws nodes and groups at random: both ends of a
// session must agree on it, and every host must learn every other's routes.
func TestGroupsReachEverybody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 1000 {
		in := randomGroups(t, random)
		if problem := unreached(in); problem != "" {
			t.Fatalf("round %d: %s", round, problem)
		}
	}
}

func randomGroups(t *testing.T, random *rand.Rand) Input {
	t.Helper()
	var in Input
	for i := range 2 + random.IntN(8) {
		more := []string{fmt.Sprintf("rack=%d", random.IntN(3))}
		if random.IntN(3) == 0 {
			more = append(more, fmt.Sprintf("rr=%d", random.IntN(3)))
		}
		if len(more) == 2 && random.IntN(2) == 0 {
			more = append(more, fmt.Sprintf("cluster=10.0.0.%d", i+1))
		}
		in.Nodes = append(in.Nodes, node(t, fmt.Sprintf("n%d", i), fmt.Sprintf("10.0.0.%d", i+1), "", more...))
	}
	for i := range 1 + random.IntN(3) {
		g := reflectorGroup(t, fmt.Sprintf("g%d", i), fmt.Sprintf("rr == '%d'", i))
		switch random.IntN(3) {
		case 0:
			g.NodeSelector = sel(t, fmt.Sprintf("rack in {'%d', '%d'}", random.IntN(3), random.IntN(3)))
		case 1: // and reflectors below
			g.NodeSelector = sel(t, fmt.Sprintf("rack == '%d' || rr == '%d'", random.IntN(3), random.IntN(3)))
		}
		in.Groups = append(in.Groups, g)
	}
	return in
}

// unreached says what is wrong with the sessions that all nodes of in have;
// empty: nothing.
func unreached(in Input) string {
	sessions := make(map[string]map[string]Session)
	grouping := NewGrouping(in.Groups, nil, in.Nodes)
	for _, n := range in.Nodes {
		in.Node = n.Name
		sessions[n.Name] = make(map[string]Session)
		all, _ := Sessions(in)
		for _, s := range all {
			sessions[n.Name][s.PeerNode] = s
		}
	}
	for a, peers := range sessions {
		for b, s := range peers {
			back, ok := sessions[b][a]
			if !ok || back.Passive == s.Passive || back.Kind != s.Kind || back.ReflectorClient && s.ReflectorClient {
				return fmt.Sprintf("%s: %s, and back %s", a, line(s), line(back))
			}
		}
	}
	for _, origin := range in.Nodes {
		holds := spread(origin.Name, sessions)
		for _, n := range in.Nodes {
			declared := n.RouteReflectorClusterID.IsValid() || origin.RouteReflectorClusterID.IsValid()
			if declared && (!grouping.Covered(n.Name) || !grouping.Covered(origin.Name)) {
				continue // Calico's way: whoever declares a reflector states its sessions
			}
			if shared := slices.ContainsFunc(grouping.GroupsOf(n.Name), func(g string) bool {
				return slices.Contains(grouping.GroupsOf(origin.Name), g)
			}); shared && declared {
				continue // dedicated reflectors of a group have nothing to tell each other
			}
			if !holds[n.Name] {
				return fmt.Sprintf("%s does not learn the routes of %s", n.Name, origin.Name)
			}
		}
	}
	return ""
}

// spread is who learns a route of origin, by RFC 4456 §6. A path may be held in
// two ways, from a client and from another; each is passed on as it may be.
func spread(origin string, sessions map[string]map[string]Session) map[string]bool {
	type held struct {
		node   string
		client bool // told by a client
	}
	seen, holds := make(map[held]bool), map[string]bool{origin: true}
	var queue []held
	learn := func(from, at string) {
		h := held{at, sessions[at][from].ReflectorClient}
		if holds[at] = true; !seen[h] {
			seen[h] = true
			queue = append(queue, h)
		}
	}
	for peer := range sessions[origin] {
		learn(origin, peer)
	}
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		for peer, s := range sessions[h.node] {
			if s.ClusterID.IsValid() && (h.client || s.ReflectorClient) {
				learn(h.node, peer)
			}
		}
	}
	return holds
}
