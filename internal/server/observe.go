package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// WatchPeers streams the state of peers.
func (s *nodes) WatchPeers(req *vrouterv1.WatchPeersRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchPeersResponse]) error {
	if s.own(req.GetNode()) {
		return s.local.WatchPeers(stream.Context(), stream.Send)
	}
	return proxiedStream(s, req.GetNode(), stream,
		func(ctx context.Context, c vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[vrouterv1.WatchPeersResponse], error) {
			return c.WatchPeers(ctx, req)
		})
}

// WatchRoutes streams what BGP knows.
func (s *nodes) WatchRoutes(req *vrouterv1.WatchRoutesRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchRoutesResponse]) error {
	filter, err := checkFilter(req.GetFilter())
	if err != nil {
		return err
	}
	if s.own(req.GetNode()) {
		return s.local.WatchRoutes(stream.Context(), filter, stream.Send)
	}
	return proxiedStream(s, req.GetNode(), stream,
		func(ctx context.Context, c vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[vrouterv1.WatchRoutesResponse], error) {
			return c.WatchRoutes(ctx, req)
		})
}

// GetReflector returns what the speaker is doing.
func (s *nodes) GetReflector(ctx context.Context, req *vrouterv1.GetReflectorRequest) (*vrouterv1.GetReflectorResponse, error) {
	if s.own(req.GetNode()) {
		return s.local.Reflector(ctx)
	}
	return proxied(ctx, s, req.GetNode(), func(ctx context.Context, c vrouterv1.NodeServiceClient) (*vrouterv1.GetReflectorResponse, error) {
		return c.GetReflector(ctx, req)
	})
}

// dumpPortion is how many octets of a dump go into a message: far below the
// limit of 4 MiB.
const dumpPortion = 64 << 10

// DumpRoutes streams the table as MRT.
func (s *nodes) DumpRoutes(req *vrouterv1.DumpRoutesRequest, stream grpc.ServerStreamingServer[vrouterv1.DumpRoutesResponse]) error {
	if s.own(req.GetNode()) {
		w := &dumpWriter{send: stream.Send}
		if err := s.local.Dump(stream.Context(), w); err != nil {
			return err
		}
		return w.flush()
	}
	return proxiedStream(s, req.GetNode(), stream,
		func(ctx context.Context, c vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[vrouterv1.DumpRoutesResponse], error) {
			return c.DumpRoutes(ctx, req)
		})
}

// dumpWriter sends what is written to it in portions.
type dumpWriter struct {
	send func(*vrouterv1.DumpRoutesResponse) error
	buf  []byte
}

func (w *dumpWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if len(w.buf) < dumpPortion {
		return len(b), nil
	}
	return len(b), w.flush()
}

func (w *dumpWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.send(&vrouterv1.DumpRoutesResponse{Data: w.buf})
	w.buf = nil // the message may still be under way
	return err
}

// proxiedStream passes a stream of another node on.
func proxiedStream[M any](s *nodes, node string, to grpc.ServerStreamingServer[M],
	open func(context.Context, vrouterv1.NodeServiceClient) (grpc.ServerStreamingClient[M], error)) error {
	_, err := proxied(to.Context(), s, node, func(ctx context.Context, c vrouterv1.NodeServiceClient) (struct{}, error) {
		from, err := open(ctx, c)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, forward(from, to)
	})
	return err
}

// checkFilter returns f, never nil, with its prefix masked.
func checkFilter(f *vrouterv1.RouteFilter) (*vrouterv1.RouteFilter, error) {
	if f == nil {
		return &vrouterv1.RouteFilter{}, nil
	}
	f = proto.CloneOf(f)
	if f.GetPrefix() != "" {
		prefix, err := parsePrefix(f.GetPrefix())
		if err != nil {
			return nil, invalid("filter.prefix", "%v", err)
		}
		f.Prefix = prefix.String()
	}
	switch f.GetFamily() {
	case "", "IPv4", "IPv6":
	default:
		return nil, invalid("filter.family", "%q is neither IPv4 nor IPv6", f.GetFamily())
	}
	if f.GetBest() && f.GetRefused() {
		return nil, invalid("filter.refused", "no path is both best and refused")
	}
	return f, nil
}
