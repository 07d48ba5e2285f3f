package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// patience is how long news that never comes is waited for.
const patience = time.Minute

// told renders what a watch of resources has told, up to the first Synced or
// Progress at revision or later; it returns the revision to resume from.
func (r *rig) told(ctx context.Context, req *vrouterv1.WatchRequest, revision int64) (string, int64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := r.resources.Watch(ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for {
		resp, err := stream.Recv()
		if err != nil {
			r.t.Fatalf("after %q: %v", lines, err)
		}
		var at int64
		switch e := resp.Event.(type) {
		case *vrouterv1.WatchResponse_Put:
			_, msg, err := resource.Unwrap(e.Put)
			if err != nil {
				r.t.Fatal(err)
			}
			lines = append(lines, "put "+resource.IDOf(msg).String())
		case *vrouterv1.WatchResponse_Delete:
			lines = append(lines, fmt.Sprintf("delete %s/%s", e.Delete.Kind, e.Delete.Name))
		case *vrouterv1.WatchResponse_Synced_:
			lines, at = append(lines, "synced"), e.Synced.Revision
		case *vrouterv1.WatchResponse_Progress_:
			at = e.Progress.Revision
		}
		if at >= revision {
			return strings.Join(lines, "\n"), at
		}
	}
}

func TestWatchResumes(t *testing.T) { watchResumes(t, newRig(t)) }

func watchResumes(t *testing.T, r *rig) {
	r.register(registration("a", "10.0.0.1"))
	r.must(apply, node("n", "192.0.2.1/24"))
	r.rawBytes(resource.ID{Kind: "FromTheFuture", Name: "x"}, []byte("?"))
	got, at := r.told(t.Context(), &vrouterv1.WatchRequest{}, r.revision())
	want := "put Tier/default\nput Tier/kube-admin\nput Tier/kube-baseline\nput Profile/projectcalico-default-allow\n" +
		"put IPPool/four\nput IPPool/six\nput Node/n\nput WorkloadEndpoint/default/vms/a/eth0\nsynced"
	if got != want {
		t.Errorf("snapshot:\n%s", got)
	}
	r.must(apply, node("n", "192.0.2.2/24"))
	if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: "six"}); err != nil {
		t.Fatal(err)
	}
	got, at = r.told(t.Context(), &vrouterv1.WatchRequest{AfterRevision: at}, r.revision())
	if got != "put Node/n\ndelete IPPool/six" {
		t.Errorf("resumed:\n%s", got)
	}
	r.must(apply, node("n", "192.0.2.3/24"))
	r.register(registration("b", "10.0.0.2"))
	got, _ = r.told(t.Context(), &vrouterv1.WatchRequest{AfterRevision: at, Kinds: []string{"wep", "pool", "wep"}, Namespace: ""}, r.revision())
	if got != "put WorkloadEndpoint/default/vms/b/eth0" {
		t.Errorf("two kinds resumed:\n%s", got)
	}
}

func TestWatchErrors(t *testing.T) {
	r := newRig(t)
	fails := func(req *vrouterv1.WatchRequest) error {
		stream, err := r.resources.Watch(t.Context(), req)
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	wantPaths(t, fails(&vrouterv1.WatchRequest{Kinds: []string{"pool", "unicorn"}}), "kinds[1]")
	wantPaths(t, fails(&vrouterv1.WatchRequest{AfterRevision: -1}), "afterRevision")
	req := &vrouterv1.WatchRequest{}
	req.ProtoReflect().SetUnknown(unknownField())
	wantPaths(t, fails(req), "")
	if err := r.store.Compact(r.revision()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, fails(&vrouterv1.WatchRequest{AfterRevision: 1}), codes.OutOfRange)
	// A revision that the store does not have yet: it is not the store that the caller knew.
	wantCode(t, fails(&vrouterv1.WatchRequest{AfterRevision: 1 << 40}), codes.FailedPrecondition)
}

// endpointWatch is one stream of WatchEndpoints.
type endpointWatch struct {
	t      *testing.T
	stream interface {
		Recv() (*vrouterv1.WatchEndpointsResponse, error)
	}
}

func (r *rig) watchEndpoints(req *vrouterv1.WatchEndpointsRequest) *endpointWatch {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	stream, err := r.endpoints.WatchEndpoints(ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	return &endpointWatch{r.t, stream}
}

// until renders what is told up to a revision.
func (w *endpointWatch) until(revision int64) string {
	w.t.Helper()
	var lines []string
	for {
		resp, err := w.stream.Recv()
		if err != nil {
			w.t.Fatalf("after %q: %v", lines, err)
		}
		at := resp.GetProgress()
		switch e := resp.Event.(type) {
		case *vrouterv1.WatchEndpointsResponse_Put:
			line := "put " + e.Put.Spec.GetWorkload() + " on " + e.Put.Spec.GetNode()
			if e.Put.Status != nil {
				line += " policy " + e.Put.Status.GetPolicy()
			}
			lines = append(lines, line)
		case *vrouterv1.WatchEndpointsResponse_Delete:
			lines = append(lines, "delete "+e.Delete.Id.GetWorkload())
		case *vrouterv1.WatchEndpointsResponse_Synced:
			lines, at = append(lines, "synced"), e.Synced
		}
		if at >= revision {
			return strings.Join(lines, "\n")
		}
	}
}

func (w *endpointWatch) want(revision int64, want ...string) {
	w.t.Helper()
	if got := w.until(revision); got != strings.Join(want, "\n") {
		w.t.Errorf("told:\n%s\nwanted:\n%s", got, strings.Join(want, "\n"))
	}
}

func policyStatus() *vrouterv1.WorkloadEndpointStatus {
	return &vrouterv1.WorkloadEndpointStatus{Policy: proto.String("none")}
}

// One who watches a node learns that an endpoint has left it.
func TestWatchEndpointsOfANode(t *testing.T) { watchEndpointsOfANode(t, newRig(t)) }

func watchEndpointsOfANode(t *testing.T, r *rig) {
	on := func(workload, node string, address int) {
		req := registration(workload, fmt.Sprintf("10.0.0.%d", address))
		req.Node = node
		r.register(req)
	}
	on("a", "host1", 1)
	on("b", "host2", 2)
	r.report("a", policyStatus())
	w := r.watchEndpoints(&vrouterv1.WatchEndpointsRequest{Node: "host1"})
	w.want(r.revision(), "put a on host1", "synced")
	resume := r.revision()
	on("a", "host2", 1)
	w.want(r.revision(), "delete a")
	on("b", "host2", 3)
	w.want(r.revision())
	on("b", "host1", 3)
	w.want(r.revision(), "put b on host1")
	_, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("b")})
	if err != nil {
		t.Fatal(err)
	}
	w.want(r.revision(), "delete b")
	// Who resumes may know a and b, and must learn that both are gone.
	w = r.watchEndpoints(&vrouterv1.WatchEndpointsRequest{Node: "host1", AfterRevision: resume})
	w.want(r.revision(), "delete a", "delete b")
}

func TestWatchEndpointsWithStatus(t *testing.T) { watchEndpointsWithStatus(t, newRig(t)) }

func watchEndpointsWithStatus(t *testing.T, r *rig) {
	r.register(registration("a", "10.0.0.1"))
	r.report("a", policyStatus())
	r.register(registration("b", "10.0.0.2"))
	req := &vrouterv1.WatchEndpointsRequest{WithStatus: true, Node: "host1", Namespace: "default"}
	w := r.watchEndpoints(req)
	w.want(r.revision(), "put a on host1 policy none", "put b on host1", "synced")
	req.AfterRevision = r.revision()
	steps := func(w *endpointWatch) {
		t.Helper()
		r.report("b", policyStatus())
		w.want(r.revision(), "put b on host1 policy none")
		r.register(registration("a", "10.0.0.7"))
		w.want(r.revision(), "put a on host1 policy none")
		_, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
		if err != nil {
			t.Fatal(err)
		}
		w.want(r.revision(), "delete a")
	}
	steps(w)
	// Resumed, the halves that the stream has not told are read.
	r.register(registration("a", "10.0.0.1"))
	r.report("a", policyStatus())
	req.AfterRevision = r.revision()
	steps(r.watchEndpoints(req))
}
