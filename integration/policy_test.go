package integration_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// enforced is the configuration of hosts that enforce policy.
const enforced = "policy: enforce\n"

// labelled registers a workload of a host with labels, and no profile.
func labelled(t *testing.T, d *fabric.Daemon, name string, labels map[string]string, host, number int) *lab.Workload {
	t.Helper()
	v4, v6 := fabric.Address(host, number)
	addrs := []string{v4, v6}
	w := d.Host.Workload(name, "cali"+name, addrs...)
	r := fabric.Request(d.Name(), name, "cali"+name, addrs...)
	r.Profiles, r.Labels = nil, labels
	if got, err := d.Endpoint.Register(t.Context(), r); err != nil || got.Stage != vrouterv1.Stage_STAGE_ADVERTISED {
		t.Fatalf("register %s: %v, %v", name, got, err)
	}
	return w
}

// requireReach waits until a reaches b, or does not, in both families.
func requireReach(t *testing.T, a, b *lab.Workload, want bool) {
	t.Helper()
	for _, v4 := range []bool{true, false} {
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s reaches %s: %t", a.Name(), b.Name(), want), func() error {
			err := a.Ping(b.Addr(v4))
			if want {
				return err
			}
			if err == nil {
				return errors.New("it does")
			}
			return nil
		})
	}
}

// Two hosts enforce what policies say of workloads by their labels, also while
// these change, and nothing else.
func TestPolicyBetweenHosts(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "policy", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Extra: enforced})
	}
	h1, h2 := s.Hosts[0], s.Hosts[1]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	h2.WaitReady()
	web := labelled(t, h1, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h1, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h2, "db", map[string]string{"role": "db"}, 1, 0)
	requireReach(t, web, db, false) // neither has a profile

	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.db}
spec:
  selector: role == "db"
  ingress:
  - {action: Allow, source: {selector: role == "web"}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.egress}
spec: {selector: all(), types: [Egress], egress: [{action: Allow}]}
`)
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	requireReach(t, db, web, false)

	for _, d := range s.Hosts { // what is in force outlives the daemons
		d.Kill()
	}
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	for _, d := range s.Hosts {
		d.Start()
		d.WaitReady()
	}
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.db}
spec:
  selector: role == "db"
  ingress:
  - {action: Allow, source: {selector: role == "other"}}
`)
	requireReach(t, other, db, true)
	requireReach(t, web, db, false)
}
