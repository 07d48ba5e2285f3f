package resource

import (
	"testing"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestKinds(t *testing.T) {
	namespaced := map[Kind]bool{KindWorkloadEndpoint: true, KindNetworkPolicy: true, KindStagedNetworkPolicy: true,
		KindNetworkSet: true, KindServiceAccount: true, KindService: true}
	for _, kind := range Kinds() {
		msg, ok := New(kind)
		if !ok || KindOf(msg) != kind {
			t.Errorf("New(%s): %T, %t", kind, msg, ok)
		}
		got, same, err := Unwrap(Wrap(msg))
		if err != nil || got != kind || same != msg {
			t.Errorf("%s unwraps as %s: %v", kind, got, err)
		}
		if parsed, ok := ParseKind(string(kind)); !ok || parsed != kind {
			t.Errorf("%s parses as %s", kind, parsed)
		}
		if Namespaced(kind) != namespaced[kind] {
			t.Errorf("%s: namespaced", kind)
		}
		MetadataOf(msg).Name = proto.String("x")
		if SpecOf(msg) == nil || metadata(msg).GetName() != "x" {
			t.Errorf("%s: %v", kind, msg)
		}
		for _, wide := range []bool{false, true} {
			empty, _ := New(kind)
			if c, r := Columns(kind, wide), Row(empty, wide); len(c) != len(r) {
				t.Errorf("%s: %d cells under %d headings", kind, len(r), len(c))
			}
		}
	}
	if _, ok := New("Pod"); ok {
		t.Error("there is a kind Pod")
	}
	for _, empty := range []*vrouterv1.Resource{nil, {}, {Resource: &vrouterv1.Resource_Node{}}, Wrap(&vrouterv1.Metadata{})} {
		if _, _, err := Unwrap(empty); err == nil {
			t.Errorf("%v unwraps", empty)
		}
	}
}

func TestParseKind(t *testing.T) {
	for text, want := range map[string]Kind{
		"nodes": KindNode, "NO": KindNode, "wep": KindWorkloadEndpoint, "Endpoints": KindWorkloadEndpoint,
		"pool": KindIPPool, "ippools": KindIPPool, "bgpp": KindBGPPeer, "BGPPeers": KindBGPPeer,
		"bgpconfig": KindBGPConfiguration, "clusterinfo": KindClusterInformation,
		"filters": KindBGPFilter, "BGPFilter": KindBGPFilter, "peergroups": KindBGPPeerGroup, "Secrets": KindSecret, "pod": "", "": "",
	} {
		if got, ok := ParseKind(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestRow(t *testing.T) {
	w := &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{ResourceVersion: proto.String("9")},
		Spec:     &vrouterv1.WorkloadEndpointSpec{IpNats: []*vrouterv1.IPNAT{{InternalIp: proto.String("a"), ExternalIp: proto.String("b")}}},
		Status:   &vrouterv1.WorkloadEndpointStatus{},
	}
	last := func() string { r := Row(w, true); return r[len(r)-1] }
	for _, step := range []struct {
		change func(*vrouterv1.WorkloadEndpointStatus)
		want   string
	}{
		{func(*vrouterv1.WorkloadEndpointStatus) {}, "registered"},
		{func(s *vrouterv1.WorkloadEndpointStatus) { s.ProgrammedRevision = proto.String("8") }, "registered"},
		{func(s *vrouterv1.WorkloadEndpointStatus) { s.ProgrammedRevision = proto.String("9") }, "programmed"},
		{func(s *vrouterv1.WorkloadEndpointStatus) { s.AdvertisedRevision = proto.String("9") }, "advertised"},
		{func(s *vrouterv1.WorkloadEndpointStatus) { s.Problems = []string{"x"} }, "problem"},
	} {
		step.change(w.Status)
		if got := last(); got != step.want {
			t.Errorf("%v: %s, wanted %s", w.Status, got, step.want)
		}
	}
}
