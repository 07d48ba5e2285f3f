package view

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Synced is closed once the store has told everything.
func (v *View) Synced() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.synced
}

// IsSynced reports whether the store has told everything.
func (v *View) IsSynced() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.isSynced
}

// Knows reports whether the view holds a whole state: the store's, or the local
// copy's.
func (v *View) Knows() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.isSynced || v.loaded
}

// Revision returns the store's revision up to which the view is complete.
func (v *View) Revision() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision
}

// Await returns true once the view shows the store at revision or later, and
// false when ctx ended first.
func (v *View) Await(ctx context.Context, revision int64) bool {
	for {
		v.mu.Lock()
		reached, moved := v.revision >= revision, v.moved
		v.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-moved:
		}
	}
}

// FabricChanged signals that Fabric may return something else.
func (v *View) FabricChanged() <-chan struct{} { return v.fabricChanged }

// EndpointsChanged signals that DrainEndpoints may return something.
func (v *View) EndpointsChanged() <-chan struct{} { return v.localChanged }

// CopyChanged signals that Copy may return something else.
func (v *View) CopyChanged() <-chan struct{} { return v.copyChanged }

// Fabric returns all but endpoints, as it is now.
func (v *View) Fabric() Fabric {
	v.mu.Lock()
	defer v.mu.Unlock()
	var f Fabric
	for _, o := range v.objects {
		f.add(o.checked)
	}
	sortByName(f.Nodes)
	sortByName(f.Peers)
	sortByName(f.Configurations)
	sortByName(f.Pools)
	sortByName(f.Filters)
	sortByName(f.Groups)
	sortByName(f.Secrets)
	sortByName(f.ReflectorGroups)
	sortByName(f.Memberships)
	return f
}

// Pools returns the pools, in no order: what Fabric has of them, for who asks
// often.
func (v *View) Pools() []*resource.IPPool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Values(v.pools))
}

// Endpoints returns the local endpoints, in order of their identity.
func (v *View) Endpoints() []*resource.WorkloadEndpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*resource.WorkloadEndpoint, 0, len(v.byID))
	for _, key := range v.byID {
		all = append(all, v.objects[key].checked.(*resource.WorkloadEndpoint))
	}
	slices.SortFunc(all, func(a, b *resource.WorkloadEndpoint) int {
		return cmp.Compare(a.Endpoint.String(), b.Endpoint.String())
	})
	return all
}

// Endpoint returns the local endpoint of that identity, nil if there is none.
func (v *View) Endpoint(id resource.EndpointID) *resource.WorkloadEndpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.endpointLocked(id)
}

// DrainEndpoints returns what became of the local endpoints that changed since
// it was last called, in order of their identity.
func (v *View) DrainEndpoints() []Endpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := make([]Endpoint, 0, len(v.dirty))
	for id := range v.dirty {
		changed = append(changed, Endpoint{ID: id, Spec: v.endpointLocked(id)})
	}
	clear(v.dirty)
	slices.SortFunc(changed, func(a, b Endpoint) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return changed
}

// Copy returns what the local copy must hold, in order of keys, and the
// revision that it shows: of an object that does not convert the last good
// form, which would be lost with a restart otherwise. The bool is false while the store has not told
// everything: such a state must not replace a copy.
func (v *View) Copy() ([]store.KV, int64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kvs := make([]store.KV, 0, len(v.objects))
	for _, kv := range v.followed.keys() {
		kvs = append(kvs, kv)
	}
	for key, o := range v.objects {
		switch {
		case v.followed.holds(key):
		case o.checked != nil:
			kvs = append(kvs, o.good)
		case o.value != nil: // a newer version may make something of it
			kvs = append(kvs, store.KV{Key: key, Value: o.value, ModRevision: o.modRevision})
		}
	}
	slices.SortFunc(kvs, func(a, b store.KV) int { return cmp.Compare(a.Key, b.Key) })
	return kvs, v.revision, v.isSynced
}

// Locked is a [*resource.LockedError] while the datastore is locked, as far as the
// view knows.
func (v *View) Locked() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return resource.Unlocked(v.objects[store.ResourceKey(string(resource.KindClusterInformation), "", resource.DefaultName)].good.Value)
}

// Problems yields the objects that do not convert, in order of keys.
func (v *View) Problems() iter.Seq2[string, error] {
	v.mu.Lock()
	bad := make(map[string]error)
	for key, o := range v.objects {
		if o.problem != nil {
			bad[key] = o.problem
		}
	}
	v.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(bad)) {
			if !yield(key, bad[key]) {
				return
			}
		}
	}
}
