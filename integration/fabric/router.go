package fabric

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// Router is a BGP speaker of another make in a host of the lab. It has no
// kernel routes; what it knows is asked of itself.
type Router interface {
	Name() string
	// Tell makes these the routes that it originates, in place of those before.
	Tell(own ...Own)
	// Paths is every path that it has learned and not refused, best or not, as
	// the text of Route, in order.
	Paths(ctx context.Context) (string, error)
	// Kill ends it as a crash does; Start starts it, again after Kill, and
	// returns when it answers.
	Kill()
	Start()
}

// RouterSpec is what a Router is started with.
type RouterSpec struct {
	AS        uint32
	ID        netip.Addr
	ClusterID netip.Addr // valid: it reflects among its neighbours
	Peers     []Neighbour
	Own       []Own
}

// Neighbour is one session of a Router.
type Neighbour struct {
	Local, Peer netip.Addr
	AS          uint32
	Families    []string // "ipv4", "ipv6"; none: that of Peer
	Client      bool     // of the Router, as a reflector
	AddPath     bool     // more than the best, both ways
	Restart     time.Duration
	LongLived   time.Duration // needs Restart
	Password    string
	TTLSecurity bool // it is on our link, and nobody else's packets are taken
}

// families of the session.
func (n Neighbour) families() []string {
	if len(n.Families) > 0 {
		return n.Families
	}
	return []string{familyOf(n.Peer)}
}

// Own is a route that a Router originates, with itself as next hop.
type Own struct {
	Prefix    netip.Prefix
	LocalPref uint32
	Community string // one, "64512:7"
}

// familyOf is the name of an address's family: "ipv4" or "ipv6".
func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// LongLivedStale is the community of paths whose giver is gone for long (RFC
// 9494 §4.6).
const LongLivedStale = "65535:6"

// Route is a path as it must be found in a Router.
type Route struct {
	Prefix, NextHop string
	LocalPref       uint32
	Originator      string
	Clusters        []string // first the last reflector's
	Communities     []string
	Stale           bool
}

// String is the path in a line.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s via %s pref %d originator %s clusters [%s] communities [%s]", r.Prefix, r.NextHop, r.LocalPref,
		cmp.Or(r.Originator, "-"), strings.Join(r.Clusters, " "), strings.Join(r.Communities, " "))
	if r.Stale {
		b.WriteString(" stale")
	}
	return b.String()
}

// RouteTable is the text of some paths, in order.
func RouteTable(routes []Route) string {
	lines := make([]string, 0, len(routes))
	for _, r := range routes {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// difference tells what must be withdrawn and what announced to get from one
// set of own routes to another.
func difference(from, to []Own) (gone, come []Own) {
	for _, o := range from {
		if !slices.Contains(to, o) {
			gone = append(gone, o)
		}
	}
	for _, o := range to {
		if !slices.Contains(from, o) {
			come = append(come, o)
		}
	}
	return gone, come
}

// makes of routers by name.
var makes = map[string]func(lab.T, *lab.Host, RouterSpec) Router{
	"bird": newBIRDRouter, "frr": newFRRRouter, "gobgp": newGoBGPRouter,
}

// NewRouter starts a router of a make, "bird", "frr" or "gobgp", in a host.
func NewRouter(t lab.T, kind string, h *lab.Host, spec RouterSpec) Router {
	t.Helper()
	start := makes[kind]
	if start == nil {
		t.Fatalf("no make of router is called %q", kind)
	}
	return start(t, h, spec)
}

// RouterPrograms is what routers of a make need.
func RouterPrograms(kind string) []string {
	switch kind {
	case "bird":
		return []string{"program:bird", "program:birdc"}
	case "frr":
		return []string{"program:zebra", "program:bgpd", "program:vtysh"}
	}
	return []string{"program:gobgpd", "program:gobgp"}
}
