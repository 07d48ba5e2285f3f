package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// ipamSettings is what address management depends on, read from the store each
// time: a pool that was just made can be used, wherever it was made.
type ipamSettings struct{ store store.Store }

// Env returns the settings. A pool or reservation that does not convert is left
// out; an IPAMConfiguration that does not convert is an error, because without
// it more might be given out than it allows.
func (s ipamSettings) Env(ctx context.Context) (*ipam.Env, error) {
	env := &ipam.Env{Now: time.Now()}
	var g errgroup.Group
	g.Go(func() error {
		return s.each(ctx, resource.KindIPPool, func(object resource.Object) {
			env.Pools = append(env.Pools, ipamPool(object.(*resource.IPPool)))
		})
	})
	g.Go(func() error {
		return s.each(ctx, resource.KindIPReservation, func(object resource.Object) {
			env.Reservations = append(env.Reservations, object.(*resource.IPReservation).CIDRs...)
		})
	})
	g.Go(func() error {
		config, _, err := s.configuration(ctx)
		env.Config = ipamConfig(config)
		return err
	})
	return env, g.Wait()
}

// each calls back with the objects of a kind that convert.
func (s ipamSettings) each(ctx context.Context, kind resource.Kind, found func(resource.Object)) error {
	err := scan(ctx, s.store, store.KindPrefix(string(kind)), func(kv store.KV) {
		msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
		if err != nil {
			return
		}
		if object, err := resource.Check(msg); err == nil {
			found(object)
		}
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", kind, err)
	}
	return nil
}

// configuration returns the IPAMConfiguration and its revision; an empty one
// where there is none.
func (s ipamSettings) configuration(ctx context.Context) (*resource.IPAMConfiguration, int64, error) {
	kv, _, err := s.store.Get(ctx, resourceKey(ipamConfigurationID()))
	if errors.Is(err, store.ErrNotFound) {
		return &resource.IPAMConfiguration{}, 0, nil
	}
	var msg proto.Message
	var object resource.Object
	if err == nil {
		msg, err = resource.Decode(resource.KindIPAMConfiguration, kv.Value, kv.ModRevision)
	}
	if err == nil {
		object, err = resource.Check(msg)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", ipamConfigurationID(), err)
	}
	return object.(*resource.IPAMConfiguration), kv.ModRevision, nil
}

func ipamConfigurationID() resource.ID {
	return resource.ID{Kind: resource.KindIPAMConfiguration, Name: resource.DefaultName}
}

func ipamConfig(c *resource.IPAMConfiguration) ipam.Config {
	if c == nil {
		return ipam.Config{}
	}
	return ipam.Config{StrictAffinity: c.StrictAffinity, NoAutoAllocate: c.NoAutoAllocate,
		MaxBlocksPerHost: c.MaxBlocksPerHost, Cooldown: c.Cooldown}
}

// ipamPool is what address management needs to know of a pool.
func ipamPool(p *resource.IPPool) ipam.Pool {
	out := ipam.Pool{
		Name: p.Name, CIDR: p.CIDR, BlockSize: p.BlockSize, Disabled: p.Disabled, Manual: p.Manual,
		NodeSelector: choosing(p.NodeSelector), NamespaceSelector: choosing(p.NamespaceSelector),
		Key: resourceKey(p.ID), Revision: p.Revision,
	}
	for _, use := range p.Uses {
		out.Uses = append(out.Uses, ipam.Use(use))
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

// configure refuses an IPAMConfiguration whose settings do not go together, and
// foreign ranges that a pool overlaps. It makes the transaction depend on no
// pool being added meanwhile.
func (w *writer) configure(ctx context.Context, t *txn, next *resource.IPAMConfiguration) error {
	bad := &resource.Invalid{}
	for _, p := range ipamConfig(next).Check() {
		bad.Problems = append(bad.Problems, resource.Problem{Path: p.Path, Reason: p.Reason})
	}
	guard, _, err := w.store.Get(ctx, poolGuard)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("read %s: %w", poolGuard, err)
	}
	t.compare(poolGuard, guard.ModRevision)
	err = w.ranges(ctx, func(_ string, pool *vrouterv1.IPPool, cidr netip.Prefix) {
		for i, foreign := range next.Foreign {
			if foreign.Overlaps(cidr) {
				bad.Problems = append(bad.Problems, resource.Problem{Path: fmt.Sprintf("spec.foreignCIDRs[%d]", i),
					Reason: fmt.Sprintf("%s overlaps %s of IPPool %s", foreign, cidr, pool.GetMetadata().GetName())})
			}
		}
	})
	if err != nil {
		return err
	}
	if len(bad.Problems) > 0 {
		return bad
	}
	return nil
}
