package server

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/projectvrouter/vrouter/internal/resource"
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
	policy, err := findPolicy(req.GetPolicy())
	if err != nil {
		return nil, err
	}
	if s.own(req.GetNode()) {
		return s.local.PolicyCounters(ctx, policy)
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.ListPolicyCountersResponse, error) {
		return c.ListPolicyCounters(ctx, req)
	})
}

// findPolicy returns the name that counters have of a policy or profile, which a
// request may name by any word for its kind; empty: all.
func findPolicy(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	word, name, _ := strings.Cut(text, "/")
	kind, _ := resource.ParseKind(word)
	if kind != resource.KindProfile && !slices.Contains(resource.PolicyKinds(), kind) {
		return "", invalid("policy", "%q names no policy and no profile: KIND/NAME, or KIND/NAMESPACE/NAME, is needed", text)
	}
	namespace := ""
	if before, after, ok := strings.Cut(name, "/"); ok {
		namespace, name = before, after
	}
	id, err := findID(string(kind), namespace, name)
	if err != nil {
		return "", err
	}
	return id.String(), nil
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
