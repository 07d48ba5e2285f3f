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
	// statusSettle lets a change come to rest before it is published: a route is
	// in the kernel within milliseconds, and who waits for it on the status
	// would otherwise wait for the endpoint's next second.
	statusSettle = 20 * time.Millisecond
)

// status is the edge stages → store. Each status has one writer, the host that
// the endpoint lives on, and is written only when it changes.
type status struct {
	node   string
	policy string // what enforces it
	store  store.Store
	feed   *feed
	stages *stages
	log    hclog.Logger

	// The rest belongs to Run.
	queue   []resource.EndpointID             // to be written, first come first served
	queued  map[resource.EndpointID]struct{}  // those in queue
	later   map[resource.EndpointID]time.Time // to be queued then
	written map[resource.EndpointID]writtenStatus
	to      storeIdentity // of the store that written was written to
}

type writtenStatus struct {
	at   time.Time
	text string // the status as stored
}

type storeIdentity struct {
	guid  string
	epoch uint64
}

func newStatus(node, policy string, s store.Store, f *feed, st *stages, log hclog.Logger) *status {
	return &status{
		node: node, policy: policy, store: s, feed: f, stages: st, log: log,
		queued:  make(map[resource.EndpointID]struct{}),
		later:   make(map[resource.EndpointID]time.Time),
		written: make(map[resource.EndpointID]writtenStatus),
	}
}

// Run publishes statuses until ctx ends, while the store is ours.
func (s *status) Run(ctx context.Context) error {
	for {
		turned := s.feed.Turned() // first: what turns from here on is noticed
		if _, ok := s.feed.Ours(ctx); !ok {
			return nil
		}
		s.take()
		pause := s.due()
		if len(s.queue) == 0 {
			if !s.await(ctx, turned, pause) {
				return nil
			}
			continue
		}
		if !s.next(ctx) {
			return nil
		}
	}
}

// take queues what has changed, now or when the endpoint's second is over.
func (s *status) take() {
	var to storeIdentity
	if to.guid, to.epoch = s.feed.Identity(); to != s.to { // what stands there is not known
		s.to = to
		clear(s.written)
		s.stages.touchAll()
	}
	now := time.Now()
	for id, p := range s.stages.drain() {
		if p == nil {
			delete(s.later, id)
			delete(s.written, id)
			continue
		}
		if at, ok := s.later[id]; ok && at.After(now) {
			continue
		}
		s.later[id] = latest(now.Add(statusSettle), s.written[id].at.Add(statusPerObject))
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// due queues those whose time has come, and returns in what time the next
// follows; zero: none does.
func (s *status) due() time.Duration {
	now := time.Now()
	var next time.Duration
	for id, at := range s.later {
		if wait := at.Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		delete(s.later, id)
		if _, ok := s.queued[id]; !ok {
			s.queued[id] = struct{}{}
			s.queue = append(s.queue, id)
		}
	}
	return next
}

// await waits for changes, of the store too, or for the pause if there is one.
func (s *status) await(ctx context.Context, turned <-chan struct{}, pause time.Duration) bool {
	var timer <-chan time.Time
	if pause > 0 {
		timer = time.After(pause)
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.stages.changed:
	case <-turned:
	case <-timer:
	}
	return true
}

// next publishes the first in the queue. One that is refused is tried again
// and holds up nothing else, but a store that is away holds up all.
func (s *status) next(ctx context.Context) bool {
	id := s.queue[0]
	wrote, err := s.publish(ctx, id)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("status was not published", "endpoint", id.String(), "retry_in", longPause, "error", err)
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) {
			return sleep(ctx, longPause)
		}
		s.later[id] = time.Now().Add(longPause)
	}
	s.queue = s.queue[1:]
	delete(s.queued, id)
	if !wrote {
		return ctx.Err() == nil
	}
	return sleep(ctx, statusPause)
}

// publish writes one status, together with the proof that the spec it holds
// for is still the one stored: so a status never outlives its endpoint, and
// never overwrites that of the endpoint's next host. It reports whether it
// wrote.
func (s *status) publish(ctx context.Context, id resource.EndpointID) (wrote bool, err error) {
	p, ok := s.stages.get(id)
	if !ok {
		return false, nil
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.message(p))
	if err != nil {
		return false, fmt.Errorf("encode status of %s: %w", id, err)
	}
	name := id.KeyName()
	key := store.StatusKey(string(resource.KindWorkloadEndpoint), id.Namespace, name)
	last, seen := s.written[id]
	if !seen {
		// After a restart the status often stands already.
		kv, _, err := s.store.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		last.text = string(kv.Value)
	}
	if wrote = last.text != string(text); wrote {
		spec := store.ResourceKey(string(resource.KindWorkloadEndpoint), id.Namespace, name)
		_, err = s.store.Txn(ctx,
			[]store.Compare{{Key: spec, ModRevision: p.Revision}},
			[]store.Op{{Key: key, Value: text}})
		if errors.Is(err, store.ErrConflict) {
			return true, nil // another spec is stored: its own status will follow
		}
		if err != nil {
			return true, err
		}
		last.at = time.Now()
	}
	s.written[id] = writtenStatus{at: last.at, text: string(text)}
	return wrote, nil
}

func (s *status) message(p Progress) *vrouterv1.WorkloadEndpointStatus {
	m := &vrouterv1.WorkloadEndpointStatus{
		Node:     proto.String(s.node),
		Policy:   proto.String(s.policy),
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
