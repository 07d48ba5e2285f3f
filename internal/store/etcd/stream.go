package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/internal/store"
)

// progressEvery is how often an idle watch asks how far it is, so that the lag
// of its revision can be measured and its position is not compacted away.
const progressEvery = 5 * time.Second

// progressSoon is how soon it asks when changes below one of its prefixes have
// shown that the others are behind.
const progressSoon = 100 * time.Millisecond

// createTimeout bounds the wait for a stream's watches to be confirmed.
const createTimeout = 10 * time.Second

// stream opens one gRPC stream with a watch for each prefix and feeds what
// comes, until it breaks. It always returns an error.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	cli, err := w.store.conn.get(ctx)
	if err != nil {
		return w.broken(ctx, err)
	}
	w.store.stats.streams.Add(1)
	stream, err := cli.watches.Watch(ctx)
	if err != nil {
		return w.broken(ctx, err)
	}
	// Room for every confirmation: the requests below must not wait for somebody
	// to take the answers.
	responses := make(chan *pb.WatchResponse, len(w.opts.Prefixes))
	ended := make(chan error, 1)
	go func() {
		for {
			resp, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case responses <- resp:
			case <-ctx.Done():
				return
			}
		}
	}()
	for i, prefix := range w.opts.Prefixes {
		if err := stream.Send(w.create(i, w.store.key(prefix))); err != nil {
			return w.broken(ctx, err)
		}
	}
	return w.receive(ctx, stream, responses, ended)
}

// create asks for one prefix. Ids are places among the prefixes, from one,
// because zero lets the server choose.
func (w *watch) create(i int, prefix string) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key:           []byte(prefix),
		RangeEnd:      []byte(clientv3.GetPrefixRangeEnd(prefix)),
		StartRevision: w.next[i],
		WatchId:       int64(i + 1),
	}}}
}

func (w *watch) receive(ctx context.Context, stream pb.Watch_WatchClient, responses <-chan *pb.WatchResponse, ended <-chan error) error {
	ask := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	timer := time.NewTimer(createTimeout)
	defer timer.Stop()
	created, soon := 0, false
	for {
		select {
		case err := <-ended:
			return w.broken(ctx, err)
		case <-timer.C:
			if created < len(w.opts.Prefixes) {
				return w.broken(ctx, errors.New("watch was not confirmed in time"))
			}
			if w.trusted {
				if err := stream.Send(ask); err != nil {
					return w.broken(ctx, err)
				}
			}
			timer.Reset(progressEvery)
			soon = false
		case resp := <-responses:
			if err := w.accept(ctx, resp); err != nil {
				return err
			}
			if resp.Created {
				w.store.conn.watch.works()
				if created++; created == len(w.opts.Prefixes) {
					w.running = true
					timer.Reset(progressEvery)
				}
			}
			if uneven := slices.Min(w.next) != slices.Max(w.next); uneven && !soon && created == len(w.opts.Prefixes) {
				timer.Reset(progressSoon)
				soon = true
			}
		}
	}
}

// accept feeds one response.
func (w *watch) accept(ctx context.Context, resp *pb.WatchResponse) error {
	if resp.Canceled {
		return w.cancelled(ctx, resp)
	}
	if resp.Created {
		// A follower may be behind what the watch has told, and catch up; a
		// store that went back in time will not. A linearizable read decides,
		// because the watch itself would be silent.
		if resp.Header.Revision >= w.Revision() {
			return nil
		}
		if err := w.judge(ctx); err != nil || w.next != nil {
			return err
		}
		return errors.New("another etcd cluster answers")
	}
	w.store.stats.events.Add(uint64(len(resp.Events)))
	events := make([]store.Event, len(resp.Events))
	for i, e := range resp.Events {
		events[i] = w.store.event(e)
	}
	switch i := int(resp.WatchId) - 1; {
	case len(events) > 0 && i >= 0 && i < len(w.next):
		w.next[i] = events[len(events)-1].KV.ModRevision + 1
	case len(events) == 0 && resp.WatchId == clientv3.InvalidWatchID && w.trusted:
		for i := range w.next { // progress of all of them
			w.next[i] = max(w.next[i], resp.Header.Revision+1)
		}
	}
	w.Apply(events, slices.Min(w.next)-1)
	return nil
}

// cancelled says why the server ended a watch.
func (w *watch) cancelled(ctx context.Context, resp *pb.WatchResponse) error {
	if resp.CompactRevision != 0 {
		return fmt.Errorf("history up to revision %d: %w", resp.CompactRevision, store.ErrCompacted)
	}
	for _, known := range []error{
		rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCUserEmpty, rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCNoLeader,
	} {
		// The reason is text: with or without the gRPC code, by version.
		if resp.CancelReason == known.Error() || resp.CancelReason == rpctypes.ErrorDesc(known) {
			return w.broken(ctx, known)
		}
	}
	return w.broken(ctx, fmt.Errorf("watch cancelled by the server: %q", resp.CancelReason))
}

// broken gives the end of a stream the kind that it has in the port.
func (w *watch) broken(ctx context.Context, err error) error {
	var server rpctypes.EtcdError
	if errors.As(rpctypes.Error(err), &server) && server.Code() == codes.Unauthenticated {
		err = fmt.Errorf("token expired: %w", err) // the next stream logs in again
	}
	return translate(ctx, err, w.store.conn.watch.err())
}
