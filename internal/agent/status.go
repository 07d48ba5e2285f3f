package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Limits on how fast a host writes statuses, so that a thousand hosts that
// start together do not drown the store in them.
const (
	statusPerObject = time.Second // least time between two writes of one status
	statusPerHost   = 50          // writes a second
	statusPause     = time.Second / statusPerHost
)

// status is the edge stages → store. Each status has one writer, the host that
// the endpoint lives on, and is written only when it changes.
type status struct {
	node   string
	store  store.Store
	stages *stages
	log    hclog.Logger

	// The rest belongs to Run.
	waiting map[resource.EndpointID]struct{}
	written map[resource.EndpointID]writtenStatus
}

type writtenStatus struct {
	at   time.Time
	text string // the status as stored
}

func newStatus(node string, s store.Store, st *stages, log hclog.Logger) *status {
	return &status{
		node: node, store: s, stages: st, log: log,
		waiting: make(map[resource.EndpointID]struct{}),
		written: make(map[resource.EndpointID]writtenStatus),
	}
}

// Run publishes statuses until ctx ends.
func (s *status) Run(ctx context.Context) error {
	for {
		pause, idle := s.round(ctx)
		if idle {
			select {
			case <-ctx.Done():
				return nil
			case <-s.stages.changed:
			}
		} else if !sleep(ctx, pause) {
			return nil
		}
		for id, p := range s.stages.drain() {
			s.waiting[id] = struct{}{}
			if p == nil {
				delete(s.waiting, id)
				delete(s.written, id)
			}
		}
	}
}

// round writes what is due, and returns how long to wait for the rest.
func (s *status) round(ctx context.Context) (pause time.Duration, idle bool) {
	if len(s.waiting) == 0 {
		return 0, true
	}
	pause = statusPerObject
	for id := range s.waiting {
		if due := statusPerObject - time.Since(s.written[id].at); due > 0 {
			pause = min(pause, due)
			continue
		}
		if err := s.publish(ctx, id); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("status was not published", "endpoint", id.String(), "error", err)
			}
			return longPause, false
		}
		delete(s.waiting, id)
		if !sleep(ctx, statusPause) {
			return 0, false
		}
	}
	return pause, false
}

// publish writes one status, together with the proof that the spec it holds
// for is still the one stored: so a status never outlives its endpoint, and
// never overwrites that of the endpoint's next host.
func (s *status) publish(ctx context.Context, id resource.EndpointID) error {
	p, ok := s.stages.get(id)
	if !ok {
		return nil
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.message(p))
	if err != nil {
		return fmt.Errorf("encode status of %s: %w", id, err)
	}
	name := id.KeyName()
	key := store.StatusKey(string(resource.KindWorkloadEndpoint), id.Namespace, name)
	last, seen := s.written[id]
	if !seen {
		// After a restart the status often stands already.
		kv, _, err := s.store.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		last.text = string(kv.Value)
	}
	if last.text != string(text) {
		spec := store.ResourceKey(string(resource.KindWorkloadEndpoint), id.Namespace, name)
		_, err = s.store.Txn(ctx,
			[]store.Compare{{Key: spec, ModRevision: p.Revision}},
			[]store.Op{{Key: key, Value: text}})
		if errors.Is(err, store.ErrConflict) {
			return nil // another spec is stored: its own status will follow
		}
		if err != nil {
			return err
		}
	}
	s.written[id] = writtenStatus{at: time.Now(), text: string(text)}
	return nil
}

func (s *status) message(p Progress) *vrouterv1.WorkloadEndpointStatus {
	m := &vrouterv1.WorkloadEndpointStatus{
		Node:     proto.String(s.node),
		Policy:   proto.String(policyNone),
		Problems: p.Problems,
	}
	revision := strconv.FormatInt(p.Revision, 10)
	if p.Programmed {
		m.ProgrammedRevision = proto.String(revision)
		if p.Advertised {
			m.AdvertisedRevision = proto.String(revision)
		}
	}
	return m
}

// policyNone is what statuses say while nothing enforces policy.
const policyNone = "none"
