package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// maxAddresses of an endpoint: with a move to as many others they fit into one
// transaction, each with a compare, beside the endpoint, the lock and their
// blocks, as long as those are few.
const maxAddresses = (store.MaxOps - 32) / 2

// claim adds to the transaction of an endpoint the keys of its addresses: its
// new ones are taken if they are free, those it gives up are freed.
//
// A new endpoint guesses that its addresses are free, which saves reading them:
// the transaction tells if not. With an older spec, or on a second try, the
// keys are read.
func (w *writer) claim(ctx context.Context, t *txn, old stored, addresses []netip.Addr, again bool) error {
	own := resourceKey(old.id)
	for i, a := range addresses {
		key := store.AddressKey(a)
		var kv store.KV
		if again || old.revision != 0 {
			var err error
			if kv, err = w.holding(ctx, key); err != nil {
				return err
			}
		}
		t.compare(key, kv.ModRevision)
		switch {
		case kv.ModRevision == 0:
			t.put(key, []byte(own))
		case string(kv.Value) != own:
			return atField(networkPath(i), held(kv))
		}
	}
	return w.free(ctx, t, old, addresses)
}

// release adds to the transaction that deletes an endpoint the keys of all of
// its addresses.
func (w *writer) release(ctx context.Context, t *txn, old stored) error {
	return w.free(ctx, t, old, nil)
}

// free deletes the keys of the addresses that old holds and keep does not name.
func (w *writer) free(ctx context.Context, t *txn, old stored, keep []netip.Addr) error {
	keys, err := w.addressKeys(ctx, old)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if slices.ContainsFunc(keep, func(a netip.Addr) bool { return store.AddressKey(a) == key }) {
			continue
		}
		kv, err := w.holding(ctx, key)
		if err != nil {
			return err
		}
		if string(kv.Value) != resourceKey(old.id) {
			continue // not ours to free
		}
		t.compare(key, kv.ModRevision)
		t.delete(key)
	}
	return nil
}

// addressKeys returns the address keys that an endpoint may hold, in order. One
// that cannot be read does not tell: then they are searched for.
func (w *writer) addressKeys(ctx context.Context, old stored) ([]string, error) {
	var keys []string
	if old.revision == 0 {
		return nil, nil
	}
	if old.msg == nil {
		_, err := store.Scan(ctx, w.store, store.AddressPrefix, 0, func(kv store.KV) {
			if string(kv.Value) == resourceKey(old.id) {
				keys = append(keys, kv.Key)
			}
		})
		return keys, err
	}
	for _, text := range old.msg.(*vrouterv1.WorkloadEndpoint).GetSpec().GetIpNetworks() {
		if p, err := netip.ParsePrefix(text); err == nil { // else it was never taken
			keys = append(keys, store.AddressKey(p.Addr()))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// holding reads an address key; one that does not exist has no revision.
func (w *writer) holding(ctx context.Context, key string) (store.KV, error) {
	kv, _, err := w.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.KV{Key: key}, nil
	}
	if err != nil {
		return kv, fmt.Errorf("read %s: %w", key, err)
	}
	return kv, nil
}

// holdings returns the keys of those of many addresses that an endpoint holds.
// It takes one read for each store.MaxOps of them.
func (w *writer) holdings(ctx context.Context, addresses []netip.Addr) (held []store.KV, err error) {
	for some := range slices.Chunk(addresses, store.MaxOps) {
		keys := make([]string, len(some))
		for i, a := range some {
			keys[i] = store.AddressKey(a)
		}
		found, err := w.store.Read(ctx, keys, nil)
		if err != nil {
			return nil, fmt.Errorf("look who holds %d addresses: %w", len(some), err)
		}
		held = append(held, slices.DeleteFunc(found.KVs, func(kv store.KV) bool { return kv.ModRevision == 0 })...)
	}
	return held, nil
}

// noHolder are the compares that hold while no endpoint has an address.
func noHolder(addresses []netip.Addr) []store.Compare {
	compares := make([]store.Compare, len(addresses))
	for i, a := range addresses {
		compares[i].Key = store.AddressKey(a)
	}
	return compares
}

// shownAddress is the address of an address key, for people.
func shownAddress(key string) string {
	if a, err := store.ParseAddressKey(key); err == nil {
		return a.String()
	}
	return key
}

// held is the error for an address that another endpoint holds.
func held(kv store.KV) error {
	e := &heldError{address: shownAddress(kv.Key), holder: string(kv.Value)}
	id, err := parseID(e.holder)
	if err != nil {
		return e
	}
	e.holder = id.Namespace + "/" + id.Name
	if endpoint, err := resource.ParseEndpointKeyName(id.Namespace, id.Name); err == nil {
		e.holder = endpoint.String()
	}
	return e
}
