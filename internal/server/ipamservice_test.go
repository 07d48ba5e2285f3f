package server

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestIPAMService: what is taken by a caller without an endpoint is its own
// until it gives it back.
func TestIPAMService(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	req := &vrouterv1.AllocateRequest{Ipv4: 100, Ipv6: 1, Handle: "lb", Resume: true, Attributes: map[string]string{"for": "tests"}}
	got, err := r.addresses.Allocate(ctx, req)
	if err != nil || len(got.Allocations) != 101 {
		t.Fatalf("%d allocations, %v", len(got.GetAllocations()), err)
	}
	again, err := r.addresses.Allocate(ctx, req)
	if err != nil || len(again.Allocations) != 101 || !again.Allocations[0].Existed {
		t.Errorf("the same again: %v, %v", again, err)
	}
	first := got.Allocations[0]
	shown, err := r.addresses.Show(ctx, &vrouterv1.ShowRequest{Ip: first.Address})
	if err != nil || shown.Address.Handle != "lb" || shown.Address.OwnerKind != "external" || shown.Address.Pool != "four" ||
		shown.Address.Attributes["for"] != "tests" || shown.Address.Affinity != "host:host1" {
		t.Errorf("%v, %v", shown, err)
	}
	held, err := r.addresses.Show(ctx, &vrouterv1.ShowRequest{Handle: "lb"})
	if err != nil || len(held.Handle.Allocations) != 101 {
		t.Errorf("%v, %v", held, err)
	}
	_, err = r.addresses.Show(ctx, &vrouterv1.ShowRequest{Handle: "nobody"})
	wantCode(t, err, codes.NotFound)
	pools, err := r.addresses.Show(ctx, &vrouterv1.ShowRequest{Blocks: true})
	if err != nil || pools.Pools[0].InUse != 100 || len(pools.Pools[0].Block) != int(pools.Pools[0].Blocks) || pools.Pools[0].Block[0].State != "confirmed" {
		t.Errorf("%v, %v", pools, err)
	}

	release := func(address string, sequence uint64) error {
		_, err := r.addresses.Release(ctx, &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{
			{Address: address, Handle: "lb", Sequence: sequence}}})
		return err
	}
	wantCode(t, release(first.Address, first.Sequence+1), codes.Aborted)
	if err := release(first.Address, first.Sequence); err != nil {
		t.Fatal(err)
	}
	none, err := r.addresses.Release(ctx, &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{{Address: first.Address}}})
	if err != nil || !slices.Equal(none.Unallocated, []string{first.Address}) {
		t.Errorf("%v, %v", none, err)
	}
	assigned, err := r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Address: first.Address, Handle: "vip", Node: "virtual:lb"})
	if err != nil || assigned.Allocation.Address != first.Address || !assigned.Allocation.Borrowed {
		t.Errorf("%v, %v", assigned, err)
	}
	_, err = r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Address: first.Address, Handle: "other"})
	wantCode(t, err, codes.AlreadyExists)
	_, err = r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Address: "192.0.2.1", Handle: "other"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Address: "10.0.0.1"})
	wantPaths(t, err, "handle")

	for _, handle := range []string{"lb", "vip"} {
		if _, err := r.addresses.ReleaseByHandle(ctx, &vrouterv1.ReleaseByHandleRequest{Handle: handle}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.addresses.ReleaseByHandle(ctx, &vrouterv1.ReleaseByHandleRequest{Handle: "lb"})
	wantCode(t, err, codes.NotFound)
	r.consistent()
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use", n)
	}
}

// TestReleaseSparesEndpoints: what an endpoint has is not released beside it,
// and not given out, however old it is.
func TestReleaseSparesEndpoints(t *testing.T) {
	r := newRig(t)
	e := r.register(registration("a")).Endpoint.Spec
	a, _, _ := strings.Cut(e.IpNetworks[0], "/")
	at := r.revision()
	_, err := r.addresses.Release(t.Context(), &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{{Address: a}}})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.addresses.ReleaseByHandle(t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: "default/vms/a/eth0"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = r.addresses.Release(t.Context(), &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{{Address: "x"}, {}}})
	wantPaths(t, err, "addresses[0].address", "addresses[1].address")
	if r.revision() != at {
		t.Error("a refused call has written")
	}
	r.consistent()
	resp, err := r.addresses.Check(t.Context(), &vrouterv1.CheckRequest{})
	if err != nil || len(resp.Problems) != 0 || len(resp.Leaks) != 0 || len(resp.Pools) != 2 {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestPartial: fewer addresses are better than none, and say why they are few.
func TestPartial(t *testing.T) {
	r := newRig(t)
	p := pool("p", "172.16.0.0/30")
	p.Spec.BlockSize = proto.Int32(31)
	r.put(p)
	req := &vrouterv1.AllocateRequest{Ipv4: 5, Pools: []string{"p"}, Handle: "h"}
	_, err := r.addresses.Allocate(t.Context(), req)
	wantCode(t, err, codes.ResourceExhausted)
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use after a refusal", n)
	}
	req.Partial = true
	got, err := r.addresses.Allocate(t.Context(), req)
	if err != nil || len(got.Allocations) != 4 || len(got.Short) != 1 || got.Short[0].Wanted != 5 || got.Short[0].Got != 4 {
		t.Errorf("%v, %v", got, err)
	}
	r.consistent()
}

// TestHostLocal: a block that is assigned to a node is all that the node uses,
// and nobody else does.
func TestHostLocal(t *testing.T) {
	r := newRig(t)
	assign := func(node, cidr string) error {
		_, err := r.addresses.AssignBlock(t.Context(), &vrouterv1.AssignBlockRequest{Node: node, Cidr: cidr})
		return err
	}
	wantCode(t, assign("host2", "10.0.7.0/24"), codes.FailedPrecondition)
	wantPaths(t, assign("", "x"), "node", "cidr")
	if err := assign("host2", "10.0.7.0/26"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		req := asking(fmt.Sprintf("w%d", i), &vrouterv1.AddressRequest{Ipv4: 1})
		req.Node = "host2"
		if n := r.register(req).Endpoint.Spec.IpNetworks[0]; !strings.HasPrefix(n, "10.0.7.") {
			t.Errorf("host2 was given %s", n)
		}
	}
	// An address that is stated must be of it, too, and nothing is written then.
	elsewhere := registration("fixed", "10.0.9.9")
	elsewhere.Node = "host2"
	_, err := r.endpoints.Register(t.Context(), elsewhere)
	wantCode(t, err, codes.FailedPrecondition)
	if n := r.inUse(); n != 3 {
		t.Errorf("%d addresses in use after a refusal", n)
	}
	// One that moves to the node keeps what it has.
	moves := registration("moves", "10.0.9.9")
	r.register(moves)
	moves.Node = "host2"
	r.register(moves)
	r.consistent()
	r.unregister("moves")
	wantCode(t, assign("host1", "10.0.7.0/26"), codes.FailedPrecondition)
	_, err = r.addresses.ReleaseBlock(t.Context(), &vrouterv1.ReleaseBlockRequest{Node: "host1", Cidr: "10.0.7.0/26"})
	wantCode(t, err, codes.FailedPrecondition) // it is another's
	if _, err := r.addresses.ReleaseBlock(t.Context(), &vrouterv1.ReleaseBlockRequest{Node: "host1", Cidr: "10.0.9.0/26"}); err != nil {
		t.Error(err)
	}
	release := func(drain bool) error {
		_, err := r.addresses.ReleaseBlock(t.Context(), &vrouterv1.ReleaseBlockRequest{Node: "host2", Cidr: "10.0.7.0/26", Drain: drain})
		return err
	}
	wantCode(t, release(false), codes.FailedPrecondition)
	if err := release(true); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r.unregister(fmt.Sprintf("w%d", i))
	}
	r.consistent()
	if n := len(r.blocks()); n != 0 {
		t.Errorf("%d blocks left", n)
	}
}

func (r *rig) blocks() []*vrouterv1.Resource { return r.list("IPAMBlock") }

// list returns all objects of a kind.
func (r *rig) list(kind string) []*vrouterv1.Resource {
	r.t.Helper()
	list, err := r.resources.List(r.t.Context(), &vrouterv1.ListRequest{Kind: kind})
	if err != nil {
		r.t.Fatal(err)
	}
	return list.Resources
}

// TestSplitPool: parts take the place of a pool, and addresses stay.
func TestSplitPool(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.200.1"))
	_, err := r.addresses.SplitPool(t.Context(), &vrouterv1.SplitPoolRequest{Pool: "four", Parts: 3})
	wantPaths(t, err, "parts")
	got, err := r.addresses.SplitPool(t.Context(), &vrouterv1.SplitPoolRequest{Pool: "four", Parts: 4})
	if err != nil || !slices.Equal(got.Pools, []string{"four-0", "four-1", "four-2", "four-3"}) {
		t.Fatalf("%v, %v", got, err)
	}
	r.consistent()
	shown, err := r.addresses.Show(t.Context(), &vrouterv1.ShowRequest{Ip: "10.0.200.1"})
	if err != nil || shown.Address.Pool != "four-3" || shown.Address.Handle != "default/vms/a/eth0" {
		t.Errorf("%v, %v", shown, err)
	}
	_, err = r.addresses.SplitPool(t.Context(), &vrouterv1.SplitPoolRequest{Pool: "four", Parts: 2})
	wantCode(t, err, codes.NotFound)
	r.register(registration("b"))
	r.consistent()
}

// TestSplitPoolEnds: into as many parts as there may be at once, and not where a
// block would not fit, or a part has the name of another pool.
func TestSplitPoolEnds(t *testing.T) {
	r := newRig(t)
	tiny := pool("tiny", "172.16.0.0/31")
	tiny.Spec.Disabled, tiny.Spec.BlockSize = proto.Bool(true), proto.Int32(26)
	r.put(tiny)
	r.put(pool("six-1", "fd01::/64"))
	at := r.revision()
	split := func(name string, parts int32) ([]string, error) {
		got, err := r.addresses.SplitPool(t.Context(), &vrouterv1.SplitPoolRequest{Pool: name, Parts: parts})
		return got.GetPools(), err
	}
	for _, parts := range []int32{2, 4} {
		_, err := split("tiny", parts)
		wantPaths(t, err, "parts")
	}
	_, err := split("six", 2)
	wantCode(t, err, codes.AlreadyExists)
	if r.revision() != at {
		t.Error("a refused call has written")
	}
	got, err := split("four", 32)
	if err != nil || len(got) != 32 || got[31] != "four-31" {
		t.Fatalf("%v, %v", got, err)
	}
	if n := r.register(registration("a")).Endpoint.Spec.IpNetworks; len(n) != 2 {
		t.Errorf("given %q", n)
	}
	r.consistent()
}

// TestAllocateMeetsOlderEndpoints: addresses that endpoints have from before
// there were blocks are not given out a second time, whether their absence is
// part of the transaction or they are too many for that.
func TestAllocateMeetsOlderEndpoints(t *testing.T) {
	for _, n := range []int32{1, 100, 300} {
		r := newRig(t)
		got, err := r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: 1, Handle: "first"})
		if err != nil {
			t.Fatal(err)
		}
		var ops []store.Op
		a := netip.MustParseAddr(got.Allocations[0].Address)
		for range 40 { // the next ones of the block
			a = a.Next()
			ops = append(ops, store.Op{Key: store.AddressKey(a), Value: []byte("r/WorkloadEndpoint/default/older")})
		}
		if _, err := r.store.Txn(t.Context(), nil, ops); err != nil {
			t.Fatal(err)
		}
		got, err = r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: n, Handle: "h"})
		if err != nil || len(got.Allocations) != int(n) {
			t.Fatalf("%d of %d addresses, %v", len(got.GetAllocations()), n, err)
		}
		for _, a := range got.Allocations {
			if key := store.AddressKey(netip.MustParseAddr(a.Address)); slices.ContainsFunc(ops, func(op store.Op) bool { return op.Key == key }) {
				t.Errorf("%s is an endpoint's, and was given out", a.Address)
			}
		}
	}
}

// TestCostOfManyAddresses: a hundred addresses in one call are one read and one
// transaction, and without the read where the blocks are remembered; to give
// them back takes little more.
func TestCostOfManyAddresses(t *testing.T) {
	count := &counted{}
	r := newRig(t, func(o *Options) {
		count.Store = o.Store
		o.Store = count
	})
	ctx := t.Context()
	if _, err := r.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Node: "other", Ipv4: 1, Handle: "x"}); err != nil {
		t.Fatal(err) // has read the settings then
	}
	allocate := func(n int32, reads int64) []*vrouterv1.Allocation {
		count.reads.Store(0)
		count.txns.Store(0)
		got, err := r.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Ipv4: n, Handle: fmt.Sprint("h", n)})
		if err != nil {
			t.Fatal(err)
		}
		if r, w := count.reads.Load(), count.txns.Load(); r != reads || w != 1 {
			t.Errorf("%d addresses took %d reads, wanted %d, and %d transactions", n, r, reads, w)
		}
		return got.Allocations
	}
	got := allocate(100, 1)
	allocate(12, 0) // of the same blocks, and so few that no reserve is looked for
	many := &vrouterv1.ReleaseRequest{}
	for _, a := range got[:24] {
		many.Addresses = append(many.Addresses, &vrouterv1.AddressRelease{Address: a.Address})
	}
	count.reads.Store(0)
	if _, err := r.addresses.Release(ctx, many); err != nil {
		t.Fatal(err)
	}
	if n := count.reads.Load(); n > 5 { // of two blocks, a handle and the endpoints
		t.Errorf("%d reads to give back", n)
	}
	r.consistent()
}

// TestReleaseByHandleWholeOrNot: a handle that holds addresses of more blocks
// than one transaction takes is released whole; where an endpoint has the last
// of them, none is.
func TestReleaseByHandleWholeOrNot(t *testing.T) {
	r := newRig(t)
	p := pool("p", "172.16.0.0/24")
	p.Spec.BlockSize = proto.Int32(32)
	r.put(p)
	r.settings(&vrouterv1.IPAMConfigurationSpec{StrictAffinity: proto.Bool(true), MaxBlocksPerHost: proto.Int32(250)})
	got, err := r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: 150, Handle: "x", Pools: []string{"p"}})
	if err != nil {
		t.Fatal(err)
	}
	var all []netip.Addr
	for _, a := range got.Allocations {
		all = append(all, netip.MustParseAddr(a.Address))
	}
	has := registration("a", slices.MaxFunc(all, netip.Addr.Compare).String())
	has.HeldBy = []string{"x"}
	r.register(has)
	release := func() (*vrouterv1.ReleaseByHandleResponse, error) {
		return r.addresses.ReleaseByHandle(t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: "x"})
	}
	_, err = release()
	wantCode(t, err, codes.FailedPrecondition)
	if n := r.inUse(); n != 150 {
		t.Errorf("%d addresses in use after a refusal", n)
	}
	r.consistent()
	r.unregister("a")
	if got, err := release(); err != nil || len(got.Addresses) != 150 || r.inUse() != 0 {
		t.Errorf("%d addresses released, %v, %d in use", len(got.GetAddresses()), err, r.inUse())
	}
	r.consistent()
}
