package cli

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// chosen are the routes of the fake with the paths that a filter chooses; f.mu
// is held.
func (f *fake) chosen(filter *vrouterv1.RouteFilter) []*vrouterv1.Route {
	var routes []*vrouterv1.Route
	for _, r := range f.rib {
		if filter.GetPrefix() != "" && filter.GetPrefix() != r.GetPrefix() {
			continue
		}
		r = proto.CloneOf(r)
		all := r.GetPaths()
		r.Paths = nil
		for _, p := range all {
			if (!filter.GetBest() || p.GetBest()) && (!filter.GetRefused() || p.GetRefused() != "") {
				r.Paths = append(r.Paths, p)
			}
		}
		if len(r.GetPaths()) > 0 || r.GetOriginated() && !filter.GetRefused() {
			routes = append(routes, r)
		}
	}
	return routes
}

func (f *fake) GetReflector(_ context.Context, r *vrouterv1.GetReflectorRequest) (*vrouterv1.GetReflectorResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.GetNode() != "" && r.GetNode() != f.groups.GetNode() {
		return nil, status.Errorf(codes.NotFound, "node %s does not exist", r.GetNode())
	}
	return f.groups, nil
}

func (f *fake) DumpRoutes(_ *vrouterv1.DumpRoutesRequest, stream grpc.ServerStreamingServer[vrouterv1.DumpRoutesResponse]) error {
	for _, part := range []string{"first part, ", "second part\n"} {
		if err := stream.Send(&vrouterv1.DumpRoutesResponse{Data: []byte(part)}); err != nil {
			return err
		}
	}
	return nil
}

// WatchPeers tells the peers each time that something changes.
func (f *fake) WatchPeers(_ *vrouterv1.WatchPeersRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchPeersResponse]) error {
	return f.each(stream.Context(), func(first bool) error {
		f.mu.Lock()
		peers := f.status.GetPeers()
		f.mu.Unlock()
		for _, p := range peers {
			if err := stream.Send(&vrouterv1.WatchPeersResponse{Event: &vrouterv1.WatchPeersResponse_Put{Put: p}}); err != nil {
				return err
			}
		}
		if !first {
			return nil
		}
		return stream.Send(&vrouterv1.WatchPeersResponse{Event: &vrouterv1.WatchPeersResponse_Synced_{}})
	})
}

// WatchRoutes tells all routes anew each time that something changes.
func (f *fake) WatchRoutes(r *vrouterv1.WatchRoutesRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchRoutesResponse]) error {
	return f.each(stream.Context(), func(first bool) error {
		f.mu.Lock()
		routes := f.chosen(r.GetFilter())
		f.mu.Unlock()
		if !first {
			if err := stream.Send(&vrouterv1.WatchRoutesResponse{Event: &vrouterv1.WatchRoutesResponse_Reset_{}}); err != nil {
				return err
			}
		}
		for _, route := range routes {
			if err := stream.Send(&vrouterv1.WatchRoutesResponse{Event: &vrouterv1.WatchRoutesResponse_Put{Put: route}}); err != nil {
				return err
			}
		}
		return stream.Send(&vrouterv1.WatchRoutesResponse{Event: &vrouterv1.WatchRoutesResponse_Synced_{}})
	})
}

// each calls tell now and after each change, until ctx ends. What changes while
// it tells is told after that.
func (f *fake) each(ctx context.Context, tell func(first bool) error) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock() // so that it cannot come between a look and a wait
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for first := true; ctx.Err() == nil; first = false {
		rev := f.rev
		f.mu.Unlock()
		err := tell(first)
		f.mu.Lock()
		if err != nil {
			return err
		}
		for f.rev == rev && ctx.Err() == nil {
			f.changed.Wait()
		}
	}
	return ctx.Err()
}

// change changes what the fake tells, and wakes the watches.
func (f *fake) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	f.rev++
	f.changed.Broadcast()
}

// ribRoutes are a prefix of each kind.
func ribRoutes() []*vrouterv1.Route {
	return []*vrouterv1.Route{
		{Prefix: "10.65.0.12/32", Originated: true, Advertised: true},
		{Prefix: "10.66.0.1/32", Originated: true, Reason: "outside the pools"},
		{Prefix: "10.65.1.7/32", Paths: []*vrouterv1.BGPPath{
			{Peer: "10.0.0.2", PeerName: "mesh/host2/ipv4", NextHop: "10.0.0.2", LocalPref: 100, Best: true, Origin: "incomplete"},
			{Peer: "10.0.0.3", PeerName: "mesh/host3/ipv4", NextHop: "10.0.0.3", LocalPref: 100, Origin: "IGP", PathId: 7,
				Refused: "its origin is another node", OriginatorId: "10.0.0.3", ClusterList: []string{"1.0.0.1"}},
		}},
		{Prefix: "10.65.2.0/26", Paths: []*vrouterv1.BGPPath{
			{Peer: "10.0.0.254", PeerName: "tor1", NextHop: "10.0.0.254", AsPath: []uint32{65001, 64513}, LocalPref: 100, Best: true, Stale: true,
				Communities: []string{"65535:0"}, Med: 5, Origin: "IGP"},
		}},
	}
}

// busyReflector is a reflector with a slow client.
func busyReflector() *vrouterv1.GetReflectorResponse {
	return &vrouterv1.GetReflectorResponse{
		Node: "rr1", Role: "reflector", Started: timestamppb.New(now().Add(-50 * time.Hour)), AsNumber: 64512,
		RouterId: "10.0.9.1", ClusterId: "1.0.0.1", Peers: 4, Established: 3, Clients: 3,
		Table: &vrouterv1.RouteTable{Routes: 100000, Paths: 200000, Own: 0, AttributeSets: 203, Octets: 33 << 20},
		Groups: []*vrouterv1.UpdateGroup{
			{
				Id: 1, Family: "IPv4", Kind: "client", LocalAsNumber: 64512, NextHop: "10.0.9.1", ClusterId: "1.0.0.1", Routes: 100000, Walks: 3,
				LogEntries: 12, LogOctets: 700 << 10, Messages: 5021, Octets: 20 << 20, StateOctets: 2400000,
				Members: []*vrouterv1.GroupMember{
					{Peer: "peer/host1", Address: "10.0.0.1", Group: 1, Family: "IPv4"},
					{Peer: "peer/host2", Address: "10.0.0.2", Group: 1, Family: "IPv4", LagEntries: 3, LagOctets: 180000},
					{Peer: "peer/host3", Address: "10.0.0.3", Group: 1, Family: "IPv4", Walking: true, Walked: 40960},
				},
			},
			{Id: 2, Family: "IPv6", Kind: "external", Members: []*vrouterv1.GroupMember{{Peer: "tor1", Address: "fd00::fe", Group: 2, Family: "IPv6", Waiting: true}}},
		},
		Placements: []*vrouterv1.ReflectorPlacement{
			{Group: "row-a", Members: []string{"rr1", "rr2"}, Hosts: 40, Member: true},
			{Group: "row-b", Members: []string{"rr3", "rr4"}, Hosts: 38},
		},
		Stations: []*vrouterv1.MonitoringStation{
			{Address: "10.0.8.1:11019", Connected: true, Since: timestamppb.New(now().Add(-time.Hour)), Messages: 201000, Octets: 30 << 20, Connections: 1},
			{Address: "10.0.8.2:11019", Since: timestamppb.New(now().Add(-time.Minute)), Connections: 4, LastError: "it was too slow"},
		},
	}
}
