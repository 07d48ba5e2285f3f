package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestDrain(t *testing.T) {
	r := newRig(t)
	drain := func(node, message, after string) error {
		_, err := r.nodes.Drain(t.Context(), &vrouterv1.DrainRequest{Node: node, Message: message, ShutdownAfter: after})
		return err
	}
	if err := drain("", "", ""); status.Code(err) != codes.NotFound {
		t.Errorf("a node that there is not: %v", err)
	}
	r.put(&vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String("host2"), Labels: map[string]string{"rack": "a"}},
	})
	wantPaths(t, drain("host2", "", "soon"), "spec.drain.shutdownAfter")
	if err := drain("host2", "moved", "30s"); err != nil {
		t.Fatal(err)
	}
	get := func() *vrouterv1.Node {
		t.Helper()
		got, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "Node", Name: "host2"})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetResource().GetNode()
	}
	if n := get(); n.GetSpec().GetDrain().GetMessage() != "moved" || n.GetSpec().GetDrain().GetShutdownAfter() != "30s" ||
		n.GetMetadata().GetLabels()["rack"] != "a" {
		t.Errorf("drained: %v", n)
	}
	for _, had := range []bool{true, false} {
		got, err := r.nodes.Undrain(t.Context(), &vrouterv1.UndrainRequest{Node: "host2"})
		if err != nil || got.GetDrained() != had {
			t.Errorf("undrain: %v, %v", got, err)
		}
	}
	if n := get(); n.GetSpec().GetDrain() != nil {
		t.Errorf("undrained: %v", n)
	}
}

// TestMembershipIsTheControllers shows that the API refuses what the controller
// alone writes.
func TestMembershipIsTheControllers(t *testing.T) {
	r := newRig(t)
	msg := &vrouterv1.ReflectorMembership{
		Metadata: &vrouterv1.Metadata{Name: proto.String("g")},
		Spec:     &vrouterv1.ReflectorMembershipSpec{Members: []*vrouterv1.ElectedReflector{{Node: proto.String("a")}}},
	}
	_, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(msg)})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("put: %v", err)
	}
}
