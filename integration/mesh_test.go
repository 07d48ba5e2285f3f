package integration_test

import (
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// needDaemons names what whole daemons in a lab need.
func needDaemons(t *testing.T, more ...string) {
	t.Helper()
	testenv.Need(t, append([]string{"root", "program:ip", "program:etcd"}, more...)...)
}

func TestMeshReachesEverybody(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "mesh", 1)
	for _, name := range []string{"h1", "h2", "h3"} {
		s.Daemon(name, fabric.Settings{})
	}
	s.Hosts[0].WaitReady()
	s.Hosts[0].Apply(fabric.PoolManifest)
	workloads := populate(s.Hosts, 2)
	for _, d := range s.Hosts {
		d.WaitReady()
		d.WaitEstablished(4)
	}
	requireAllPairs(t, workloads)
}

// populate makes n dual-stack workloads on each host, each registered through
// the next host over.
func populate(hosts []*fabric.Daemon, n int) []*lab.Workload {
	var all []*lab.Workload
	for i, d := range hosts {
		via := hosts[(i+1)%len(hosts)]
		via.WaitReady()
		for j := range n {
			v4, v6 := fabric.Address(i, j)
			all = append(all, d.Workload(via, fabric.WorkloadName(i, j), v4, v6))
		}
	}
	return all
}

// requireAllPairs pings from every workload to every other in both families.
func requireAllPairs(t *testing.T, workloads []*lab.Workload) {
	t.Helper()
	for _, a := range workloads {
		for _, b := range workloads {
			if a == b {
				continue
			}
			for _, v4 := range []bool{true, false} {
				lab.Eventually(t, fabric.Limit, a.Name()+" reaches "+b.Name(), func() error { return a.Ping(b.Addr(v4)) })
			}
		}
	}
}
