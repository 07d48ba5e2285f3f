package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// exported is what an export is made of.
func exported() []string {
	return []string{store.ResourcePrefix, store.AddressPrefix, store.BlockPrefix, store.HandlePrefix, store.HostsPrefix}
}

// moved is a pair of hosts that are taken to another etcd.
type moved struct {
	*pair
	old, next *lab.Etcd
	taken     []*vrouterv1.Allocation // by what is no endpoint
}

// TestDatastoreMoves takes a running cluster to another etcd: locked, exported,
// imported, the daemons moved one by one, adopted, unlocked. Nothing differs, no
// packet is lost, no route goes, and addresses are given out as before.
func TestDatastoreMoves(t *testing.T) {
	m := &moved{pair: newPair(t, "move", "")}
	needDaemons(t, "program:etcdctl")
	host, addr := m.Host("next")
	m.old, m.next = m.Etcd[0], m.Lab.Etcd(lab.EtcdMember{Host: host, Addr: addr})[0]
	m.fill(t)
	h1, h2 := m.Hosts[0], m.Hosts[1]
	traffic := m.startTraffic(t)

	says(t, h1, "datastore", "lock", "--reason", "moving house")
	requireCode(t, registerOn(t.Context(), h2, "h2", "late", "calilate"), codes.FailedPrecondition, "moving house")
	before := m.contents(t, m.old)
	h2.Kill() // a host that restarts while the store is locked is what it was
	h2.Start()
	for _, d := range m.Hosts {
		d.WaitSettled(pairSessions)
	}
	file := filepath.Join(h1.Dir(), "cluster.export")
	if out := says(t, h1, "datastore", "export", file); strings.Contains(out, "warning") {
		t.Errorf("export: %s", out)
	}

	m.move(t, h1, 2)
	h1.WaitCondition("store", "empty")
	says(t, h1, "datastore", "import", "--dry-run", file)
	says(t, h1, "datastore", "import", file)
	m.requireSame(t, before, m.contents(t, m.old), "the store that was left")
	m.requireSame(t, before, m.contents(t, m.next), "the store that was filled")
	m.move(t, h2, 3)
	for _, d := range m.Hosts {
		d.WaitCondition("store", "vrouterctl cluster adopt")
	}
	says(t, h2, "cluster", "adopt")
	for _, d := range m.Hosts {
		d.WaitSettled(pairSessions)
	}
	m.requireSame(t, before, m.contents(t, m.next), "the store that was adopted")
	requireCode(t, registerOn(t.Context(), h1, "h1", "late", "calilate"), codes.FailedPrecondition, "is locked")
	says(t, h1, "datastore", "unlock")
	m.requireKnown(t)
	traffic.requireUnharmed(t)
	m.goOn(t)
}

// says runs vrouterctl on a host, and returns what it says.
func says(t *testing.T, d *fabric.Daemon, args ...string) string {
	t.Helper()
	out, err := d.Ctl(args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fill has addresses given out in every way: to endpoints of both hosts, to a
// load balancer, some given back a moment ago, in small blocks beside reserved
// ones.
func (m *moved) fill(t *testing.T) {
	t.Helper()
	h1, h2 := m.Hosts[0], m.Hosts[1]
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: small}
spec: {cidr: 10.66.0.0/24, blockSize: 29, assignmentMode: Manual}
---
apiVersion: projectcalico.org/v3
kind: Namespace
metadata: {name: default, labels: {tenant: red}}
---
apiVersion: v1
kind: Secret
metadata: {name: passwords}
stringData: {tor: hush}
`)
	says(t, h1, "ipam", "configure", "--cooldown", "10m")
	says(t, h1, "ipam", "reserve", "gateways", "10.66.0.0/29", "10.65.0.0/28")
	for i, d := range []*fabric.Daemon{h1, h2, h2} {
		m.workloads = append(m.workloads, given(t, d, h1, fmt.Sprintf("g%d", i)))
	}
	for i, node := range []string{"h1", "h2", "virtual:lb"} {
		got, err := h1.IPAM.Allocate(t.Context(), &vrouterv1.AllocateRequest{Node: node, Ipv4: 12, Pools: []string{"small"},
			Handle: fmt.Sprintf("held-%d", i), Attributes: map[string]string{"for": node}})
		if err != nil {
			t.Fatal(err)
		}
		m.taken = append(m.taken, got.Allocations...)
	}
	back := m.taken[0]
	_, err := h2.IPAM.Release(t.Context(), &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{
		{Address: back.Address, Handle: back.Handle, Sequence: back.Sequence}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Hosts {
		d.WaitSettled(pairSessions)
	}
	m.requireKnown(t)
}

// contents is what a store holds of what is exported. ClusterInformation is the
// store's own.
func (m *moved) contents(t *testing.T, e *lab.Etcd) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, prefix := range exported() {
		found := stored(t, m.Hosts[0].Host, []string{e.Endpoint}, prefix)
		if len(found) == 0 {
			t.Errorf("%s: nothing is stored below %s", e.Endpoint, prefix)
		}
		for key, value := range found {
			all[prefix+key] = value
		}
	}
	delete(all, store.ResourceKey("ClusterInformation", "", "default"))
	return all
}

func (m *moved) requireSame(t *testing.T, want, got map[string]string, what string) {
	t.Helper()
	for key, value := range want {
		if other, ok := got[key]; !ok {
			t.Errorf("%s: %s is missing", what, key)
		} else if other != value {
			t.Errorf("%s: %s is %q, was %q", what, key, other, value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d keys, not %d", what, len(got), len(want))
	}
	if t.Failed() {
		t.FailNow()
	}
}

// move starts a daemon with the other etcd, once its copy has its endpoints.
func (m *moved) move(t *testing.T, d *fabric.Daemon, endpoints int) {
	t.Helper()
	waitCopy(t, d, endpoints)
	settings := d.Settings
	settings.Endpoints = []string{m.next.Endpoint}
	d.Configure(settings)
	d.Stop()
	d.Start()
}

// goOn uses the new store: what was held is held, what was given back is given
// out last, and no number comes again.
func (m *moved) goOn(t *testing.T) {
	t.Helper()
	h1, h2 := m.Hosts[0], m.Hosts[1]
	m.workloads = append(m.workloads, given(t, h2, h1, "late"))
	requireAllPairs(t, m.workloads)
	highest := uint64(0)
	held := make(map[string]bool)
	for _, a := range m.taken[1:] {
		held[a.Address] = true
		highest = max(highest, a.Sequence)
	}
	got, err := h2.IPAM.Allocate(t.Context(), &vrouterv1.AllocateRequest{Node: "h3", Ipv4: 12, Pools: []string{"small"}, Handle: "more"})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got.Allocations {
		if held[a.Address] || a.Address == m.taken[0].Address || a.Sequence <= highest {
			t.Errorf("%s was given out with number %d; before there were %d", a.Address, a.Sequence, highest)
		}
	}
	last := m.taken[1]
	_, err = h1.IPAM.Release(t.Context(), &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{
		{Address: last.Address, Handle: last.Handle, Sequence: last.Sequence}}})
	if err != nil {
		t.Errorf("what was held before cannot be released: %v", err)
	}
	if out := says(t, h1, "ipam", "check"); !strings.Contains(out, "nothing is wrong") {
		t.Errorf("check: %s", out)
	}
	if info := says(t, h2, "cluster", "info"); !strings.Contains(info, "store     ready") {
		t.Errorf("cluster info: %s", info)
	}
}
