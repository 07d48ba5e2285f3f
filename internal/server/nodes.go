package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// nodes is NodeService: what concerns this node is asked of Local, what
// concerns another is passed on to that one.
type nodes struct {
	vrouterv1.UnimplementedNodeServiceServer
	local  Local
	node   string
	store  store.Store
	writer *writer
	certs  *certificates // nil: other nodes cannot be called

	judging chan struct{} // holds one while a cluster is read and resolved
}

// GetStatus returns identity, readiness and peers.
func (s *nodes) GetStatus(ctx context.Context, req *vrouterv1.GetStatusRequest) (*vrouterv1.GetStatusResponse, error) {
	if s.own(req.GetNode()) {
		return s.local.Status(ctx)
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.GetStatusResponse, error) {
		return c.GetStatus(ctx, req)
	})
}

// ListRoutes streams RIB and FIB.
func (s *nodes) ListRoutes(req *vrouterv1.ListRoutesRequest,
	stream grpc.ServerStreamingServer[vrouterv1.ListRoutesResponse]) error {
	var prefix netip.Prefix
	if text := req.GetPrefix(); text != "" {
		var err error
		if prefix, err = parsePrefix(text); err != nil {
			return invalid("prefix", "%v", err)
		}
	}
	filter, err := checkFilter(req.GetFilter())
	switch {
	case err != nil:
		return err
	case req.GetFilter() != nil && req.GetPrefix() != "":
		return invalid("prefix", "with a filter, the prefix stands in it")
	case req.GetFilter() != nil && req.GetSource() != "":
		return invalid("source", "must be empty when a filter is given")
	}
	switch req.GetSource() {
	case "", "workload", "overlay", "bgp", "blackhole":
	default:
		return invalid("source", "%q is none of workload, overlay, bgp, blackhole", req.GetSource())
	}
	if s.own(req.GetNode()) {
		send := func(routes []*vrouterv1.Route) error {
			return stream.Send(&vrouterv1.ListRoutesResponse{Routes: routes})
		}
		if req.GetFilter() != nil {
			return s.local.Paths(stream.Context(), filter, send)
		}
		if req.GetSource() != "" {
			return s.local.KernelRoutes(stream.Context(), req.GetSource(), prefix, send)
		}
		return s.local.Routes(stream.Context(), prefix, send)
	}
	return proxiedStream(s, req.GetNode(), stream,
		func(ctx context.Context, c vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[vrouterv1.ListRoutesResponse], error) {
			return c.ListRoutes(ctx, req)
		})
}

// parsePrefix reads a prefix, or an address as the prefix of itself.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither a prefix nor an address", text)
	}
	return p.Masked(), nil
}

// AdoptCluster accepts a foreign store.
func (s *nodes) AdoptCluster(ctx context.Context, req *vrouterv1.AdoptClusterRequest) (*vrouterv1.AdoptClusterResponse, error) {
	if s.own(req.GetNode()) {
		return s.local.Adopt(ctx)
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.AdoptClusterResponse, error) {
		return c.AdoptCluster(ctx, req)
	})
}

// SetLogLevel changes the level of a subsystem.
func (s *nodes) SetLogLevel(ctx context.Context, req *vrouterv1.SetLogLevelRequest) (*vrouterv1.SetLogLevelResponse, error) {
	if level := hclog.LevelFromString(req.GetLevel()); level == hclog.NoLevel || level == hclog.Off {
		return nil, invalid("level", "%q is none of trace, debug, info, warn, error", req.GetLevel())
	}
	if s.own(req.GetNode()) {
		return &vrouterv1.SetLogLevelResponse{}, s.local.SetLogLevel(req.GetSubsystem(), req.GetLevel())
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.SetLogLevelResponse, error) {
		return c.SetLogLevel(ctx, req)
	})
}

func (s *nodes) own(node string) bool { return node == "" || node == s.node }

// roles returns those under which a daemon publishes that it lives.
func roles() []string { return []string{"agent", "reflector"} }

// live is what a daemon publishes about itself, as far as it matters here.
type live struct {
	APIAddress string `json:"apiAddress"` // host:port; empty: it serves no TCP
}

// apiAddress returns where another node serves its API.
func (s *nodes) apiAddress(ctx context.Context, node string) (string, error) {
	for _, role := range roles() {
		kv, _, err := s.store.Get(ctx, store.LiveKey(role, node))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("look for node %s: %w", node, err)
		}
		var l live
		if err := json.Unmarshal(kv.Value, &l); err != nil {
			return "", fmt.Errorf("look for node %s: %w", node, err)
		}
		if l.APIAddress == "" {
			return "", &stateError{"NO_API_ADDRESS", "node " + node,
				fmt.Sprintf("node %s publishes no API address: ask on that host", node)}
		}
		return l.APIAddress, nil
	}
	return "", &stateError{"NOT_ALIVE", "node " + node, fmt.Sprintf("node %s is not alive", node)}
}
