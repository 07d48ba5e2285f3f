package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// A caller's own clock ends a call at its deadline, whatever the server is
// about to say. The answer that a wait was in vain, or that the store is away,
// must therefore leave earlier: by a twentieth of the time there is, within
// these bounds.
const (
	leastMargin = 10 * time.Millisecond
	mostMargin  = 250 * time.Millisecond
)

// stageName renders a stage for people and for ErrorInfo: PROGRAMMED.
func stageName(s vrouterv1.Stage) string { return strings.TrimPrefix(s.String(), "STAGE_") }

// stageOf is the stage that a status shows for a revision of the spec. What
// was reached for an older one does not count.
func stageOf(status *vrouterv1.WorkloadEndpointStatus, revision int64) vrouterv1.Stage {
	switch {
	case !holds(status.GetProgrammedRevision(), revision):
		return vrouterv1.Stage_STAGE_REGISTERED
	case !holds(status.GetAdvertisedRevision(), revision):
		return vrouterv1.Stage_STAGE_PROGRAMMED
	}
	return vrouterv1.Stage_STAGE_ADVERTISED
}

func holds(text string, revision int64) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n >= revision
}

// reached returns the stage of an endpoint just registered, once it is the one
// waited for.
func (s *endpoints) reached(ctx context.Context, w *vrouterv1.WorkloadEndpoint, out outcome,
	wanted vrouterv1.Stage) (vrouterv1.Stage, error) {
	if wanted <= vrouterv1.Stage_STAGE_REGISTERED {
		return s.current(ctx, w, out)
	}
	ctx, cancel := until(ctx, s.stopping)
	defer cancel()
	waiting, stop := early(ctx)
	defer stop()
	id := resource.EndpointIDOf(w)
	var stage vrouterv1.Stage
	var problems []string
	var err error
	if w.GetSpec().GetNode() == s.node {
		stage, problems, err = s.local.WaitStage(waiting, id, out.revision, wanted)
	} else {
		stage, problems, err = s.remoteStage(waiting, resource.IDOf(w), out.revision, wanted)
	}
	switch {
	case err == nil:
		return stage, nil
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return 0, fmt.Errorf("wait for endpoint %s: %w", id, context.Cause(ctx))
	case waiting.Err() == nil:
		return 0, fmt.Errorf("wait for endpoint %s: %w", id, err)
	}
	if stage == vrouterv1.Stage_STAGE_UNSPECIFIED {
		stage = vrouterv1.Stage_STAGE_REGISTERED
	}
	return 0, &stageError{endpoint: id.String(), revision: out.revision, wanted: wanted,
		reached: stage, problems: problems}
}

// current returns the stage without waiting. What was written a moment ago has
// no later one.
func (s *endpoints) current(ctx context.Context, w *vrouterv1.WorkloadEndpoint, out outcome) (vrouterv1.Stage, error) {
	if !out.unchanged {
		return vrouterv1.Stage_STAGE_REGISTERED, nil
	}
	kv, _, err := s.reader.store.Get(ctx, statusKey(resource.IDOf(w)))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, fmt.Errorf("read status of endpoint %s: %w", resource.EndpointIDOf(w), err)
	}
	return stageOf(s.status(kv), out.revision), nil
}

// early derives a context that ends a margin before the deadline of ctx.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(max(time.Until(deadline)/20, leastMargin), mostMargin)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// remoteStage waits for the stage of an endpoint of another node on its status
// key. An endpoint that is removed meanwhile ends the wait.
func (s *endpoints) remoteStage(ctx context.Context, id resource.ID, revision int64,
	wanted vrouterv1.Stage) (vrouterv1.Stage, []string, error) {
	spec, status := resourceKey(id), statusKey(id)
	stage := vrouterv1.Stage_STAGE_REGISTERED
	var problems []string
	done := errors.New("reached")
	opts := store.WatchOptions{Prefixes: []string{spec, status}}
	present := false
	err := follow(ctx, s.reader.store, opts, func(b store.Batch) error {
		for _, e := range b.Events {
			switch e.KV.Key { // the prefix of one key may be that of others
			case status:
				st := s.status(e.KV)
				stage, problems = stageOf(st, revision), st.GetProblems()
			case spec:
				present = e.Type == store.Put
			}
		}
		switch {
		case b.Synced && !present:
			return &stateError{"REMOVED", id.String(), fmt.Sprintf("%s was removed meanwhile", id)}
		case stage >= wanted:
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		return stage, nil, nil
	}
	return stage, problems, err
}

// status reads a stored status; a damaged one says nothing.
func (s *endpoints) status(kv store.KV) *vrouterv1.WorkloadEndpointStatus {
	st := &vrouterv1.WorkloadEndpointStatus{}
	if err := proto.Unmarshal(kv.Value, st); err != nil {
		s.reader.log.Warn("stored status cannot be read", "key", kv.Key, "error", err)
		return &vrouterv1.WorkloadEndpointStatus{}
	}
	return st
}
