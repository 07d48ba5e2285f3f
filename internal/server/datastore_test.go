package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// export returns the file and what is said of it.
func (r *rig) export(req *vrouterv1.ExportRequest) ([]byte, *vrouterv1.ExportSummary, error) {
	stream, err := r.datastore.Export(r.t.Context(), req)
	if err != nil {
		return nil, nil, err
	}
	var file []byte
	var summary *vrouterv1.ExportSummary
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file, summary, nil
		}
		if err != nil {
			return file, summary, err
		}
		if summary != nil {
			r.t.Error("the summary is not the last message")
		}
		file, summary = append(file, m.GetData()...), m.GetSummary()
	}
}

// imports sends a file in parts of a size.
func (r *rig) imports(file []byte, part int, dryRun bool) (*vrouterv1.ImportResponse, error) {
	stream, err := r.datastore.Import(r.t.Context())
	if err != nil {
		return nil, err
	}
	for first := true; first || len(file) > 0; first = false {
		n := min(part, len(file))
		if stream.Send(&vrouterv1.ImportRequest{Data: file[:n], DryRun: dryRun && first}) != nil {
			break // CloseAndRecv tells why
		}
		file = file[n:]
	}
	return stream.CloseAndRecv()
}

// keys returns what is stored below prefixes, ClusterInformation aside.
func keys(t *testing.T, s store.Store, prefixes ...string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, prefix := range prefixes {
		if _, err := store.Scan(t.Context(), s, prefix, 0, func(kv store.KV) { out[kv.Key] = string(kv.Value) }); err != nil {
			t.Fatal(err)
		}
	}
	delete(out, store.ResourceKey("ClusterInformation", "", "default"))
	return out
}

// TestDatastoreMoves: locked, exported, imported by another daemon into another
// store, unlocked; and nothing of the content is logged.
func TestDatastoreMoves(t *testing.T) {
	var log logText
	logger := hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace})
	logged := func(o *Options) { o.Logger = logger }
	r := newRig(t, logged)
	if _, _, err := store.EnsureIdentity(t.Context(), r.store); err != nil {
		t.Fatal(err)
	}
	r.put(&vrouterv1.Secret{Metadata: &vrouterv1.Metadata{Name: proto.String("s")},
		Spec: &vrouterv1.SecretSpec{StringData: map[string]string{"password": "hush"}}})
	for _, name := range []string{"a", "b", "c"} {
		req := registration(name)
		req.Allocate = &vrouterv1.AddressRequest{Ipv4: 1, Ipv6: 1}
		r.register(req)
	}
	if _, summary, err := r.export(&vrouterv1.ExportRequest{}); err != nil || summary.GetLocked() || len(summary.GetWarnings()) != 1 {
		t.Errorf("not locked: %v, %v", summary, err)
	}
	locked, err := r.datastore.Lock(t.Context(), &vrouterv1.LockRequest{By: "alice@host9", Reason: "new etcd"})
	if err != nil || locked.Already || locked.Since == "" {
		t.Fatalf("%v, %v", locked, err)
	}
	again, err := r.datastore.Lock(t.Context(), &vrouterv1.LockRequest{By: "bob"})
	if err != nil || !again.Already || again.By != "alice@host9" || again.Reason != "new etcd" {
		t.Errorf("%v, %v", again, err)
	}
	_, err = r.try(apply, node("x", "192.0.2.9/24"))
	if st := wantCode(t, err, codes.FailedPrecondition); !strings.Contains(st.Message(), "alice@host9") {
		t.Error(st.Message())
	}
	file, summary, err := r.export(&vrouterv1.ExportRequest{})
	if err != nil || !summary.GetLocked() || len(summary.GetWarnings()) != 0 || summary.GetKeys() == 0 {
		t.Fatalf("%v, %v", summary, err)
	}

	to := &rig{t: t, store: store.NewMemory(), local: &fakeLocal{node: "host1"}}
	opts := Options{Store: to.store, Local: to.local, NodeName: "host1", Logger: hclog.NewNullLogger(), Socket: Socket{Path: t.TempDir() + "/s"}}
	logged(&opts)
	start(t, opts)
	to.clients = clientsOf(dial(t, opts.Socket.Path))
	if _, err := to.imports(file, 1000, true); err != nil {
		t.Fatal(err)
	}
	if n := to.revision(); n != 0 && len(keys(t, to.store, "")) != 0 {
		t.Errorf("a dry run has written: revision %d", n)
	}
	for name, damaged := range map[string][]byte{
		"cut": file[:len(file)-100], "changed": bytes.Replace(file, []byte(`"key":"a/10.0`), []byte(`"key":"a/10.1`), 1), "empty": nil,
	} {
		_, err = to.imports(damaged, 1<<20, false)
		if st := wantCode(t, err, codes.InvalidArgument); st.Message() == "" || len(keys(t, to.store, "")) != 0 {
			t.Errorf("%s: %s", name, st.Message())
		}
	}
	done, err := to.imports(file, 1000, false)
	if err != nil || done.Keys != summary.Keys || done.FromGuid != summary.ClusterGuid || len(done.Warnings) != 0 {
		t.Fatalf("%v, %v", done, err)
	}
	for _, prefix := range []string{"r/", "a/", "ipam/block/", "ipam/handle/", "ipam/host/"} {
		was, is := keys(t, r.store, prefix), keys(t, to.store, prefix)
		if len(was) == 0 || len(was) != len(is) {
			t.Errorf("%s: %d keys, were %d", prefix, len(is), len(was))
		}
		for key, value := range was {
			if is[key] != value {
				t.Errorf("%s differs", key)
			}
		}
	}
	_, err = to.imports(file, 1<<20, false)
	if f := detail[*errdetails.PreconditionFailure](t, wantCode(t, err, codes.FailedPrecondition)); f.Violations[0].Type != "NOT_EMPTY" {
		t.Errorf("a second time: %v", f)
	}
	for n, want := range []bool{false, true} {
		if got, err := to.datastore.Unlock(t.Context(), &vrouterv1.UnlockRequest{}); err != nil || got.Already != want {
			t.Errorf("%d: %v, %v", n, got, err)
		}
	}
	to.register(registration("d", "10.0.0.9"))
	to.consistent()
	if text := log.String(); strings.Contains(text, "hush") || strings.Contains(text, "aHVzaA") {
		t.Error("a secret was logged")
	}
}

// logText is a log to look at.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestSecretsStayOnTheHost: an export with secrets leaves by the Unix socket only.
func TestSecretsStayOnTheHost(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) { o.TCP = ca.tcp(t, "host1") })
	if _, _, err := store.EnsureIdentity(t.Context(), r.store); err != nil {
		t.Fatal(err)
	}
	r.put(&vrouterv1.Secret{Metadata: &vrouterv1.Metadata{Name: proto.String("s")},
		Spec: &vrouterv1.SecretSpec{StringData: map[string]string{"password": "hush"}}})
	here, _, err := r.export(&vrouterv1.ExportRequest{})
	if err != nil || !bytes.Contains(here, []byte("r/Secret/")) {
		t.Fatalf("%v: over the socket: %s", err, here)
	}
	r.clients = ca.client(t, r.api, "operator")
	_, _, err = r.export(&vrouterv1.ExportRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	far, _, err := r.export(&vrouterv1.ExportRequest{WithoutSecrets: true})
	if err != nil || bytes.Contains(far, []byte("r/Secret/")) || !bytes.Contains(far, []byte("r/IPPool/")) {
		t.Errorf("%v: over TCP: %s", err, far)
	}
}

// TestNoUnlockWhileImporting: a store with an import that is not whole stays
// locked, whoever wants to unlock it, and however.
func TestNoUnlockWhileImporting(t *testing.T) {
	r := newRig(t)
	c := store.NewCluster()
	c.Importing = "x"
	value, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.datastore.Lock(t.Context(), &vrouterv1.LockRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Txn(t.Context(), nil, []store.Op{{Key: store.MetaKey, Value: value}}); err != nil {
		t.Fatal(err)
	}
	_, err = r.datastore.Unlock(t.Context(), &vrouterv1.UnlockRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.try(apply, lockOf(false))
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "ClusterInformation", Name: "default"})
	wantCode(t, err, codes.FailedPrecondition)
}

// TestImportOfNothing: a client that sends nothing, or dies, changes nothing.
func TestImportOfNothing(t *testing.T) {
	r := newRig(t)
	stream, err := r.datastore.Import(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	wantCode(t, err, codes.InvalidArgument)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err = r.datastore.Import(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := r.revision()
	if err := stream.Send(&vrouterv1.ImportRequest{Data: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	cancel()
	err = stream.RecvMsg(&vrouterv1.ImportResponse{}) // not closed: its end could come before the cancellation
	wantCode(t, err, codes.Canceled)
	if r.revision() != before {
		t.Error("written")
	}
}
