package ipam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Stored is Settings read from the store each time: a pool that was just made
// can be used, wherever it was made.
type Stored struct{ Store Store }

// Fresh returns the settings, as Env does.
func (s Stored) Fresh(ctx context.Context) (*Env, error) { return s.Env(ctx) }

// Env returns the settings. A pool or reservation that does not convert is left
// out; an IPAMConfiguration that does not convert is an error, because without
// it more might be given out than it allows.
func (s Stored) Env(ctx context.Context) (*Env, error) {
	env := &Env{Now: time.Now()}
	var g errgroup.Group
	g.Go(func() error {
		return s.each(ctx, resource.KindIPPool, func(object resource.Object) {
			env.Pools = append(env.Pools, PoolOf(object.(*resource.IPPool)))
		})
	})
	g.Go(func() error {
		return s.each(ctx, resource.KindIPReservation, func(object resource.Object) {
			env.Reservations = append(env.Reservations, object.(*resource.IPReservation).CIDRs...)
		})
	})
	g.Go(func() error {
		config, _, err := s.Configuration(ctx)
		if err == nil {
			env.Config = ConfigOf(config)
		}
		return err
	})
	return env, g.Wait()
}

// each calls back with the objects of a kind that convert.
func (s Stored) each(ctx context.Context, kind resource.Kind, found func(resource.Object)) error {
	opts := store.ListOptions{Limit: page}
	for {
		p, err := s.Store.List(ctx, store.KindPrefix(string(kind)), opts)
		if err != nil {
			return fmt.Errorf("read %s: %w", kind, err)
		}
		for _, kv := range p.KVs {
			msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
			if err != nil {
				continue
			}
			if object, err := resource.Check(msg); err == nil {
				found(object)
			}
		}
		if p.Next == "" {
			return nil
		}
		opts.Start, opts.Revision = p.Next, p.Revision
	}
}

// ConfigurationKey is where the IPAMConfiguration is stored.
func ConfigurationKey() string {
	return store.ResourceKey(string(resource.KindIPAMConfiguration), "", resource.DefaultName)
}

// Configuration returns the IPAMConfiguration and its revision; an empty one
// where there is none.
func (s Stored) Configuration(ctx context.Context) (*resource.IPAMConfiguration, int64, error) {
	kv, _, err := s.Store.Get(ctx, ConfigurationKey())
	if errors.Is(err, store.ErrNotFound) {
		return &resource.IPAMConfiguration{}, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", ConfigurationKey(), err)
	}
	msg, err := resource.Decode(resource.KindIPAMConfiguration, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", ConfigurationKey(), err)
	}
	object, err := resource.Check(msg)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", ConfigurationKey(), err)
	}
	return object.(*resource.IPAMConfiguration), kv.ModRevision, nil
}

// ConfigOf is what the settings of an IPAMConfiguration mean here.
func ConfigOf(c *resource.IPAMConfiguration) Config {
	return Config{StrictAffinity: c.StrictAffinity, NoAutoAllocate: c.NoAutoAllocate,
		MaxBlocksPerHost: c.MaxBlocksPerHost, Cooldown: c.Cooldown}
}

// PoolOf is what address management needs to know of a pool.
func PoolOf(p *resource.IPPool) Pool {
	out := Pool{
		Name: p.Name, CIDR: p.CIDR, BlockSize: p.BlockSize, Disabled: p.Disabled, Manual: p.Manual,
		NodeSelector: choosing(p.NodeSelector), NamespaceSelector: choosing(p.NamespaceSelector),
		Key: store.ResourceKey(string(resource.KindIPPool), "", p.Name), Revision: p.Revision,
	}
	for _, use := range p.Uses {
		out.Uses = append(out.Uses, Use(use))
	}
	return out
}

// choosing returns a selector, nil if it chooses everything.
func choosing(s *selector.Selector) *selector.Selector {
	if s.ID() == selector.All().ID() {
		return nil
	}
	return s
}
