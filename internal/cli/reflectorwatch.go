package cli

import (
	"context"

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
	return a.follow(ctx, w, func(ctx context.Context, _ int64) (func() (update, error), error) {
		stream, err := c.nodes.WatchPeers(ctx, &vrouterv1.WatchPeersRequest{Node: node})
		if err != nil {
			return nil, err
		}
		return func() (update, error) {
			m, err := stream.Recv()
			if err != nil {
				return update{}, err
			}
			switch e := m.GetEvent().(type) {
			case *vrouterv1.WatchPeersResponse_Put:
				return update{object: e.Put, key: ref{name: e.Put.GetName()}}, nil
			case *vrouterv1.WatchPeersResponse_Delete:
				return update{key: ref{name: e.Delete}, gone: true}, nil
			case *vrouterv1.WatchPeersResponse_Synced_:
				return update{synced: true}, nil
			}
			return update{}, nil // an event of a newer server
		}, nil
	})
}

// watchRoutes shows routes, and then those that change.
func (a *app) watchRoutes(ctx context.Context, c *client, request *vrouterv1.WatchRoutesRequest, f format) error {
	wide := f == formatWide
	w := a.eventWriter(f, ribColumns(wide), func(msg proto.Message) [][]cell { return ribRows(msg.(*vrouterv1.Route), wide) })
	w.plain = true
	return a.follow(ctx, w, func(ctx context.Context, _ int64) (func() (update, error), error) {
		stream, err := c.nodes.WatchRoutes(ctx, request)
		if err != nil {
			return nil, err
		}
		return func() (update, error) {
			m, err := stream.Recv()
			if err != nil {
				return update{}, err
			}
			switch e := m.GetEvent().(type) {
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
		}, nil
	})
}

// follow shows all that a source without revisions tells.
func (a *app) follow(ctx context.Context, w *eventWriter, open source) error {
	f := follower{
		app: a, open: open, match: func(proto.Message) bool { return true }, emit: w.emit, flush: w.flush,
	}
	return f.run(ctx)
}
