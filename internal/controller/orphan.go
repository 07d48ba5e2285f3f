package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// maxLooked is for how many addresses one round looks whether their endpoint is
// there, in a few reads; the next goes on behind them. Nothing of ours leaves an
// address without its endpoint, so that it may take many rounds to come by all.
const maxLooked = 8 * store.MaxOps

// orphan is an address that is noted for an endpoint that is not there.
type orphan struct {
	key   string // of the endpoint
	first time.Time
}

// orphans frees addresses that are noted for endpoints which somebody has removed
// in the store itself, once that was seen again after the grace period. What is
// held under the handle of the endpoint leaks by that, and is collected as such.
func (c *Controller) orphans(ctx context.Context, s fenced, w *ipam.World) error {
	look := c.nextLooks(w)
	there := make(map[string]bool)
	for some := range slices.Chunk(look, store.MaxOps) {
		var keys []string
		for _, a := range some {
			keys = append(keys, w.Endpoints[a])
		}
		slices.Sort(keys)
		found, err := s.Read(ctx, slices.Compact(keys), nil)
		if err != nil {
			return fmt.Errorf("look for endpoints of %d addresses: %w", len(some), err)
		}
		for _, kv := range found.KVs {
			there[kv.Key] = there[kv.Key] || kv.ModRevision != 0
		}
	}
	seen := c.sweep.orphans
	c.sweep.orphans = make(map[netip.Addr]orphan)
	for _, a := range look {
		o := orphan{w.Endpoints[a], w.Env.Now}
		if there[o.key] {
			continue
		}
		was, again := seen[a]
		if again = again && was.key == o.key; again {
			o = was
		}
		if !again || w.Env.Now.Sub(o.first) < c.sweep.Grace {
			c.sweep.orphans[a] = o
			continue
		}
		if err := c.freeOrphan(ctx, s, a, o.key); err != nil {
			return err
		}
	}
	return nil
}

// nextLooks returns the addresses of this round, in order: those that seemed to be
// orphans, and the next ones.
func (c *Controller) nextLooks(w *ipam.World) []netip.Addr {
	endpoints := store.KindPrefix(string(resource.KindWorkloadEndpoint))
	var all, look []netip.Addr
	for a, key := range w.Endpoints {
		if strings.HasPrefix(key, endpoints) { // else a newer version knows what it is
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	for _, a := range slices.SortedFunc(maps.Keys(c.sweep.orphans), netip.Addr.Compare) {
		if _, noted := slices.BinarySearchFunc(all, a, netip.Addr.Compare); noted {
			look = append(look, a)
		}
	}
	from, _ := slices.BinarySearchFunc(all, c.sweep.looked, netip.Addr.Compare)
	for _, a := range slices.Concat(all[from:], all[:from]) {
		if len(look) >= maxLooked {
			break
		}
		c.sweep.looked = a.Next()
		look = append(look, a)
	}
	slices.SortFunc(look, netip.Addr.Compare)
	return slices.Compact(look)
}

// freeOrphan removes the note of an address if it is what it was, and its endpoint
// is still not there when that is written.
func (c *Controller) freeOrphan(ctx context.Context, s fenced, a netip.Addr, key string) error {
	kv, _, err := s.Get(ctx, store.AddressKey(a))
	if errors.Is(err, store.ErrNotFound) || err == nil && string(kv.Value) != key {
		return nil
	}
	if err == nil {
		_, err = s.Txn(ctx, []store.Compare{{Key: key}, {Key: kv.Key, ModRevision: kv.ModRevision}}, []store.Op{{Key: kv.Key, Delete: true}})
	}
	if errors.Is(err, store.ErrConflict) {
		return nil // it is there again, or freed
	}
	if err != nil {
		return fmt.Errorf("free %s of %s, which is gone: %w", a, key, err)
	}
	c.log.Info("address of an endpoint that is gone freed", "address", a.String(), "endpoint", key)
	return nil
}
