package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// defaultGrace is for how long an address must be of no use to anybody before
// it is released: Calico's time. Rounds come twice as often.
const defaultGrace = 5 * time.Minute

// errDeposed is a write of one who leads no longer.
var errDeposed = errors.New("another controller leads")

// fenced is the store as a leader writes it: only while it leads, and while the
// datastore is not locked.
type fenced struct {
	*store.Gate
	term *term
}

// fence returns the store as the leader of a term writes it.
func fence(s store.Store, t *term) fenced {
	key := store.ResourceKey(string(resource.KindClusterInformation), "", resource.DefaultName)
	return fenced{store.NewGate(s, key, func(kv store.KV) error { return resource.Unlocked(kv.Value) }), t}
}

// Txn adds the condition that this process leads.
func (f fenced) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	revision, err := f.Gate.Txn(ctx, append([]store.Compare{f.term.fence()}, compares...), ops)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) && conflict.Key == f.term.key {
		return 0, errDeposed // no conflict: trying again would not help
	}
	return revision, err
}

// sweep is what one round of the collection leaves to the next, also to one in a
// later term of this process: who loses the lead for a moment has seen what it
// has seen.
type sweep struct {
	ipam.Collector
	more  bool       // there is work that need not wait for the next round's time
	adopt netip.Addr // where to go on taking in addresses

	looked  netip.Addr            // where to go on looking for orphans
	orphans map[netip.Addr]orphan // that were seen
}

// collect releases the addresses and blocks that nobody needs, round by round,
// until ctx ends, or another leads. A round that fails leaves its work to the
// next.
func (c *Controller) collect(ctx context.Context, t *term) {
	s := fence(c.opts.Store, t)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		err := c.round(ctx, s, client)
		took := time.Since(start)
		if ctx.Err() != nil || errors.Is(err, errDeposed) {
			return
		}
		pause := c.pause(took)
		timer.Reset(pause)
		c.count(func(s *stats) { s.collection.round(&c.sweep.Collector, took, err) })
		if err != nil {
			c.log.Warn("addresses not collected", "retry_in", pause, "error", err)
		}
	}
}

const (
	// idleShare is how many times as long as a round took the next one waits at
	// least: a tenth of the time is the most that collecting takes of a store.
	idleShare  = 9
	leastPause = time.Second
)

// pause is the time between rounds: half of the grace period, and never so long
// that a change of it would not be noticed. Where a round took all that it may
// and left more, the next one comes soon.
func (c *Controller) pause(took time.Duration) time.Duration {
	usual := cmp.Or(c.opts.Grace, defaultGrace)
	pause := min(cmp.Or(c.sweep.Grace, usual), usual) / 2
	if c.sweep.more {
		pause = min(pause, max(idleShare*took, leastPause))
	}
	return pause
}

// grace reads the grace period; zero: nothing is to be collected.
func (c *Controller) grace(ctx context.Context, s store.Store) (time.Duration, error) {
	usual := cmp.Or(c.opts.Grace, defaultGrace)
	kv, _, err := s.Get(ctx, store.ResourceKey(string(resource.KindControllerConfiguration), "", resource.DefaultName))
	if errors.Is(err, store.ErrNotFound) {
		return usual, nil
	}
	var object resource.Object
	if err == nil {
		_, object, err = decodeObject(resource.KindControllerConfiguration, kv)
	}
	if err != nil {
		return 0, fmt.Errorf("read the ControllerConfiguration: %w", err)
	}
	if grace := object.(*resource.ControllerConfiguration).LeakGrace; grace != nil {
		return *grace, nil
	}
	return usual, nil
}

// round looks at all that is stored of addresses, and takes away what has been
// of no use for long enough.
func (c *Controller) round(ctx context.Context, s fenced, client *ipam.Client) error {
	w := &c.sweep
	w.more = false
	_, err := s.Txn(ctx, nil, nil)
	if errors.As(err, new(*resource.LockedError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look who leads: %w", err)
	}
	if w.Grace, err = c.grace(ctx, s); err != nil {
		return err
	}
	world, err := ipam.ReadWorld(ctx, s, ipam.Stored{Store: s})
	if err != nil {
		return fmt.Errorf("look for addresses of no use: %w", err)
	}
	c.count(func(s *stats) { s.collection.look(world) })
	garbage := &ipam.Garbage{}
	if w.Grace > 0 {
		garbage = w.Round(world)
	} else {
		w.Forget()
		w.orphans = nil
	}
	if err := c.adopt(ctx, s, client, world); err != nil {
		return err
	}
	c.tell(garbage)
	got, err := client.Collect(ctx, garbage)
	if err == nil && w.Grace > 0 {
		err = c.orphans(ctx, s, world)
	}
	w.more = w.more || garbage.Left > 0
	c.count(func(s *stats) { s.collection.add(got, garbage.Left) })
	if got.Addresses+got.Dead+got.Empty > 0 {
		c.log.Info("addresses collected", "addresses", got.Addresses, "blocks_of_dead_nodes", got.Dead,
			"empty_blocks", got.Empty, "spared", got.Spared, "left", garbage.Left)
	}
	return err
}
