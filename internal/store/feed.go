package store

import (
	"context"
	"sync"
)

// Feed is the consumer's half of a Watch, shared by the drivers: it remembers
// which revision of each key has been told, finds out by it what a snapshot
// changes, and holds what the consumer has not taken yet, newest state only. A
// driver feeds it from one goroutine at a time:
//
//	BeginSnapshot, Snapshot …, EndSnapshot    as often as history is lost
//	Apply, Progress                           between snapshots
//	Fail                                      once, at the end
type Feed struct {
	wake chan struct{} // signals news to Next; capacity 1
	room chan struct{} // signals that Next took what was pending; capacity 1
	done chan struct{} // closed by Close and Fail

	mu       sync.Mutex // guards the rest; never held across I/O
	known    map[string]knownKey
	round    uint32 // of the snapshot being read
	given    bool   // without known: the consumer was given keys of a snapshot
	pending  pending
	revision int64 // everything up to it is told or pending
	synced   bool
	told     bool // the consumer knows revision and synced
	err      error
}

// knownKey is what the consumer has been told of a key, or is about to be.
type knownKey struct {
	modRevision int64
	round       uint32 // last snapshot that held it
}

// NewFeed returns the feed of a watch with opts. With After it starts in sync
// at that revision.
func NewFeed(opts WatchOptions) *Feed {
	f := &Feed{
		wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
		done: make(chan struct{}),
		told: true,
	}
	if opts.After != 0 {
		f.revision, f.synced = opts.After, true
	} else if !opts.Forget {
		f.known = make(map[string]knownKey)
	}
	return f
}

// CanRelist reports whether a snapshot can be told as a difference, or is the
// first that tells anything. Where not, it would hide what has gone: lost
// history, or a snapshot that broke off, ends the watch.
func (f *Feed) CanRelist() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known != nil || f.revision == 0 && !f.given
}

// Revision returns the newest revision that the feed has been given whole.
func (f *Feed) Revision() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

// BeginSnapshot starts a snapshot, giving up one that was begun before.
func (f *Feed) BeginSnapshot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.round++
	f.synced = false
}

// Snapshot adds a page to the snapshot.
func (f *Feed) Snapshot(kvs []KV) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kv := range kvs {
		if f.known == nil {
			f.given = true
			f.pending.add(Event{Type: Put, KV: kv})
			continue
		}
		was, ok := f.known[kv.Key]
		f.known[kv.Key] = knownKey{kv.ModRevision, f.round}
		if !ok || was.modRevision != kv.ModRevision {
			f.pending.add(Event{Type: Put, KV: kv})
		}
	}
	f.signalLocked()
}

// EndSnapshot completes the snapshot, taken at revision: keys known before and
// not in it are told as deleted.
func (f *Feed) EndSnapshot(revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, k := range f.known {
		if k.round != f.round {
			delete(f.known, key)
			f.pending.add(Event{Type: Delete, KV: KV{Key: key, ModRevision: revision}})
		}
	}
	f.revision, f.synced, f.told = revision, true, false
	f.signalLocked()
}

// Apply adds changes. Revision is the one up to which everything has been
// given now; a lower one than before does not count.
func (f *Feed) Apply(events []Event, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		if f.known != nil {
			if e.Type == Put {
				f.known[e.KV.Key] = knownKey{e.KV.ModRevision, f.round}
			} else {
				delete(f.known, e.KV.Key)
			}
		}
		f.pending.add(e)
	}
	if revision > f.revision {
		f.revision, f.told = revision, false
	}
	f.signalLocked()
}

// Progress says that everything up to revision has been given.
func (f *Feed) Progress(revision int64) { f.Apply(nil, revision) }

// Fail ends the watch: Next returns err once it has told what is pending. Only
// the first failure counts.
func (f *Feed) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.done)
	}
}

// Close ends the watch; it is for the consumer.
func (f *Feed) Close() {
	f.Fail(ErrClosed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = pending{}
	f.known = nil
}

// Done is closed when the watch has ended, by either side.
func (f *Feed) Done() <-chan struct{} { return f.done }

// WaitRoom blocks until the consumer has taken what is pending, so that a
// snapshot is read no faster than it is used. It reports false when the watch
// or ctx ended.
func (f *Feed) WaitRoom(ctx context.Context) bool {
	for {
		f.mu.Lock()
		empty, ended := f.pending.live == 0, f.err != nil
		f.mu.Unlock()
		if ended || ctx.Err() != nil {
			return false
		}
		if empty {
			return true
		}
		select {
		case <-f.room:
		case <-f.done:
		case <-ctx.Done():
		}
	}
}

// Next implements Watch.
func (f *Feed) Next(ctx context.Context) (Batch, error) {
	for {
		if b, err, ok := f.take(); ok {
			return b, err
		}
		select {
		case <-f.wake:
		case <-f.done:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
	}
}

func (f *Feed) take() (Batch, error, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending.live == 0 && f.told {
		return Batch{}, f.err, f.err != nil
	}
	b := Batch{Events: f.pending.take(), Revision: f.revision, Synced: f.synced}
	f.told = true
	select {
	case f.room <- struct{}{}:
	default:
	}
	return b, nil, true
}

func (f *Feed) signalLocked() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// pending is the newest event of each key, in the order in which they came.
type pending struct {
	events []Event        // superseded ones have an empty key
	at     map[string]int // key → place in events
	live   int
}

func (p *pending) add(e Event) {
	if p.at == nil {
		p.at = make(map[string]int)
	}
	if i, ok := p.at[e.KV.Key]; ok {
		p.events[i] = Event{}
		p.live--
	}
	p.at[e.KV.Key] = len(p.events)
	p.events = append(p.events, e)
	p.live++
	// Half of it superseded: close the gaps, so that the size stays bounded by
	// the number of keys at a constant cost for each event.
	if len(p.events) > 64 && p.live < len(p.events)/2 {
		p.events = p.compacted()
		for i, e := range p.events {
			p.at[e.KV.Key] = i
		}
	}
}

func (p *pending) take() []Event {
	events := p.events
	if p.live != len(events) {
		events = p.compacted()
	}
	*p = pending{}
	return events
}

func (p *pending) compacted() []Event {
	events := make([]Event, 0, p.live)
	for _, e := range p.events {
		if e.KV.Key != "" {
			events = append(events, e)
		}
	}
	return events
}
