package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// nodeStatus is the edge retirement ↔ store: it writes the status of our Node,
// when it changes, and reads those of others while sessions retire, and only
// then. In a fabric at rest nobody writes or watches any.
type nodeStatus struct {
	node       string
	store      store.Store
	feed       *feed
	retirement *retirement
	log        hclog.Logger
}

// Publish writes what our Node says, while the store is ours. What an earlier
// run said is taken back first: it holds no longer.
func (s *nodeStatus) Publish(ctx context.Context) error {
	for {
		turned := s.feed.Turned()
		if _, ok := s.feed.Ours(ctx); !ok {
			return nil
		}
		if err := s.write(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.log.Warn("status of the node was not written", "retry_in", longPause, "error", err)
			if !sleep(ctx, longPause) {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turned:
		case <-s.retirement.publish:
			// What comes together is written together, and once a second at most.
			if !sleep(ctx, statusSettle) {
				return nil
			}
			if err := s.write(ctx); err != nil {
				signal(s.retirement.publish)
			}
			if !sleep(ctx, statusPerObject) {
				return nil
			}
		}
	}
}

// write puts our part into the status, and leaves what others put there.
func (s *nodeStatus) write(ctx context.Context) error {
	key := store.StatusKey(string(resource.KindNode), "", s.node)
	for {
		kv, _, err := s.store.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		status := new(vrouterv1.NodeStatus)
		if err := proto.Unmarshal(kv.Value, status); err != nil {
			s.log.Warn("stored status of the node cannot be read", "node", s.node, "error", err)
			status = new(vrouterv1.NodeStatus)
		}
		status.ReleasedSessions = s.retirement.Released()
		value, err := proto.MarshalOptions{Deterministic: true}.Marshal(status)
		if err != nil {
			return fmt.Errorf("encode status of node %s: %w", s.node, err)
		}
		if string(value) == string(kv.Value) {
			return nil
		}
		_, err = s.store.Txn(ctx, []store.Compare{{Key: key, ModRevision: kv.ModRevision}}, []store.Op{{Key: key, Value: value}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Follow reads what other nodes say while sessions retire.
func (s *nodeStatus) Follow(ctx context.Context) error {
	for {
		active, turned := s.retirement.Active()
		if !active {
			if !wait(ctx, turned) {
				return nil
			}
			continue
		}
		guid, ok := s.feed.Ours(ctx)
		if !ok {
			return nil
		}
		until, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			wait(until, turned)
		}()
		err := s.watch(until, guid)
		over := until.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if !over {
			s.log.Warn("status of other nodes is not known", "retry_in", firstPause, "error", err)
			if !sleep(ctx, firstPause) {
				return nil
			}
		}
	}
}

// watch reads until it fails or ctx ends.
func (s *nodeStatus) watch(ctx context.Context, guid string) error {
	prefix := store.StatusKey(string(resource.KindNode), "", "")
	watch := s.store.Watch(ctx, store.WatchOptions{Prefixes: []string{prefix}, GUID: guid})
	defer watch.Close()
	for {
		batch, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		for _, e := range batch.Events {
			_, _, name, err := store.ParseResourceKey(e.KV.Key)
			if err != nil || name == s.node {
				continue
			}
			status := new(vrouterv1.NodeStatus)
			if err := proto.Unmarshal(e.KV.Value, status); err != nil {
				s.log.Warn("status of a node cannot be read", "node", name, "error", err)
			}
			s.retirement.Tell(name, status.GetReleasedSessions())
		}
	}
}
