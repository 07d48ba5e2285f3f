package cli

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) endpointWatchCommand() *cobra.Command {
	var s endpointScope
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show endpoints and every change of them and of their stage, until interrupted",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.endpointWatch(cmd.Context(), &s)
		},
	}
	s.bind(c, "endpoints")
	return c
}

func (a *app) endpointWatch(ctx context.Context, s *endpointScope) error {
	f, wanted, err := s.check()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	wide := f == formatWide
	w := a.eventWriter(f, endpointColumns(wide), func(msg proto.Message) [][]cell {
		return [][]cell{endpointRow(msg.(*vrouterv1.WorkloadEndpoint), wide)}
	})
	follow := follower{
		app:  a,
		open: openEndpoints(c, s),
		match: func(msg proto.Message) bool {
			spec := msg.(*vrouterv1.WorkloadEndpoint).GetSpec()
			return (s.node == "" || spec.GetNode() == s.node) && wanted.Matches(resource.MetadataOf(msg).GetLabels())
		},
		emit:  w.emit,
		flush: w.flush,
	}
	return follow.run(ctx)
}

// openEndpoints opens streams of EndpointService.WatchEndpoints.
func openEndpoints(c *client, s *endpointScope) source {
	return updates(func(ctx context.Context, after int64) (grpc.ServerStreamingClient[vrouterv1.WatchEndpointsResponse], error) {
		return c.endpoints.WatchEndpoints(ctx, &vrouterv1.WatchEndpointsRequest{
			Namespace: s.namespace, Node: s.node, AfterRevision: after, WithStatus: true,
		})
	}, endpointUpdate)
}

func endpointUpdate(response *vrouterv1.WatchEndpointsResponse) (update, error) {
	switch event := response.GetEvent().(type) {
	case *vrouterv1.WatchEndpointsResponse_Put:
		return update{object: event.Put, key: refOf(event.Put)}, nil
	case *vrouterv1.WatchEndpointsResponse_Delete:
		id := event.Delete.GetId()
		name := resource.EndpointID{Orchestrator: id.GetOrchestrator(), Workload: id.GetWorkload(), Endpoint: id.GetEndpoint()}.KeyName()
		return update{
			key:  ref{resource.KindWorkloadEndpoint, id.GetNamespace(), name},
			gone: true,
		}, nil
	case *vrouterv1.WatchEndpointsResponse_Synced:
		return update{synced: true, revision: event.Synced}, nil
	case *vrouterv1.WatchEndpointsResponse_Progress:
		return update{revision: event.Progress}, nil
	}
	return update{}, nil // an event of a newer server
}
