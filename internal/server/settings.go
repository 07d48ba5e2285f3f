package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// settingsGuard is written by every transaction that writes or deletes what
// address management works by: pools, reservations, the IPAMConfiguration. Who
// decides by them compares it, so that two pools that overlap cannot be added
// side by side, and nothing is given out by settings of yesterday. The key is
// named for the first that it guarded.
const settingsGuard = "guard/IPPool"

// settingsAge is for how long settings are used without being read again. Every
// transaction tells whether they are old, unless somebody has written them
// without the guard: by hand, or with an older version.
const settingsAge = 10 * time.Second

// guarded tells whether changes of a kind are told by settingsGuard.
func guarded(kind resource.Kind) bool {
	switch kind {
	case resource.KindIPPool, resource.KindIPReservation, resource.KindIPAMConfiguration:
		return true
	}
	return false
}

// settings is ipam.Settings: what was read last, with the guard that tells in
// each transaction whether it still holds. So an address mostly costs no read,
// and no settings need be watched.
type settings struct {
	store store.Store

	mu      sync.Mutex    // guards the rest; never held across I/O
	last    *ipam.Env     // its time is when it was read; nil: nothing was. Never changed.
	reading chan struct{} // closed when Env has read; nil: it does not
}

// Env returns what was read last, if that is not too old. Many at once read once.
func (s *settings) Env(ctx context.Context) (*ipam.Env, error) {
	for {
		s.mu.Lock()
		now := time.Now()
		if s.last != nil && now.Sub(s.last.Now) <= settingsAge {
			env := *s.last
			s.mu.Unlock()
			env.Now = now
			return &env, nil
		}
		reading := s.reading
		if reading == nil {
			s.reading = make(chan struct{})
		}
		s.mu.Unlock()
		if reading == nil {
			return s.readForAll(ctx)
		}
		select {
		case <-reading: // if that went wrong this one tries itself
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// readForAll is Fresh, for those who wait in Env.
func (s *settings) readForAll(ctx context.Context) (*ipam.Env, error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.reading)
		s.reading = nil
	}()
	return s.Fresh(ctx)
}

// Fresh reads the settings.
func (s *settings) Fresh(ctx context.Context) (*ipam.Env, error) {
	guard, _, err := s.store.Get(ctx, settingsGuard) // before what it guards
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read %s: %w", settingsGuard, err)
	}
	env, err := ipam.Stored{Store: s.store}.Env(ctx)
	if err != nil {
		return nil, err
	}
	env.Guards = []store.Compare{{Key: settingsGuard, ModRevision: guard.ModRevision}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = env
	return env, nil
}
