package integration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestManyNextHops has one peer tell routes over a thousand next hops at once,
// so many that some come while the way to others is looked up: all routes are
// programmed, each over its own next hop. The peer then takes back what leads
// over every second one, and what stays in the kernel is exactly the rest,
// next-hop objects included.
func TestManyNextHops(t *testing.T) {
	needDaemons(t)
	const nextHops, routes = 1000, 10_000
	l := lab.New(t, "nexthops")
	peer, h := l.Host("feeder"), l.Host("learner")
	l.Link(peer.Port("eth0", feederAddress+"/16"), h.Port("eth0", learnerAddress+"/16"))
	f := startFeeder(t, peer, feederRoutes(t, routes, nextHops))
	defer f.stop()
	d := fabric.New(t, h, fabric.Settings{IPv4: learnerAddress + "/16", Quiet: true})
	d.WaitReady()
	d.Apply(learnerManifest)

	requireLearned(t, h, fedRoutes(routes, nextHops, func(int) bool { return true }))
	objects := nextHopObjects(t, h)

	odd := func(route int) bool { return route%nextHops%2 == 1 }
	packer := wire.NewPacker(wire.Form{})
	withdrawn := packer.Withdraw(nil, bgp.IPv4Unicast)
	for i := range routes {
		if !odd(i) {
			withdrawn = packer.Add(withdrawn, netip.PrefixFrom(benchAddress(i), 32), 0)
		}
	}
	f.send(t, packer.Close(withdrawn))
	requireLearned(t, h, fedRoutes(routes, nextHops, odd))
	lab.Eventually(t, fabric.Limit, "next-hop objects that nobody uses are gone", func() error {
		if now := nextHopObjects(t, h); now != objects/2 {
			return fmt.Errorf("%d of %d are left", now, objects)
		}
		return nil
	})
}

// fedRoutes is those of the n routes of a feeder that left says, as they stand
// in the kernel.
func fedRoutes(n, nextHops int, left func(route int) bool) string {
	var lines []string
	for i := range n {
		if left(i) {
			lines = append(lines, fmt.Sprintf("%s via %s\n", benchAddress(i), benchNextHop(i%nextHops)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// nextHopObjects counts the next-hop objects in the kernel of h.
func nextHopObjects(t *testing.T, h *lab.Host) int {
	t.Helper()
	out, err := h.Run(t.Context(), "ip", "nexthop", "show")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(out), "\n")
}
