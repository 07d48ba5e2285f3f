package server

import (
	"context"

	"google.golang.org/grpc"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// GetPolicyState tells what is in force of an endpoint.
func (s *nodes) GetPolicyState(ctx context.Context, req *vrouterv1.GetPolicyStateRequest) (*vrouterv1.GetPolicyStateResponse, error) {
	if (req.GetEndpoint() == nil) == (req.GetHostEndpoint() == "") {
		return nil, invalid("endpoint", "one of endpoint and hostEndpoint is needed")
	}
	if s.own(req.GetNode()) {
		return s.local.PolicyState(ctx, req)
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.GetPolicyStateResponse, error) {
		return c.GetPolicyState(ctx, req)
	})
}

// ListPolicyCounters returns what rules have counted.
func (s *nodes) ListPolicyCounters(ctx context.Context, req *vrouterv1.ListPolicyCountersRequest) (*vrouterv1.ListPolicyCountersResponse, error) {
	if s.own(req.GetNode()) {
		return s.local.PolicyCounters(ctx, req.GetPolicy())
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.ListPolicyCountersResponse, error) {
		return c.ListPolicyCounters(ctx, req)
	})
}

// WatchFlows streams packets that policy denied or logged.
func (s *nodes) WatchFlows(req *vrouterv1.WatchFlowsRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchFlowsResponse]) error {
	if s.own(req.GetNode()) {
		return s.local.WatchFlows(stream.Context(), stream.Send)
	}
	return proxiedStream(s, req.GetNode(), stream,
		func(ctx context.Context, c vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[vrouterv1.WatchFlowsResponse], error) {
			return c.WatchFlows(ctx, req)
		})
}
