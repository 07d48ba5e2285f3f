package policy

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/reconcile"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// DefaultReadBack is the time between full read-backs of what the kernel
// enforces; what others change is mostly told by events before.
const DefaultReadBack = 90 * time.Second

// Source is where a Table takes updates from: a [Resolver].
type Source interface {
	// Changed is signalled when Drain has something to tell.
	Changed() <-chan struct{}
	// Drain returns what has changed since the last Drain or All.
	Drain() *Update
	// All returns everything, with every set New.
	All() *Update
}

// Options of a Table. The zero value has all defaults.
type Options struct {
	ReadBack time.Duration // between full read-backs; negative is never
	Logger   hclog.Logger
}

// Status is how far a workload endpoint is policed.
type Status struct {
	ID resource.EndpointID
	// Revision of the stored endpoint whose policy the kernel enforces; zero:
	// none of it, and the interface passes nothing.
	Revision int64
}

// Table keeps the kernel enforcing what a source has resolved. A refused update
// leaves what is enforced as it was; everything is then read back and written
// anew, until it succeeds.
type Table struct {
	source    Source
	dataplane Dataplane
	log       hclog.Logger
	loop      *reconcile.Loop
	changed   chan struct{}
	tried     chan struct{} // closed after the first round

	inForce inForce // changed by one call of the dataplane after the other

	calls  sync.Mutex // one call of the dataplane at a time; guards broken
	broken bool       // the last call failed: only a Sync may follow

	mu      sync.Mutex // guards the rest; never held across a call
	policed map[resource.EndpointID]int64
	dirty   map[resource.EndpointID]struct{} // for Drain
	outline State                            // what the kernel enforces, without members of sets
	stats   Stats

	settings *Settings     // in force; nil before any are
	settled  chan struct{} // signalled when they change
}

// Stats is what a Table has done so far.
type Stats struct {
	Applied  uint64    // updates in force
	Synced   uint64    // full read-backs that succeeded
	Failed   uint64    // updates and read-backs that the kernel refused
	Problem  error     // of the last round; nil: it succeeded
	Since    time.Time // when the first round of those that failed in a row did
	Duration time.Duration
}

// NewTable returns a Table that does nothing until Run.
func NewTable(source Source, dataplane Dataplane, opts Options) *Table {
	if opts.ReadBack == 0 {
		opts.ReadBack = DefaultReadBack
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	t := &Table{
		source: source, dataplane: dataplane, log: opts.Logger, changed: make(chan struct{}, 1), tried: make(chan struct{}),
		policed: make(map[resource.EndpointID]int64), dirty: make(map[resource.EndpointID]struct{}),
		settled: make(chan struct{}, 1), inForce: inForce{news: make(chan struct{}, 1)},
	}
	t.loop = reconcile.NewLoop(reconcile.Config{
		Sync: t.sync, ReadBack: max(opts.ReadBack, 0),
		Failed: func(err error, pause time.Duration) {
			t.log.Error("kernel refuses policy; the old one stays in force", "retry_in", pause, "error", err)
		},
	})
	return t
}

// Run starts with everything that the source has, so it is called when the
// source has been told everything. It works until ctx is done, then returns
// nil and leaves everything in force.
func (t *Table) Run(ctx context.Context) error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- t.loop.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-t.source.Changed():
			t.loop.Kick()
		case <-t.dataplane.Changed():
			t.log.Info("others changed our rules; reading them back")
			t.loop.KickFull()
		}
	}
}

// Tried is closed once everything was tried for the first time, with success or
// not.
func (t *Table) Tried() <-chan struct{} { return t.tried }

// Ready is closed when everything is in force for the first time.
func (t *Table) Ready() <-chan struct{} { return t.loop.Ready() }

// Changed signals that Drain has something to tell.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Drain returns the present status of the endpoints whose status may have
// changed since the last Drain, in no order.
func (t *Table) Drain() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Status, 0, len(t.dirty))
	for id := range t.dirty {
		out = append(out, Status{ID: id, Revision: t.policed[id]})
	}
	clear(t.dirty)
	return out
}

// Policed returns the revision of an endpoint whose policy is in force; zero is
// none.
func (t *Table) Policed(id resource.EndpointID) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.policed[id]
}

// Settings returns those in force, nil before any are; the channel signals
// that there are others.
func (t *Table) Settings() (*Settings, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settings, t.settled
}

// Stats returns what was done so far.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Counters returns what the rules have counted so far.
func (t *Table) Counters(ctx context.Context) ([]Counter, error) {
	t.calls.Lock()
	defer t.calls.Unlock()
	return t.dataplane.Counters(ctx)
}

func (t *Table) sync(ctx context.Context, full bool) error {
	t.calls.Lock()
	defer t.calls.Unlock()
	if t.broken && !full {
		return nil // the news wait for the full round, which the loop has planned
	}
	begun := time.Now()
	var u *Update
	var err error
	if !full {
		u = t.source.Drain()
		full = t.inForce.misses(u)
	}
	if full {
		u = t.source.All()
		err = t.dataplane.Sync(ctx, u)
	} else if !u.IsEmpty() {
		err = t.dataplane.Apply(ctx, u)
	}
	t.broken = err != nil
	if err == nil && (full || !u.IsEmpty()) {
		if err := t.inForce.take(u, full); err != nil {
			t.log.Error("update does not follow from the ones before; connections are cut after the next read-back", "error", err)
		}
	}
	t.enforced(u, full, time.Since(begun), err)
	return err
}

// enforced takes over what the kernel enforces after a round.
func (t *Table) enforced(u *Update, full bool, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && t.stats.Problem == nil {
		t.stats.Since = time.Now()
	}
	t.stats.Problem, t.stats.Duration = err, took
	if t.stats.Failed+t.stats.Synced == 0 {
		defer close(t.tried)
	}
	switch {
	case err != nil:
		t.stats.Failed++
		return
	case full:
		t.stats.Synced++
		for id := range t.policed {
			if u.Endpoints[id] == nil {
				t.setLocked(id, 0)
			}
		}
	default:
		t.stats.Applied++
	}
	t.takeLocked(u, full)
	if u.Settings != nil {
		t.settings = u.Settings
		select {
		case t.settled <- struct{}{}:
		default:
		}
	}
	for id, e := range u.Endpoints {
		if e == nil {
			t.setLocked(id, 0)
		} else {
			t.setLocked(id, e.Revision)
		}
	}
	if len(t.dirty) > 0 {
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

func (t *Table) setLocked(id resource.EndpointID, revision int64) {
	if t.policed[id] == revision {
		return
	}
	t.dirty[id] = struct{}{}
	if t.policed[id] = revision; revision == 0 {
		delete(t.policed, id)
	}
}
