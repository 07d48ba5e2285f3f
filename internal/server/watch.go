package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// follow hands the batches of a watch to each, until it fails or ctx ends. A
// reader that is slow to take what each sends holds up nothing: the watch then
// tells the newest state of each key.
func follow(ctx context.Context, s store.Store, opts store.WatchOptions, each func(store.Batch) error) error {
	w := s.Watch(ctx, opts)
	defer w.Close()
	for {
		b, err := w.Next(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("watch: %w", context.Cause(ctx))
		}
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if err := each(b); err != nil {
			return err
		}
	}
}

// pace says what a stream has to be told beside the events.
type pace struct {
	synced bool  // the reader knows that it is in sync
	told   int64 // the revision that the reader knows
}

// newPace is that of a stream that begins after a revision, or with a snapshot.
func newPace(after int64) *pace { return &pace{synced: after != 0, told: after} }

// next returns what is due after the events of a batch: synced, or progress,
// or neither. Progress is told after events, too: their own revisions are not
// what a reader may resume from, because a batch can hold newer events than
// some that are still to come.
func (p *pace) next(b store.Batch) (synced, progress bool) {
	was := *p
	p.synced = b.Synced
	if !b.Synced {
		return false, false
	}
	p.told = b.Revision
	if !was.synced {
		return true, false
	}
	return false, b.Revision > was.told
}

// Watch streams a snapshot, then the changes.
func (s *resources) Watch(req *vrouterv1.WatchRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchResponse]) error {
	opts, err := watchOptions(req)
	if err != nil {
		return err
	}
	// Whoever waits for headers learns that the watch stands, be it silent.
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for _, e := range builtInEvents(req) {
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	p := newPace(req.GetAfterRevision())
	return follow(stream.Context(), s.reader.store, opts, func(b store.Batch) error {
		for _, e := range b.Events {
			resp := s.event(e)
			if resp == nil {
				continue
			}
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		resp := &vrouterv1.WatchResponse{}
		switch synced, progress := p.next(b); {
		case synced:
			resp.Event = &vrouterv1.WatchResponse_Synced_{Synced: &vrouterv1.WatchResponse_Synced{Revision: b.Revision}}
		case progress:
			resp.Event = &vrouterv1.WatchResponse_Progress_{
				Progress: &vrouterv1.WatchResponse_Progress{Revision: b.Revision}}
		default:
			return nil
		}
		return stream.Send(resp)
	})
}

// watchOptions reads what to watch out of a request.
func watchOptions(req *vrouterv1.WatchRequest) (store.WatchOptions, error) {
	opts := store.WatchOptions{After: req.GetAfterRevision()}
	if opts.After < 0 {
		return opts, invalid("afterRevision", "must not be negative")
	}
	seen := make(map[resource.Kind]bool)
	for i, text := range req.GetKinds() {
		kind, err := parseKind(fmt.Sprintf("kinds[%d]", i), text, req.GetNamespace())
		if err != nil {
			return opts, err
		}
		if !seen[kind] {
			opts.Prefixes = append(opts.Prefixes, rangeOf(kind, req.GetNamespace()))
		}
		seen[kind] = true
	}
	switch {
	case len(seen) > 0:
	case req.GetNamespace() == "":
		opts.Prefixes = []string{store.ResourcePrefix}
	default:
		for _, kind := range resource.Kinds() {
			if resource.Namespaced(kind) {
				opts.Prefixes = append(opts.Prefixes, rangeOf(kind, req.GetNamespace()))
			}
		}
	}
	return opts, nil
}

// event renders an event; nil for a key that this version cannot show, such as
// one of a newer version's kind.
func (s *resources) event(e store.Event) *vrouterv1.WatchResponse {
	id, err := parseID(e.KV.Key)
	if _, ok := resource.New(id.Kind); err != nil || !ok {
		s.reader.log.Debug("key of no known kind passed over", "key", e.KV.Key)
		return nil
	}
	if e.Type == store.Delete {
		return &vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Delete{Delete: &vrouterv1.WatchResponse_Deleted{
			Kind: string(id.Kind), Namespace: id.Namespace, Name: id.Name, Revision: e.KV.ModRevision,
		}}}
	}
	object := show(s.reader.decode(id, e.KV))
	return &vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Put{Put: object}}
}
