package server

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

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

	reads singleflight.Group // of Env

	mu   sync.Mutex // guards last; never held across I/O
	last *ipam.Env  // its time is when it was read; nil: nothing was. Never changed.
}

// Env returns what was read last, if that is not too old. Many who find it so at
// once wait for one of them; if it cannot read each tries itself.
func (s *settings) Env(ctx context.Context) (*ipam.Env, error) {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	now := time.Now()
	if last != nil && now.Sub(last.Now) <= settingsAge {
		env := *last
		env.Now = now
		return &env, nil
	}
	select {
	case r := <-s.reads.DoChan("", func() (any, error) { return s.Fresh(ctx) }):
		if r.Err == nil {
			return r.Val.(*ipam.Env), nil
		}
		if !r.Shared {
			return nil, r.Err
		}
		return s.Fresh(ctx)
	case <-ctx.Done():
		return nil, store.Waited(ctx, "the settings of addresses")
	}
}

// Fresh reads the settings.
func (s *settings) Fresh(ctx context.Context) (*ipam.Env, error) {
	env, kvs, err := ipam.Stored{Store: s.store}.EnvWith(ctx, settingsGuard)
	if err != nil {
		return nil, err
	}
	env.Guards = []store.Compare{{Key: settingsGuard, ModRevision: kvs[0].ModRevision}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = env
	return env, nil
}
