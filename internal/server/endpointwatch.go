package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// WatchEndpoints streams a snapshot, then the changes.
func (s *endpoints) WatchEndpoints(req *vrouterv1.WatchEndpointsRequest,
	stream grpc.ServerStreamingServer[vrouterv1.WatchEndpointsResponse]) error {
	if req.GetAfterRevision() < 0 {
		return invalid("afterRevision", "must not be negative")
	}
	specs := rangeOf(resource.KindWorkloadEndpoint, req.GetNamespace())
	opts := store.WatchOptions{After: req.GetAfterRevision(), Prefixes: []string{specs}}
	if req.GetWithStatus() {
		opts.Prefixes = append(opts.Prefixes, toStatus(specs))
	}
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	j := &joined{
		reader:     s.reader,
		node:       req.GetNode(),
		withStatus: req.GetWithStatus(),
		resumed:    opts.After != 0,
		send:       stream.Send,
		pairs:      make(map[string]*pair),
	}
	p := newPace(opts.After)
	return follow(stream.Context(), s.reader.store, opts, func(b store.Batch) error {
		synced, progress := p.next(b)
		j.add(b.Events)
		if !b.Synced && j.withStatus {
			return nil // the status may be in a later batch: each endpoint is told once
		}
		if err := j.flush(stream.Context()); err != nil {
			return err
		}
		switch {
		case synced:
			return stream.Send(&vrouterv1.WatchEndpointsResponse{
				Event: &vrouterv1.WatchEndpointsResponse_Synced{Synced: b.Revision}})
		case progress:
			return stream.Send(&vrouterv1.WatchEndpointsResponse{
				Event: &vrouterv1.WatchEndpointsResponse_Progress{Progress: b.Revision}})
		}
		return nil
	})
}
