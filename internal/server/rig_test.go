package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// rig is a server on a Unix socket over a memory store, with its clients.
type rig struct {
	t     *testing.T
	store *store.Memory
	local *fakeLocal
	api   *Server
	clients
}

type clients struct {
	resources vrouterv1.ResourceServiceClient
	endpoints vrouterv1.EndpointServiceClient
	nodes     vrouterv1.NodeServiceClient
	addresses vrouterv1.IPAMServiceClient
	datastore vrouterv1.DatastoreServiceClient
}

func clientsOf(c *grpc.ClientConn) clients {
	return clients{
		vrouterv1.NewResourceServiceClient(c),
		vrouterv1.NewEndpointServiceClient(c),
		vrouterv1.NewNodeServiceClient(c),
		vrouterv1.NewIPAMServiceClient(c),
		vrouterv1.NewDatastoreServiceClient(c),
	}
}

// newRig starts a server for node host1 and, unless change says otherwise, the
// pool 10.0.0.0/16 and its IPv6 counterpart.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, store: store.NewMemory(), local: &fakeLocal{node: "host1"}}
	opts := Options{
		Store:       r.store,
		Local:       r.local,
		NodeName:    "host1",
		RequirePool: true,
		Logger:      hclog.NewNullLogger(),
		Socket:      Socket{Path: filepath.Join(t.TempDir(), "s")},
	}
	for _, c := range change {
		c(&opts)
	}
	r.api = start(t, opts)
	if opts.Socket.Path != "" {
		r.clients = clientsOf(dial(t, opts.Socket.Path))
		r.put(pool("four", "10.0.0.0/16"))
		r.put(pool("six", "fd00::/64"))
	}
	return r
}

// start runs a server until the test ends.
func start(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server ended: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return s
}

func dial(t testing.TB, path string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// put writes an object and returns it as stored.
func (r *rig) put(msg proto.Message) proto.Message {
	r.t.Helper()
	resp, err := r.resources.Put(r.t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(msg)})
	if err != nil {
		r.t.Fatal(err)
	}
	_, stored, err := resource.Unwrap(resp.Resource)
	if err != nil {
		r.t.Fatal(err)
	}
	return stored
}

func (r *rig) register(req *vrouterv1.RegisterRequest) *vrouterv1.RegisterResponse {
	r.t.Helper()
	resp, err := r.endpoints.Register(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// revision is the store's; a call that changes nothing leaves it.
func (r *rig) revision() int64 {
	r.t.Helper()
	n, err := r.store.Revision(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// consistent checks that each address key names an endpoint that has the
// address, that each address of an endpoint has its key, and that blocks,
// handles and endpoints agree.
func (r *rig) consistent() {
	r.t.Helper()
	wanted, held := map[string]string{}, map[string]string{}
	collect := func(prefix string, each func(store.KV)) {
		if _, err := store.Scan(r.t.Context(), r.store, prefix, 0, each); err != nil {
			r.t.Fatal(err)
		}
	}
	collect(store.KindPrefix("WorkloadEndpoint"), func(kv store.KV) {
		msg, err := resource.Decode(resource.KindWorkloadEndpoint, kv.Value, kv.ModRevision)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, n := range msg.(*vrouterv1.WorkloadEndpoint).Spec.IpNetworks {
			wanted[store.AddressKey(netip.MustParsePrefix(n).Addr())] = kv.Key
		}
	})
	collect(store.AddressPrefix, func(kv store.KV) { held[kv.Key] = string(kv.Value) })
	for key, holder := range wanted {
		if held[key] != holder {
			r.t.Errorf("%s is held by %q, wanted %q", key, held[key], holder)
		}
	}
	if len(held) != len(wanted) {
		r.t.Errorf("%d address keys for %d addresses", len(held), len(wanted))
	}
	for _, problem := range r.check().Problems {
		r.t.Errorf("%s", problem)
	}
}

// check compares all that is stored of addresses.
func (r *rig) check() *ipam.Report {
	r.t.Helper()
	contents, err := ipam.ReadContents(r.t.Context(), r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	env, err := ipam.Stored{Store: r.store}.Env(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return contents.Check(env)
}

func pool(name, cidr string) *vrouterv1.IPPool {
	return &vrouterv1.IPPool{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name)},
		Spec:     &vrouterv1.IPPoolSpec{Cidr: proto.String(cidr)},
	}
}

func endpointOf(workload string) *vrouterv1.EndpointID {
	return &vrouterv1.EndpointID{Namespace: "default", Orchestrator: "vms", Workload: workload, Endpoint: "eth0"}
}

func registration(workload string, addresses ...string) *vrouterv1.RegisterRequest {
	return &vrouterv1.RegisterRequest{
		Id:            endpointOf(workload),
		InterfaceName: "vr" + workload,
		IpNetworks:    addresses,
		Profiles:      []string{"projectcalico-default-allow"},
	}
}

// wantCode checks the code of an error and returns its status.
func wantCode(t *testing.T, err error, want codes.Code) *status.Status {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != want {
		t.Fatalf("code %s, wanted %s: %v", st.Code(), want, err)
	}
	return st
}

// wantPaths checks that exactly these fields are complained of.
func wantPaths(t *testing.T, err error, want ...string) {
	t.Helper()
	st := wantCode(t, err, codes.InvalidArgument)
	bad := detail[*errdetails.BadRequest](t, st)
	var got []string
	for _, v := range bad.FieldViolations {
		got = append(got, v.Field)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("violations at %q, wanted %q: %v", got, want, err)
	}
}

// detail returns the detail of a type that a status must have.
func detail[D any](t *testing.T, st *status.Status) D {
	t.Helper()
	for _, d := range st.Details() {
		if d, ok := d.(D); ok {
			return d
		}
	}
	t.Fatalf("no %T among the details of %v: %v", *new(D), st, st.Details())
	panic("unreachable")
}

// fakeLocal is a Local whose endpoints reach their stages when told.
type fakeLocal struct {
	node string

	mu      sync.Mutex // guards the rest
	reached map[string]vrouterv1.Stage
	changed chan struct{} // closed at the next change
	levels  []string
	kernel  []*vrouterv1.Route // of workloads, and of others
	looks   int                // how often it was asked for
	change  func()             // after a look, under mu

	policy *vrouterv1.GetPolicyStateResponse // what it says of every endpoint
}

func (l *fakeLocal) set(id string, stage vrouterv1.Stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reached == nil {
		l.reached = map[string]vrouterv1.Stage{}
	}
	l.reached[id] = stage
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *fakeLocal) Status(context.Context) (*vrouterv1.GetStatusResponse, error) {
	return &vrouterv1.GetStatusResponse{Node: l.node}, nil
}

func (l *fakeLocal) Routes(_ context.Context, prefix netip.Prefix, yield func([]*vrouterv1.Route) error) error {
	if prefix.IsValid() && prefix.Bits() == 32 {
		panic("a route that nobody expects")
	}
	for i := range 3 {
		if err := yield([]*vrouterv1.Route{{Prefix: fmt.Sprintf("10.0.%d.0/24", i), Source: l.node}}); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLocal) KernelRoutes(_ context.Context, source string, within netip.Prefix, yield func([]*vrouterv1.Route) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	var all []*vrouterv1.Route
	for _, r := range l.kernel {
		if p := netip.MustParsePrefix(r.Prefix); r.Source == source && (!within.IsValid() || within.Contains(p.Addr())) {
			all = append(all, r)
		}
	}
	if l.change != nil {
		l.change()
	}
	return yield(all)
}

func (l *fakeLocal) Paths(_ context.Context, f *vrouterv1.RouteFilter, yield func([]*vrouterv1.Route) error) error {
	if f.GetPeer() == "nobody" {
		return invalid("filter.peer", "there is no peer %q", f.GetPeer())
	}
	return yield([]*vrouterv1.Route{{Prefix: f.GetPrefix(), Source: l.node}})
}

func (l *fakeLocal) WatchPeers(ctx context.Context, send func(*vrouterv1.WatchPeersResponse) error) error {
	peer := &vrouterv1.WatchPeersResponse_Put{Put: &vrouterv1.Peer{Name: l.node}}
	if err := send(&vrouterv1.WatchPeersResponse{Event: peer}); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (l *fakeLocal) WatchRoutes(ctx context.Context, f *vrouterv1.RouteFilter, send func(*vrouterv1.WatchRoutesResponse) error) error {
	route := &vrouterv1.WatchRoutesResponse_Put{Put: &vrouterv1.Route{Prefix: f.GetPrefix(), Source: l.node}}
	if err := send(&vrouterv1.WatchRoutesResponse{Event: route}); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (l *fakeLocal) Reflector(context.Context) (*vrouterv1.GetReflectorResponse, error) {
	return &vrouterv1.GetReflectorResponse{Node: l.node}, nil
}

func (l *fakeLocal) Dump(_ context.Context, w io.Writer) error {
	for range 100 {
		if _, err := w.Write(bytes.Repeat([]byte(l.node), 1000)); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLocal) Adopt(context.Context) (*vrouterv1.AdoptClusterResponse, error) {
	return &vrouterv1.AdoptClusterResponse{ClusterGuid: l.node, Adopted: true}, nil
}

func (l *fakeLocal) SetLogLevel(subsystem, level string) error {
	if subsystem == "nosuch" {
		return invalid("subsystem", "%q is not a subsystem", subsystem)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.levels = append(l.levels, subsystem+"="+level)
	return nil
}

func (l *fakeLocal) WaitStage(ctx context.Context, id resource.EndpointID, _ int64,
	stage vrouterv1.Stage) (vrouterv1.Stage, []string, error) {
	for {
		l.mu.Lock()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		reached, changed := l.reached[id.String()], l.changed
		l.mu.Unlock()
		if reached >= stage {
			return reached, nil, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return reached, []string{"interface is missing"}, ctx.Err()
		}
	}
}

func idOf(t *testing.T, id *vrouterv1.EndpointID) resource.ID {
	t.Helper()
	out, err := endpointID(id)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *fakeLocal) PolicyState(_ context.Context, _ *vrouterv1.GetPolicyStateRequest) (*vrouterv1.GetPolicyStateResponse, error) {
	if l.policy == nil {
		return &vrouterv1.GetPolicyStateResponse{Policy: "none"}, nil
	}
	return l.policy, nil
}

func (l *fakeLocal) PolicyCounters(context.Context, string) (*vrouterv1.ListPolicyCountersResponse, error) {
	return &vrouterv1.ListPolicyCountersResponse{Policies: []*vrouterv1.PolicyCounters{{Policy: l.node}}}, nil
}

func (l *fakeLocal) WatchFlows(ctx context.Context, send func(*vrouterv1.WatchFlowsResponse) error) error {
	if err := send(&vrouterv1.WatchFlowsResponse{Event: &vrouterv1.FlowEvent{Node: l.node}}); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
