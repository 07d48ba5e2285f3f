package ipam

import (
	"context"
	"fmt"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Stored is Settings read from the store each time: a pool that was just made
// can be used, wherever it was made.
type Stored struct{ Store Store }

// Fresh returns the settings, as Env does.
func (s Stored) Fresh(ctx context.Context) (*Env, error) { return s.Env(ctx) }

// Env returns the settings, of one revision. A pool or reservation that does not
// convert is left out; an IPAMConfiguration that does not convert is an error,
// because without it more might be given out than it allows.
func (s Stored) Env(ctx context.Context) (*Env, error) {
	env, _, err := s.EnvWith(ctx)
	return env, err
}

// EnvWith returns the settings, and keys as they were at the same revision. A key
// that does not exist has no revision.
func (s Stored) EnvWith(ctx context.Context, keys ...string) (*Env, []store.KV, error) {
	env := &Env{Now: time.Now()}
	reads := NewReads(false)
	need := &NeedError{
		Keys:     append([]string{ConfigurationKey()}, keys...),
		Prefixes: []string{store.KindPrefix(string(resource.KindIPPool)), store.KindPrefix(string(resource.KindIPReservation))},
	}
	if err := reads.Fill(ctx, s.Store, need); err != nil {
		return nil, nil, err
	}
	config, err := configuration(reads.keys[ConfigurationKey()].kv)
	if err != nil {
		return nil, nil, err
	}
	env.Config = ConfigOf(config)
	for _, object := range reads.objects(resource.KindIPPool) {
		env.Pools = append(env.Pools, PoolOf(object.(*resource.IPPool)))
	}
	for _, object := range reads.objects(resource.KindIPReservation) {
		env.Reservations = append(env.Reservations, object.(*resource.IPReservation).CIDRs...)
	}
	kvs := make([]store.KV, len(keys))
	for i, key := range keys {
		kvs[i] = reads.keys[key].kv
	}
	return env, kvs, nil
}

// objects returns the objects of a kind that were read and convert.
func (r *Reads) objects(kind resource.Kind) (objects []resource.Object) {
	for _, key := range r.below(store.KindPrefix(string(kind))) {
		kv := r.keys[key].kv
		msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
		if err != nil {
			continue
		}
		if object, err := resource.Check(msg); err == nil {
			objects = append(objects, object)
		}
	}
	return objects
}

// ConfigurationKey is where the IPAMConfiguration is stored.
func ConfigurationKey() string {
	return store.ResourceKey(string(resource.KindIPAMConfiguration), "", resource.DefaultName)
}

// Configuration returns the IPAMConfiguration and its revision; an empty one
// where there is none.
func (s Stored) Configuration(ctx context.Context) (*resource.IPAMConfiguration, int64, error) {
	found, err := s.Store.Read(ctx, []string{ConfigurationKey()}, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", ConfigurationKey(), err)
	}
	config, err := configuration(found.KVs[0])
	return config, found.KVs[0].ModRevision, err
}

func configuration(kv store.KV) (*resource.IPAMConfiguration, error) {
	if kv.ModRevision == 0 {
		return &resource.IPAMConfiguration{}, nil
	}
	msg, err := resource.Decode(resource.KindIPAMConfiguration, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kv.Key, err)
	}
	object, err := resource.Check(msg)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kv.Key, err)
	}
	return object.(*resource.IPAMConfiguration), nil
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
