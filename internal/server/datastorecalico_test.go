package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// calicoFiles are samples of what Calico's tools write.
func calicoFiles(t *testing.T, names ...string) []*vrouterv1.ImportRequest {
	t.Helper()
	var parts []*vrouterv1.ImportRequest
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("../calico/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for first := true; len(data) > 0; first = false {
			m := &vrouterv1.ImportRequest{Data: data[:min(1000, len(data))]}
			if first {
				m.File = name
			}
			parts = append(parts, m)
			data = data[len(m.Data):]
		}
	}
	parts[0].Format = "calico"
	return parts
}

// send imports messages as they are.
func (r *rig) send(parts ...*vrouterv1.ImportRequest) (*vrouterv1.ImportResponse, error) {
	stream, err := r.datastore.Import(r.t.Context())
	if err != nil {
		return nil, err
	}
	for _, m := range parts {
		if stream.Send(m) != nil {
			break // CloseAndRecv tells why
		}
	}
	return stream.CloseAndRecv()
}

// empty is a server over a store that holds nothing.
func empty(t *testing.T) *rig {
	r := &rig{t: t, store: store.NewMemory(), local: &fakeLocal{node: "rack1-host1"}}
	opts := Options{Store: r.store, Local: r.local, NodeName: "rack1-host1", RequirePool: true, Logger: hclog.NewNullLogger(),
		Socket: Socket{Path: filepath.Join(t.TempDir(), "s")}}
	start(t, opts)
	r.clients = clientsOf(dial(t, opts.Socket.Path))
	return r
}

// TestImportFromCalico: what Calico's tools wrote is taken through the API, and
// is then what address management goes on with: shown, checked, released with
// its endpoint.
func TestImportFromCalico(t *testing.T) {
	r := empty(t)
	dry := calicoFiles(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	dry[0].DryRun = true
	done, err := r.send(dry...)
	if err != nil || len(keys(t, r.store, "")) != 0 {
		t.Fatalf("dry run: %v", err)
	}
	if n := done.GetConverted(); n.GetObjects() != 15 || n.GetEndpoints() != 3 || n.GetBlocks() != 5 || n.GetAddresses() != 9 || n.GetExternal() != 5 {
		t.Errorf("converted %v", n)
	}
	if done, err = r.send(calicoFiles(t, "etcd/migrate.export", "etcd/endpoints.yaml")...); err != nil {
		t.Fatal(err)
	}
	if done.FromGuid != "0d5c2f4f1a1b4d9a8e3c5b7a9d1e3f50" || done.ClusterGuid == done.FromGuid || len(done.Warnings) != 1 {
		t.Errorf("%v", done)
	}
	r.consistent()
	_, err = r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: &vrouterv1.EndpointID{
		Namespace: "shop", Orchestrator: "k8s", Workload: "db-0", Endpoint: "eth0"}})
	if st := wantCode(t, err, codes.FailedPrecondition); !strings.Contains(st.Message(), "cluster 0d5c2f4f1a1b4d9a8e3c5b7a9d1e3f50)") {
		t.Errorf("not locked, or by another: %s", st.Message())
	}
	if _, err := r.datastore.Unlock(t.Context(), &vrouterv1.UnlockRequest{}); err != nil {
		t.Fatal(err)
	}
	shown, err := r.addresses.Show(t.Context(), &vrouterv1.ShowRequest{Ip: "10.65.0.30"})
	if err != nil {
		t.Fatal(err)
	}
	if a := shown.GetAddress(); a.GetHandle() != "k8s-pod-network.0de1e7ed0000" || a.GetAttributes()["pod"] != "gone-0" || a.GetSequence() != 1709640000000000002 {
		t.Errorf("shown: %v", a)
	}
	if _, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: &vrouterv1.EndpointID{
		Namespace: "shop", Orchestrator: "k8s", Workload: "db-0", Endpoint: "eth0"}}); err != nil {
		t.Fatal(err)
	}
	r.consistent()
	if n := r.inUse(); n != 7 {
		t.Errorf("%d addresses in use after an endpoint with 2 of 9 is gone", n)
	}
	if _, err := r.addresses.ReleaseByHandle(t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: "lb-4f2c9a"}); err != nil {
		t.Fatal(err)
	}
	r.register(registration("new"))
	r.consistent()
	_, err = r.send(calicoFiles(t, "kubernetes/objects.yaml", "kubernetes/ipam.yaml")...)
	if f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition)); f.Violations[0].Type != "NOT_EMPTY" {
		t.Errorf("into a store in use: %v", f)
	}
}

// TestImportFromCalicoRefused: every problem is told by file, document and path,
// and nothing is written.
func TestImportFromCalicoRefused(t *testing.T) {
	r := empty(t)
	parts := calicoFiles(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	for _, m := range parts {
		m.Data = []byte(strings.ReplaceAll(strings.ReplaceAll(string(m.Data), "ipipMode: Never", "ipipMode: Always"), "eth0\n", "eth1\n"))
	}
	_, err := r.send(parts...)
	st := wantCode(t, err, codes.InvalidArgument)
	paths := make(map[string]bool)
	for _, v := range detail[*errdetails.BadRequest](t, st).FieldViolations {
		paths[v.Field] = true
	}
	for _, want := range []string{"etcd/migrate.export: document 1, item 1: spec.ipipMode", "etcd/migrate.export: document 1, item 2: spec.ipipMode"} {
		if !paths[want] {
			t.Errorf("no problem of %s in %v", want, paths)
		}
	}
	if detail[*errdetails.ErrorInfo](t, st).Reason != "UNSUPPORTED" {
		t.Errorf("not unsupported: %v", st)
	}
	for name, parts := range map[string][]*vrouterv1.ImportRequest{
		"another format": {{Format: "cilium"}},
		"a format later": {{Format: "calico"}, {Format: "calico"}},
		"nothing":        {{Format: "calico"}},
		"an export":      {{Format: "calico", Data: []byte(`{"format":"vrouter datastore export","version":1}`)}},
	} {
		_, err := r.send(parts...)
		if st := wantCode(t, err, codes.InvalidArgument); st.Message() == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	if n := len(keys(t, r.store, "")); n != 0 {
		t.Errorf("%d keys are written", n)
	}
}
