package cli

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// now is the time of day at which every test runs.
func now() time.Time { return time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC) }

func endpointKey(id *vrouterv1.EndpointID) ref {
	name := resource.EndpointID{Orchestrator: id.GetOrchestrator(), Workload: id.GetWorkload(), Endpoint: id.GetEndpoint()}.KeyName()
	return ref{resource.KindWorkloadEndpoint, id.GetNamespace(), name}
}

func (f *fake) Register(ctx context.Context, r *vrouterv1.RegisterRequest) (*vrouterv1.RegisterResponse, error) {
	id := r.GetId()
	node := or(r.GetNode(), "host1")
	w := &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{Namespace: proto.String(id.GetNamespace()), Labels: r.GetLabels(), Annotations: r.GetAnnotations()},
		Spec: &vrouterv1.WorkloadEndpointSpec{
			Orchestrator: proto.String(id.GetOrchestrator()), Workload: proto.String(id.GetWorkload()),
			Endpoint: proto.String(id.GetEndpoint()), Node: proto.String(node),
			InterfaceName: proto.String(r.GetInterfaceName()), InterfaceType: proto.String(r.GetInterfaceType()),
			IpNetworks: r.GetIpNetworks(), Profiles: r.GetProfiles(), Mac: proto.String(r.GetMac()),
		},
	}
	resource.Canonicalize(w)
	if _, err := resource.Check(w); err != nil {
		return nil, err
	}
	f.mu.Lock()
	old, exists := f.objects[refOf(w)]
	if holder, address := f.holder(w); holder != "" {
		f.mu.Unlock()
		return nil, status.Errorf(codes.AlreadyExists, "address %s is held by endpoint %s", address, holder)
	}
	next := successor(w, old).(*vrouterv1.WorkloadEndpoint)
	f.store(refOf(w), next)
	next.Status = statusAt(next, f.stage, node)
	stage := f.stage
	f.mu.Unlock()
	if stage < r.GetWait() {
		info := &errdetails.ErrorInfo{Reason: "STAGE", Metadata: map[string]string{"stage": "REGISTERED", "problems": "interface veth9 does not exist"}}
		s, _ := status.New(codes.DeadlineExceeded, "too late").WithDetails(info)
		return nil, s.Err()
	}
	return &vrouterv1.RegisterResponse{Endpoint: next, Stage: stage, Created: !exists}, nil
}

// holder names the other endpoint that has an address of w; f.mu is held.
func (f *fake) holder(w *vrouterv1.WorkloadEndpoint) (name, address string) {
	for key, msg := range f.objects {
		other, ok := msg.(*vrouterv1.WorkloadEndpoint)
		if !ok || key == refOf(w) {
			continue
		}
		for _, a := range other.GetSpec().GetIpNetworks() {
			for _, b := range w.GetSpec().GetIpNetworks() {
				if a == b {
					return resource.EndpointIDOf(other).String(), a
				}
			}
		}
	}
	return "", ""
}

func statusAt(w *vrouterv1.WorkloadEndpoint, stage vrouterv1.Stage, node string) *vrouterv1.WorkloadEndpointStatus {
	s := &vrouterv1.WorkloadEndpointStatus{Node: proto.String(node), Policy: proto.String("none")}
	revision := proto.String(revisionOf(w))
	if stage >= vrouterv1.Stage_STAGE_PROGRAMMED {
		s.ProgrammedRevision = revision
	}
	if stage >= vrouterv1.Stage_STAGE_ADVERTISED {
		s.AdvertisedRevision = revision
	}
	if stage < vrouterv1.Stage_STAGE_PROGRAMMED {
		s.Problems = []string{"interface veth9 does not exist"}
	}
	return s
}

func (f *fake) Unregister(_ context.Context, r *vrouterv1.UnregisterRequest) (*vrouterv1.UnregisterResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.objects[endpointKey(r.GetId())]
	if ok {
		f.remove(endpointKey(r.GetId()))
	}
	return &vrouterv1.UnregisterResponse{Existed: ok}, nil
}

func (f *fake) GetEndpoint(_ context.Context, r *vrouterv1.GetEndpointRequest) (*vrouterv1.GetEndpointResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	msg, ok := f.objects[endpointKey(r.GetId())]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "endpoint %s does not exist", endpointName(r.GetId()))
	}
	w := msg.(*vrouterv1.WorkloadEndpoint)
	return &vrouterv1.GetEndpointResponse{Endpoint: w, Stage: stageOf(w)}, nil
}

func (f *fake) ListEndpoints(_ context.Context, r *vrouterv1.ListEndpointsRequest) (*vrouterv1.ListEndpointsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.sorted(func(key ref, msg proto.Message) bool {
		w, ok := msg.(*vrouterv1.WorkloadEndpoint)
		return ok && (r.GetNamespace() == "" || key.namespace == r.GetNamespace()) &&
			(r.GetNode() == "" || w.GetSpec().GetNode() == r.GetNode())
	})
	page, next := pageOf(all, r.GetPageToken())
	response := &vrouterv1.ListEndpointsResponse{NextPageToken: next, Revision: f.rev}
	for _, msg := range page {
		response.Endpoints = append(response.Endpoints, msg.(*vrouterv1.WorkloadEndpoint))
	}
	return response, nil
}

func (f *fake) WatchEndpoints(r *vrouterv1.WatchEndpointsRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchEndpointsResponse]) error {
	return f.watch(stream.Context(), r.GetAfterRevision(), func(e entry) error {
		if e.key.kind != resource.KindWorkloadEndpoint {
			return nil
		}
		if e.object != nil {
			return stream.Send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Put{Put: e.object.(*vrouterv1.WorkloadEndpoint)}})
		}
		id, err := resource.ParseEndpointKeyName(e.key.namespace, e.key.name)
		if err != nil {
			return err
		}
		return stream.Send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Delete{
			Delete: &vrouterv1.WatchEndpointsResponse_EndpointDeleted{Revision: e.rev, Id: &vrouterv1.EndpointID{
				Namespace: id.Namespace, Orchestrator: id.Orchestrator, Workload: id.Workload, Endpoint: id.Endpoint}}}})
	}, func(revision int64, synced bool) error {
		if synced {
			return stream.Send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Synced{Synced: revision}})
		}
		return stream.Send(&vrouterv1.WatchEndpointsResponse{Event: &vrouterv1.WatchEndpointsResponse_Progress{Progress: revision}})
	})
}

func (f *fake) GetStatus(_ context.Context, r *vrouterv1.GetStatusRequest) (*vrouterv1.GetStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.GetNode() != "" && r.GetNode() != f.status.GetNode() {
		return nil, status.Errorf(codes.NotFound, "node %s does not exist", r.GetNode())
	}
	return f.status, nil
}

func (f *fake) ListRoutes(r *vrouterv1.ListRoutesRequest, stream grpc.ServerStreamingServer[vrouterv1.ListRoutesResponse]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.GetFilter() != nil {
		if r.GetFilter().GetPeer() == "nobody" {
			return &resource.Invalid{Problems: []resource.Problem{{Path: "filter.peer", Reason: `there is no peer "nobody"`}}}
		}
		return stream.Send(&vrouterv1.ListRoutesResponse{Routes: f.chosen(r.GetFilter())})
	}
	for _, route := range f.routes {
		if r.GetPrefix() != "" && r.GetPrefix() != route.GetPrefix() {
			continue
		}
		if err := stream.Send(&vrouterv1.ListRoutesResponse{Routes: []*vrouterv1.Route{route}}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) AdoptCluster(context.Context, *vrouterv1.AdoptClusterRequest) (*vrouterv1.AdoptClusterResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	adopted := !f.status.GetReady()
	f.status = proto.Clone(f.status).(*vrouterv1.GetStatusResponse)
	f.status.Ready = true
	return &vrouterv1.AdoptClusterResponse{ClusterGuid: f.status.GetClusterGuid(), Adopted: adopted}, nil
}

func (f *fake) SetLogLevel(_ context.Context, r *vrouterv1.SetLogLevelRequest) (*vrouterv1.SetLogLevelResponse, error) {
	if s := r.GetSubsystem(); s != "" && s != "bgp" {
		return nil, status.Errorf(codes.InvalidArgument, "subsystem: %q is none of bgp, fib", s)
	}
	return &vrouterv1.SetLogLevelResponse{}, nil
}

// busyNode is the status of a node with sessions of every kind.
func busyNode() *vrouterv1.GetStatusResponse {
	at := func(ago time.Duration) *timestamppb.Timestamp { return timestamppb.New(now().Add(-ago)) }
	return &vrouterv1.GetStatusResponse{
		Node: "host1", Version: "v0.1.0", Started: at(50 * time.Hour), ClusterGuid: "b1a5", StoreRevision: 1234,
		AsNumber: 64512, RouterId: "10.0.0.1", Policy: "none", LocalEndpoints: 12, Role: "agent",
		Conditions: []*vrouterv1.Condition{
			{Name: "store", Ok: true}, {Name: "programmed", Ok: false, Reason: "2 of 14 routes are pending"},
		},
		Detections: []*vrouterv1.AddressDetection{
			{
				Family: "IPv4", Method: "first-found", Address: "10.0.0.1/24", Interface: "eth0",
				Reason: "first address of the default route's interface",
				Candidates: []*vrouterv1.AddressCandidate{
					{Interface: "lo", Address: "10.9.9.9/32", Reason: "interfaces of such a name are left out"},
					{Interface: "eth0", Address: "10.0.0.1/24", Chosen: true, Reason: "first address of the default route's interface"},
				},
			},
			{Family: "IPv6", Method: "first-found", Reason: "no address will do"},
		},
		Peers: []*vrouterv1.Peer{
			{
				Name: "tor1", Address: "10.0.0.254", Type: "node specific", AsNumber: 65001, LocalAsNumber: 64512,
				State: "Established", Since: at(3*time.Hour + 4*time.Minute), Family: "IPv4", RouterId: "10.0.0.254",
				PrefixesReceived: 2000, PrefixesAccepted: 1998, PrefixesAdvertised: 12,
				HoldTime: durationpb.New(90 * time.Second), KeepaliveTime: durationpb.New(30 * time.Second),
				Capabilities: []string{"4-octet-as", "graceful-restart"}, EndOfRib: true,
				Families: []*vrouterv1.PeerFamily{
					{Family: "IPv4", Up: true, EndOfRib: true, Received: 1900, Accepted: 1898, Advertised: 12},
					{Family: "IPv6", Up: true, EndOfRib: true, Received: 100, Accepted: 100},
				},
				Restart:     &vrouterv1.PeerRestart{Negotiated: true, RestartTime: durationpb.New(120 * time.Second)},
				Established: 2, LastUpdate: at(time.Minute), LocalAddress: "10.0.0.1",
				Options: &vrouterv1.PeerOptions{
					Filters: []string{"tor-in", "tor-out"}, AddPathSend: 4, AddPathReceive: true, LongLivedTime: durationpb.New(time.Hour),
				},
				Statistics: &vrouterv1.PeerStatistics{
					In: &vrouterv1.PeerTraffic{Updates: 57, Octets: 81920}, Out: &vrouterv1.PeerTraffic{Updates: 3, Octets: 2100},
					Refused: map[string]int64{"outside the pools": 2}, TreatedAsWithdraw: 1, Walks: 2,
					Members: []*vrouterv1.GroupMember{{Peer: "tor1", Group: 2, Family: "IPv4", LagOctets: 1536}},
				},
			},
			{
				Name: "host2", Address: "10.0.0.2", Type: "node-to-node mesh", AsNumber: 64512, State: "Active",
				Since: at(30 * time.Hour), Family: "IPv4", LastError: "connection refused", Node: "host2",
			},
		},
		Problems: []string{"BGPPeer tor9: shadowed by tor1"},
	}
}

// someRoutes are one route of each kind.
func someRoutes() []*vrouterv1.Route {
	return []*vrouterv1.Route{
		{
			Prefix: "10.65.0.12/32", Source: "workload", NextHops: []*vrouterv1.RouteNextHop{{Interface: "veth12"}},
			Programmed: true, Advertised: true, Endpoint: "default/docker/web-1/eth0", Reason: "local workload",
		},
		{
			Prefix: "10.65.1.0/26", Source: "bgp", Programmed: true, Reason: "learned, 2 equal paths",
			NextHops: []*vrouterv1.RouteNextHop{
				{Gateway: "10.0.0.253", Interface: "eth1"}, {Gateway: "10.0.0.254", Interface: "eth0", Onlink: true},
			},
			Paths: []*vrouterv1.BGPPath{
				{Peer: "tor1", NextHop: "10.0.0.254", AsPath: []uint32{65001, 64513}, LocalPref: 100, Best: true},
				{Peer: "tor2", NextHop: "10.0.0.253", AsPath: []uint32{65001, 64513}, LocalPref: 100, Med: 5, Stale: true, Communities: []string{"65535:0"}},
				{Peer: "rr1", NextHop: "10.0.9.9", OriginatorId: "10.0.9.9", ClusterList: []string{"1.0.0.1"}},
			},
		},
		{Prefix: "10.66.0.1/32", Problem: "slot is held by a route of protocol static", Source: "workload"},
	}
}
