package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// term is the time of one leader. Everything it writes depends on its key, so
// that one that was deposed without noticing writes nothing.
type term struct {
	lease    store.Lease
	key      string
	revision int64
}

// fence is the condition of a leader's writes.
func (t *term) fence() store.Compare { return store.Compare{Key: t.key, ModRevision: t.revision} }

// campaign returns once this process leads, or when ctx has ended: then the
// error is its.
func campaign(ctx context.Context, s store.Store, name string, ttl time.Duration) (*term, error) {
	key := store.ElectKey("controller")
	for {
		_, _, err := s.Get(ctx, key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			t, err := stand(ctx, s, key, name, ttl)
			if err == nil || !errors.Is(err, store.ErrConflict) {
				return t, err
			}
		case err != nil:
			return nil, fmt.Errorf("look who leads: %w", err)
		}
		if err := vacant(ctx, s, key); err != nil {
			return nil, err
		}
	}
}

// stand tries to become leader; a *store.ConflictError: another was faster.
func stand(ctx context.Context, s store.Store, key, name string, ttl time.Duration) (*term, error) {
	lease, err := s.Grant(ctx, ttl)
	if err != nil {
		return nil, fmt.Errorf("lease of a leader: %w", err)
	}
	revision, err := s.Txn(ctx, []store.Compare{{Key: key}}, []store.Op{{Key: key, Value: []byte(name), Lease: lease.ID()}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("become leader: %w", err), lease.Revoke(context.WithoutCancel(ctx)))
	}
	return &term{lease: lease, key: key, revision: revision}, nil
}

// vacant returns once nobody leads.
func vacant(ctx context.Context, s store.Store, key string) error {
	watch := s.Watch(ctx, store.WatchOptions{Prefixes: []string{key}})
	defer watch.Close()
	held := false
	for {
		batch, err := watch.Next(ctx)
		if err != nil {
			return fmt.Errorf("watch who leads: %w", err)
		}
		for _, e := range batch.Events {
			if e.KV.Key == key {
				held = e.Type == store.Put
			}
		}
		if batch.Synced && !held {
			return nil
		}
	}
}
