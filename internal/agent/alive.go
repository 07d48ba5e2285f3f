package agent

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
)

// alive follows which daemons hold their lease, from the first time that
// somebody asks.
type alive struct {
	store store.Store
	feed  *feed
	log   hclog.Logger
	start chan struct{} // signalled when it is to follow

	mu     sync.Mutex // guards the rest
	keys   map[string]bool
	synced bool
}

func newAlive(s store.Store, f *feed, log hclog.Logger) *alive {
	return &alive{store: s, feed: f, log: log, start: make(chan struct{}, 1), keys: make(map[string]bool)}
}

// follow has the leases followed.
func (a *alive) follow() { signal(a.start) }

// dead reports whether a node is known to hold no lease. What is not known is
// no death.
func (a *alive) dead(node string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.synced && !a.keys[store.LiveKey(RoleAgent, node)] && !a.keys[store.LiveKey(RoleReflector, node)]
}

// Run follows until ctx ends.
func (a *alive) Run(ctx context.Context) error {
	if !wait(ctx, a.start) {
		return nil
	}
	for ctx.Err() == nil {
		if _, ours := a.feed.Ours(ctx); !ours {
			return nil
		}
		err := a.watch(ctx)
		a.forget()
		if ctx.Err() != nil {
			return nil
		}
		a.log.Warn("leases are not followed", "retry_in", longPause, "error", err)
		if !sleep(ctx, longPause) {
			return nil
		}
	}
	return nil
}

func (a *alive) watch(ctx context.Context) error {
	guid, _ := a.feed.Identity()
	w := a.store.Watch(ctx, store.WatchOptions{
		Prefixes: []string{store.LivePrefix(RoleAgent), store.LivePrefix(RoleReflector)}, GUID: guid,
	})
	defer w.Close()
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		a.mu.Lock()
		for _, e := range batch.Events {
			if e.Type == store.Put {
				a.keys[e.KV.Key] = true
			} else {
				delete(a.keys, e.KV.Key)
			}
		}
		a.synced = batch.Synced
		a.mu.Unlock()
	}
}

func (a *alive) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.keys)
	a.synced = false
}
