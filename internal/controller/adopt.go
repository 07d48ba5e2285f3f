package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// maxAdopted is how many addresses one round takes in.
const maxAdopted = 500

// adopt takes in the addresses of endpoints that are older than blocks, or than
// the pool that they lie in: blocks know of them from then on. One that cannot
// be taken in holds up no other.
func (c *Controller) adopt(ctx context.Context, s store.Store, client *ipam.Client, w *ipam.World) error {
	held := make(map[netip.Addr]bool)
	for _, b := range w.Blocks {
		for _, h := range b.Holdings() {
			held[h.Address] = true
		}
	}
	var missing []netip.Addr
	for a := range w.Endpoints {
		inPool := slices.ContainsFunc(w.Env.Pools, func(p ipam.Pool) bool { return p.CIDR.Contains(a) })
		if inPool && !held[a] {
			missing = append(missing, a)
		}
	}
	slices.SortFunc(missing, netip.Addr.Compare)
	from, _ := slices.BinarySearchFunc(missing, c.sweep.adopt, netip.Addr.Compare)
	missing = append(missing[from:], missing[:from]...) // or what cannot be taken in would stand before the rest
	taken := 0
	defer func() { c.count(func(s *stats) { s.collection.adopted += taken }) }()
	for _, a := range missing[:min(len(missing), maxAdopted)] {
		c.sweep.adopt = a.Next()
		err := adoptOne(ctx, s, client, a, w.Endpoints[a])
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errDeposed), errors.Is(err, store.ErrUnavailable), errors.As(err, new(*resource.LockedError)):
			return err
		case err != nil:
			c.log.Debug("address not taken in", "address", a.String(), "endpoint", w.Endpoints[a], "error", err)
		default:
			taken++
		}
	}
	if taken > 0 {
		c.sweep.more = len(missing) > maxAdopted
		c.log.Info("addresses of older endpoints taken in", "addresses", taken, "left", len(missing)-taken)
	}
	return nil
}

// adoptOne has an endpoint hold an address that it has, if it still has it when
// that is written.
func adoptOne(ctx context.Context, s store.Store, client *ipam.Client, a netip.Addr, key string) error {
	endpoint, _, err := readEndpoint(ctx, s, key)
	if err != nil {
		return err
	}
	_, err = client.Do(ctx, endpoint.Node, func(ctx context.Context, step *ipam.Step) error {
		endpoint, revision, err := readEndpoint(ctx, s, key)
		if err != nil {
			return err
		}
		claim, _, err := s.Get(ctx, store.AddressKey(a))
		if err != nil {
			return fmt.Errorf("read who has %s: %w", a, err)
		}
		if string(claim.Value) != key || !slices.Contains(endpoint.Addresses, a) {
			return fmt.Errorf("%s has %s no more", key, a)
		}
		labels, err := nodeLabels(ctx, s, endpoint.Node)
		if err != nil {
			return err
		}
		handle, owner := ipam.EndpointHandle(endpoint.ID)
		if _, err := step.Assign(ipam.AssignRequest{Address: a, Node: endpoint.Node, NodeLabels: labels, Handle: handle, Owner: owner}); err != nil {
			return err
		}
		step.Join([]store.Compare{{Key: key, ModRevision: revision}, {Key: claim.Key, ModRevision: claim.ModRevision}}, nil)
		return nil
	})
	return err
}

// readEndpoint returns the endpoint of a key.
func readEndpoint(ctx context.Context, s store.Store, key string) (*resource.WorkloadEndpoint, int64, error) {
	kv, _, err := s.Get(ctx, key)
	var object resource.Object
	if err == nil {
		_, object, err = decodeObject(resource.KindWorkloadEndpoint, kv)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read endpoint %s: %w", key, err)
	}
	return object.(*resource.WorkloadEndpoint), kv.ModRevision, nil
}

// nodeLabels returns the labels of a node, none if there is no such object.
func nodeLabels(ctx context.Context, s store.Store, name string) (map[string]string, error) {
	kv, _, err := s.Get(ctx, store.ResourceKey(string(resource.KindNode), "", name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read labels of node %s: %w", name, err)
	}
	msg, err := resource.Decode(resource.KindNode, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, fmt.Errorf("read labels of node %s: %w", name, err)
	}
	return msg.(*vrouterv1.Node).GetMetadata().GetLabels(), nil
}
