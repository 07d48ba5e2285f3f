package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/view"
)

// Pauses between attempts to reach the store.
const (
	firstPause = 200 * time.Millisecond
	longPause  = 5 * time.Second
	// adoptPause is how often a node with a foreign store looks whether it has
	// been adopted from another node.
	adoptPause = 2 * time.Second
)

// feed is the edge store → view. It decides whether the store is the one that
// this node knew, and holds everything back while it is not.
type feed struct {
	store  store.Store
	view   *view.View
	log    hclog.Logger
	health *telemetry.Health
	adopt  chan struct{} // signalled when Adopt was called here

	mu      sync.Mutex // guards the rest
	known   store.Copy // identity and revision that this node has seen last, without values
	foreign string     // why the store is not ours; empty when it is
}

func newFeed(s store.Store, v *view.View, known store.Copy, health *telemetry.Health, log hclog.Logger) *feed {
	known.KVs = nil
	return &feed{store: s, view: v, known: known, health: health, log: log, adopt: make(chan struct{}, 1)}
}

// Run follows the store until ctx ends. Losing the store is no error: it is
// reported, and tried again.
func (f *feed) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrForeign):
			f.setForeign(err.Error())
			f.waitAdoption(ctx)
			pause = firstPause
			continue
		}
		f.health.Set(conditionStore, false, "datastore: "+err.Error())
		f.log.Warn("store is not reachable", "retry_in", pause, "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, longPause)
	}
	return nil
}

// Identity returns the cluster GUID and epoch that this node holds to.
func (f *feed) Identity() (guid string, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known.GUID, f.known.Epoch
}

// Foreign says why the store is not the one that this node knew; empty when
// it is, or was not reached.
func (f *feed) Foreign() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.foreign
}

// Adopt accepts the store as it is. It returns the GUID, and false when there
// was nothing to adopt.
func (f *feed) Adopt(ctx context.Context) (string, bool, error) {
	f.mu.Lock()
	known, foreign := f.known, f.foreign != ""
	f.mu.Unlock()
	if !foreign {
		return known.GUID, false, nil
	}
	cluster, _, err := store.Adopt(ctx, f.store, known)
	if err != nil {
		return "", false, fmt.Errorf("adopt the store: %w", err)
	}
	signal(f.adopt)
	return cluster.GUID, true, nil
}

// follow judges the store and follows it until the watch fails.
func (f *feed) follow(ctx context.Context) error {
	cluster, err := f.judge(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	least := f.known.Revision
	f.mu.Unlock()
	watch := f.store.Watch(ctx, store.WatchOptions{
		Prefixes:    view.Prefixes(),
		MinRevision: least,
		GUID:        cluster.GUID,
	})
	defer watch.Close()
	for {
		batch, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		f.view.Apply(batch)
		f.health.Set(conditionStore, true, "")
		f.mu.Lock()
		f.known.Revision = max(f.known.Revision, batch.Revision)
		f.mu.Unlock()
	}
}

// judge compares the store's identity with the known one, and gives a new
// store an identity when this node has never seen another.
func (f *feed) judge(ctx context.Context) (store.Cluster, error) {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	if known.GUID == "" {
		cluster, _, err := store.EnsureIdentity(ctx, f.store)
		if err != nil {
			return store.Cluster{}, err
		}
		f.accept(cluster, 0)
		return cluster, nil
	}
	cluster, revision, err := store.Identity(ctx, f.store)
	found := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Cluster{}, err
	}
	switch verdict := store.Judge(known, cluster, found, revision); verdict.Kind {
	case store.Same:
		f.accept(cluster, known.Revision)
	case store.Adopted:
		f.log.Warn("the store was adopted", "guid", cluster.GUID, "epoch", cluster.Epoch)
		f.view.Restart()
		f.accept(cluster, 0)
	default:
		return store.Cluster{}, fmt.Errorf("%w: %s", store.ErrForeign, verdict.Reason)
	}
	return cluster, nil
}

func (f *feed) accept(cluster store.Cluster, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.GUID, f.known.Epoch, f.known.Revision = cluster.GUID, cluster.Epoch, revision
	f.foreign = ""
}

func (f *feed) setForeign(reason string) {
	f.mu.Lock()
	f.foreign = reason
	f.mu.Unlock()
	f.health.Set(conditionStore, false, reason+"; nothing is removed until `vrouterctl cluster adopt`")
	f.log.Error("the store is not the one that this node knew", "error", reason)
}

// waitAdoption returns when it is worth judging again.
func (f *feed) waitAdoption(ctx context.Context) {
	timer := time.NewTimer(adoptPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-f.adopt:
	case <-timer.C:
	}
}

// sleep waits for about d, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	jittered := d/2 + rand.N(d) //nolint:gosec // jitter needs no secrecy
	timer := time.NewTimer(jittered)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// signal wakes whoever waits on c; a wake-up that is pending stands for more.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
