package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// strangerNode is a host of the cluster that is a BIRD, which announces what it
// likes.
const strangerNode = `
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: bird}
spec: {bgp: {ipv4Address: %s/24}}
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: main}
spec: {memberSelector: has(reflector), originCheck: Enforce}
`

// birdTells is a BIRD that tells the reflector these addresses and prefixes.
func birdTells(own, reflector netip.Addr, addresses ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router id %s;\nprotocol device { scan time 2; }\nprotocol static { ipv4;\n", own)
	for _, a := range addresses {
		if !strings.Contains(a, "/") {
			a += "/32"
		}
		fmt.Fprintf(&b, "  route %s blackhole;\n", a)
	}
	fmt.Fprintf(&b, "}\nprotocol bgp reflector { local %s as 64512; neighbor %s as 64512;\n"+
		"  ipv4 { import all; export all; next hop self; }; connect retry time 1; error wait time 1, 2; }\n", own, reflector)
	return b.String()
}

// TestOriginCheck has a host announce what is another's, and what is nobody's:
// neither is reflected, until the store says that it is that host's; and with
// the store away nothing is refused that was not refused before.
func TestOriginCheck(t *testing.T) {
	needDaemons(t, "program:bird", "program:birdc")
	s := fabric.NewSegment(t, "orig", 1)
	rr := s.Daemon("rr", fabric.Settings{Role: "reflector", Labels: map[string]string{"reflector": ""}})
	h1, h2 := s.Daemon("h1", fabric.Settings{}), s.Daemon("h2", fabric.Settings{})
	birdHost, own := s.Host("bird")
	reflector := netip.MustParsePrefix(rr.Settings.IPv4).Addr()
	rr.WaitReady()
	rr.Apply(fabric.PoolManifest + fmt.Sprintf(strangerNode, own))
	taken, _ := fabric.Address(0, 0)
	h1.WaitReady()
	h1.Workload(h2, "w1", taken)

	const nobodys, another, moved, late = "10.65.200.1", "10.65.200.2", "10.65.200.3", "10.65.200.4"
	bird := birdHost.BIRD(birdTells(own, reflector, taken, nobodys))
	requireRefused(t, rr, map[string]string{taken: "on another host", nobodys: "no endpoint"})
	requireLearned(t, h2.Host, taken+" via 10.0.0.3\n")

	registerFor(t, h2, "bird", "w2", nobodys)
	requireLearned(t, h2.Host, fmt.Sprintf("%s via 10.0.0.3\n%s via %s\n", taken, nobodys, own))
	requireRefused(t, rr, map[string]string{taken: "on another host"})

	registerFor(t, h2, "bird", "w1", taken) // it moves
	requireLearned(t, h2.Host, fmt.Sprintf("%s via %s\n%s via %s\n", taken, own, nobodys, own))

	bird.Configure(birdTells(own, reflector, taken, nobodys, another, moved))
	requireRefused(t, rr, map[string]string{another: "no endpoint", moved: "no endpoint"})
	// The reflector hears of the store after it has refused the one.
	registerFor(t, h2, "bird", "w3", moved)
	known := fmt.Sprintf("%[1]s via %[4]s\n%[2]s via %[4]s\n%[3]s via %[4]s\n", taken, nobodys, moved, own)
	requireLearned(t, h2.Host, known)
	s.Etcd[0].Kill()
	lab.Eventually(t, fabric.Limit, "the reflector notices that the store is away", func() error {
		status, err := rr.Status()
		if err != nil {
			return err
		}
		for _, c := range status.GetConditions() {
			if c.GetName() == "store" && c.GetReason() != "" {
				return nil
			}
		}
		return fmt.Errorf("conditions: %v", status.GetConditions())
	})
	bird.Configure(birdTells(own, reflector, taken, nobodys, another, moved, late))
	requireLearned(t, h2.Host, known+fmt.Sprintf("%s via %s\n", late, own))
	requireRefused(t, rr, map[string]string{another: "no endpoint"})
}

// TestOriginCheckOfBlocks has a host announce its own block, another's and one
// that is nobody's: only the first is reflected, and that while it is its own.
func TestOriginCheckOfBlocks(t *testing.T) {
	needDaemons(t, "program:bird", "program:birdc")
	s := fabric.NewSegment(t, "oblk", 1)
	rr := s.Daemon("rr", fabric.Settings{Role: "reflector", Labels: map[string]string{"reflector": ""}})
	h1, h2 := s.Daemon("h1", fabric.Settings{}), s.Daemon("h2", fabric.Settings{})
	birdHost, own := s.Host("bird")
	rr.WaitReady()
	rr.Apply(advertising("Blocks", "Endpoints") + fmt.Sprintf(strangerNode, own))
	taken, _ := fabric.Address(0, 0)
	h1.WaitReady()
	h1.Workload(h2, "w1", taken)
	requireLearned(t, h2.Host, "10.65.1.0/26 via 10.0.0.3\n")

	const its, nobodys = "10.65.201.0/26", "10.65.210.0/26"
	assign := func() {
		_, err := h1.IPAM.AssignBlock(t.Context(), &vrouterv1.AssignBlockRequest{Node: "bird", Cidr: its})
		if err != nil {
			t.Fatal(err)
		}
	}
	assign()
	reflector := netip.MustParsePrefix(rr.Settings.IPv4).Addr()
	birdHost.BIRD(birdTells(own, reflector, its, nobodys, "10.65.1.0/26", "10.65.1.0/27"))
	want := map[string]string{nobodys: "no host", "10.65.1.0/26": "on another host", "10.65.1.0/27": "no host"}
	requireRefused(t, rr, want)
	known := fmt.Sprintf("10.65.1.0/26 via 10.0.0.3\n%s via %s\n", its, own)
	requireLearned(t, h2.Host, known)

	if _, err := h1.IPAM.ReleaseBlock(t.Context(), &vrouterv1.ReleaseBlockRequest{Node: "bird", Cidr: its}); err != nil {
		t.Fatal(err)
	}
	want[its] = "no host"
	requireRefused(t, rr, want)
	requireLearned(t, h2.Host, "10.65.1.0/26 via 10.0.0.3\n")
	assign()
	delete(want, its)
	requireRefused(t, rr, want)
	requireLearned(t, h2.Host, known)
}

// registerFor registers an endpoint on a node that has no daemon to wait for.
func registerFor(t *testing.T, via *fabric.Daemon, node, name, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fabric.Limit)
	defer cancel()
	request := fabric.Request(node, name, "cali"+name, address)
	request.Wait = vrouterv1.Stage_STAGE_UNSPECIFIED
	if _, err := via.Endpoint.Register(ctx, request, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("register %s on %s: %v", name, node, err)
	}
}

// requireRefused waits until a reflector refuses paths of the stranger to these
// addresses, for a reason of those words each, and no other path.
func requireRefused(t *testing.T, rr *fabric.Daemon, want map[string]string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, "the reflector refuses what it should", func() error {
		routes, err := routesOf(t, rr)
		if err != nil {
			return err
		}
		got := make(map[string]string)
		for _, r := range routes {
			for _, p := range r.GetPaths() {
				if p.GetRefused() != "" {
					got[strings.TrimSuffix(r.GetPrefix(), "/32")] = p.GetRefused()
				}
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("refused: %v", got)
		}
		for address, words := range want {
			if !strings.Contains(got[address], words) {
				return fmt.Errorf("%s: %q", address, got[address])
			}
		}
		return nil
	})
}

// routesOf is the RIB of a daemon.
func routesOf(t *testing.T, d *fabric.Daemon) ([]*vrouterv1.Route, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stream, err := d.Nodes.ListRoutes(ctx, &vrouterv1.ListRoutesRequest{})
	if err != nil {
		return nil, err
	}
	var routes []*vrouterv1.Route
	for {
		portion, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return routes, nil
		}
		if err != nil {
			return nil, err
		}
		routes = append(routes, portion.GetRoutes()...)
	}
}

// TestDeadHostIsPurged kills the daemon of a host: without the check its routes
// would be kept for the restart time, two minutes; with it they go when its
// lease has run out, too.
func TestDeadHostIsPurged(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "ghost", 1)
	lease := "  leaseTTL: 5s\n"
	rr := s.Daemon("rr", fabric.Settings{
		Role: "reflector", Store: lease, Labels: map[string]string{"reflector": ""}, Extra: "reflector: {originCheck: enforce}\n",
	})
	h1, h2 := s.Daemon("h1", fabric.Settings{Store: lease}), s.Daemon("h2", fabric.Settings{Store: lease})
	rr.WaitReady()
	rr.Apply(fabric.PoolManifest + `
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: main}
spec: {memberSelector: has(reflector)}
`)
	address, _ := fabric.Address(0, 0)
	h1.WaitReady()
	h1.Workload(h2, "w1", address)
	requireLearned(t, h2.Host, address+" via 10.0.0.3\n")
	h1.Kill()
	requireRefused(t, rr, map[string]string{address: "lease and session"})
	requireLearned(t, h2.Host, "")
	h1.Start()
	requireLearned(t, h2.Host, address+" via 10.0.0.3\n")
}
