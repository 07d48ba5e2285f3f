package integration_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// Times that hosts keep the routes of reflectors that are gone.
const (
	reflectorRestart   = 5 * time.Second
	reflectorLongLived = 30 * time.Minute // longer than the test takes anywhere
)

// resilientPeers makes every node a client of the reflectors, and has it keep
// their routes.
var resilientPeers = fmt.Sprintf(`
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: reflectors}
spec: {nodeSelector: "!has(reflector)", peerSelector: has(reflector), maxRestartTime: %s, longLivedRestartTime: %s}
`, reflectorRestart, reflectorLongLived)

// TestReflectorsDie kills one of two reflectors under traffic between hosts,
// and both, for longer than graceful restart lasts; then both come back, and
// their clients to them in random order.
func TestReflectorsDie(t *testing.T) {
	needDaemons(t)
	t.Parallel()
	s := fabric.NewSegment(t, "die", 1)
	for i := range 2 {
		s.Daemon(fmt.Sprintf("rr%d", i+1), fabric.Settings{
			Role: "reflector", ClusterID: fmt.Sprintf("10.254.0.%d", i+1), Labels: map[string]string{"reflector": "true"},
		})
	}
	for i := range 3 {
		s.Daemon(fmt.Sprintf("h%d", i+1), fabric.Settings{})
	}
	reflectors, hosts := s.Hosts[:2], s.Hosts[2:]
	reflectors[0].WaitReady()
	reflectors[0].Apply(fabric.PoolManifest + fabric.NoMesh + resilientPeers)
	workloads := populate(hosts, 1)
	for _, h := range hosts {
		h.WaitSettled(4)
	}
	requireAllPairs(t, workloads)

	m := startMatrix(t, hosts, workloads)
	reflectors[0].Kill()
	for _, h := range hosts {
		h.WaitEstablished(2)
	}
	reflectors[0].Start()
	for _, h := range hosts {
		h.WaitSettled(4)
	}
	m.requireUnharmed(t)

	m = startMatrix(t, hosts, workloads)
	for _, r := range reflectors {
		r.Kill()
	}
	gone := time.Now()
	for _, h := range hosts {
		h.WaitEstablished(0)
	}
	lab.Eventually(t, fabric.Limit, "graceful restart is over", func() error {
		if time.Since(gone) < 2*reflectorRestart {
			return errors.New("not yet")
		}
		return nil
	})
	for _, h := range hosts {
		h.Pause()
	}
	for _, r := range reflectors {
		r.Start()
		r.WaitReady()
	}
	for _, i := range rand.Perm(len(hosts)) {
		hosts[i].Resume()
		hosts[i].WaitEstablished(4)
	}
	for _, h := range hosts {
		h.WaitSettled(4)
	}
	m.requireUnharmed(t)
}

// startMatrix starts pings from each of some workloads to each other, in both
// families. It returns once each pair has reached each other.
func startMatrix(t *testing.T, hosts []*fabric.Daemon, workloads []*lab.Workload) *traffic {
	t.Helper()
	requireAllPairs(t, workloads)
	var watched []*lab.Host
	for _, h := range hosts {
		watched = append(watched, h.Host)
	}
	m := watchHosts(t, watched...)
	for _, a := range workloads {
		for _, b := range workloads {
			if a == b {
				continue
			}
			for _, v4 := range []bool{true, false} {
				m.pingers = append(m.pingers, a.StartPing(b.Addr(v4), lab.PingOptions{Interval: 5 * time.Millisecond}))
				m.names = append(m.names, fmt.Sprintf("%s to %s", a.Name(), b.Addr(v4)))
			}
		}
	}
	return m
}
