package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestDeleteWarnsOfUses: what is still named may be deleted, and the answer
// says by whom it is named and what becomes of them.
func TestDeleteWarnsOfUses(t *testing.T) {
	r := newRig(t)
	remove := func(kind, name string) string {
		t.Helper()
		response, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: kind, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(response.GetWarnings(), "\n")
	}
	for _, name := range []string{"named", "unnamed"} {
		r.put(secret(name, map[string]string{"k": "v"}))
		r.put(&vrouterv1.BGPFilter{Metadata: &vrouterv1.Metadata{Name: proto.String(name)}})
		r.put(&vrouterv1.BGPPeerGroup{Metadata: &vrouterv1.Metadata{Name: proto.String(name)}})
	}
	filters := &structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("named")}}
	r.put(&vrouterv1.BGPConfiguration{
		Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.BGPConfigurationSpec{NodeMeshPassword: &vrouterv1.BGPPassword{
			SecretKeyRef: &vrouterv1.SecretKeySelector{Name: proto.String("named"), Key: proto.String("k")}}},
	})
	for i := range maxUsers + 2 {
		r.put(&vrouterv1.BGPPeer{
			Metadata: &vrouterv1.Metadata{Name: proto.String(fmt.Sprintf("tor%d", i))},
			Spec: &vrouterv1.BGPPeerSpec{PeerIp: proto.String(fmt.Sprintf("192.0.2.%d", i+1)),
				AsNumber: structpb.NewNumberValue(65000), PeerGroup: proto.String("named"), Filters: filters},
		})
	}
	const tors = "used by BGPPeer/tor0, BGPPeer/tor1, BGPPeer/tor2, BGPPeer/tor3, BGPPeer/tor4 and 2 more: until it is there again "
	for _, test := range []struct{ kind, want string }{
		{"BGPFilter", tors + "all that reaches it is rejected, both ways"},
		{"BGPPeerGroup", tors + "their sessions are closed"},
		{"Secret", "used by BGPConfiguration/default: until it is there again their sessions are closed, or have no password where it is optional"},
	} {
		if got := remove(test.kind, "unnamed"); got != "" {
			t.Errorf("%s that nobody names: %s", test.kind, got)
		}
		if got := remove(test.kind, "named"); got != test.want {
			t.Errorf("%s: %s, wanted %s", test.kind, got, test.want)
		}
	}
}
