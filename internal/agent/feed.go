package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
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

// Run follows the store until ctx ends. Losing the store is no error: it is
// reported, and tried again.
func (f *feed) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		told, err := f.follow(ctx)
		if told {
			pause = firstPause
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrForeign):
			f.setForeign(err.Error())
			f.waitAdoption(ctx)
			continue
		}
		f.setWatching(err)
		f.log.Warn("store is not reachable", "retry_in", pause, "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, longPause)
	}
	return nil
}

// follow judges the store and follows it until the watch fails. It reports
// whether the store has told anything.
func (f *feed) follow(ctx context.Context) (told bool, err error) {
	cluster, err := f.judge(ctx)
	if err != nil {
		return false, err
	}
	// What went away between two watches is told by neither: the snapshot that
	// comes now decides.
	f.view.Restart()
	watch := f.store.Watch(ctx, store.WatchOptions{
		Prefixes:    view.Prefixes(),
		MinRevision: f.seen(),
		GUID:        cluster.GUID,
	})
	defer watch.Close()
	for {
		batch, err := watch.Next(ctx)
		if errors.Is(err, store.ErrForeign) {
			return told, f.turnedForeign(ctx, err)
		}
		if err != nil {
			return told, err
		}
		told = true
		f.view.Apply(batch)
		f.heard(batch)
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
	switch verdict := f.verdict(known, cluster, found, revision); verdict.Kind {
	case store.Same:
		f.accept(cluster, known.Revision)
	case store.Adopted:
		f.log.Warn("the store was adopted", "guid", cluster.GUID, "epoch", cluster.Epoch)
		f.adopted()
		f.accept(cluster, 0)
	default:
		return store.Cluster{}, fmt.Errorf("%w: %s", store.ErrForeign, verdict.Reason)
	}
	return cluster, nil
}

// verdict is store.Judge's, and remembers of a store that is behind that it
// was: only the operator can say that it may be followed again.
func (f *feed) verdict(known store.Copy, cluster store.Cluster, found bool, revision int64) store.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	verdict := store.Judge(known, cluster, found, revision)
	if verdict.Kind == store.Same && f.behind {
		known.Revision = store.Overtaken
		verdict = store.Judge(known, cluster, found, revision)
	}
	if verdict.Kind == store.Foreign {
		f.behind = found && cluster.GUID == known.GUID
	}
	return verdict
}

// turnedForeign returns why the store is not the one that was watched until
// now. It is taken for an older state of it, unless it is found to be another.
func (f *feed) turnedForeign(ctx context.Context, watched error) error {
	f.mu.Lock()
	f.behind = true
	f.mu.Unlock()
	_, err := f.judge(ctx)
	switch {
	case err == nil:
		return errors.New("the store was adopted meanwhile")
	case errors.Is(err, store.ErrForeign):
		return err
	}
	return watched
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
