package resource

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestEndpointNames(t *testing.T) {
	for _, test := range []struct {
		node      string
		id        EndpointID
		name, key string
	}{
		{"n", EndpointID{"d", "k8s", "web-0", "eth0"}, "n-k8s-web--0-eth0", "k8s/web-0/eth0"},
		{"a-b", EndpointID{"d", "o", "w--x", "e-f"}, "a--b-o-w----x-e--f", "o/w--x/e-f"},
		{"n", EndpointID{"d", "o", "a/b%2F", "e"}, "n-o-a%2Fb%252F-e", "o/a%2Fb%252F/e"},
		{"n", EndpointID{"d", "o", "ü", "e.1"}, "n-o-ü-e.1", "o/ü/e.1"},
	} {
		if got := EndpointName(test.node, test.id); got != test.name {
			t.Errorf("%s: name %s, wanted %s", test.id, got, test.name)
		}
		if got := test.id.KeyName(); got != test.key {
			t.Errorf("%s: key %s, wanted %s", test.id, got, test.key)
		}
		node, id, err := ParseEndpointName("d", test.name)
		if err != nil || node != test.node || id != test.id {
			t.Errorf("%s: node %s, %s, %v", test.name, node, id, err)
		}
		if id, err := ParseEndpointKeyName("d", test.key); err != nil || id != test.id {
			t.Errorf("%s: %s, %v", test.key, id, err)
		}
		want := ID{KindWorkloadEndpoint, "d", test.key}
		for _, name := range []string{test.name, test.key} {
			if id, err := FindID(KindWorkloadEndpoint, "d", name); err != nil || id != want {
				t.Errorf("FindID(%s): %s, %v", name, id, err)
			}
		}
	}
	if id, err := FindID(KindNode, "", "a-b"); err != nil || id != (ID{KindNode, "", "a-b"}) {
		t.Errorf("%s, %v", id, err)
	}
	for _, bad := range []string{"", "n", "n-o-w", "n-o-w-e-f", "n-o-w-", "-o-w-e", "n-o-w-e--", "n---o-w-e",
		"n-o-w-e%2f", "n-o-w-\x00", "a/b", "a//b", "a/b/%2f", "a/b/c/d", "n-o-w-" + strings.Repeat("e", 254)} {
		if id, err := FindID(KindWorkloadEndpoint, "d", bad); err == nil {
			t.Errorf("%q is %s", bad, id)
		}
	}
}

// TestCalicoEndpointNames: what Calico calls the workload depends on the
// orchestrator.
func TestCalicoEndpointNames(t *testing.T) {
	for _, test := range []struct {
		spec      *vrouterv1.WorkloadEndpointSpec
		name, key string
	}{
		{&vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("k8s"), Pod: proto.String("p")}, "n-k8s-p-e", "k8s/p/e"},
		{&vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("cni"), ContainerId: proto.String("c")}, "n-cni-c-e", "cni/c/e"},
		{&vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("libnetwork")}, "n-libnetwork-libnetwork-e", "libnetwork/libnetwork/e"},
		{&vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("o"), Workload: proto.String("w"), Pod: proto.String("p")}, "n-o-w-e", "o/w/e"},
		{&vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("k8s"), Workload: proto.String("w"), Pod: proto.String("p")}, "n-k8s-p-e", "k8s/w/e"},
	} {
		test.spec.Node, test.spec.Endpoint = proto.String("n"), proto.String("e")
		test.spec.InterfaceName, test.spec.IpNetworks = proto.String("i"), []string{"10.0.0.1"}
		w := &vrouterv1.WorkloadEndpoint{Spec: test.spec, Metadata: &vrouterv1.Metadata{Name: proto.String(test.name)}}
		for range 2 {
			object, err := Check(w)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			} else if got := object.Metadata().Name; got != test.key {
				t.Errorf("%s: key %s, wanted %s", test.name, got, test.key)
			}
			Canonicalize(w)
		}
		if got, want := w.Metadata.GetName(), EndpointName("n", EndpointIDOf(w)); got != want {
			t.Errorf("%s: rendered as %s, wanted %s", test.name, got, want)
		}
	}
}
