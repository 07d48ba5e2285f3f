package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
)

// Cleanup takes out of the kernel what a daemon left, once none runs, and
// leaves what others put there.
func TestCleanup(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "cleanup", 1)
	h1, _ := enforcing(s)
	requireAllPairs(t, populate(s.Hosts, 1))
	h1.MustRun("ip", "route", "add", "198.51.100.0/24", "dev", "lo", "proto", "static")
	cleanup := func() (string, error) {
		out, err := h1.Run(t.Context(), fabric.Program(t, "vrouterd"), "cleanup", "--config", filepath.Join(h1.Dir(), "vrouterd.yaml"))
		return string(out), err
	}
	if out, err := cleanup(); err == nil {
		t.Fatalf("it cleans while a daemon runs: %s", out)
	}
	h1.Stop()
	left := func() string {
		return h1.MustRun("ip", "route", "show", "table", "all") + h1.MustRun("ip", "-6", "route", "show", "table", "all") +
			h1.MustRun("ip", "nexthop", "show") + h1.MustRun("nft", "list", "ruleset")
	}
	if all := left(); !strings.Contains(all, "proto 118") || !strings.Contains(all, "proto 120") || !strings.Contains(all, "table inet") {
		t.Fatalf("a stop took things away:\n%s", all)
	}
	out, err := cleanup()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"routes of source workload (protocol 118)", "routes of source bgp (protocol 120)", "table of nftables"} {
		if !strings.Contains(out, what) {
			t.Errorf("it does not say that it removed %s:\n%s", what, out)
		}
	}
	all := left()
	for _, ours := range []string{"proto 118", "proto 119", "proto 120", "proto 121", "table inet"} {
		if strings.Contains(all, ours) {
			t.Errorf("%s is left:\n%s", ours, all)
		}
	}
	if !strings.Contains(all, "198.51.100.0/24") {
		t.Errorf("another's route is gone:\n%s", all)
	}
	if out, err := cleanup(); err != nil || !strings.Contains(out, "nothing of vrouter is left") {
		t.Errorf("a second time it says %q, %v", out, err)
	}
	h1.Start() // and everything comes back
	h1.WaitReady()
}
