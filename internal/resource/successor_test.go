package resource

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestSuccessor: an object keeps its identity and what a newer version put
// into it; its generation counts changes of the spec only.
func TestSuccessor(t *testing.T) {
	newer := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	node := &vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String("n"), Uid: proto.String("mine"), ResourceVersion: proto.String("3")},
		Spec: &vrouterv1.NodeSpec{Addresses: []*vrouterv1.NodeAddress{
			{Address: proto.String("10.0.0.1")}, {Address: proto.String("10.0.0.2")}}},
		Status: &vrouterv1.NodeStatus{PodCidrs: []string{"x"}},
	}
	first := Successor(node, nil).(*vrouterv1.Node)
	if first.Status != nil || first.Metadata.ResourceVersion != nil || first.Metadata.GetGeneration() != 1 {
		t.Errorf("first: %v", first)
	}
	if uid := first.Metadata.GetUid(); uid == "" || uid == "mine" || first.Metadata.GetCreationTimestamp() == "" {
		t.Errorf("identity of the first: %v", first.Metadata)
	}
	first.Spec.ProtoReflect().SetUnknown(newer)
	first.Spec.Addresses[1].ProtoReflect().SetUnknown(newer)

	again := Successor(node, first).(*vrouterv1.Node)
	if !SameStored(first, again) {
		t.Errorf("the same again: %v\nwas %v", again, first)
	}
	node.Spec.Addresses = node.Spec.Addresses[1:]
	node.Metadata.Labels = map[string]string{"a": "b"}
	SetVersion(first, 7)
	changed := Successor(node, first).(*vrouterv1.Node)
	if SameStored(first, changed) || changed.Metadata.GetGeneration() != 2 || changed.Metadata.GetUid() != first.Metadata.GetUid() {
		t.Errorf("changed: %v", changed)
	}
	if len(changed.Spec.ProtoReflect().GetUnknown()) == 0 || len(changed.Spec.Addresses[0].ProtoReflect().GetUnknown()) == 0 {
		t.Errorf("the newer fields are lost: %v", changed)
	}
}
