package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestPoolByNameOfNamespace: a namespace shows its name to pools as it does to
// policy, with or without an object.
func TestPoolByNameOfNamespace(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"four", "six"} {
		if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "pool", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	p := pool("p", "172.16.0.0/16")
	p.Spec.NamespaceSelector = proto.String("projectcalico.org/name == 'shop'")
	r.put(p)
	r.put(&vrouterv1.Namespace{Metadata: &vrouterv1.Metadata{Name: proto.String("default"), Labels: map[string]string{"a": "b"}}})
	register := func(namespace string) error {
		in := registration("a")
		in.Id.Namespace = namespace
		_, err := r.endpoints.Register(t.Context(), in)
		return err
	}
	allocate := func(namespace, handle string) error {
		_, err := r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: 1, Namespace: namespace, Handle: handle})
		return err
	}
	wantCode(t, register("default"), codes.FailedPrecondition)
	wantCode(t, allocate("default", "x"), codes.FailedPrecondition)
	if err := register("shop"); err != nil {
		t.Error(err)
	}
	if err := allocate("shop", "y"); err != nil {
		t.Error(err)
	}
	r.put(&vrouterv1.Namespace{Metadata: &vrouterv1.Metadata{Name: proto.String("shop"), Labels: map[string]string{"a": "b"}}})
	if err := allocate("shop", "z"); err != nil {
		t.Error(err)
	}
	r.consistent()
}
