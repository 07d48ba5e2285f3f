// Package controller does what one process does for the whole cluster: it
// elects route reflectors, collects addresses that nobody needs, and makes the
// HostEndpoints of nodes. Any number of controllers run; one leads, and the
// others wait for its lease to end.
//
// A leader makes the stored membership of every group with an election what
// Choose says: as evenly spread as can be, with the fewest moves. It makes
// before it breaks: one that is replaced stays until those that stay serve all
// hosts of the group, as they report, or a limit has run out. It writes nothing
// that depends on what it has not read, and nothing once it is deposed.
//
// Nothing waits for a controller: without any, reflectors stay as they are.
package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
)

// The conditions of a controller.
const conditionStore = "store"

// Conditions lists what has to hold for a controller to be ready.
func Conditions() []string { return []string{conditionStore} }

// Pauses between attempts to reach the store.
const (
	firstPause = 200 * time.Millisecond
	longPause  = 5 * time.Second
	// settle lets changes that come together be answered together.
	settle = 100 * time.Millisecond
	// longestSettle is for how long such changes are awaited at most.
	longestSettle = 2 * time.Second
)

// Options is what a Controller stands on.
type Options struct {
	Name     string // of this controller, for who looks who leads
	Store    store.Store
	LeaseTTL time.Duration
	Limits   Limits
	Grace    time.Duration // where no ControllerConfiguration says it; zero: 5 minutes
	Health   *telemetry.Health
	Logger   hclog.Logger
}

// Controller leads, or waits to.
type Controller struct {
	opts Options
	log  hclog.Logger

	sweep sweep // of who collects: one goroutine at a time

	mu    sync.Mutex // guards the rest
	stats stats
}

// stats is what a controller counts.
type stats struct {
	leads     bool
	terms     int // how often it became leader
	elections int // memberships that it changed
	groups    int // that it knows while it leads
	problems  int // of them

	hostEndpoints int // that it looks after while it leads
	hostProblems  int // names that somebody else has

	collection collection
}

// New returns a Controller that does nothing until Run.
func New(opts Options) *Controller { return &Controller{opts: opts, log: opts.Logger} }

// Run works until ctx ends. Losing the store, or the lead, is no error.
func (c *Controller) Run(ctx context.Context) error {
	c.opts.Health.Set(conditionStore, false, "waiting for the store")
	pause := firstPause
	for ctx.Err() == nil {
		led, err := c.term(ctx)
		if led {
			pause = firstPause
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			continue
		}
		c.log.Warn("controller begins anew", "retry_in", pause, "error", err)
		c.opts.Health.Set(conditionStore, false, err.Error())
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, longPause)
	}
	return nil
}

// term waits to become leader, and leads until that ends. It reports whether it
// did lead.
func (c *Controller) term(ctx context.Context) (led bool, err error) {
	if _, err := c.opts.Store.Revision(ctx); err != nil {
		return false, fmt.Errorf("reach the store: %w", err)
	}
	c.opts.Health.Set(conditionStore, true, "")
	t, err := campaign(ctx, c.opts.Store, c.opts.Name, c.opts.LeaseTTL)
	if err != nil {
		return false, err
	}
	c.count(func(s *stats) { s.leads = true; s.terms++ })
	c.log.Info("controller leads", "name", c.opts.Name)
	leading, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-t.lease.Lost():
			cancel()
		case <-leading.Done():
		}
	}()
	var chores sync.WaitGroup
	for _, chore := range []func(context.Context, *term){c.collect, c.protectHosts} {
		chores.Go(func() {
			defer cancel() // it ends by itself when another leads
			chore(leading, t)
		})
	}
	err = c.lead(leading, t)
	deposed := ctx.Err() == nil && leading.Err() != nil
	cancel()
	chores.Wait()
	c.count(func(s *stats) { s.leads = false; s.idle() })
	if deposed {
		err = errors.New("the lead was lost")
	}
	c.log.Info("controller leads no longer", "name", c.opts.Name)
	// Another need not wait for the lease to run out.
	giving, done := context.WithTimeout(context.WithoutCancel(ctx), longPause)
	defer done()
	return true, errors.Join(err, t.lease.Revoke(giving))
}

// idle forgets what only a leader knows.
func (s *stats) idle() {
	s.groups, s.problems, s.hostEndpoints, s.hostProblems = 0, 0, 0, 0
	s.collection.idle()
}

func (c *Controller) count(change func(*stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// lead follows the store and writes what is decided, until ctx ends.
func (c *Controller) lead(ctx context.Context, t *term) error {
	watch := c.opts.Store.Watch(ctx, store.WatchOptions{Prefixes: prefixes()})
	defer watch.Close()
	w, m, statuses := newWorld(), newMemory(), make(map[string]written)
	s := fence(c.opts.Store, t)
	synced := false
	var next time.Duration
	for {
		waiting, done := ctx, context.CancelFunc(func() {})
		if next > 0 {
			waiting, done = context.WithTimeout(ctx, next)
		}
		batch, err := watch.Next(waiting)
		done()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			w.apply(batch)
			if synced && !batch.Synced {
				m = newMemory() // nobody could renew a lease meanwhile
			}
			synced = batch.Synced
		case !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("follow the store: %w", err)
		}
		if !synced {
			next = 0
			continue
		}
		if err == nil && len(batch.Events) > 0 && next != settle {
			next = settle
			continue
		}
		if w.locked { // the watch tells when it is unlocked
			m, next = newMemory(), 0
			continue
		}
		decisions, again := plan(w, m, c.opts.Limits, time.Now())
		pause, err := c.write(ctx, s, w, decisions, statuses)
		if err != nil {
			return err
		}
		if next = again; pause > 0 && (next == 0 || pause < next) {
			next = pause
		}
	}
}
