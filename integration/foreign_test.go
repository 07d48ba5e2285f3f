package integration_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/store"
)

// swapped is a cluster of two hosts whose store is exchanged below them.
type swapped struct {
	*fabric.Segment
	member    *lab.Host // of etcd
	workloads []*lab.Workload
	monitors  []*fabric.Monitor
	before    []string // routes of the hosts
}

// TestForeignStore exchanges the store below running hosts: for a backup of
// its own, and for an empty one. Nothing is removed until the operator adopts
// it on one of the hosts; then all go on from what is stored.
func TestForeignStore(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	s := &swapped{Segment: fabric.NewSegment(t, "foreign", 0)}
	member, addr := s.Host("etcd")
	s.member, s.Etcd = member, s.Lab.Etcd(lab.EtcdMember{Host: member, Addr: addr})
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{})
	}
	h1 := s.Hosts[0]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	s.workloads = populate(s.Hosts, 1)
	backup := dataDir(member) + ".backup"
	swapData(t, s.Etcd[0], func() { copyDir(t, backup, dataDir(member)) })
	h1.WaitReady()
	s.workloads = append(s.workloads, h1.Workload(h1, "newer", "10.65.1.77", "fd00:65::77"))
	for i := range 20 { // more than what is written without all hosts hearing of it, such as leases
		h1.Apply(fmt.Sprintf("apiVersion: vrouter/v1\nkind: Namespace\nmetadata: {name: newer, labels: {n: \"%d\"}}\n", i))
	}
	for _, d := range s.Hosts {
		d.WaitSettled(2)
	}
	requireAllPairs(t, s.workloads)
	t.Run("restored from a backup", func(t *testing.T) { s.restored(t, backup) })
	t.Run("empty, and filled again", s.refilled)
	t.Run("empty", s.emptied)
}

// begin notes how things are before the store is exchanged.
func (s *swapped) begin(t *testing.T) {
	t.Helper()
	s.monitors, s.before = nil, nil
	for _, d := range s.Hosts {
		s.monitors = append(s.monitors, fabric.NewMonitor(t, d.Host))
		s.before = append(s.before, fabric.Routes(d.Host))
	}
}

// requireHeld fails unless every host refuses the store, and no route went.
func (s *swapped) requireHeld(t *testing.T, words string) {
	t.Helper()
	for _, d := range s.Hosts {
		d.WaitCondition("store", words)
		d.WaitCondition("store", "vrouterctl cluster adopt")
	}
	s.requireKept(t)
	requireAllPairs(t, s.workloads)
}

// requireKept fails unless all routes are there, and were all the time.
func (s *swapped) requireKept(t *testing.T) {
	t.Helper()
	for i, d := range s.Hosts {
		if removed := s.monitors[i].Stop(); len(removed) > 0 {
			t.Errorf("%s: routes were removed:\n%s", d.Name(), strings.Join(removed, "\n"))
		}
		if after := fabric.Routes(d.Host); after != s.before[i] {
			t.Errorf("%s: routes were\n%s\nand are\n%s", d.Name(), s.before[i], after)
		}
	}
}

// restartHeld kills a daemon while the store is foreign, when its copy is of the
// store before, at that revision at least: it works from the copy, and refuses
// the store as its predecessor did.
func (s *swapped) restartHeld(t *testing.T, d *fabric.Daemon, words string, least int64) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, d.Name()+" has a copy of the store that went", func() error {
		r, err := d.Status()
		if err != nil {
			return err
		}
		c, err := store.LoadCopy(copyFile(d))
		if err == nil && (c.GUID != r.ClusterGuid || c.Revision < least) {
			err = fmt.Errorf("its copy is of cluster %s at %d, not %s", c.GUID, c.Revision, r.ClusterGuid)
		}
		return err
	})
	s.begin(t)
	d.Kill()
	d.Start()
	d.WaitCondition("synced", "local copy")
	for _, d := range s.Hosts {
		d.WaitEstablished(2)
	}
	s.requireHeld(t, words)
}

// adopt has one host adopt the store, and waits until all go on.
func (s *swapped) adopt(t *testing.T) {
	t.Helper()
	if out, err := s.Hosts[0].Ctl("cluster", "adopt"); err != nil {
		t.Fatalf("adopt: %v\n%s", err, out)
	}
	for _, d := range s.Hosts {
		d.WaitReady()
		d.WaitEstablished(2)
	}
}

// requireRoutes waits until every host has n routes.
func (s *swapped) requireRoutes(t *testing.T, n int) {
	t.Helper()
	for _, d := range s.Hosts {
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s has %d routes", d.Name(), n), func() error {
			if routes := fabric.Forwarding(d.Host); len(strings.Fields(routes)) > 0 != (n > 0) || n > 0 && strings.Count(routes, "\n")+1 != n {
				return fmt.Errorf("it has\n%s", routes)
			}
			return nil
		})
	}
}

// restored puts a backup in place of the store, which grows past the revision
// that the hosts have seen, because they may be called before it is adopted.
func (s *swapped) restored(t *testing.T, backup string) {
	s.begin(t)
	swapData(t, s.Etcd[0], func() {
		if err := os.RemoveAll(dataDir(s.member)); err != nil {
			t.Fatal(err)
		}
		copyDir(t, dataDir(s.member), backup)
	})
	for _, d := range s.Hosts {
		d.WaitCondition("store", "vrouterctl cluster adopt")
	}
	for i := range 30 {
		if err := registerOn(t.Context(), s.Hosts[1], "elsewhere", fmt.Sprintf("e%d", i), "cali0", fmt.Sprintf("10.65.9.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.requireHeld(t, "may have grown")
	s.restartHeld(t, s.Hosts[1], "may have grown", store.Overtaken)
	s.adopt(t)
	// What the backup does not know goes, and can be registered again.
	s.requireRoutes(t, 4)
	s.Hosts[1].Register("h1", "newer", s.workloads[2].IfName, "10.65.1.77", "fd00:65::77")
	requireAllPairs(t, s.workloads)
}

// refilled takes all data away from the store and applies what was saved of it
// as manifests, through a host that refuses the store still: when that is
// adopted then, nobody notices.
func (s *swapped) refilled(t *testing.T) {
	var saved strings.Builder
	for _, kind := range []string{"ippools", "bgpconfigurations", "nodes", "workloadendpoints"} {
		out, err := s.Hosts[0].Ctl("get", kind, "-A", "-o", "yaml")
		if err != nil {
			t.Fatalf("get %s: %v\n%s", kind, err, out)
		}
		saved.WriteString("---\n" + withoutVersions(out))
	}
	s.begin(t)
	swapData(t, s.Etcd[0], func() {
		if err := os.RemoveAll(dataDir(s.member)); err != nil {
			t.Fatal(err)
		}
	})
	s.requireHeld(t, "empty")
	s.begin(t)
	ping := s.workloads[0].StartPing(s.workloads[1].Addr(true), lab.PingOptions{})
	s.Hosts[0].Apply(saved.String())
	s.adopt(t)
	if r := ping.Stop(); r.Missing() > 0 {
		t.Errorf("ping: %s", r)
	}
	s.requireKept(t)
}

// withoutVersions takes out of manifests by which a store knows its objects.
func withoutVersions(manifests string) string {
	var b strings.Builder
	for line := range strings.Lines(manifests) {
		switch name, _, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "resourceVersion", "uid", "creationTimestamp", "generation":
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// emptied takes all data away from the store.
func (s *swapped) emptied(t *testing.T) {
	s.begin(t)
	swapData(t, s.Etcd[0], func() {
		if err := os.RemoveAll(dataDir(s.member)); err != nil {
			t.Fatal(err)
		}
	})
	s.requireHeld(t, "empty")
	s.restartHeld(t, s.Hosts[1], "empty", 0)
	requireCode(t, registerOn(t.Context(), s.Hosts[0], "h1", "newer", "calinewer", "10.65.1.77"), codes.InvalidArgument, "IPPool")
	s.adopt(t)
	s.requireRoutes(t, 0)
	s.Hosts[1].Apply(fabric.PoolManifest)
	for i, w := range s.workloads {
		node := s.Hosts[i%2].Name()
		s.Hosts[0].Register(node, w.Name(), w.IfName, w.Addr(true).String(), w.Addr(false).String())
	}
	requireAllPairs(t, s.workloads)
}
