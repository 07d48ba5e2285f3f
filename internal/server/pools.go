package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// insidePools refuses addresses outside every pool, if that is asked for. A
// disabled pool counts: it gives out no address by itself, but may hold some.
func (w *writer) insidePools(pools []ipam.Pool, addresses []netip.Addr) error {
	bad := &resource.Invalid{}
	for i, a := range addresses {
		inside := slices.ContainsFunc(pools, func(p ipam.Pool) bool { return p.CIDR.Contains(a) })
		if w.requirePool && !inside {
			bad.Problems = append(bad.Problems, resource.Problem{
				Path:   networkPath(i),
				Reason: fmt.Sprintf("%s is in no IPPool", a),
			})
		}
	}
	if len(bad.Problems) > 0 {
		return bad
	}
	return nil
}

// reservePool refuses a pool that overlaps another one, and changes that would
// leave the blocks made of the pool so far outside of it. It makes the
// transaction of a new range depend on no other being added meanwhile.
func (w *writer) reservePool(ctx context.Context, t *txn, old stored, next *resource.IPPool) error {
	if was := checkedPool(ofBlocks(old)); was != nil {
		if was.CIDR != next.CIDR {
			return invalid("spec.cidr", "the range of a pool cannot change (from %s): make another pool", was.CIDR)
		}
		if was.BlockSize != next.BlockSize {
			return invalid("spec.blockSize", "the block size of a pool cannot change (from %d)", was.BlockSize)
		}
		return nil
	}
	guard, err := w.holding(ctx, settingsGuard)
	if err != nil {
		return err
	}
	t.compare(settingsGuard, guard.ModRevision)
	return w.disjoint(ctx, t, old.id, next.CIDR)
}

// disjoint refuses a range that overlaps that of a stored pool other than id, or
// a foreign one, and makes the transaction depend on what is foreign.
func (w *writer) disjoint(ctx context.Context, t *txn, id resource.ID, cidr netip.Prefix) error {
	config, revision, err := ipam.Stored{Store: w.store}.Configuration(ctx)
	if err != nil {
		return err
	}
	t.compare(ipam.ConfigurationKey(), revision)
	for _, foreign := range config.Foreign {
		if foreign.Overlaps(cidr) {
			return invalid("spec.cidr", "%s overlaps %s, which the IPAMConfiguration says is foreign", cidr, foreign)
		}
	}
	var overlap error
	err = w.ranges(ctx, func(key string, pool *vrouterv1.IPPool, other netip.Prefix) {
		if key != resourceKey(id) && other.Overlaps(cidr) {
			overlap = invalid("spec.cidr", "%s overlaps %s of IPPool %s", cidr, other, pool.GetMetadata().GetName())
		}
	})
	if err != nil {
		return err
	}
	return overlap
}

// ranges calls back with each stored pool and its range. A pool that does not
// convert has a range all the same.
func (w *writer) ranges(ctx context.Context, each func(key string, pool *vrouterv1.IPPool, cidr netip.Prefix)) error {
	_, err := store.Scan(ctx, w.store, store.KindPrefix(string(resource.KindIPPool)), 0, func(kv store.KV) {
		msg, err := resource.Decode(resource.KindIPPool, kv.Value, kv.ModRevision)
		if err != nil {
			return
		}
		pool := msg.(*vrouterv1.IPPool)
		if cidr, err := netip.ParsePrefix(pool.GetSpec().GetCidr()); err == nil {
			each(kv.Key, pool, cidr)
		}
	})
	if err != nil {
		return fmt.Errorf("read pools: %w", err)
	}
	return nil
}

// poolWarnings tells which Nodes have an address of a pool, that an endpoint could
// be given; nothing of what is no pool, or gives out none.
func (r *reader) poolWarnings(ctx context.Context, msg proto.Message) ([]string, error) {
	pool, ok := msg.(*vrouterv1.IPPool)
	cidr, err := netip.ParsePrefix(pool.GetSpec().GetCidr())
	if !ok || err != nil || pool.GetSpec().GetDisabled() {
		return nil, nil
	}
	var nodes []string
	_, err = store.Scan(ctx, r.store, store.KindPrefix(string(resource.KindNode)), 0, func(kv store.KV) {
		msg, err := resource.Decode(resource.KindNode, kv.Value, kv.ModRevision)
		if err != nil {
			return
		}
		node := msg.(*vrouterv1.Node)
		for _, text := range []string{node.GetSpec().GetBgp().GetIpv4Address(), node.GetSpec().GetBgp().GetIpv6Address()} {
			if p, err := netip.ParsePrefix(text); err == nil && cidr.Contains(p.Addr()) {
				nodes = append(nodes, fmt.Sprintf("%s (%s)", node.GetMetadata().GetName(), p.Addr()))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for nodes with addresses of %s: %w", cidr, err)
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("spec.cidr: %s has addresses of Nodes, which endpoints could be given: %s; take another range, "+
		"and list those of the fabric in foreignCIDRs of the IPAMConfiguration", cidr, firstOf(nodes))}, nil
}

// removePool deletes a pool with its blocks, which takes several transactions
// if they are many. Addresses that are in use keep it.
func (w *writer) removePool(ctx context.Context, id resource.ID, version string) (stored, error) {
	for {
		var last stored
		more := false
		_, err := w.ipam.Do(ctx, "", func(ctx context.Context, s *ipam.Step) (err error) {
			var t txn
			if last, err = w.removal(ctx, &t, id, version); err != nil {
				return err
			}
			pool, _ := last.msg.(*vrouterv1.IPPool)
			if cidr, err := netip.ParsePrefix(pool.GetSpec().GetCidr()); err == nil {
				if more, err = s.DropPool(&ipam.Pool{Name: id.Name, CIDR: cidr}); err != nil {
					return err
				}
				if err := w.unheld(ctx, id, cidr); err != nil {
					return err
				}
			}
			if more {
				t.ops = nil
			}
			s.Join(t.compares, t.ops)
			return nil
		})
		if err != nil || !more {
			return last, err
		}
	}
}

// unheld refuses to delete a pool that endpoints have addresses of without any
// block knowing: they are older than the blocks.
func (w *writer) unheld(ctx context.Context, id resource.ID, cidr netip.Prefix) error {
	var example store.KV
	n := 0
	_, err := store.Scan(ctx, w.store, store.AddressPrefix, 0, func(kv store.KV) {
		if a, err := store.ParseAddressKey(kv.Key); err == nil && cidr.Contains(a) {
			example = kv
			n++
		}
	})
	if err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	if n > 0 {
		return &stateError{"IN_USE", id.String(), fmt.Sprintf("%d addresses of %s are held: %v", n, cidr, held(example))}
	}
	return nil
}

// ofBlocks returns a stored pool with no more than its blocks depend on. They are
// there also where something else of it does not convert.
func ofBlocks(old stored) stored {
	if pool, _ := old.msg.(*vrouterv1.IPPool); pool.GetSpec() != nil {
		old.msg = &vrouterv1.IPPool{Metadata: pool.Metadata,
			Spec: &vrouterv1.IPPoolSpec{Cidr: pool.Spec.Cidr, BlockSize: pool.Spec.BlockSize}}
	}
	return old
}

// checkedPool returns the stored pool, nil if there is none that converts.
func checkedPool(old stored) *resource.IPPool {
	if old.msg == nil {
		return nil
	}
	object, err := resource.Check(old.msg)
	if err != nil {
		return nil
	}
	return object.(*resource.IPPool)
}
