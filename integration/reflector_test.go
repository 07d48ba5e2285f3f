package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// Addresses of the segment: etcd takes the first, daemons follow.
const (
	reflectorClusterID = "10.0.0.2"
	reflectorIPv4      = "10.0.0.2"
	reflectorIPv6      = "fd00::2"
)

func TestReflectorReachesEverybody(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "refl", 1)
	rr := s.Daemon("rr", fabric.Settings{
		Role: "reflector", ClusterID: reflectorClusterID, Labels: map[string]string{"reflector": "true"},
	})
	for _, name := range []string{"h1", "h2", "h3"} {
		s.Daemon(name, fabric.Settings{})
	}
	hosts := s.Hosts[1:]
	rr.WaitReady()
	rr.Apply(fabric.PoolManifest + fabric.NoMesh + fabric.ReflectorPeers)
	workloads := populate(hosts, 2)
	requireAllPairs(t, workloads)

	var clients string
	for i, h := range hosts {
		requireSessions(t, h, ""+
			"rr "+reflectorIPv4+" node specific, AS 64512, Established\n"+
			"rr "+reflectorIPv6+" node specific, AS 64512, Established\n")
		clients += fmt.Sprintf("%[1]s 10.0.0.%[2]d node specific, AS 64512, Established\n"+
			"%[1]s fd00::%[2]d node specific, AS 64512, Established\n", h.Name(), i+3)
	}
	requireSessions(t, rr, clients)
	for i, h := range hosts {
		requireLearned(t, h.Host, routesFromOthers(i, len(hosts), 2, 3))
	}
	requireNoRoutes(t, rr.Host)
}

// requireSessions waits until a daemon has these sessions and no others.
func requireSessions(t *testing.T, d *fabric.Daemon, want string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, d.Name()+" has exactly the sessions expected", func() error {
		got, err := d.Sessions()
		return mismatch(want, got, err)
	})
}

// routesFromOthers is what host i of a segment must have learned when each of
// so many hosts has n workloads: the others' addresses, each from its host
// itself. First is the last byte of the first host's address.
func routesFromOthers(i, hosts, n, first int) string {
	var lines []string
	for j := range hosts {
		if j == i {
			continue
		}
		for k := range n {
			v4, v6 := fabric.Address(j, k)
			lines = append(lines, fmt.Sprintf("%s via 10.0.0.%d\n", v4, first+j), fmt.Sprintf("%s via fd00::%x\n", v6, first+j))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// requireLearned waits until the kernel of a host holds these routes from BGP
// and no others.
func requireLearned(t *testing.T, h *lab.Host, want string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, h.Name()+" has exactly the routes expected", func() error {
		got, err := fabric.Learned(t.Context(), h)
		return mismatch(want, got, err)
	})
}

// mismatch is err, or how got differs from want.
func mismatch[V any](want, got V, err error) error {
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("(-want +got):\n%s", diff)
	}
	return nil
}

// requireNoRoutes checks that the kernel of a host holds nothing of ours.
func requireNoRoutes(t *testing.T, h *lab.Host) {
	t.Helper()
	got, err := fabric.KernelRoutes(t.Context(), h)
	if err := mismatch("", got, err); err != nil {
		t.Errorf("routes and next hops in the kernel of %s: %v", h.Name(), err)
	}
}
