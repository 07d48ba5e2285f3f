package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// Cluster ids of two tiers of reflectors. The upper ones are ours.
const (
	topCluster1 = "10.254.0.1"
	topCluster2 = "10.254.0.2"
	lowCluster  = "10.254.1.1" // ours
	lowFRR      = "10.254.1.2"
)

// lowerPeers is the two tiers in BGPPeers.
const lowerPeers = `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tiers}
spec: {nodeSelector: tier == 'low', peerSelector: tier == 'top'}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: below}
spec: {nodeSelector: below == 'low', peerSelector: tier == 'low'}
`

// tierGroups is the same in groups of reflectors.
const tierGroups = `
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: top}
spec: {nodeSelector: tier == 'low', memberSelector: tier == 'top'}
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: low}
spec: {nodeSelector: below == 'low', memberSelector: tier == 'low'}
`

// tiers is two upper reflectors; two lower ones as their clients, one of them
// an FRR; and below each lower one a host of ours and a BIRD.
type tiers struct {
	*interop
	top      [2]*fabric.Daemon
	low      *fabric.Daemon
	frr      *foreign
	hosts    [2]*fabric.Daemon // below low, below frr
	birds    [2]*foreign
	mutual   bool              // the upper ones are clients of low, too
	captures []*fabric.Capture // at the first upper one, and at low
	told     int               // routes that BIRDs began or ceased to tell, or changed
}

// TestTiersOfReflectors: below two tiers, stated by BGPPeers and then by groups,
// everybody has everybody's routes, over the reflectors expected; routes that
// come, change and go in bursts leave nothing, and cause few messages.
func TestTiersOfReflectors(t *testing.T) {
	t.Parallel()
	x := newTiers(t)
	workloads := populate(x.hosts[:], 1)
	x.requireTables()
	requireAllPairs(t, workloads)
	x.burst()
	x.requireTables()
	requireShows(t, x.hosts[0], lowCluster+" "+topCluster1+" "+lowFRR)

	for _, name := range []string{"tiers", "below"} {
		ctl(t, x.low, "delete", "bgppeer", name)
	}
	x.low.Apply(tierGroups)
	x.mutual = false
	x.requireTables()
	requireAllPairs(t, workloads)
	x.burst()
	for _, b := range x.birds {
		b.tell()
	}
	x.requireTables()
	x.requireFew()
}

func newTiers(t *testing.T) *tiers {
	needDaemons(t, append(append(fabric.RouterPrograms("bird"), fabric.RouterPrograms("frr")...), "program:tshark")...)
	s := fabric.NewSegment(t, "tiers", 1)
	x := &tiers{interop: &interop{Segment: s, t: t}, mutual: true}
	daemon := func(name, cluster, label, value string) *fabric.Daemon {
		set := fabric.Settings{ClusterID: cluster, Labels: map[string]string{label: value}}
		if cluster != "" {
			set.Role = "reflector"
		}
		return s.Daemon(name, set)
	}
	other := func(name string, number int) *foreign {
		h, v4 := x.Host(name)
		return &foreign{number: number, host: h, v4: v4, v6: sixOf(v4)}
	}
	x.top = [2]*fabric.Daemon{daemon("top1", topCluster1, "tier", "top"), daemon("top2", topCluster2, "tier", "top")}
	x.low = daemon("low", lowCluster, "tier", "low")
	x.frr = other("frr", 10)
	x.hosts = [2]*fabric.Daemon{daemon("h1", "", "below", "low"), daemon("h2", "", "below", "frr")}
	x.birds = [2]*foreign{other("bird1", 11), other("bird2", 12)}
	for _, d := range []*fabric.Daemon{x.top[0], x.low} {
		x.captures = append(x.captures, fabric.NewCapture(t, d.Host))
	}
	end := func(d *fabric.Daemon) *foreign {
		return &foreign{v4: addressOf(d), v6: sixOf(addressOf(d))}
	}
	x.low.WaitReady()
	x.low.Apply(fabric.PoolManifest + fabric.NoMesh + lowerPeers +
		peersAt("frr-top", "tier == 'top'", x.frr) + peersAt("frr-host", "below == 'frr'", x.frr) +
		peersAt("bird-low", "tier == 'low'", x.birds[0]))
	x.start("frr", x.frr, lowFRR, []*foreign{end(x.top[0]), end(x.top[1])}, []*foreign{end(x.hosts[1]), x.birds[1]})
	x.start("bird", x.birds[0], "", []*foreign{end(x.low)}, nil)
	x.start("bird", x.birds[1], "", []*foreign{x.frr}, nil)
	return x
}

// peersAt is BGPPeers of some nodes with a router.
func peersAt(name, nodes string, f *foreign) string {
	manifest := ""
	for family, a := range f.addresses() {
		manifest += fmt.Sprintf("---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: %s-%d}\n"+
			"spec: {nodeSelector: %q, peerIP: %q, asNumber: %d}\n", name, family, nodes, a, resource.DefaultASNumber)
	}
	return manifest
}

// burst has both BIRDs tell, change and withdraw without a pause.
func (x *tiers) burst() {
	for round := range 4 {
		for _, b := range x.birds {
			own := b.routes(10 + round)[4*round:]
			for i := range own {
				own[i].LocalPref += uint32(round)
			}
			x.told += len(b.own) + len(own)
			b.tell(own...)
		}
	}
}

// from is all routes of the host and the BIRD below one of the lower
// reflectors, as they come over these ways; over none as they come from
// themselves.
func (x *tiers) from(side int, ways ...[]string) (routes []fabric.Route) {
	for _, way := range ways {
		for _, r := range append(x.ofHost(side), reflected(x.birds[side], &reflector{})...) {
			if r.Clusters = way; way == nil {
				r.Originator = ""
			}
			routes = append(routes, r)
		}
	}
	return routes
}

// addressOf is the IPv4 address of a daemon of ours.
func addressOf(d *fabric.Daemon) netip.Addr { return netip.MustParsePrefix(d.Settings.IPv4).Addr() }

// ofHost is the routes of the workload of a host of ours.
func (x *tiers) ofHost(side int) (routes []fabric.Route) {
	v4, v6 := fabric.Address(side, 0)
	at := addressOf(x.hosts[side])
	for _, ends := range [][2]string{{v4, at.String()}, {v6, sixOf(at).String()}} {
		routes = append(routes, fabric.Route{
			Prefix: fabric.SinglePrefix(ends[0]), NextHop: ends[1], LocalPref: 100, Originator: at.String(),
		})
	}
	return routes
}

// without leaves out what the router with these addresses tells itself.
func without(routes []fabric.Route, v4, v6 netip.Addr) []fabric.Route {
	return slices.DeleteFunc(routes, func(r fabric.Route) bool { return r.NextHop == v4.String() || r.NextHop == v6.String() })
}

// requireTables waits until everybody has exactly the paths expected.
func (x *tiers) requireTables() {
	x.t.Helper()
	ours, frrs := []string{lowCluster}, []string{lowFRR} // the way from a lower reflector
	oursOver1, frrsOver1 := []string{topCluster1, lowCluster}, []string{topCluster1, lowFRR}
	oursOver2, frrsOver2 := []string{topCluster2, lowCluster}, []string{topCluster2, lowFRR}
	x.requirePaths(x.frr, append(x.from(0, oursOver1, oursOver2), x.from(1, nil)...))
	x.requireDaemon(x.low, append(x.from(0, nil), x.from(1, frrsOver1, frrsOver2)...))
	x.requireDaemon(x.top[0], append(x.from(0, ours), x.from(1, frrs)...))
	second := append(x.from(0, ours), x.from(1, frrs)...)
	if x.mutual { // what low has from the first, it tells the second
		second = append(second, x.from(1, append([]string{lowCluster}, frrsOver1...))...)
	}
	x.requireDaemon(x.top[1], second)
	below := [2][]fabric.Route{
		append(x.from(0, ours), x.from(1, append([]string{lowCluster}, frrsOver1...))...),
		append(x.from(1, frrs), x.from(0, append([]string{lowFRR}, oursOver1...))...),
	}
	for side, want := range below {
		at := addressOf(x.hosts[side])
		x.requireDaemon(x.hosts[side], without(slices.Clone(want), at, sixOf(at)))
		b := x.birds[side]
		x.requirePaths(b, without(want, b.v4, b.v6))
	}
}

// requireDaemon waits until a daemon has exactly these paths, and refuses none
// but its own, which FRR tells clients, too.
func (x *tiers) requireDaemon(d *fabric.Daemon, want []fabric.Route) {
	x.t.Helper()
	lab.Eventually(x.t, fabric.Limit, d.Name()+" has exactly the paths expected", func() error {
		got, err := daemonPaths(x.t, d)
		return mismatch(fabric.RouteTable(want), got, err)
	})
}

// daemonPaths is all paths that a daemon has been told, as text.
func daemonPaths(t *testing.T, d *fabric.Daemon) (string, error) {
	routes, err := routesOf(t, d)
	if err != nil {
		return "", err
	}
	var paths []fabric.Route
	for _, route := range routes {
		for _, p := range route.GetPaths() {
			if p.GetRefused() == string(bgp.OwnOriginator) {
				continue
			}
			if p.GetRefused() != "" {
				return "", fmt.Errorf("%s of %s is refused: %s", route.GetPrefix(), p.GetPeer(), p.GetRefused())
			}
			paths = append(paths, fabric.Route{
				Prefix: route.GetPrefix(), NextHop: p.GetNextHop(), LocalPref: p.GetLocalPref(), Originator: p.GetOriginatorId(),
				Clusters: p.GetClusterList(), Communities: p.GetCommunities(), Stale: p.GetStale(),
			})
		}
	}
	return fabric.RouteTable(paths), nil
}

// requireShows waits until vrouterctl shows a cluster list.
func requireShows(t *testing.T, d *fabric.Daemon, clusters string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, "vrouterctl shows the way over "+clusters, func() error {
		out, err := d.Ctl("reflector", "routes", "-o", "wide")
		if err == nil && !strings.Contains(out, " "+clusters+" ") {
			err = errors.New(out)
		}
		return err
	})
}

// requireFew: no reflector of ours sent anybody more UPDATEs than routes were
// told or taken back in all.
func (x *tiers) requireFew() {
	x.t.Helper()
	ends := []netip.Addr{x.frr.v4, x.birds[0].v4}
	for _, d := range []*fabric.Daemon{x.top[0], x.low, x.top[1], x.hosts[0]} {
		ends = append(ends, addressOf(d))
	}
	for i, c := range x.captures {
		c.Stop()
		from := ends[2+i]
		for _, source := range []netip.Addr{from, sixOf(from)} {
			faults, err := c.Faults(x.t.Context(), source)
			if err != nil || len(faults) > 0 {
				x.t.Errorf("messages of %s: %v\n%s", source, err, strings.Join(faults, "\n"))
			}
			for _, to := range ends {
				if source.Is6() {
					to = sixOf(to)
				}
				n, err := c.Messages(x.t.Context(), int(wire.TypeUpdate), source, to)
				if err != nil || n > x.told {
					x.t.Errorf("%s sent %s %d UPDATEs (%v), for %d routes told", source, to, n, err, x.told)
				}
				if n > 0 {
					x.t.Logf("%s sent %s %d UPDATEs, for %d routes told", source, to, n, x.told)
				}
			}
		}
	}
}
