package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestFromCalico brings the objects and addresses of a cluster of Calico's to a
// host where its endpoints are, and whose daemon has just begun. They reach each
// other at the addresses that they had, also the one that is borrowed; the host
// has its blocks, gives out what is free in them, and a check finds nothing.
func TestFromCalico(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "calico", 1)
	d := s.Daemon("rack1-host1", fabric.Settings{})
	web := []*lab.Workload{d.Host.Workload("web-0", "cali10ef24ba", "10.65.0.1"), d.Host.Workload("web-1", "cali30ef24ba", "10.65.0.10")}
	d.WaitReady()
	files := []string{"--from", "calico", "../internal/calico/testdata/etcd/migrate.export", "../internal/calico/testdata/etcd/endpoints.yaml"}
	if out := says(t, d, append([]string{"datastore", "import", "--dry-run"}, files...)...); !strings.Contains(out, "would be imported") {
		t.Error(out)
	}
	says(t, d, append([]string{"datastore", "import"}, files...)...)
	requireCode(t, registerOn(t.Context(), d, "rack1-host1", "early", "caliearly"), codes.FailedPrecondition, "is locked")
	says(t, d, "datastore", "unlock")

	lab.Eventually(t, fabric.Limit, "web-0 reaches web-1", func() error { return web[0].Ping(web[1].Addr(true)) })
	requireNothingWrong(t, d)
	for address, holder := range map[string]string{
		"10.65.0.0": "vxlan-tunnel-addr-rack1-host1", "10.65.0.1": "shop/k8s/web-0/eth0", "10.65.0.30": "k8s-pod-network.0de1e7ed0000",
	} {
		if out := says(t, d, "ipam", "show", "--ip", address); !strings.Contains(out, holder) {
			t.Errorf("%s is not held by %s: %s", address, holder, out)
		}
	}
	got, err := d.IPAM.Allocate(t.Context(), &vrouterv1.AllocateRequest{Node: "rack1-host1", Ipv4: 1, Handle: "first"})
	if err != nil || got.Allocations[0].Address != "10.65.0.5" { // the longest free of the host's block
		t.Errorf("the first address given out: %v, %v", got, err)
	}
	given(t, d, d, "late")
	requireNothingWrong(t, d)
}

// requireNothingWrong waits until a check finds nothing, of the store and of the
// kernels that it can ask.
func requireNothingWrong(t *testing.T, d *fabric.Daemon) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, "a check finds nothing", func() error {
		if out, err := d.Ctl("ipam", "check"); err != nil || !strings.Contains(out, "nothing is wrong") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
