package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// Cluster ids of the reflectors of other makes.
const (
	birdCluster = "10.253.0.1"
	frrCluster  = "10.253.0.2"
)

// TestInteropReflectors has BIRD and FRR reflect beside a reflector of ours,
// all in a full mesh. GoBGP is a client of BIRD alone, a second BIRD of ours
// alone, a second FRR of all three. Routes come, change and go, and nothing
// stays that nobody announces.
func TestInteropReflectors(t *testing.T) {
	for name, cluster := range map[string]string{"of another cluster": birdCluster, "of the same cluster": "10.254.0.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testInteropReflectors(t, cluster)
		})
	}
}

func testInteropReflectors(t *testing.T, birds string) {
	x := newInterop(t, "others", 1, "bird", "frr", "gobgp", "bird", "frr")
	ours := x.reflectors[0]
	same := birds == ours.cluster
	birdRR, frrRR, g, b, f := x.routers[0], x.routers[1], x.routers[2], x.routers[3], x.routers[4]
	clients := []*foreign{g, b, f}
	x.routers = []*foreign{birdRR, frrRR, b, f} // the peers of ours
	more := ""
	if same { // else it would be a client of ours (which is a hierarchy)
		more = fmt.Sprintf("---\napiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: bird}\n"+
			"spec: {bgp: {ipv4Address: %s/24, ipv6Address: \"%s/64\", routeReflectorClusterID: %s}}\n", birdRR.v4, birdRR.v6, birds)
	}
	x.startReflector(0, more)
	us := &foreign{v4: ours.v4, v6: ours.v6}
	x.start("bird", birdRR, birds, []*foreign{us, frrRR}, []*foreign{g, f})
	x.start("frr", frrRR, frrCluster, []*foreign{us, birdRR}, []*foreign{f})
	x.start("gobgp", g, "", []*foreign{birdRR}, nil)
	x.start("bird", b, "", []*foreign{us}, nil)
	x.start("frr", f, "", []*foreign{us, birdRR, frrRR}, nil)

	require := func() {
		t.Helper()
		// Who has whose routes, over which reflectors, the last first.
		c := ours.cluster
		over := map[*foreign]map[*foreign][][]string{
			g: {b: {{birds, c}}, f: {{birds}}},
			b: {g: {{c, birds}}, f: {{c}}},
			f: {g: {{birds}, {c, birds}, {frrCluster, birds}}, b: {{c}, {birds, c}, {frrCluster, c}}},
		}
		if same { // what has passed the cluster does not come in again
			over[g][b], over[b][g] = nil, nil
			over[f][g], over[f][b] = [][]string{{birds}, {frrCluster, birds}}, [][]string{{c}, {frrCluster, c}}
		}
		for _, at := range clients {
			var want []fabric.Route
			for of, ways := range over[at] {
				for _, way := range ways {
					for _, route := range reflected(of, ours) {
						route.Clusters = way
						want = append(want, route)
					}
				}
			}
			x.requirePaths(at, want)
		}
	}
	require()
	for _, c := range clients {
		changed := c.route(1, true)
		changed.LocalPref += 50
		c.tell(changed, c.route(3, false))
	}
	require()
	for _, c := range clients {
		c.tell()
	}
	require()
	for _, r := range []*foreign{birdRR, frrRR} {
		x.requirePaths(r, nil)
	}
	lab.Eventually(t, fabric.Limit, "our reflector has no routes", func() error {
		out, err := ours.Ctl("reflector", "routes", "-o", "json")
		if err == nil && (strings.Contains(out, "10.65.") || strings.Contains(out, "fd00:65:")) {
			err = errors.New(out)
		}
		return err
	})
	x.requireWellFormed(40)
}

// start starts a router; with a cluster it reflects, to clients and among
// others.
func (x *interop) start(kind string, f *foreign, cluster string, others, clients []*foreign) {
	x.t.Helper()
	spec := fabric.RouterSpec{AS: resource.DefaultASNumber, ID: f.id()}
	if cluster != "" {
		spec.ClusterID = netip.MustParseAddr(cluster)
	} else {
		f.own = f.routes(2)
		spec.Own = f.own
	}
	for i, o := range append(append([]*foreign(nil), others...), clients...) {
		for n, peer := range o.addresses() {
			spec.Peers = append(spec.Peers, fabric.Neighbour{
				Local: f.addresses()[n], Peer: peer, AS: resource.DefaultASNumber, Client: i >= len(others),
			})
		}
	}
	f.Router = fabric.NewRouter(x.t, kind, f.host, spec)
}
