package integration_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// copyFile is where a daemon keeps its local copy of the store.
func copyFile(d *fabric.Daemon) string { return filepath.Join(d.Dir(), "state", "copy") }

// TestStartWithoutStoreAndCopy starts a daemon that has neither the store nor
// a copy to work from: it says so and waits, and what its predecessor left in
// the kernel goes on to forward.
func TestStartWithoutStoreAndCopy(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "start", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{})
	}
	h1 := s.Hosts[0]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	workloads := populate(s.Hosts, 1)
	for _, d := range s.Hosts {
		d.WaitSettled(2)
	}
	requireAllPairs(t, workloads)
	for _, c := range []struct {
		name   string
		change func(copy string) error
		log    string
	}{
		{"no copy", os.Remove, "there is no local copy to start from"},
		{"damaged copy", func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 0xff
			return os.WriteFile(path, data, 0o600)
		}, "local copy is damaged and not used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			monitor := fabric.NewMonitor(t, h1.Host)
			before := fabric.Routes(h1.Host)
			lab.Eventually(t, fabric.Limit, "the copy is written", func() error {
				_, err := os.Stat(copyFile(h1))
				return err
			})
			h1.Kill()
			s.Etcd[0].Kill()
			if err := c.change(copyFile(h1)); err != nil {
				t.Fatal(err)
			}
			h1.Start()
			h1.WaitCondition("synced", "waiting for the store")
			h1.WaitCondition("store", "refused")
			lab.Eventually(t, fabric.Limit, "the log says why", func() error {
				if !strings.Contains(h1.Process().Output(), c.log) {
					return errors.New("it does not")
				}
				return nil
			})
			requireAllPairs(t, workloads)
			s.Etcd[0].Start()
			for _, d := range s.Hosts {
				d.WaitReady()
			}
			h1.WaitSettled(2)
			if removed := monitor.Stop(); len(removed) > 0 {
				t.Errorf("routes were removed:\n%s", strings.Join(removed, "\n"))
			}
			if after := fabric.Routes(h1.Host); after != before {
				t.Errorf("routes were\n%s\nand are\n%s", before, after)
			}
		})
	}
	t.Run("no store configured", func(t *testing.T) { refusesEmbedded(t, h1) })
}

// refusesEmbedded takes the endpoints of etcd out of a daemon's configuration:
// a store of its own would have nothing of what the copy holds.
func refusesEmbedded(t *testing.T, d *fabric.Daemon) {
	before := fabric.Routes(d.Host)
	d.Stop()
	settings := d.Settings
	settings.Endpoints = nil
	d.Configure(settings)
	d.Start()
	var exit *exec.ExitError
	if err := d.Process().Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, wanted exit code 1", err)
	}
	if out := d.Process().Output(); !strings.Contains(out, "is a copy of cluster") || !strings.Contains(out, "state store.endpoints") {
		t.Errorf("it does not say why it ended:\n%s", out)
	}
	if after := fabric.Routes(d.Host); after != before {
		t.Errorf("routes were\n%s\nand are\n%s", before, after)
	}
}

// TestEmbeddedStore runs one host with nothing beside it, and restarts it.
func TestEmbeddedStore(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "single", 0)
	d := s.Daemon("h1", fabric.Settings{})
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	var workloads []*lab.Workload
	for j := range 2 {
		v4, v6 := fabric.Address(0, j)
		workloads = append(workloads, d.Workload(d, fabric.WorkloadName(0, j), v4, v6))
	}
	requireAllPairs(t, workloads)
	for _, c := range []struct {
		name string
		end  func()
	}{{"killed", d.Kill}, {"stopped", d.Stop}} {
		t.Run(c.name, func(t *testing.T) {
			monitor := fabric.NewMonitor(t, d.Host)
			c.end()
			d.Start()
			d.WaitSettled(0)
			if removed := monitor.Stop(); len(removed) > 0 {
				t.Errorf("routes were removed:\n%s", strings.Join(removed, "\n"))
			}
			requireAllPairs(t, workloads)
		})
	}
	workloads = append(workloads, d.Workload(d, "later", "10.65.1.99", "fd00:65::99"))
	requireAllPairs(t, workloads)
}
