package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// etcdQuota is so small that a few values fill it.
const etcdQuota = 4 << 20

// TestFullEtcd fills etcd to its quota: registrations are refused with words
// of their own, everything else goes on, a restart too.
func TestFullEtcd(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	t.Setenv("ETCD_QUOTA_BACKEND_BYTES", strconv.Itoa(etcdQuota)) // programs of a lab inherit it
	s := fabric.NewSegment(t, "full", 1)
	d := s.Daemon("h1", fabric.Settings{})
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	workloads := []*lab.Workload{d.Workload(d, "a", "10.65.1.1", "fd00:65::1"), d.Workload(d, "b", "10.65.1.2", "fd00:65::2")}
	requireAllPairs(t, workloads)

	fillEtcd(t, d.Host, s.Etcd[0].Endpoint)
	requireCode(t, registerOn(t.Context(), d, "h1", "c", "calic", "10.65.1.3"), codes.ResourceExhausted, "space exceeded")
	d.WaitReady()
	monitor := fabric.NewMonitor(t, d.Host)
	waitCopy(t, d, 2)
	for _, prepare := range []func() error{
		func() error { return nil },
		func() error { return os.Remove(copyFile(d)) }, // what the store tells is enough
	} {
		d.Kill()
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		d.Start()
		d.WaitCondition("node", "space exceeded")
		d.WaitSwept()
		requireAllPairs(t, workloads)
	}

	emptyEtcd(t, d.Host, s.Etcd[0].Endpoint)
	d.WaitSettled(0)
	if removed := monitor.Stop(); len(removed) > 0 {
		t.Errorf("routes were removed:\n%s", strings.Join(removed, "\n"))
	}
	workloads = append(workloads, d.Workload(d, "c", "10.65.1.3", "fd00:65::3"))
	requireAllPairs(t, workloads)
}

// waitCopy waits until the local copy of a daemon holds n endpoints of its node.
func waitCopy(t *testing.T, d *fabric.Daemon, n int) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, d.Name()+" has written its copy", func() error {
		c, err := store.LoadCopy(copyFile(d))
		if err != nil {
			return err
		}
		got := 0
		for _, kv := range c.KVs {
			if !strings.HasPrefix(kv.Key, store.KindPrefix(string(resource.KindWorkloadEndpoint))) {
				continue
			}
			ep, err := resource.Decode(resource.KindWorkloadEndpoint, kv.Value, kv.ModRevision)
			if err != nil {
				return err
			}
			if ep.(*vrouterv1.WorkloadEndpoint).Spec.GetNode() == d.Name() {
				got++
			}
		}
		if got != n {
			return fmt.Errorf("it holds %d of %d endpoints", got, n)
		}
		return nil
	})
}

// fillEtcd writes until nothing goes in any more.
func fillEtcd(t *testing.T, h *lab.Host, endpoint string) {
	t.Helper()
	for i := range etcdQuota {
		_, err := h.Run(t.Context(), "sh", "-c",
			"head -c 500000 /dev/zero | "+strings.Join(etcdctlCommand([]string{endpoint}, "put", fmt.Sprintf("junk/%d", i)), " "))
		if err != nil {
			if !strings.Contains(err.Error(), "space exceeded") {
				t.Fatal(err)
			}
			return
		}
	}
}

// emptyEtcd does what etcd's manual says of a full server.
func emptyEtcd(t *testing.T, h *lab.Host, endpoint string) {
	t.Helper()
	at := []string{endpoint}
	etcdctl(t, h, at, "del", "--prefix", "junk/")
	var status []struct {
		Status struct {
			Header struct {
				Revision int64 `json:"revision"`
			} `json:"header"`
		}
	}
	if err := json.Unmarshal([]byte(etcdctl(t, h, at, "endpoint", "status", "-w", "json")), &status); err != nil || len(status) != 1 {
		t.Fatalf("status of etcd: %v", err)
	}
	etcdctl(t, h, at, "compact", strconv.FormatInt(status[0].Status.Header.Revision, 10))
	etcdctl(t, h, at, "defrag")
	etcdctl(t, h, at, "alarm", "disarm")
}

// TestFieldsOfANewerVersion gives stored objects a field that this version
// does not know, as a newer daemon does during an upgrade: they work as
// before, and whoever rewrites them keeps it.
func TestFieldsOfANewerVersion(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	s := fabric.NewSegment(t, "newer", 1)
	d := s.Daemon("h1", fabric.Settings{})
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	workloads := []*lab.Workload{d.Workload(d, "a", "10.65.1.1", "fd00:65::1"), d.Workload(d, "b", "10.65.1.2", "fd00:65::2")}
	requireAllPairs(t, workloads)

	endpoint := resource.EndpointID{Namespace: "default", Orchestrator: "lab", Workload: "a", Endpoint: "eth0"}
	endpointKey := store.ResourceKey(string(resource.KindWorkloadEndpoint), endpoint.Namespace, endpoint.KeyName())
	nodeKey := store.ResourceKey(string(resource.KindNode), "", "h1")
	newer := protowire.AppendString(protowire.AppendTag(nil, 2000, protowire.BytesType), "of a newer version")
	at := []string{s.Etcd[0].Endpoint}
	before := make(map[string][]byte)
	for _, key := range []string{endpointKey, nodeKey} {
		before[key] = append(storedValue(t, d.Host, at, key), newer...)
		storeValue(t, d.Host, at[0], key, before[key])
	}
	// Rewritten: the endpoint through the API, the node by a daemon with another label.
	request := fabric.Request("h1", "a", workloads[0].IfName, "10.65.1.1", "fd00:65::1")
	request.Labels = map[string]string{"rewritten": "yes"}
	if _, err := d.Endpoint.Register(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	settings := d.Settings
	settings.Labels = map[string]string{"rewritten": "yes"}
	d.Configure(settings)
	d.Start()
	d.WaitReady()
	for key, was := range before {
		is := storedValue(t, d.Host, at, key)
		if bytes.Equal(is, was) || !bytes.Contains(is, []byte("rewritten")) {
			t.Errorf("%s was not rewritten", key)
		}
		if !bytes.Contains(is, newer) {
			t.Errorf("%s has lost the field that this version does not know", key)
		}
	}
	r, err := d.Status()
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("problems: %v, %v", r.GetProblems(), err)
	}
	requireAllPairs(t, workloads)
}
