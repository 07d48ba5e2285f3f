package server

import (
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestIPAMKindsAreReadOnly: what address management made can be read, listed
// and watched like any object, and not written.
func TestIPAMKindsAreReadOnly(t *testing.T) {
	r := newRig(t)
	c := ipam.NewClient(r.store, ipam.Stored{Store: r.store})
	got, err := c.Allocate(t.Context(), ipam.Request{Node: "host1", IPv4: 2, Handle: "outside/1", Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
	if err != nil {
		t.Fatal(err)
	}
	block := got.Allocations[0].Block
	for _, test := range []struct {
		kind resource.Kind
		name string
		row  string
	}{
		{resource.KindIPAMBlock, block.String(), block.String() + " host:host1 2 62"},
		{resource.KindIPAMBlock, resource.BlockName(block), block.String() + " host:host1 2 62"},
		{resource.KindBlockAffinity, "host1/" + block.String(), "host1 " + block.String() + " confirmed false"},
		{resource.KindIPAMHandle, "outside/1", "outside/1 external " + block.String()},
	} {
		resp, err := r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: string(test.kind), Name: test.name})
		if err != nil {
			t.Fatal(err)
		}
		_, msg, err := resource.Unwrap(resp.Resource)
		if err != nil {
			t.Fatal(err)
		}
		if row := strings.Join(resource.Row(msg, false), " "); row != test.row {
			t.Errorf("%s %s: %q, wanted %q", test.kind, test.name, row, test.row)
		}
		list, err := r.resources.List(t.Context(), &vrouterv1.ListRequest{Kind: string(test.kind)})
		if err != nil || len(list.Resources) != 1 || !proto.Equal(list.Resources[0], resp.Resource) {
			t.Errorf("list of %s: %v, %v", test.kind, list, err)
		}
		_, err = r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resp.Resource})
		wantCode(t, err, codes.FailedPrecondition)
		_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: string(test.kind), Name: test.name})
		wantCode(t, err, codes.FailedPrecondition)
	}
	_, err = r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "block", Name: "none"})
	wantCode(t, err, codes.InvalidArgument)
	_, err = r.resources.Get(t.Context(), &vrouterv1.GetRequest{Kind: "block", Name: "10-9-0-0-26"})
	wantCode(t, err, codes.NotFound)

	w, err := r.resources.Watch(t.Context(), &vrouterv1.WatchRequest{Kinds: []string{"IPAMHandle"}})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := w.Recv(); err != nil || resp.GetPut().GetIpamHandle().GetSpec().GetHandleId() != "outside/1" {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := c.ReleaseHandle(t.Context(), "host1", "outside/1"); err != nil {
		t.Fatal(err)
	}
	for {
		resp, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if d := resp.GetDelete(); d != nil {
			if d.Kind != "IPAMHandle" || d.Name != "outside/1" {
				t.Errorf("deleted: %v", d)
			}
			return
		}
	}
}

// TestAddressSettings: settings that do not go together are refused by path,
// and so is a pool in a foreign range, whichever comes first.
func TestAddressSettings(t *testing.T) {
	r := newRig(t)
	put := func(spec *vrouterv1.IPAMConfigurationSpec) error {
		_, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(
			&vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}, Spec: spec})})
		return err
	}
	wantPaths(t, put(&vrouterv1.IPAMConfigurationSpec{AutoAllocateBlocks: proto.Bool(false), IpCooldownSeconds: proto.Int32(1201)}),
		"spec.autoAllocateBlocks", "spec.ipCooldownSeconds")
	wantPaths(t, put(&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"10.96.0.0/12", "10.0.128.0/17"}}), "spec.foreignCIDRs[1]")
	if err := put(&vrouterv1.IPAMConfigurationSpec{ForeignCidrs: []string{"10.96.0.0/12"}, StrictAffinity: proto.Bool(true),
		MaxBlocksPerHost: proto.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	_, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(pool("services", "10.100.0.0/16"))})
	wantPaths(t, err, "spec.cidr")

	r.put(&vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: proto.String("r")},
		Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{"10.0.0.1"}}})
	env, err := ipam.Stored{Store: r.store}.Env(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(env.Pools) != 2 || env.Pools[0].NodeSelector != nil || env.Pools[0].Revision == 0 || !env.Config.StrictAffinity ||
		env.Config.MaxBlocksPerHost != 1 || len(env.Reservations) != 1 || env.Reservations[0] != netip.MustParsePrefix("10.0.0.1/32") {
		t.Errorf("settings: %+v", env)
	}
}
