package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestKernelRoutes: of one source, whether the kernel holds them or not, and
// nothing that BGP knows.
func TestKernelRoutes(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.block(blockA, "confirmed")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32")) // whose interface is absent
		r.put(endpointObject("c", "host2", "10.0.0.3/32"))
		r.pass(0)
		expect := func(source, within string, want ...string) {
			t.Helper()
			var prefix netip.Prefix
			if within != "" {
				prefix = pfx(within)
			}
			var got []string
			err := r.agent.KernelRoutes(t.Context(), source, prefix, func(all []*vrouterv1.Route) error {
				for _, m := range all {
					got = append(got, fmt.Sprintf("%s %t %s %s", m.Prefix, m.Programmed, m.Endpoint, m.Problem))
				}
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s in %q: %v, got\n%q, want\n%q", source, within, err, got, want)
			}
		}
		a := "10.0.0.1/32 true " + idOf("a").String() + " "
		b := "10.0.0.2/32 false " + idOf("b").String() + " interface w-b is missing: interface not ready"
		expect("workload", "", a, b)
		expect("workload", "10.0.0.1/32", a)
		expect("blackhole", "", blockA+" true  ")
		expect("bgp", "")
	})
}
