package view

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// object is what is kept of a key.
type object struct {
	modRevision int64
	value       []byte          // as stored; nil when it is of no use to anybody here
	checked     resource.Object // the last good form; nil when there never was one
	good        store.KV        // what checked was made of
	problem     error           // why value does not convert; nil when it does
}

// changes says which consumers have news.
type changes struct{ fabric, local, copy bool }

func (v *View) endpointLocked(id resource.EndpointID) *resource.WorkloadEndpoint {
	key, ok := v.byID[id]
	if !ok {
		return nil
	}
	return v.objects[key].checked.(*resource.WorkloadEndpoint)
}

func (v *View) putLocked(kv store.KV, changed *changes) {
	old, had := v.objects[kv.Key]
	// The value is compared too: two stores may use one revision for two things.
	if had && old.modRevision == kv.ModRevision && bytes.Equal(old.value, kv.Value) || !had && v.followed.has(kv) {
		return
	}
	checked, err := decode(kv)
	if err != nil {
		// The last good form stays in force, and in the local copy.
		old.modRevision, old.value, old.problem = kv.ModRevision, kv.Value, err
		if kind, _, _, err := store.ParseResourceKey(kv.Key); err != nil || !known(kind) {
			old.value = nil // of a newer version: reported, and not carried along
		}
		v.objects[kv.Key] = old
		changed.copy = true
		return
	}
	if ep, ok := checked.(*resource.WorkloadEndpoint); ok && v.owners != nil {
		v.owners.put(kv.Key, ep)
	}
	if ep, ok := checked.(*resource.WorkloadEndpoint); ok && ep.Node != v.node {
		v.deleteLocked(kv.Key, changed)
		changed.copy = v.followed.put(kv, checked, true) || changed.copy
		return
	}
	v.followed.put(kv, checked, false)
	v.forgetLocked(kv.Key, old.checked, changed)
	v.objects[kv.Key] = object{modRevision: kv.ModRevision, value: kv.Value, checked: checked, good: kv}
	changed.copy = true
	if ep, ok := checked.(*resource.WorkloadEndpoint); ok {
		v.byID[ep.Endpoint] = kv.Key
		v.dirty[ep.Endpoint] = struct{}{}
		changed.local = true
		return
	}
	if pool, ok := checked.(*resource.IPPool); ok {
		v.pools[kv.Key] = pool
	}
	changed.fabric = changed.fabric || isFabric(checked)
}

func (v *View) deleteLocked(key string, changed *changes) {
	changed.copy = v.followed.delete(key) || changed.copy
	old, had := v.objects[key]
	if !had {
		return
	}
	delete(v.objects, key)
	changed.copy = true
	v.forgetLocked(key, old.checked, changed)
}

// forgetLocked takes an object out of the indexes.
func (v *View) forgetLocked(key string, old resource.Object, changed *changes) {
	ep, ok := old.(*resource.WorkloadEndpoint)
	if !ok {
		delete(v.pools, key)
		changed.fabric = changed.fabric || isFabric(old)
		return
	}
	if v.byID[ep.Endpoint] == key {
		delete(v.byID, ep.Endpoint)
	}
	v.dirty[ep.Endpoint] = struct{}{}
	changed.local = true
}

func (v *View) signalLocked(c changes) {
	if c.fabric {
		signal(v.fabricChanged)
	}
	if c.local {
		signal(v.localChanged)
	}
	if c.copy && v.isSynced {
		signal(v.copyChanged)
	}
}

// decode converts a stored value. The key has to be the one that the object
// itself makes: identities are unique among keys, and so in the view.
func decode(kv store.KV) (resource.Object, error) {
	kind, _, _, err := store.ParseResourceKey(kv.Key)
	if err != nil {
		return nil, err
	}
	raw, err := resource.Decode(resource.Kind(kind), kv.Value, kv.ModRevision)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	checked, err := resource.Check(raw)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", kv.Key, err)
	}
	id := checked.Metadata().ID
	if key := store.ResourceKey(string(id.Kind), id.Namespace, id.Name); key != kv.Key {
		return nil, fmt.Errorf("check %s: it holds %s, whose key is %s", kv.Key, id, key)
	}
	return checked, nil
}

func known(kind string) bool { return slices.Contains(resource.Kinds(), resource.Kind(kind)) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
