package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// given registers an endpoint without an address, and makes the workload with
// what it was given.
func given(t *testing.T, d, via *fabric.Daemon, name string) *lab.Workload {
	t.Helper()
	return givenIn(t, d, via, "default", name)
}

// TestGivenAddresses: endpoints that state no address are given some, by which
// everybody reaches them, and the store adds up.
func TestGivenAddresses(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "given", 1)
	h1, h2 := s.Daemon("h1", fabric.Settings{}), s.Daemon("h2", fabric.Settings{})
	h1.WaitReady()
	h2.WaitReady()
	h1.Apply(fabric.PoolManifest)
	var workloads []*lab.Workload
	for i, d := range []*fabric.Daemon{h1, h2, h1} {
		workloads = append(workloads, given(t, d, h2, fmt.Sprintf("g%d", i)))
	}
	requireAllPairs(t, workloads)
	out, err := h1.Ctl("ipam", "check")
	if err != nil || !strings.Contains(out, "nothing is wrong") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := h2.Ctl("endpoint", "unregister", "default/lab/g0/eth0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := h1.Ctl("ipam", "show", "--handle", "default/lab/g0/eth0"); err == nil {
		t.Errorf("the handle of a removed endpoint is there:\n%s", out)
	}
}

// TestCheckSeesKernels: an endpoint without a route in the kernel of its node is
// found, once the node can be asked; a node that cannot is named, and no fault.
func TestCheckSeesKernels(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "checked", 1)
	h1, h2 := s.Daemon("h1", fabric.Settings{}), s.Daemon("h2", fabric.Settings{})
	h1.WaitReady()
	h2.WaitReady()
	h1.Apply(fabric.PoolManifest)
	given(t, h1, h1, "g0")
	expect := func(d *fabric.Daemon, fails bool, want ...string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, "check of "+d.Name(), func() error {
			out, err := d.Ctl("ipam", "check")
			if (err != nil) != fails {
				return fmt.Errorf("%w: %s", err, out)
			}
			for _, text := range want {
				if !strings.Contains(out, text) {
					return fmt.Errorf("%q is not in: %s", text, out)
				}
			}
			return nil
		})
	}
	expect(h1, false, "2 routes to workloads in the kernels of 1 of 2 nodes", "not checked: h2", "nothing is wrong")
	h1.MustRun("ip", "link", "del", "calig0")
	expect(h1, true, "no-route", "not checked: h2", "2 problems, 0 addresses to release")
	expect(h2, false, "not checked: h1", "nothing is wrong")
}
