package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestRegisterIsIdempotent(t *testing.T) {
	r := newRig(t)
	first := r.register(registration("a", "10.0.0.1", "fd00::1/128"))
	if !first.Created || first.Stage != vrouterv1.Stage_STAGE_REGISTERED {
		t.Errorf("first registration: %v", first)
	}
	meta := first.Endpoint.Metadata
	if meta.GetName() != "host1-vms-a-eth0" || meta.GetGeneration() != 1 || meta.GetUid() == "" {
		t.Errorf("metadata of a new endpoint: %v", meta)
	}
	before := r.revision()
	second := r.register(registration("a", "10.0.0.1/32", "fd00:0::1"))
	if second.Created || !proto.Equal(first.Endpoint, second.Endpoint) {
		t.Errorf("the same again: %v", second)
	}
	if r.revision() != before {
		t.Error("the same registration was written again")
	}
	r.consistent()
}

func TestRegisterReplacesTheSpec(t *testing.T) {
	r := newRig(t)
	first := r.register(registration("a", "10.0.0.1", "10.0.0.2"))
	second := r.register(registration("a", "10.0.0.2", "10.0.0.3"))
	if m := second.Endpoint.Metadata; second.Created || m.GetGeneration() != 2 || m.GetUid() != first.Endpoint.Metadata.GetUid() {
		t.Errorf("after a change: %v", second)
	}
	r.consistent()
	r.register(registration("b", "10.0.0.1")) // freed by the change
	r.consistent()
}

func TestMoveIsOneTransaction(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.0.1"))
	before := r.revision()
	req := registration("a", "10.0.0.1")
	req.Node = "host2"
	moved := r.register(req)
	if r.revision() != before+1 {
		t.Errorf("moved in %d transactions", r.revision()-before)
	}
	if moved.Created || moved.Endpoint.Spec.GetNode() != "host2" || moved.Endpoint.Metadata.GetName() != "host2-vms-a-eth0" {
		t.Errorf("after the move: %v", moved)
	}
	r.consistent()
}

func TestAddressHeldByAnother(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.0.1"))
	r.register(registration("b", "10.0.0.2"))
	for _, req := range []*vrouterv1.RegisterRequest{
		registration("c", "10.0.0.1"),             // a new endpoint
		registration("b", "10.0.0.2", "10.0.0.1"), // one that exists
	} {
		_, err := r.endpoints.Register(t.Context(), req)
		st := wantCode(t, err, codes.AlreadyExists)
		if info := detail[*errdetails.ResourceInfo](t, st); info.ResourceName != "default/vms/a/eth0" {
			t.Errorf("holder is given as %q", info.ResourceName)
		}
		if info := detail[*errdetails.ErrorInfo](t, st); info.Metadata["address"] != "10.0.0.1" {
			t.Errorf("address is given as %v", info.Metadata)
		}
	}
	r.consistent()
}

func TestRegisterBadInput(t *testing.T) {
	r := newRig(t)
	with := func(change func(*vrouterv1.RegisterRequest)) *vrouterv1.RegisterRequest {
		req := registration("a", "10.0.0.1")
		change(req)
		return req
	}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 4711, protowire.VarintType), 1)
	for name, c := range map[string]struct {
		req   *vrouterv1.RegisterRequest
		paths []string
	}{
		"no identity": {with(func(q *vrouterv1.RegisterRequest) { q.Id = nil }),
			[]string{"id.orchestrator", "id.workload", "id.endpoint"}},
		"wrong CIDR":    {registration("a", "10.0.0.1/33"), []string{"ipNetworks[0]"}},
		"range":         {registration("a", "10.0.0.0/24"), []string{"ipNetworks[0]"}},
		"outside pools": {registration("a", "10.0.0.1", "192.0.2.1", "2001:db8::1"), []string{"ipNetworks[1]", "ipNetworks[2]"}},
		"long interface": {with(func(q *vrouterv1.RegisterRequest) { q.InterfaceName = "a234567890123456" }),
			[]string{"interfaceName"}},
		"several": {with(func(q *vrouterv1.RegisterRequest) { q.InterfaceType, q.Mac = "carrier-pigeon", "zz" }),
			[]string{"interfaceType", "mac"}},
		"label": {with(func(q *vrouterv1.RegisterRequest) { q.Labels = map[string]string{"a": "b c"} }),
			[]string{"labels[a]"}},
		"unknown field": {with(func(q *vrouterv1.RegisterRequest) { q.ProtoReflect().SetUnknown(unknown) }),
			[]string{""}},
		"unknown field deep down": {with(func(q *vrouterv1.RegisterRequest) { q.Id.ProtoReflect().SetUnknown(unknown) }),
			[]string{"id"}},
		"unknown stage": {with(func(q *vrouterv1.RegisterRequest) { q.Wait = 17 }), []string{"wait"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.endpoints.Register(t.Context(), c.req)
			wantPaths(t, err, c.paths...)
		})
	}
	many := registration("a")
	for i := range maxAddresses + 1 {
		many.IpNetworks = append(many.IpNetworks, fmt.Sprintf("10.0.1.%d", i+1))
	}
	_, err := r.endpoints.Register(t.Context(), many)
	wantPaths(t, err, "ipNetworks")
	many.IpNetworks = many.IpNetworks[1:]
	r.register(many) // as many as are allowed, and then as many others
	for i := range many.IpNetworks {
		many.IpNetworks[i] = fmt.Sprintf("10.0.2.%d", i+1)
	}
	r.register(many)
	r.consistent()
}

func TestAddressOutsidePoolsByOption(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequirePool = false })
	r.register(registration("a", "192.0.2.1"))
}

func TestUnregister(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.0.1"))
	key := statusKey(idOf(t, endpointOf("a")))
	if _, err := r.store.Txn(t.Context(), nil, []store.Op{{Key: key, Value: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	for _, existed := range []bool{true, false} {
		resp, err := r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
		if err != nil || resp.Existed != existed {
			t.Errorf("unregister: %v, %v; wanted existed %v", resp, err, existed)
		}
	}
	if _, _, err := r.store.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("status after unregistration: %v", err)
	}
	r.consistent()
	_, err := r.endpoints.GetEndpoint(t.Context(), &vrouterv1.GetEndpointRequest{Id: endpointOf("a")})
	wantCode(t, err, codes.NotFound)
	_, err = r.endpoints.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: &vrouterv1.EndpointID{Workload: "a"}})
	wantPaths(t, err, "id.namespace", "id.orchestrator", "id.endpoint")
}

func TestOneOfManyGetsTheAddress(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var won []string
	var g errgroup.Group
	for i := range 50 {
		g.Go(func() error {
			name := fmt.Sprintf("w%d", i)
			_, err := r.endpoints.Register(t.Context(), registration(name, "10.0.0.1"))
			switch status.Code(err) {
			case codes.OK:
				mu.Lock()
				defer mu.Unlock()
				won = append(won, name)
			case codes.AlreadyExists:
			default:
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(won) != 1 {
		t.Errorf("the address went to %q", won)
	}
	r.consistent()
}

// Many callers state, move and remove a few endpoints with shared addresses at
// once: whoever wins, addresses and endpoints agree.
func TestParallelRegistrationsStayConsistent(t *testing.T) {
	r := newRig(t)
	var g errgroup.Group
	for i := range 500 {
		g.Go(func() error { return r.disturb(t.Context(), i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	r.consistent()
}

func (r *rig) disturb(ctx context.Context, i int) error {
	name := fmt.Sprintf("w%d", i%40)
	if i%11 == 0 {
		_, err := r.endpoints.Unregister(ctx, &vrouterv1.UnregisterRequest{Id: endpointOf(name)})
		return tolerate(err)
	}
	req := registration(name, fmt.Sprintf("10.0.0.%d", 1+i%64), fmt.Sprintf("fd00::%d", 1+i%7))
	req.Node = fmt.Sprintf("host%d", i%3)
	_, err := r.endpoints.Register(ctx, req)
	return tolerate(err)
}

// tolerate passes over the errors that a race may end with.
func tolerate(err error) error {
	switch status.Code(err) {
	case codes.OK, codes.AlreadyExists, codes.Aborted:
		return nil
	}
	return err
}

func TestDistinctParallelRegistrationsAllSucceed(t *testing.T) {
	r := newRig(t)
	var g errgroup.Group
	for i := range 500 {
		g.Go(func() error {
			_, err := r.endpoints.Register(t.Context(), registration(fmt.Sprintf("w%d", i), fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	r.consistent()
	names := map[string]bool{}
	req := &vrouterv1.ListEndpointsRequest{PageSize: 70, LabelSelector: "!has(x)"}
	for {
		resp, err := r.endpoints.ListEndpoints(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range resp.Endpoints {
			names[w.Spec.GetWorkload()] = true
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	if len(names) != 500 {
		t.Errorf("%d endpoints listed", len(names))
	}
}

func TestListEndpointsOfANode(t *testing.T) {
	r := newRig(t)
	for i, node := range []string{"host1", "host2", "host1"} {
		req := registration(fmt.Sprintf("w%d", i), fmt.Sprintf("10.0.0.%d", i+1))
		req.Node = node
		r.register(req)
	}
	resp, err := r.endpoints.ListEndpoints(t.Context(), &vrouterv1.ListEndpointsRequest{Node: "host1"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range resp.Endpoints {
		names = append(names, w.Spec.GetWorkload())
	}
	if got := strings.Join(names, " "); got != "w0 w2" {
		t.Errorf("endpoints of host1: %s", got)
	}
}

func TestResourceServiceKeepsTheAddresses(t *testing.T) {
	r := newRig(t)
	w := r.register(registration("a", "10.0.0.1")).Endpoint
	w.Spec.IpNetworks = []string{"10.0.0.7"}
	r.put(w)
	r.consistent()
	other := proto.Clone(w).(*vrouterv1.WorkloadEndpoint)
	other.Metadata = &vrouterv1.Metadata{}
	other.Spec.Workload = proto.String("b")
	_, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{
		Resource: &vrouterv1.Resource{Resource: &vrouterv1.Resource_WorkloadEndpoint{WorkloadEndpoint: other}},
		DryRun:   true,
	})
	wantCode(t, err, codes.AlreadyExists)
	_, err = r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "wep", Name: "host1-vms-a-eth0"})
	if err != nil {
		t.Fatal(err)
	}
	r.put(other)
	r.consistent()
}
