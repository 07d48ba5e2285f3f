package resource

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestUnknownFields: a field from a newer version is kept when it comes from
// the store, and refused when it comes over the API.
func TestUnknownFields(t *testing.T) {
	newer := protowire.AppendTag(nil, 999, protowire.VarintType)
	newer = protowire.AppendVarint(newer, 1)
	newer = protowire.AppendTag(newer, 900, protowire.BytesType)
	newer = protowire.AppendString(newer, "text")
	node := &vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String("n")},
		Spec: &vrouterv1.NodeSpec{
			Bgp:       &vrouterv1.NodeBGPSpec{},
			Addresses: []*vrouterv1.NodeAddress{{Address: proto.String("10.0.0.1")}, {Address: proto.String("10.0.0.2")}},
		},
	}
	node.ProtoReflect().SetUnknown(newer)
	node.Spec.Bgp.ProtoReflect().SetUnknown(newer)
	node.Spec.Addresses[1].ProtoReflect().SetUnknown(newer)

	data, err := Encode(node)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Decode(KindNode, data, 5)
	if err != nil {
		t.Fatal(err)
	}
	Canonicalize(stored)
	if _, err := Check(stored); err != nil {
		t.Errorf("from the store: %v", err)
	}
	err = CheckUnknown(Wrap(stored))
	want := "node: unknown field numbers 900, 999\n" +
		"node.spec.bgp: unknown field numbers 900, 999\n" +
		"node.spec.addresses[1]: unknown field numbers 900, 999\n"
	if diff := cmp.Diff(want, problemLines(err)); diff != "" {
		t.Errorf("over the API (-want +got):\n%s", diff)
	}
	again, err := Encode(stored)
	if err != nil {
		t.Fatal(err)
	}
	rewritten, err := Decode(KindNode, again, 5)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, rewritten, protocmp.Transform()); diff != "" {
		t.Errorf("rewritten (-was +is):\n%s", diff)
	}
	if CheckUnknown(&vrouterv1.Resource{}) != nil {
		t.Error("unknown fields where there are none")
	}
}

func TestEncode(t *testing.T) {
	w := &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{
			Name: proto.String("n"), Uid: proto.String("u"), ResourceVersion: proto.String("3"), Generation: proto.Int32(2),
			Labels: map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"},
		},
		Spec:   &vrouterv1.WorkloadEndpointSpec{Node: proto.String("x")},
		Status: &vrouterv1.WorkloadEndpointStatus{Node: proto.String("x")},
	}
	before := proto.Clone(w)
	first, err := Encode(w)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Encode(w)
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("the same object gives other bytes: %v", err)
		}
	}
	if !proto.Equal(before, w) {
		t.Error("encoding changed the object")
	}
	got, err := Decode(KindWorkloadEndpoint, first, 77)
	if err != nil {
		t.Fatal(err)
	}
	w.Status, w.Metadata.ResourceVersion = nil, proto.String("77")
	if diff := cmp.Diff(w, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err = Decode(KindWorkloadEndpoint, first, 0); err != nil || MetadataOf(got).ResourceVersion != nil {
		t.Errorf("without revision: %v, %v", got, err)
	}
}

func TestDecodeBad(t *testing.T) {
	if _, err := Decode(KindNode, []byte{0xff}, 1); err == nil {
		t.Error("rubbish was decoded")
	}
	if _, err := Decode("Pod", nil, 1); err == nil {
		t.Error("a kind that is none was decoded")
	}
	m, err := Decode(KindNode, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	var invalid *Invalid
	if _, err := Check(m); !errors.As(err, &invalid) {
		t.Errorf("an empty object: %v", err)
	}
}
