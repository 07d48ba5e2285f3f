package server

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (w *world) workload() string { return fmt.Sprintf("w%d", w.rand.IntN(8)) }

func (w *world) node() string { return fmt.Sprintf("host%d", w.rand.IntN(3)) }

// external is a handle of somebody who registers nothing.
func (w *world) external() string { return fmt.Sprintf("x%d", w.rand.IntN(3)) }

// address is one of the pools, rarely one of none.
func (w *world) address() netip.Addr {
	switch w.rand.IntN(8) {
	case 0:
		return netip.AddrFrom4([4]byte{192, 0, 2, 1})
	case 1:
		a := netip.MustParseAddr("fd00::").As16()
		a[15] = byte(w.rand.IntN(16))
		return netip.AddrFrom16(a)
	}
	pool := w.rand.IntN(3)
	return netip.AddrFrom4([4]byte{10, 0, byte(pool), byte(w.rand.IntN([]int{32, 16, 8}[pool]))})
}

// register states an endpoint, with addresses of its own choice or not; it may
// be there, and on another node.
func (w *world) register(r *rig) error {
	name := w.workload()
	own := handleOf(w.t, name)
	req := registration(name)
	req.Node = w.node()
	switch w.rand.IntN(4) {
	case 0:
		req.Allocate = &vrouterv1.AddressRequest{Ipv4: int32(w.rand.IntN(4)), Ipv6: int32(w.rand.IntN(2))}
	case 1, 2:
		for range 1 + w.rand.IntN(3) {
			req.IpNetworks = append(req.IpNetworks, w.address().String())
		}
	}
	if w.rand.IntN(4) == 0 {
		req.HeldBy = []string{w.external()}
	}
	got, err := w.write(r, req)
	if w.unanswered(err, own) {
		return err
	}
	if status.Code(err) == codes.AlreadyExists {
		w.held1(req, own)
		return err
	}
	if err != nil {
		return err
	}
	has := sorted(statedAddresses(got))
	had := w.endpoints[name]
	if len(req.IpNetworks) > 0 && len(has) != len(req.IpNetworks) || len(had) > 0 && req.Allocate == nil && len(req.IpNetworks) == 0 && !slices.Equal(had, has) {
		w.t.Errorf("%s asked for %v with %v and has %v", name, req, had, has)
	}
	for _, a := range had {
		if !slices.Contains(has, a) && w.held[a] == own {
			delete(w.held, a)
		}
	}
	for _, a := range has {
		holder, held := w.held[a]
		if held && holder != own && !slices.Contains(req.HeldBy, holder) && !slices.Contains(had, a) {
			w.t.Errorf("%s was given %s, which %s holds", name, a, holder)
		}
		if !held {
			w.held[a] = own
		}
	}
	w.endpoints[name] = has
	return nil
}

// write registers, or puts the same object by ResourceService.
func (w *world) write(r *rig, req *vrouterv1.RegisterRequest) (*vrouterv1.WorkloadEndpoint, error) {
	if req.Allocate != nil || len(req.HeldBy) > 0 || w.rand.IntN(2) == 0 {
		got, err := r.endpoints.Register(context.Background(), req)
		return got.GetEndpoint(), err
	}
	got, err := r.resources.Put(context.Background(),
		&vrouterv1.PutRequest{Resource: resource.Wrap((&endpoints{node: "host1"}).endpoint(req))})
	return got.GetResource().GetWorkloadEndpoint(), err
}

// held1 complains if nobody else holds one of the addresses that a registration
// was refused for.
func (w *world) held1(req *vrouterv1.RegisterRequest, own string) {
	for _, text := range req.IpNetworks {
		a := netip.MustParseAddr(text)
		if holder, held := w.held[a]; held && holder != own {
			return
		}
	}
	w.t.Errorf("%v was refused, and is held by nobody else", req)
}

func (w *world) unregister(r *rig) error {
	name := w.workload()
	own := handleOf(w.t, name)
	got, err := r.endpoints.Unregister(context.Background(), &vrouterv1.UnregisterRequest{Id: endpointOf(name)})
	if w.unanswered(err, own) {
		return err
	}
	if err != nil {
		return err
	}
	if _, there := w.endpoints[name]; there != got.Existed {
		w.t.Errorf("%s existed: %t", name, got.Existed)
	}
	delete(w.endpoints, name)
	maps.DeleteFunc(w.held, func(_ netip.Addr, handle string) bool { return handle == own })
	return nil
}

func (w *world) allocate(r *rig) error {
	req := &vrouterv1.AllocateRequest{Node: w.node(), Handle: w.external(), Ipv4: int32(w.rand.IntN(12)), Ipv6: int32(w.rand.IntN(3)),
		Partial: w.rand.IntN(2) == 0, Resume: w.rand.IntN(4) == 0}
	got, err := r.addresses.Allocate(context.Background(), req)
	if w.unanswered(err, req.Handle) || err != nil {
		return err
	}
	n := len(got.Allocations)
	for _, short := range got.Short {
		n += int(short.Wanted - short.Got)
	}
	if want := int(req.Ipv4 + req.Ipv6); n < want || n > want && !req.Resume || len(got.Short) > 0 && !req.Partial {
		w.t.Errorf("%v gave %v", req, got)
	}
	for _, a := range got.Allocations {
		w.given(a)
	}
	return nil
}

// given takes down what a handle was given.
func (w *world) given(got *vrouterv1.Allocation) {
	a := netip.MustParseAddr(got.Address)
	if holder, held := w.held[a]; held != got.Existed || held && holder != got.Handle {
		w.t.Errorf("given %v, which %q holds", got, holder)
	}
	w.held[a] = got.Handle
	w.past = append(w.past, &vrouterv1.AddressRelease{Address: got.Address, Handle: got.Handle, Sequence: got.Sequence})
}

func (w *world) assign(r *rig) error {
	req := &vrouterv1.AssignRequest{Node: w.node(), Handle: w.external(), Address: w.address().String()}
	got, err := r.addresses.Assign(context.Background(), req)
	if w.unanswered(err, req.Handle) || err != nil {
		return err
	}
	w.given(got.Allocation)
	return nil
}

// release gives back something that is held, or was once.
func (w *world) release(r *rig) error {
	req := &vrouterv1.ReleaseRequest{}
	for range 1 + w.rand.IntN(3) {
		one := &vrouterv1.AddressRelease{Address: w.address().String()}
		if len(w.past) > 0 && w.rand.IntN(4) > 0 {
			one = proto.Clone(w.past[w.rand.IntN(len(w.past))]).(*vrouterv1.AddressRelease)
		}
		req.Addresses = append(req.Addresses, one)
	}
	got, err := r.addresses.Release(context.Background(), req)
	if w.unanswered(err, "x0", "x1", "x2") {
		return err
	}
	if status.Code(err) == codes.Aborted { // held otherwise
		w.refusals++
		return nil
	}
	if err != nil {
		return err
	}
	for _, one := range req.Addresses {
		a := netip.MustParseAddr(one.Address)
		holder, held := w.held[a]
		if held && one.Handle != "" && holder != one.Handle {
			w.t.Errorf("%v was released of %s", one, holder)
		}
		if !held && !slices.Contains(got.Unallocated, one.Address) {
			w.t.Errorf("%v was released, and held by nobody", one)
		}
		for name, has := range w.endpoints {
			if slices.Contains(has, a) {
				w.t.Errorf("%v was released, and is of %s", one, name)
			}
		}
		delete(w.held, a)
	}
	return nil
}

func (w *world) releaseHandle(r *rig) error {
	handle := w.external()
	if w.rand.IntN(4) == 0 {
		handle = handleOf(w.t, w.workload())
	}
	got, err := r.addresses.ReleaseByHandle(context.Background(), &vrouterv1.ReleaseByHandleRequest{Handle: handle})
	if w.unanswered(err, handle) || err != nil {
		return err
	}
	for _, text := range got.Addresses {
		a := netip.MustParseAddr(text)
		if w.held[a] != handle {
			w.t.Errorf("%s was released of %s, and %q holds it", a, handle, w.held[a])
		}
		delete(w.held, a)
	}
	for a, holder := range w.held {
		if holder == handle {
			w.t.Errorf("%s was released, and still holds %s", handle, a)
		}
	}
	return nil
}

// block is one that a pool may have.
func (w *world) block() string {
	return []string{"10.0.0.0/29", "10.0.0.8/29", "10.0.0.24/29", "10.0.1.4/30", "10.0.2.1/32", "fd00::4/126"}[w.rand.IntN(6)]
}

func (w *world) assignBlock(r *rig) error {
	_, err := r.addresses.AssignBlock(context.Background(), &vrouterv1.AssignBlockRequest{Node: w.node(), Cidr: w.block()})
	return err
}

func (w *world) releaseBlock(r *rig) error {
	_, err := r.addresses.ReleaseBlock(context.Background(),
		&vrouterv1.ReleaseBlockRequest{Node: w.node(), Cidr: w.block(), Drain: w.rand.IntN(2) == 0})
	return err
}

// changePool makes or changes one of the pools of the beginning.
func (w *world) changePool(r *rig) error {
	pools := startPools()
	p := pools[w.rand.IntN(len(pools))]
	switch w.rand.IntN(4) {
	case 0:
		p.Spec.Disabled = proto.Bool(true)
	case 1:
		p.Spec.NodeSelector = proto.String("rack == 'a'")
	}
	_, err := r.resources.Put(context.Background(), &vrouterv1.PutRequest{Resource: resource.Wrap(p)})
	return err
}

func (w *world) dropPool(r *rig) error {
	names := w.pools()
	if len(names) == 0 {
		return nil
	}
	return r.removePool(names[w.rand.IntN(len(names))])
}

func (w *world) split(r *rig) error {
	names := w.pools()
	if len(names) == 0 || w.splits == 2 {
		return nil
	}
	w.splits++
	_, err := r.addresses.SplitPool(context.Background(),
		&vrouterv1.SplitPoolRequest{Pool: names[w.rand.IntN(len(names))], Parts: []int32{2, 4}[w.rand.IntN(2)]})
	return err
}

func (w *world) reserve(r *rig) error {
	if w.rand.IntN(3) == 0 {
		_, err := r.resources.Delete(context.Background(), &vrouterv1.DeleteRequest{Kind: "IPReservation", Name: "r"})
		return err
	}
	_, err := r.resources.Put(context.Background(), &vrouterv1.PutRequest{Resource: resource.Wrap(&vrouterv1.IPReservation{
		Metadata: &vrouterv1.Metadata{Name: proto.String("r")},
		Spec:     &vrouterv1.IPReservationSpec{ReservedCidrs: []string{w.block(), w.address().String()}}})})
	return err
}

func (w *world) configure(r *rig) error {
	spec := &vrouterv1.IPAMConfigurationSpec{StrictAffinity: proto.Bool(w.rand.IntN(3) == 0)}
	if w.rand.IntN(2) == 0 {
		spec.IpCooldownSeconds = proto.Int32(1200)
	}
	if spec.GetStrictAffinity() {
		spec.MaxBlocksPerHost = proto.Int32(int32(w.rand.IntN(3)))
		spec.AutoAllocateBlocks = proto.Bool(w.rand.IntN(4) > 0)
	}
	_, err := r.resources.Put(context.Background(), &vrouterv1.PutRequest{Resource: resource.Wrap(
		&vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}, Spec: spec})})
	return err
}

// relabel puts a node into another rack.
func (w *world) relabel(r *rig) error {
	_, err := r.resources.Put(context.Background(), &vrouterv1.PutRequest{Resource: resource.Wrap(&vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: proto.String(w.node()), Labels: map[string]string{"rack": string("ab"[w.rand.IntN(2)])}}})})
	return err
}

// lock locks the datastore, or unlocks it.
func (w *world) lock(r *rig) error {
	_, err := r.resources.Put(context.Background(), &vrouterv1.PutRequest{Resource: resource.Wrap(&vrouterv1.ClusterInformation{
		Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec:     &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(w.rand.IntN(3) > 0)}})})
	return err
}

func (w *world) unlock(r *rig) {
	r.put(&vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(true)}})
}
