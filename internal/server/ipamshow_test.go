package server

import (
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestShowSaysWhyNot: an address that nobody holds and that is not given out by
// itself is not told as free, and neither does it count as such in its pool.
func TestShowSaysWhyNot(t *testing.T) {
	r := newRig(t)
	r.put(&vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.IPAMConfigurationSpec{IpCooldownSeconds: proto.Int32(1200)}})
	r.put(&vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: proto.String("gateways")},
		Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{"10.0.0.0/30", "10.0.0.0/31", "10.0.0.9", "192.0.2.0/24"}}})
	show := func(in *vrouterv1.ShowRequest) *vrouterv1.ShowResponse {
		t.Helper()
		out, err := r.addresses.Show(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	in := registration("a")
	in.IpNetworks = []string{"10.0.0.9/32"}
	if _, err := r.endpoints.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if a := show(&vrouterv1.ShowRequest{Ip: "10.0.0.9"}).Address; a.Node != "host1" || !a.Reserved || a.Handle == "" {
		t.Errorf("held and reserved: %v", a)
	}
	if a := show(&vrouterv1.ShowRequest{Ip: "10.0.0.3"}).Address; !a.Reserved || a.Handle != "" {
		t.Errorf("reserved: %v", a)
	}
	reserved := map[string]string{}
	for _, u := range show(&vrouterv1.ShowRequest{}).Pools {
		reserved[u.Pool] = u.Reserved
	}
	if want := map[string]string{"four": "4", "six": "0"}; !maps.Equal(reserved, want) {
		t.Errorf("%v addresses are reserved and nobody's, wanted %v", reserved, want)
	}
	if _, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: in.Id}); err != nil {
		t.Fatal(err)
	}
	if a := show(&vrouterv1.ShowRequest{Ip: "10.0.0.9"}).Address; a.CoolingUntil == "" || a.Handle != "" {
		t.Errorf("released just now: %v", a)
	}
	if a := show(&vrouterv1.ShowRequest{Ip: "10.0.0.10"}).Address; a.CoolingUntil != "" || a.Reserved {
		t.Errorf("free: %v", a)
	}
	if _, err := r.addresses.AssignBlock(t.Context(), &vrouterv1.AssignBlockRequest{Node: "host9", Cidr: "10.0.9.0/26"}); err != nil {
		t.Fatal(err)
	}
	assigned := map[string]bool{}
	for _, u := range show(&vrouterv1.ShowRequest{Blocks: true}).Pools {
		for _, b := range u.Block {
			assigned[b.Cidr] = b.Assigned
		}
	}
	if want := map[string]bool{"10.0.0.0/26": false, "10.0.9.0/26": true}; !maps.Equal(assigned, want) {
		t.Errorf("assigned: %v, wanted %v", assigned, want)
	}
}
