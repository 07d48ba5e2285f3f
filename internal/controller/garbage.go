package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

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

// collect releases the addresses and blocks that nobody needs, round by round,
// until ctx ends. A round that fails leaves its work to the next.
func (c *Controller) collect(ctx context.Context, t *term) {
	s := fence(c.opts.Store, t)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	collector := &ipam.Collector{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := c.round(ctx, s, client, collector)
		pause := c.pause(collector.Grace)
		timer.Reset(pause)
		if ctx.Err() != nil {
			return
		}
		c.count(func(s *stats) { s.collection.round(collector, err) })
		if err != nil {
			c.log.Warn("addresses not collected", "retry_in", pause, "error", err)
		}
	}
}

// pause is the time between rounds: half of the grace period, and never so long
// that a change of it would not be noticed.
func (c *Controller) pause(grace time.Duration) time.Duration {
	usual := cmp.Or(c.opts.Grace, defaultGrace)
	if grace == 0 {
		grace = usual
	}
	return min(grace, usual) / 2
}

// grace reads the grace period; zero: nothing is to be collected.
func (c *Controller) grace(ctx context.Context, s store.Store) (time.Duration, error) {
	usual := cmp.Or(c.opts.Grace, defaultGrace)
	kv, _, err := s.Get(ctx, store.ResourceKey(string(resource.KindControllerConfiguration), "", resource.DefaultName))
	if errors.Is(err, store.ErrNotFound) {
		return usual, nil
	}
	var msg proto.Message
	var object resource.Object
	if err == nil {
		msg, err = resource.Decode(resource.KindControllerConfiguration, kv.Value, kv.ModRevision)
	}
	if err == nil {
		object, err = resource.Check(msg)
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
func (c *Controller) round(ctx context.Context, s fenced, client *ipam.Client, collector *ipam.Collector) error {
	err := s.Check(ctx)
	if locked := (&resource.LockedError{}); errors.As(err, &locked) {
		return nil
	}
	if err != nil {
		return err
	}
	grace, err := c.grace(ctx, s)
	if err != nil {
		return err
	}
	collector.Grace = grace
	w, failed, err := readWorld(ctx, s)
	if err != nil {
		return err
	}
	garbage := &ipam.Garbage{}
	if collector.Grace > 0 {
		garbage = collector.Round(w)
	} else {
		collector.Forget()
	}
	if *failed != nil {
		return *failed
	}
	if err := c.adopt(ctx, s, client, w); err != nil {
		return err
	}
	got, err := client.Collect(ctx, garbage)
	c.count(func(s *stats) { s.collection.add(got, garbage.Left) })
	if got.Addresses+got.Dead+got.Empty > 0 {
		c.log.Info("addresses collected", "addresses", got.Addresses, "blocks_of_dead_nodes", got.Dead,
			"empty_blocks", got.Empty, "spared", got.Spared, "left", garbage.Left)
	}
	return err
}

// readWorld reads all that is stored of addresses and nodes. What fails later,
// while owners are asked for, is put into failed.
func readWorld(ctx context.Context, s store.Store) (w ipam.World, failed *error, err error) {
	if w.Contents, err = ipam.ReadContents(ctx, s); err != nil {
		return w, nil, fmt.Errorf("read what is stored of addresses: %w", err)
	}
	if w.Env, err = (ipam.Stored{Store: s}).Env(ctx); err != nil {
		return w, nil, err
	}
	nodes, err := nodesOf(ctx, s)
	if err != nil {
		return w, nil, err
	}
	w.Node = func(name string) bool { return nodes[name] }
	failed = new(error)
	w.Owner = func(key string, a netip.Addr) (int64, bool) {
		revision, has, err := owns(ctx, s, w.Contents, key, a)
		if err != nil {
			*failed = err
		}
		return revision, has
	}
	return w, failed, nil
}

// owns tells whether the object of a key has an address, and the revision of
// one that does not. Of endpoints the a/ keys tell; others have what is held for
// them as long as they are there. What cannot be read counts as having it.
func owns(ctx context.Context, s store.Store, contents *ipam.Contents, key string, a netip.Addr) (int64, bool, error) {
	if contents.Endpoints[a] == key {
		return 0, true, nil
	}
	kv, _, err := s.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, true, fmt.Errorf("read owner %s of %s: %w", key, a, err)
	}
	kind, _, _, err := store.ParseResourceKey(key)
	return kv.ModRevision, err != nil || kind != string(resource.KindWorkloadEndpoint), nil
}

// nodesOf returns the names of all Node objects.
func nodesOf(ctx context.Context, s store.Store) (map[string]bool, error) {
	names := make(map[string]bool)
	opts := store.ListOptions{Limit: 1000}
	for {
		page, err := s.List(ctx, store.KindPrefix(string(resource.KindNode)), opts)
		if err != nil {
			return nil, fmt.Errorf("read nodes: %w", err)
		}
		for _, kv := range page.KVs {
			if _, _, name, err := store.ParseResourceKey(kv.Key); err == nil {
				names[name] = true
			}
		}
		if page.Next == "" {
			return names, nil
		}
		opts.Start, opts.Revision = page.Next, page.Revision
	}
}
