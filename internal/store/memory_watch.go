package store

import (
	"context"
	"fmt"
)

// memoryWatch is a watch of a Memory. The feed belongs to the consumer; the
// server feeds it under its mutex.
type memoryWatch struct {
	feed   *Feed
	client *Memory
	opts   WatchOptions
	stop   func() bool // ends watching the context; guarded by server.mu
}

// Watch implements Store.
func (m *Memory) Watch(ctx context.Context, opts WatchOptions) Watch {
	w := &memoryWatch{feed: NewFeed(opts), client: m, opts: opts}
	if err := CheckWatch(opts); err != nil {
		w.feed.Fail(err)
		return w
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.closed {
		w.feed.Fail(ErrClosed)
		return w
	}
	m.watches[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, w.Close)
	if !m.away {
		w.resumeLocked()
	}
	return w
}

// Next implements Watch.
func (w *memoryWatch) Next(ctx context.Context) (Batch, error) { return w.feed.Next(ctx) }

// Close implements Watch.
func (w *memoryWatch) Close() {
	w.client.server.mu.Lock()
	if w.stop != nil {
		w.stop()
	}
	delete(w.client.watches, w)
	w.client.server.mu.Unlock()
	w.feed.Close()
}

// applyLocked tells what a transaction changed.
func (w *memoryWatch) applyLocked(events []Event, revision int64) {
	w.feed.Apply(below(events, w.opts.Prefixes), revision)
}

// resumeLocked brings the watch up to the present: from where it was, or by a
// snapshot.
func (w *memoryWatch) resumeLocked() {
	s := &w.client.server.mvcc
	if err := w.judgeLocked(); err != nil {
		w.failLocked(err)
		return
	}
	at := w.feed.Revision()
	if at != 0 && at >= s.compacted {
		w.feed.Apply(s.since(at, w.opts.Prefixes), s.revision)
		return
	}
	if !w.feed.CanRelist() {
		w.failLocked(fmt.Errorf("watch after revision %d: %w", at, ErrCompacted))
		return
	}
	w.feed.BeginSnapshot()
	for _, prefix := range w.opts.Prefixes {
		page, _ := s.list(prefix, ListOptions{}) // the newest revision is always there
		w.feed.Snapshot(page.KVs)
	}
	w.feed.EndSnapshot(s.revision)
}

// judgeLocked refuses a store that is not the one the watch began on.
func (w *memoryWatch) judgeLocked() error {
	s := &w.client.server.mvcc
	meta, ok := s.get(MetaKey)
	if !ok {
		return CheckIdentity(w.opts, w.feed.Revision(), nil, s.revision)
	}
	return CheckIdentity(w.opts, w.feed.Revision(), meta.Value, s.revision)
}

func (w *memoryWatch) failLocked(err error) {
	delete(w.client.watches, w)
	w.feed.Fail(err)
}
