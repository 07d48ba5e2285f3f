package integration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// interop is reflectors of ours and routers of other makes on a segment, all
// in one AS, and each router with a session to each reflector in each family.
// Everything that the reflectors say is captured.
type interop struct {
	*fabric.Segment
	t          *testing.T
	reflectors []*reflector
	routers    []*foreign
	settings   string // of the reflectors' sessions: ", field: value"
}

// reflector is a vrouterd reflector with a store of its own.
type reflector struct {
	*fabric.Daemon
	cluster string
	v4, v6  netip.Addr
	capture *fabric.Capture
}

// addresses of both families.
func (r *reflector) addresses() []netip.Addr { return []netip.Addr{r.v4, r.v6} }

// foreign is a router of another make.
type foreign struct {
	fabric.Router
	number int // from 1; its router id, routes, LOCAL_PREF and community follow
	host   *lab.Host
	v4, v6 netip.Addr
	own    []fabric.Own
}

// newInterop makes the hosts of so many reflectors and of routers by make;
// start starts what runs in them.
func newInterop(t *testing.T, name string, reflectors int, makes ...string) *interop {
	t.Helper()
	needs := []string{"program:tshark"}
	for _, m := range makes {
		needs = append(needs, fabric.RouterPrograms(m)...)
	}
	needDaemons(t, needs...)
	x := &interop{Segment: fabric.NewSegment(t, name, 0), t: t}
	for i := range reflectors {
		h, v4 := x.Host(fmt.Sprintf("rr%d", i+1))
		x.reflectors = append(x.reflectors, &reflector{
			cluster: fmt.Sprintf("10.254.0.%d", i+1), v4: v4, v6: sixOf(v4), capture: fabric.NewCapture(t, h),
			Daemon: &fabric.Daemon{Host: h},
		})
	}
	for i, m := range makes {
		name := m
		for j := range i { // of two of a make, the second has a number
			if makes[j] == m {
				name = m + "2"
			}
		}
		h, v4 := x.Host(name)
		x.routers = append(x.routers, &foreign{number: i + 1, host: h, v4: v4, v6: sixOf(v4)})
	}
	return x
}

// sixOf is the IPv6 address of a host of a segment.
func sixOf(v4 netip.Addr) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00::%x", v4.As4()[3]))
}

// addresses of both families.
func (f *foreign) addresses() []netip.Addr { return []netip.Addr{f.v4, f.v6} }

func (f *foreign) id() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 255, 0, byte(f.number)})
}

// route is one that the router originates; n is its number there, from 1.
func (f *foreign) route(n int, v4 bool) fabric.Own {
	prefix := fmt.Sprintf("fd00:65::%x:%x/128", f.number, n)
	if v4 {
		prefix = fmt.Sprintf("10.65.%d.%d/32", f.number, n)
	}
	return fabric.Own{
		Prefix: netip.MustParsePrefix(prefix), LocalPref: uint32(100 + f.number), Community: fmt.Sprintf("64512:%d", f.number),
	}
}

// routes are the first n in both families.
func (f *foreign) routes(n int) (own []fabric.Own) {
	for i := range n {
		own = append(own, f.route(i+1, true), f.route(i+1, false))
	}
	return own
}

// tell makes the router originate these.
func (f *foreign) tell(own ...fabric.Own) {
	f.own = own
	f.Tell(own...)
}

// startReflector starts the daemon of a reflector, which knows all routers.
func (x *interop) startReflector(i int, more string) {
	x.t.Helper()
	r := x.reflectors[i]
	r.Daemon = fabric.New(x.t, r.Host, fabric.Settings{
		Role: "reflector", ClusterID: r.cluster, IPv4: r.v4.String() + "/24", IPv6: r.v6.String() + "/64",
		BGP: "  advertiseDelay: 5s\n", // not all routers connect as fast as the others
	})
	r.WaitReady()
	manifest := fabric.PoolManifest + fabric.NoMesh
	for _, f := range x.routers {
		for family, a := range f.addresses() {
			manifest += fmt.Sprintf("---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: %s-%d}\n"+
				"spec: {peerIP: %q, asNumber: %d%s}\n", f.host.Name(), family, a, resource.DefaultASNumber, x.settings)
		}
	}
	r.Apply(manifest + more)
}

// dismiss ends the sessions of a reflector for good.
func (x *interop) dismiss(r *reflector) {
	x.t.Helper()
	for _, f := range x.routers {
		for family := range f.addresses() {
			if out, err := r.Ctl("delete", "bgppeer", fmt.Sprintf("%s-%d", f.host.Name(), family)); err != nil {
				x.t.Fatalf("delete a peer of %s: %v\n%s", r.Name(), err, out)
			}
		}
	}
}

// startRouters starts the routers; change may add to what each is to be.
func (x *interop) startRouters(routes int, change func(*foreign, *fabric.RouterSpec)) {
	x.t.Helper()
	for _, f := range x.routers {
		f.own = f.routes(routes)
		spec := fabric.RouterSpec{AS: resource.DefaultASNumber, ID: f.id(), Own: f.own}
		for _, r := range x.reflectors {
			spec.Peers = append(spec.Peers,
				fabric.Neighbour{Local: f.v4, Peer: r.v4, AS: resource.DefaultASNumber},
				fabric.Neighbour{Local: f.v6, Peer: r.v6, AS: resource.DefaultASNumber})
		}
		if change != nil {
			change(f, &spec)
		}
		f.Router = fabric.NewRouter(x.t, f.host.Name(), f.host, spec)
	}
}

// reflected is router f's own routes as another router has them from a
// reflector.
func reflected(f *foreign, r *reflector) (routes []fabric.Route) {
	for _, o := range f.own {
		nextHop := f.v6
		if o.Prefix.Addr().Is4() {
			nextHop = f.v4
		}
		routes = append(routes, fabric.Route{
			Prefix: o.Prefix.String(), NextHop: nextHop.String(), LocalPref: o.LocalPref, Originator: f.id().String(),
			Clusters: []string{r.cluster}, Communities: []string{o.Community},
		})
	}
	return routes
}

// requireReflected waits until every router has exactly the others' routes,
// from each of these reflectors.
func (x *interop) requireReflected(reflectors ...*reflector) {
	x.t.Helper()
	for _, f := range x.routers {
		var want []fabric.Route
		for _, r := range reflectors {
			for _, other := range x.routers {
				if other != f {
					want = append(want, reflected(other, r)...)
				}
			}
		}
		x.requirePaths(f, want)
	}
}

// requirePaths waits until a router has exactly these paths.
func (x *interop) requirePaths(f *foreign, want []fabric.Route) {
	x.t.Helper()
	lab.Eventually(x.t, fabric.Limit, f.Name()+" has exactly the paths expected", func() error {
		got, err := f.Paths(x.t.Context())
		return mismatch(fabric.RouteTable(want), got, err)
	})
}

// requireWellFormed stops the captures: tshark finds nothing wrong in what the
// reflectors said, and no router was told more UPDATEs than most in a family.
func (x *interop) requireWellFormed(most int) {
	x.t.Helper()
	for _, r := range x.reflectors {
		r.capture.Stop()
		for family, from := range r.addresses() {
			faults, err := r.capture.Faults(x.t.Context(), from)
			if err != nil || len(faults) > 0 {
				x.t.Errorf("messages of %s: %v\n%s", from, err, strings.Join(faults, "\n"))
			}
			for _, f := range x.routers {
				n, err := r.capture.Messages(x.t.Context(), int(wire.TypeUpdate), from, f.addresses()[family])
				if err != nil || n == 0 || n > most {
					x.t.Errorf("%s sent %s %d UPDATEs (%v), expected 1 to %d", from, f.Name(), n, err, most)
				}
				x.t.Logf("%s sent %s %d UPDATEs", from, f.Name(), n)
			}
		}
	}
}

// TestInteropClients has BIRD, FRR and GoBGP as clients at once: of one
// reflector, of a second one beside it, and of the second alone.
func TestInteropClients(t *testing.T) {
	t.Parallel()
	x := newInterop(t, "clients", 2, "bird", "frr", "gobgp")
	first, second := x.reflectors[0], x.reflectors[1]
	x.startReflector(0, "")
	x.startRouters(3, nil)
	x.requireReflected(first)

	x.startReflector(1, "")
	x.requireReflected(first, second)

	for _, f := range x.routers { // one goes, one comes, one changes
		changed := f.route(2, true)
		changed.LocalPref += 50
		f.tell(slices.Concat(f.routes(4)[4:], []fabric.Own{changed})...)
	}
	x.requireReflected(first, second)

	x.dismiss(first)
	x.requireReflected(second)
	for _, f := range x.routers {
		f.tell()
	}
	x.requireReflected(second)
	x.requireWellFormed(40)
}
