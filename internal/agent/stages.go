package agent

import (
	"context"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Progress is how far an endpoint of this node has come, and for which
// revision of its spec.
type Progress struct {
	Revision   int64
	Programmed bool
	Advertised bool
	Problems   []string
}

// Stage is the progress in the API's words.
func (p Progress) Stage() vrouterv1.Stage {
	switch {
	case p.Programmed && p.Advertised:
		return vrouterv1.Stage_STAGE_ADVERTISED
	case p.Programmed:
		return vrouterv1.Stage_STAGE_PROGRAMMED
	}
	return vrouterv1.Stage_STAGE_REGISTERED
}

func (p Progress) equal(o Progress) bool {
	return p.Revision == o.Revision && p.Programmed == o.Programmed &&
		p.Advertised == o.Advertised && slices.Equal(p.Problems, o.Problems)
}

// stages holds the progress of every local endpoint, wakes those who wait for
// it and remembers whose status has to be published.
type stages struct {
	changed chan struct{} // signalled when drain has news

	mu      sync.Mutex // guards the rest
	of      map[resource.EndpointID]Progress
	dirty   map[resource.EndpointID]struct{}
	waiters map[resource.EndpointID][]chan struct{}
}

func newStages() *stages {
	return &stages{
		changed: make(chan struct{}, 1),
		of:      make(map[resource.EndpointID]Progress),
		dirty:   make(map[resource.EndpointID]struct{}),
		waiters: make(map[resource.EndpointID][]chan struct{}),
	}
}

// set states the progress of an endpoint.
func (s *stages) set(id resource.EndpointID, p Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.of[id]; ok && old.equal(p) {
		return
	}
	s.of[id] = p
	s.touchLocked(id)
}

// forget says that the endpoint is not here any longer.
func (s *stages) forget(id resource.EndpointID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[id]; !ok {
		return
	}
	delete(s.of, id)
	s.touchLocked(id)
}

func (s *stages) touchLocked(id resource.EndpointID) {
	s.dirty[id] = struct{}{}
	signal(s.changed)
	for _, w := range s.waiters[id] {
		close(w)
	}
	delete(s.waiters, id)
}

// touchAll makes drain tell of every endpoint.
func (s *stages) touchAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.of {
		s.dirty[id] = struct{}{}
	}
}

// drain returns the endpoints whose progress changed; nil progress: gone.
func (s *stages) drain() map[resource.EndpointID]*Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := make(map[resource.EndpointID]*Progress, len(s.dirty))
	for id := range s.dirty {
		changed[id] = nil
		if p, ok := s.of[id]; ok {
			changed[id] = &p
		}
	}
	clear(s.dirty)
	return changed
}

// get returns the progress of an endpoint.
func (s *stages) get(id resource.EndpointID) (Progress, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.of[id]
	return p, ok
}

// wait returns once the endpoint has reached stage for revision or a newer
// one, or with ctx's error and the progress so far.
func (s *stages) wait(ctx context.Context, id resource.EndpointID, revision int64, stage vrouterv1.Stage) (Progress, error) {
	for {
		s.mu.Lock()
		p := s.of[id]
		if p.Revision >= revision && p.Stage() >= stage {
			s.mu.Unlock()
			return p, nil
		}
		news := make(chan struct{})
		s.waiters[id] = append(s.waiters[id], news)
		s.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			s.leave(id, news)
			if p.Revision < revision {
				p = Progress{Revision: p.Revision}
			}
			return p, ctx.Err()
		}
	}
}

func (s *stages) leave(id resource.EndpointID, news chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.waiters[id], func(w chan struct{}) bool { return w == news })
	if len(rest) == 0 {
		delete(s.waiters, id)
		return
	}
	s.waiters[id] = rest
}

// count returns how many endpoints there are, and how many have got how far.
func (s *stages) count() (all, programmed, advertised int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		if p.Programmed {
			programmed++
		}
		if p.Advertised {
			advertised++
		}
	}
	return len(s.of), programmed, advertised
}
