package agent

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/view"
)

func labelled(name, address string, labels map[string]string) *resource.Node {
	return &resource.Node{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindNode, Name: name}, Labels: labels},
		IPv4: netip.MustParsePrefix(address + "/24"),
	}
}

func groupOf(t *testing.T, name, members string, check resource.OriginCheck) *resource.ReflectorGroup {
	t.Helper()
	sel, err := selector.Parse(members)
	if err != nil {
		t.Fatal(err)
	}
	return &resource.ReflectorGroup{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindReflectorGroup, Name: name}}, MemberSelector: sel, OriginCheck: check,
	}
}

// TestModeOfOriginCheck: a host checks nothing, a reflector what the strictest
// of its groups says, else what its file says.
func TestModeOfOriginCheck(t *testing.T) {
	nodes := []*resource.Node{labelled("h", "10.0.0.1", nil), labelled("r", "10.0.0.2", map[string]string{"a": "", "b": ""})}
	const off, log, enforce = resource.OriginCheckOff, resource.OriginCheckLog, resource.OriginCheckEnforce
	for _, c := range []struct {
		node   string
		file   resource.OriginCheck
		groups []*resource.ReflectorGroup
		want   resource.OriginCheck
	}{
		{"r", enforce, nil, off}, // it reflects for nobody
		{"h", enforce, []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", enforce)}, off},
		{"r", "", []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", "")}, off},
		{"r", log, []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", "")}, log},
		{"r", enforce, []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", off)}, off},
		{"r", off, []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", log), groupOf(t, "b", "has(b)", enforce)}, enforce},
		{"r", off, []*resource.ReflectorGroup{groupOf(t, "a", "has(a)", log), groupOf(t, "c", "has(c)", enforce)}, log},
	} {
		r := &reflection{node: c.node, origin: c.file}
		f := view.Fabric{Nodes: nodes, ReflectorGroups: c.groups}
		if got := r.modeOf(f, bgp.NewGrouping(c.groups, nil, nodes)); got != c.want {
			t.Errorf("%s with %q in its file: %q, want %q", c.node, c.file, got, c.want)
		}
	}
}

// TestServed: a host counts when all its sessions are up and have told all.
func TestServed(t *testing.T) {
	nodes := []*resource.Node{
		labelled("h1", "10.0.0.1", nil), labelled("h2", "10.0.0.2", nil), labelled("h3", "10.0.0.3", nil),
		labelled("r", "10.0.0.9", map[string]string{"a": ""}),
	}
	nodes[3].RouteReflectorClusterID = netip.MustParseAddr("10.0.0.9")
	grouping := bgp.NewGrouping([]*resource.ReflectorGroup{groupOf(t, "a", "has(a)", "")}, nil, nodes)
	peer := func(node, address string, state bgp.State, told bool) bgp.PeerState {
		p := bgp.PeerState{Session: bgp.Session{PeerNode: node, Peer: netip.MustParseAddr(address)}, State: state}
		if told {
			p.EndOfRIB = p.Session.Carried()
		}
		return p
	}
	peers := []bgp.PeerState{
		peer("h1", "10.0.0.1", bgp.Established, true), peer("h1", "fd00::1", bgp.Established, true),
		peer("h2", "10.0.0.2", bgp.Established, true), peer("h2", "fd00::2", bgp.Established, false),
		peer("h3", "10.0.0.3", bgp.Idle, true),
		peer("stranger", "10.0.0.7", bgp.Established, true),
	}
	if got, member := served("r", grouping, peers); !member || !slices.Equal(got, []string{"h1"}) {
		t.Errorf("served: %v, %t", got, member)
	}
	if got, member := served("h1", grouping, peers); member {
		t.Errorf("a host reports %v", got)
	}
}

// TestDown: a host is down that has neither lease nor session; what is not known
// is no death.
func TestDown(t *testing.T) {
	a := newAlive(nil, nil, hclog.NewNullLogger())
	r := &reflection{alive: a}
	peer := func(node, address string, state bgp.State) bgp.PeerState {
		return bgp.PeerState{Session: bgp.Session{PeerNode: node, Peer: netip.MustParseAddr(address)}, State: state}
	}
	peers := []bgp.PeerState{
		peer("leased", "10.0.0.1", bgp.Idle), peer("dead", "10.0.0.2", bgp.Idle), peer("dead", "fd00::2", bgp.Connect),
		peer("half", "10.0.0.3", bgp.Idle), peer("half", "fd00::3", bgp.Established), peer("", "10.0.0.4", bgp.Idle),
	}
	if got := r.down(peers); len(got) != 0 {
		t.Errorf("leases are not known yet, and %v are down", got)
	}
	a.synced = true
	a.keys[store.LiveKey(RoleReflector, "leased")] = true
	if got := r.down(peers); len(got) != 1 || !got["dead"] {
		t.Errorf("down: %v", got)
	}
}
