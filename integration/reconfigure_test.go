package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// meshSettings has the mesh go by a password and these settings.
func meshSettings(settings string) string {
	return `---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {sessionDefaults: {` + settings + `}, nodeMeshPassword: {secretKeyRef: {name: mesh, key: password}}}
`
}

// meshSecret is a Secret with the password of the mesh.
func meshSecret(password string) string {
	return `---
apiVersion: vrouter/v1
kind: Secret
metadata: {name: mesh}
spec: {stringData: {password: ` + password + `}}
`
}

// TestReconfiguredMeshLosesNothing: hold time, password and long-lived restart
// time of the mesh change at both ends while every pair pings a thousand times a
// second. Each change opens all sessions anew, and no route is ever gone.
func TestReconfiguredMeshLosesNothing(t *testing.T) {
	needDaemons(t)
	c := &changeover{Segment: fabric.NewSegment(t, "reconfigure", 1)}
	for _, name := range []string{"h1", "h2"} {
		c.Daemon(name, fabric.Settings{Quiet: true})
	}
	c.hosts = c.Hosts
	d := c.Hosts[0]
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	workloads := populate(c.hosts, 1)
	c.waitSessions(t, "mesh/", 2)
	requireAllPairs(t, workloads)
	c.startMatrix(t, workloads)
	before := c.opened(t)

	for n, change := range []string{
		meshSecret("first") + meshSettings(""),
		meshSettings("holdTime: 30s"),
		meshSecret("second"),
		meshSettings("holdTime: 30s, longLivedRestartTime: 1h"),
		meshSecret("third") + meshSettings("holdTime: 60s"),
	} {
		d.Apply(change)
		c.waitOpened(t, before, n+1)
		c.waitSessions(t, "mesh/", 2)
	}
	c.requireUnharmed(t)
}

// opened is how often each session of each host has come up, by the names of
// the host and the peer's address. At a start it may be twice, when both ends
// connect at once.
func (c *changeover) opened(t *testing.T) map[[2]string]int {
	t.Helper()
	times := make(map[[2]string]int)
	for _, d := range c.hosts {
		r, err := d.Status()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Peers {
			times[[2]string{d.Name(), p.Address}] = int(p.Established)
		}
	}
	return times
}

// waitOpened waits until every session has come up so many times more than
// before, and has all that its peer has to tell.
func (c *changeover) waitOpened(t *testing.T, before map[[2]string]int, more int) {
	t.Helper()
	for _, d := range c.hosts {
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("sessions of %s have come up %d times more", d.Name(), more), func() error {
			r, err := d.Status()
			if err != nil {
				return err
			}
			for _, p := range r.Peers {
				if was := before[[2]string{d.Name(), p.Address}]; p.State != "Established" || int(p.Established) < was+more {
					return fmt.Errorf("%s: %s, came up %d times, %d before, %s", p.Name, p.State, p.Established, was, p.LastError)
				}
			}
			return nil
		})
	}
}

// TestHostBecomesReflectorLosesNothing: one of four hosts of the mesh gets a
// cluster id, and the others a BGPPeer to it, under a matrix of pings; and the
// mesh comes again. No session of that host is opened anew.
func TestHostBecomesReflectorLosesNothing(t *testing.T) {
	needDaemons(t)
	c := &changeover{Segment: fabric.NewSegment(t, "elected", 1)}
	for i := range 4 {
		c.Daemon(fmt.Sprintf("h%d", i+1), fabric.Settings{Quiet: true})
	}
	c.hosts = c.Hosts
	d := c.Hosts[0]
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	workloads := populate(c.hosts, 1)
	c.waitSessions(t, "mesh/", 6)
	requireAllPairs(t, workloads)
	c.startMatrix(t, workloads)
	before := c.opened(t)

	ctl := func(args ...string) {
		t.Helper()
		if out, err := d.Ctl(args...); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	d.Apply(strings.TrimPrefix(fabric.NoMesh+fabric.ReflectorPeers, "\n---"))
	ctl("patch", "node", "h1", "-p", `{"metadata":{"labels":{"reflector":"true"}},"spec":{"bgp":{"routeReflectorClusterID":"10.0.0.1"}}}`)
	c.waitReflected(t, 6, 2)
	d.Apply(meshAgain) // a reflector that ceases to be one reflects to nobody from then on
	for _, d := range c.hosts {
		d.WaitTold(6)
	}
	ctl("patch", "node", "h1", "-p", `{"metadata":{"labels":{"reflector":null}},"spec":{"bgp":{"routeReflectorClusterID":null}}}`)
	ctl("delete", "bgppeer", "reflectors")
	c.waitSessions(t, "mesh/", 6)
	r, err := d.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Peers {
		if was := before[[2]string{d.Name(), p.Address}]; int(p.Established) != was {
			t.Errorf("%s of the reflector came up %d times, %d before", p.Name, p.Established, was)
		}
	}
	c.requireUnharmed(t)
}

// waitReflected waits until the first host has so many sessions with clients,
// and each other so many with it, and no other.
func (c *changeover) waitReflected(t *testing.T, reflector, client int) {
	t.Helper()
	want := reflector
	for _, d := range c.hosts {
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s has %d sessions of a reflector's and no other", d.Name(), want), func() error {
			r, err := d.Status()
			if err != nil {
				return err
			}
			var errs []error
			for _, p := range r.Peers {
				if p.State != "Established" || !strings.HasPrefix(p.Name, "peer/reflectors/") || strings.Contains(p.Type, "retiring") {
					errs = append(errs, fmt.Errorf("%s %s, %s", p.Name, p.State, p.Type))
				}
			}
			if len(r.Peers) != want {
				errs = append(errs, fmt.Errorf("%d sessions", len(r.Peers)))
			}
			return errors.Join(errs...)
		})
		want = client
	}
}
