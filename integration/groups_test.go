package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// groupManifest is a group of the hosts and the reflectors of one side.
func groupManifest(side string) string {
	return fmt.Sprintf(`
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: %[1]s}
spec: {nodeSelector: "side == '%[1]s'", memberSelector: "reflects == '%[1]s'"}
`, side)
}

// TestAnyOneOfFourReflectorsIsKilled has two groups of two reflectors each:
// whichever is killed, what is new then reaches everybody all the same.
func TestAnyOneOfFourReflectorsIsKilled(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "grp", 1)
	var reflectors, hosts []*fabric.Daemon
	for _, name := range []string{"ra1", "ra2", "rb1", "rb2"} {
		reflectors = append(reflectors, s.Daemon(name, fabric.Settings{
			Role: "reflector", Labels: map[string]string{"reflects": name[1:2]},
		}))
	}
	for _, name := range []string{"ha1", "ha2", "hb1", "hb2"} {
		hosts = append(hosts, s.Daemon(name, fabric.Settings{Labels: map[string]string{"side": name[1:2]}}))
	}
	hosts[0].WaitReady()
	hosts[0].Apply(fabric.PoolManifest + groupManifest("a") + groupManifest("b"))
	workloads := populate(hosts, 1)
	// A host has its two reflectors, a reflector its two hosts and the two of
	// the other group, and nobody a mesh.
	for _, d := range hosts {
		requireEstablished(t, d, 2, "reflector group")
	}
	for _, d := range reflectors {
		requireEstablished(t, d, 4, "reflector group")
	}
	requireAllPairs(t, workloads)
	for i, r := range reflectors {
		r.Kill()
		v4, v6 := fabric.Address(0, 10+i)
		added := hosts[i].Workload(hosts[(i+1)%len(hosts)], fmt.Sprintf("new%d", i), v4, v6)
		for _, w := range workloads {
			for _, of4 := range []bool{true, false} {
				lab.Eventually(t, fabric.Limit, w.Name()+" reaches what is new without "+r.Name(), func() error {
					return w.Ping(added.Addr(of4))
				})
			}
		}
		r.Start()
		requireEstablished(t, r, 4, "reflector group")
	}
}

// requireEstablished waits until a daemon has sessions with so many nodes, all
// of that type, all up, and none else.
func requireEstablished(t *testing.T, d *fabric.Daemon, nodes int, kind string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s has its %d sessions", d.Name(), nodes), func() error {
		r, err := d.Status()
		if err != nil {
			return err
		}
		found := make(map[string]bool)
		for _, p := range r.Peers {
			if p.Type != kind || p.State != "Established" || !p.EndOfRib {
				return fmt.Errorf("%s is %s, %s (%s)", p.Name, p.Type, p.State, p.LastError)
			}
			found[p.Node] = true
		}
		if len(found) != nodes {
			return fmt.Errorf("with %d nodes: %v; problems %v", len(found), found, r.Problems)
		}
		return nil
	})
}

const electedGroup = `
---
apiVersion: vrouter/v1
kind: ReflectorGroup
metadata: {name: main}
spec:
  nodeSelector: "!has(candidate)"
  election: {count: 2, candidateSelector: has(candidate), topologyKey: rack}
`

// TestElectedReflectorIsReplaced has a controller elect two of four candidates,
// and another in place of one that is killed, by another controller where that
// was killed, too.
func TestElectedReflectorIsReplaced(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "elect", 1)
	lease := "  leaseTTL: 10s\n" // nobody else may lose his because the machine is busy
	candidates := make(map[string]*fabric.Daemon)
	for _, name := range []string{"ra1", "ra2", "rb1", "rb2"} {
		candidates[name] = s.Daemon(name, fabric.Settings{
			Role: "reflector", Store: lease, Labels: map[string]string{"candidate": "", "rack": name[1:2]},
		})
	}
	var hosts []*fabric.Daemon
	for _, name := range []string{"h1", "h2"} {
		hosts = append(hosts, s.Daemon(name, fabric.Settings{Store: lease}))
	}
	var controllers []*fabric.Daemon
	for _, name := range []string{"c1", "c2"} {
		controllers = append(controllers, s.Daemon(name, fabric.Settings{
			Role: "controller", Store: lease, Extra: "controller: {holdOff: 1s}\n",
		}))
	}
	for _, c := range candidates { // those who come later would have others elected first
		c.WaitReady()
	}
	hosts[0].WaitReady()
	hosts[0].Apply(fabric.PoolManifest + electedGroup)
	first := requireElected(t, hosts[0], 2)
	if first[0][1] == first[1][1] {
		t.Errorf("both reflectors are in one rack: %v", first)
	}
	workloads := populate(hosts, 1)
	for _, h := range hosts {
		requireEstablished(t, h, 2, "reflector group")
	}
	requireAllPairs(t, workloads)

	controllers[0].Kill() // whether it led or not
	candidates[first[0]].Kill()
	var second []string
	lab.Eventually(t, fabric.Limit, first[0]+" is replaced", func() error {
		second = requireElected(t, hosts[0], 2)
		if slices.Contains(second, first[0]) || !slices.Contains(second, first[1]) {
			return fmt.Errorf("reflectors are %v, and were %v", second, first)
		}
		return nil
	})
	if second[0][1] == second[1][1] {
		t.Errorf("both reflectors are in one rack: %v", second)
	}
	for _, h := range hosts {
		requireEstablished(t, h, 2, "reflector group")
	}
	v4, v6 := fabric.Address(0, 10)
	added := hosts[0].Workload(hosts[1], "new", v4, v6)
	lab.Eventually(t, fabric.Limit, "the new reflectors reflect", func() error { return workloads[1].Ping(added.Addr(true)) })
}

// requireElected waits until the group main has so many reflectors, each of
// which serves all hosts, and none that leaves.
func requireElected(t *testing.T, d *fabric.Daemon, n int) []string {
	t.Helper()
	var names []string
	lab.Eventually(t, 2*fabric.Limit, fmt.Sprintf("%d reflectors serve", n), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r, err := d.Resources.Get(ctx, &vrouterv1.GetRequest{Kind: "ReflectorGroup", Name: "main"})
		if err != nil {
			return err
		}
		names = nil
		for _, m := range r.GetResource().GetReflectorGroup().GetStatus().GetMembers() {
			if m.GetState() != "Serving" {
				return fmt.Errorf("%s is %s and has %d hosts", m.GetNode(), m.GetState(), m.GetHosts())
			}
			names = append(names, m.GetNode())
		}
		if len(names) != n {
			return fmt.Errorf("reflectors: %v", strings.Join(names, ", "))
		}
		return nil
	})
	return names
}
