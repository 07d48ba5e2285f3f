package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// meshAgain takes back what NoMesh says.
const meshAgain = `
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: true}
`

// changeover is six hosts with a workload each, and two nodes that only
// reflect, under a matrix of pings.
type changeover struct {
	*fabric.Segment
	hosts    []*fabric.Daemon
	pingers  []*lab.Pinger
	names    []string
	monitors []*fabric.Monitor
}

// TestChangeOverLosesNothing takes six hosts from the mesh to reflectors and
// back, all at once and without a pause between what ends and what begins,
// while every pair pings a thousand times a second: in one family in one
// direction, in the other in the other, and each reply goes the other way.
func TestChangeOverLosesNothing(t *testing.T) {
	needDaemons(t)
	c := &changeover{Segment: fabric.NewSegment(t, "change", 1)}
	for _, name := range []string{"rr1", "rr2"} {
		id := fmt.Sprintf("10.0.0.%d", 2+len(c.Hosts))
		c.Daemon(name, fabric.Settings{Role: "reflector", ClusterID: id, Labels: map[string]string{"reflector": "true"}, Quiet: true})
	}
	for i := range 6 {
		c.Daemon(fmt.Sprintf("h%d", i+1), fabric.Settings{Quiet: true})
	}
	c.hosts = c.Hosts[2:]
	c.Hosts[0].WaitReady()
	c.Hosts[0].Apply(fabric.PoolManifest)
	workloads := populate(c.hosts, 1)
	c.waitSessions(t, "mesh/", 10)
	requireAllPairs(t, workloads)
	c.startMatrix(t, workloads)

	c.Hosts[0].Apply(strings.TrimPrefix(fabric.NoMesh+fabric.ReflectorPeers, "\n---"))
	c.waitSessions(t, "peer/reflectors/", 4)
	c.Hosts[0].Apply(meshAgain)
	if out, err := c.Hosts[0].Ctl("delete", "bgppeer", "reflectors"); err != nil {
		t.Fatalf("delete: %v\n%s", err, out)
	}
	c.waitSessions(t, "mesh/", 10)
	c.requireUnharmed(t)
}

// waitSessions waits until every host has so many sessions, all of that kind
// and up, and no other; and the reflectors either all of theirs or none.
func (c *changeover) waitSessions(t *testing.T, kind string, n int) {
	t.Helper()
	for _, d := range c.Hosts {
		want := n
		if d.Settings.Role == "reflector" {
			want = 0
			if kind != "mesh/" {
				want = 2 * len(c.hosts)
			}
		}
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s has %d sessions of %s and no other", d.Name(), want, kind), func() error {
			r, err := d.Status()
			if err != nil {
				return err
			}
			var got []string
			right := 0
			for _, p := range r.Peers {
				got = append(got, fmt.Sprintf("%s %s, %s", p.Name, p.State, p.Type))
				if strings.HasPrefix(p.Name, kind) && p.State == "Established" && !strings.Contains(p.Type, "retiring") {
					right++
				}
			}
			if right != want || len(got) != want || len(r.Problems) > 0 {
				return fmt.Errorf("%s; problems %v", strings.Join(got, "; "), r.Problems)
			}
			return nil
		})
	}
}

// startMatrix returns once every pair was answered once.
func (c *changeover) startMatrix(t *testing.T, workloads []*lab.Workload) {
	t.Helper()
	for _, d := range c.hosts {
		c.monitors = append(c.monitors, fabric.NewMonitor(t, d.Host))
	}
	for i, a := range workloads {
		for j, b := range workloads {
			if i == j {
				continue
			}
			to := b.Addr(i < j)
			c.pingers = append(c.pingers, a.StartPing(to, lab.PingOptions{}))
			c.names = append(c.names, fmt.Sprintf("%s to %s", a.Name(), to))
		}
	}
}

// requireUnharmed stops the pings: none was lost, and no host removed a route.
func (c *changeover) requireUnharmed(t *testing.T) {
	t.Helper()
	sent := 0
	for i, p := range c.pingers {
		r := p.Stop()
		sent += r.Sent
		if r.Missing() > 0 || r.Sent == 0 {
			t.Errorf("ping from %s: %s", c.names[i], r)
		}
	}
	for i, m := range c.monitors {
		if removed := m.Stop(); len(removed) > 0 {
			t.Errorf("%s removed %q", c.hosts[i].Name(), removed)
		}
	}
	t.Logf("%d pings between %d pairs", sent, len(c.pingers))
}
