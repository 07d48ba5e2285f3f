package cli

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// watchPeers shows peers, and then those whose state changes.
func (a *app) watchPeers(ctx context.Context, c *client, node string, f format) error {
	wide := f == formatWide
	w := a.eventWriter(f, peerColumns(wide), func(msg proto.Message) [][]cell {
		return [][]cell{a.peerCells(msg.(*vrouterv1.Peer), wide)}
	})
	w.plain = true
	return a.follow(ctx, w, updates(func(ctx context.Context, _ int64) (grpc.ServerStreamingClient[vrouterv1.WatchPeersResponse], error) {
		return c.nodes.WatchPeers(ctx, &vrouterv1.WatchPeersRequest{Node: node})
	}, peerUpdate))
}

func peerUpdate(response *vrouterv1.WatchPeersResponse) (update, error) {
	switch e := response.GetEvent().(type) {
	case *vrouterv1.WatchPeersResponse_Put:
		return update{object: e.Put, key: ref{name: e.Put.GetName()}}, nil
	case *vrouterv1.WatchPeersResponse_Delete:
		return update{key: ref{name: e.Delete}, gone: true}, nil
	case *vrouterv1.WatchPeersResponse_Synced_:
		return update{synced: true}, nil
	}
	return update{}, nil // an event of a newer server
}

// watchRoutes shows routes, and then those that change.
func (a *app) watchRoutes(ctx context.Context, c *client, request *vrouterv1.WatchRoutesRequest, f format) error {
	wide := f == formatWide
	w := a.eventWriter(f, ribColumns(wide), func(msg proto.Message) [][]cell { return ribRows(msg.(*vrouterv1.Route), wide) })
	w.plain = true
	return a.follow(ctx, w, updates(func(ctx context.Context, _ int64) (grpc.ServerStreamingClient[vrouterv1.WatchRoutesResponse], error) {
		return c.nodes.WatchRoutes(ctx, request)
	}, routeUpdate))
}

func routeUpdate(response *vrouterv1.WatchRoutesResponse) (update, error) {
	switch e := response.GetEvent().(type) {
	case *vrouterv1.WatchRoutesResponse_Put:
		return update{object: e.Put, key: ref{name: e.Put.GetPrefix()}}, nil
	case *vrouterv1.WatchRoutesResponse_Delete:
		return update{key: ref{name: e.Delete}, gone: true}, nil
	case *vrouterv1.WatchRoutesResponse_Synced_:
		return update{synced: true}, nil
	case *vrouterv1.WatchRoutesResponse_Reset_:
		return update{reset: true}, nil
	}
	return update{}, nil // an event of a newer server
}

// follow shows all that a source without revisions tells.
func (a *app) follow(ctx context.Context, w *eventWriter, open source) error {
	f := follower{
		app: a, open: open, match: func(proto.Message) bool { return true }, emit: w.emit, flush: w.flush,
	}
	return f.run(ctx)
}
