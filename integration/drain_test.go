package integration_test

import (
	"fmt"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestDrainOfAReflector drains one of two from a host: its paths lose first,
// then its sessions close, also after a restart of its daemon in between, and
// nothing is left of it all when it is taken back. No ping between workloads is
// lost meanwhile.
func TestDrainOfAReflector(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "drain", 1)
	var reflectors, hosts []*fabric.Daemon
	for _, name := range []string{"r1", "r2"} {
		reflectors = append(reflectors, s.Daemon(name, fabric.Settings{Role: "reflector", Labels: map[string]string{"reflects": "a"}}))
	}
	for _, name := range []string{"h1", "h2"} {
		hosts = append(hosts, s.Daemon(name, fabric.Settings{Labels: map[string]string{"side": "a"}}))
	}
	hosts[0].WaitReady()
	hosts[0].Apply(fabric.PoolManifest + groupManifest("a"))
	workloads := populate(hosts, 1)
	for _, d := range append(hosts, reflectors...) {
		requireEstablished(t, d, 2, "reflector group")
	}
	requireAllPairs(t, workloads)
	ping := workloads[0].StartPing(workloads[1].Addr(true), lab.PingOptions{})

	ctl(t, hosts[0], "node", "drain", "r1", "--message", "moves to rack b", "--shutdown-after", "Never")
	requirePreferred(t, hosts[0], "r1", 0)
	reflectors[0].Kill()
	reflectors[0].Start()
	requireEstablished(t, reflectors[0], 2, "reflector group")
	requirePreferred(t, hosts[0], "r1", 0)

	ctl(t, hosts[0], "node", "drain", "r1", "--message", "moves to rack b", "--shutdown-after", "1s")
	lab.Eventually(t, fabric.Limit, "the sessions of r1 are closed", func() error {
		status, err := reflectors[0].Status()
		if err != nil {
			return err
		}
		for _, p := range status.GetPeers() {
			if p.GetState() == "Established" {
				return fmt.Errorf("%s is up, drain %q", p.GetName(), status.GetDrain())
			}
		}
		if status.GetDrain() != "closed" {
			return fmt.Errorf("drain %q", status.GetDrain())
		}
		return nil
	})

	ctl(t, hosts[0], "node", "undrain", "r1")
	for _, d := range append(hosts, reflectors...) {
		requireEstablished(t, d, 2, "reflector group")
	}
	requirePreferred(t, hosts[0], "r1", 100)
	if report := ping.Stop(); report.Missing() > 0 {
		t.Errorf("pings: %s", report)
	}
}

// ctl runs vrouterctl, which must succeed.
func ctl(t *testing.T, d *fabric.Daemon, args ...string) {
	t.Helper()
	if out, err := d.Ctl(args...); err != nil {
		t.Fatalf("vrouterctl %v: %v\n%s", args, err, out)
	}
}

// requirePreferred waits until a host has paths from a node, all of them with
// that LOCAL_PREF.
func requirePreferred(t *testing.T, d *fabric.Daemon, node string, localPref uint32) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, fmt.Sprintf("paths of %s have LOCAL_PREF %d", node, localPref), func() error {
		status, err := d.Status()
		if err != nil {
			return err
		}
		peers := make(map[string]bool)
		for _, p := range status.GetPeers() {
			peers[p.GetAddress()] = p.GetNode() == node
		}
		routes, err := routesOf(t, d)
		if err != nil {
			return err
		}
		found := 0
		for _, r := range routes {
			for _, p := range r.GetPaths() {
				if !peers[p.GetPeer()] {
					continue
				}
				found++
				if p.GetLocalPref() != localPref {
					return fmt.Errorf("%s has %d, communities %v", r.GetPrefix(), p.GetLocalPref(), p.GetCommunities())
				}
			}
		}
		if found == 0 {
			return fmt.Errorf("there are none")
		}
		return nil
	})
}
