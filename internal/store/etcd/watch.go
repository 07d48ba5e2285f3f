package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Pauses between tries to get a watch going again: the first is short, because
// most losses are a leader's or a server's restart; the last keeps a thousand
// hosts from storming a cluster that comes back.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// watch is a store.Watch: one goroutine that snapshots and streams into the
// feed, from which the consumer takes.
type watch struct {
	*store.Feed
	store *Store
	opts  store.WatchOptions

	// The rest belongs to the goroutine.
	cluster uint64  // etcd's cluster id where the positions hold
	next    []int64 // per prefix: the revision to go on at; nil: a snapshot is needed
	trusted bool    // the server's progress notices may be believed
	running bool    // the server has confirmed the stream of this round
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, opts store.WatchOptions) store.Watch {
	w := &watch{Feed: store.NewFeed(opts), store: s, opts: opts}
	if err := store.CheckWatch(opts); err != nil {
		w.Fail(err)
		return w
	}
	if opts.After != 0 {
		w.next = slices.Repeat([]int64{opts.After + 1}, len(opts.Prefixes))
	}
	ctx, cancel := context.WithCancel(ctx)
	if !s.spawn(func() {
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		w.run(ctx)
	}) {
		w.Fail(store.ErrClosed)
	}
	go func() { // ends with the watch, by whichever side
		<-w.Done()
		cancel()
	}()
	return w
}

// run keeps the watch going until ctx ends or it has failed for good.
func (w *watch) run(ctx context.Context) {
	pause := firstPause
	for {
		w.running = false
		err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
			w.Fail(store.ErrClosed)
			return
		case errors.Is(err, store.ErrCompacted) && w.CanRelist():
			w.next = nil
			w.store.cfg.Logger.Info("watch lost history, reading a snapshot", "prefixes", w.opts.Prefixes)
		case errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrCompacted), errors.Is(err, store.ErrPermission):
			w.Fail(fmt.Errorf("watch %v: %w", w.opts.Prefixes, err))
			return
		}
		if w.running {
			pause = firstPause
		}
		// Half fixed, half chance: hosts that lost the same server come back
		// spread out.
		wait := pause/2 + rand.N(pause/2)
		level := hclog.Debug
		if pause == firstPause { // once, not at each try
			level = hclog.Warn
		}
		w.store.cfg.Logger.Log(level, "watch interrupted", "prefixes", w.opts.Prefixes,
			"revision", w.Revision(), "retry_in", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// round is the life of one connection: look at the store, read a snapshot
// where needed, and stream until something breaks.
func (w *watch) round(ctx context.Context) error {
	if err := w.judge(ctx); err != nil {
		return err
	}
	if w.next == nil {
		if !w.CanRelist() {
			return fmt.Errorf("snapshot broke off: %w", store.ErrCompacted)
		}
		if err := w.snapshot(ctx); err != nil {
			return err
		}
	}
	return w.stream(ctx)
}

// judge compares the store with what the watch has told already: revision and
// identity, in one linearizable read. Positions hold in one etcd cluster only:
// in another one the state is read again. That is no substitute for the GUID,
// because a cluster started anew with equal settings has an equal id.
func (w *watch) judge(ctx context.Context) error {
	var resp *clientv3.GetResponse
	err := w.store.do(ctx, func(ctx context.Context, cli *client) (err error) {
		resp, err = cli.Get(ctx, w.store.key(store.MetaKey))
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", store.MetaKey, err)
	}
	var meta []byte
	if len(resp.Kvs) > 0 {
		meta = resp.Kvs[0].Value
	}
	if err := store.CheckIdentity(w.opts, w.Revision(), meta, resp.Header.Revision); err != nil {
		return err
	}
	if id := resp.Header.ClusterId; id != w.cluster {
		if w.cluster != 0 {
			if !w.CanRelist() {
				return fmt.Errorf("another etcd cluster: %w", store.ErrCompacted)
			}
			w.next = nil
		}
		w.cluster = id
		w.trusted = w.store.progressTrusted(ctx)
	}
	return nil
}

// snapshot reads all prefixes at one revision, no faster than the consumer
// takes the pages.
func (w *watch) snapshot(ctx context.Context) error {
	w.store.stats.snapshots.Add(1)
	w.BeginSnapshot()
	var revision int64
	for _, prefix := range w.opts.Prefixes {
		opts := store.ListOptions{Limit: w.store.cfg.PageSize, Revision: revision}
		for {
			page, err := w.store.List(ctx, prefix, opts)
			if err != nil {
				return err
			}
			revision = page.Revision
			w.Snapshot(page.KVs)
			if page.Next == "" {
				break
			}
			opts.Start, opts.Revision, opts.Limit = page.Next, revision, page.NextLimit()
			if !w.WaitRoom(ctx) {
				return store.ErrClosed
			}
		}
	}
	w.EndSnapshot(revision)
	w.next = slices.Repeat([]int64{revision + 1}, len(w.opts.Prefixes))
	return nil
}
