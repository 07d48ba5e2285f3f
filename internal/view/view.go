// Package view folds the events of the store into one node's indexed view of
// the cluster. It does no I/O: whoever watches the store hands over batches,
// and the edges of the agent ask for what changed.
//
// It keeps that the view is a function of what is stored, whatever way the
// store came there: a batch may be told twice and steps may be skipped. Objects
// that cannot be converted keep their last good form, are listed as problems
// and hold up nothing else. Endpoints of other hosts are not kept at all.
//
// A view may be filled from the local copy first; what the store does not
// confirm is forgotten when the first snapshot is complete.
package view

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// Fabric is what decides which sessions the node has and what they carry. The
// slices are in order of names; neither they nor the objects may be changed.
type Fabric struct {
	Nodes          []*resource.Node
	Peers          []*resource.BGPPeer
	Configurations []*resource.BGPConfiguration
	Pools          []*resource.IPPool
}

// Node returns the node of that name, nil if there is none.
func (f Fabric) Node(name string) *resource.Node {
	i, ok := slices.BinarySearchFunc(f.Nodes, name, func(n *resource.Node, name string) int {
		return cmp.Compare(n.Name, name)
	})
	if !ok {
		return nil
	}
	return f.Nodes[i]
}

// With returns f with one more node, of a name that it does not have.
func (f Fabric) With(n *resource.Node) Fabric {
	f.Nodes = append(slices.Clone(f.Nodes), n)
	sortByName(f.Nodes)
	return f
}

// Endpoint is what became of a local endpoint: Spec is nil when it is gone.
type Endpoint struct {
	ID   resource.EndpointID
	Spec *resource.WorkloadEndpoint
}

// View is one node's view of the cluster. All methods may be called at once.
type View struct {
	node          string
	fabricChanged chan struct{}
	localChanged  chan struct{}
	copyChanged   chan struct{}
	synced        chan struct{}

	mu        sync.Mutex // guards the rest
	objects   map[string]object
	byID      map[resource.EndpointID]string // local endpoints by identity: key
	dirty     map[resource.EndpointID]struct{}
	fromCopy  map[string]struct{} // keys of the local copy that the store has not confirmed
	revision  int64
	isSynced  bool
	localLoad bool // the endpoints of the node are known, from store or copy
}

// object is what is kept of a key.
type object struct {
	kv      store.KV
	checked resource.Object
	problem error // of a newer value that does not convert
}

// New returns an empty view of the node of that name.
func New(node string) *View {
	return &View{
		node:          node,
		fabricChanged: make(chan struct{}, 1),
		localChanged:  make(chan struct{}, 1),
		copyChanged:   make(chan struct{}, 1),
		synced:        make(chan struct{}),
		objects:       make(map[string]object),
		byID:          make(map[resource.EndpointID]string),
		dirty:         make(map[resource.EndpointID]struct{}),
		fromCopy:      make(map[string]struct{}),
	}
}

// Prefixes is what a view wants watched.
func Prefixes() []string { return []string{store.ResourcePrefix} }

// Load fills the view from the local copy. It must come before the first batch.
func (v *View) Load(kvs []store.KV) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := changes{}
	for _, kv := range kvs {
		v.fromCopy[kv.Key] = struct{}{}
		v.putLocked(kv, &changed)
	}
	v.localLoad = true
	v.signalLocked(changed)
}

// Apply folds a batch of the watch into the view.
func (v *View) Apply(b store.Batch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := changes{}
	for _, e := range b.Events {
		delete(v.fromCopy, e.KV.Key)
		switch e.Type {
		case store.Put:
			v.putLocked(e.KV, &changed)
		case store.Delete:
			v.deleteLocked(e.KV.Key, &changed)
		}
	}
	if b.Revision > v.revision {
		v.revision = b.Revision
	}
	if b.Synced && !v.isSynced {
		for key := range v.fromCopy {
			v.deleteLocked(key, &changed)
		}
		clear(v.fromCopy)
		v.isSynced, v.localLoad = true, true
		close(v.synced)
		changed = changes{fabric: true, local: true, copy: true}
	}
	v.signalLocked(changed)
}

// Restart forgets what a view was told by a store that turned out to be a
// foreign one and was adopted: the next snapshot decides again what is gone.
func (v *View) Restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key := range v.objects {
		v.fromCopy[key] = struct{}{}
	}
	v.revision = 0
	if v.isSynced {
		v.isSynced = false
		v.synced = make(chan struct{})
	}
}

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

// Revision returns the store's revision up to which the view is complete.
func (v *View) Revision() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision
}

// FabricChanged signals that Fabric may return something else.
func (v *View) FabricChanged() <-chan struct{} { return v.fabricChanged }

// EndpointsChanged signals that DrainEndpoints may return something.
func (v *View) EndpointsChanged() <-chan struct{} { return v.localChanged }

// CopyChanged signals that Copy may return something else.
func (v *View) CopyChanged() <-chan struct{} { return v.copyChanged }

// Fabric returns nodes, peers, settings and pools as they are now.
func (v *View) Fabric() Fabric {
	v.mu.Lock()
	defer v.mu.Unlock()
	var f Fabric
	for _, o := range v.objects {
		switch o := o.checked.(type) {
		case *resource.Node:
			f.Nodes = append(f.Nodes, o)
		case *resource.BGPPeer:
			f.Peers = append(f.Peers, o)
		case *resource.BGPConfiguration:
			f.Configurations = append(f.Configurations, o)
		case *resource.IPPool:
			f.Pools = append(f.Pools, o)
		}
	}
	sortByName(f.Nodes)
	sortByName(f.Peers)
	sortByName(f.Configurations)
	sortByName(f.Pools)
	return f
}

// Endpoints returns the local endpoints.
func (v *View) Endpoints() []*resource.WorkloadEndpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*resource.WorkloadEndpoint, 0, len(v.byID))
	for _, key := range v.byID {
		all = append(all, v.objects[key].checked.(*resource.WorkloadEndpoint))
	}
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

// EndpointsKnown says whether store or local copy have told which endpoints
// the node has.
func (v *View) EndpointsKnown() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.localLoad
}

// Copy returns what the local copy must hold, in order of keys, and the
// revision that it shows. The bool is false while the store has not told
// everything: such a state must not replace a copy.
func (v *View) Copy() ([]store.KV, int64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kvs := make([]store.KV, 0, len(v.objects))
	for _, o := range v.objects {
		kvs = append(kvs, o.kv)
	}
	slices.SortFunc(kvs, func(a, b store.KV) int { return cmp.Compare(a.Key, b.Key) })
	return kvs, v.revision, v.isSynced
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
	if had && old.kv.ModRevision == kv.ModRevision {
		return
	}
	checked, err := decode(kv)
	if err != nil {
		// The last good form stays in force; the raw value is kept for the copy.
		old.kv, old.problem = kv, err
		v.objects[kv.Key] = old
		changed.copy = true
		return
	}
	if ep, ok := checked.(*resource.WorkloadEndpoint); ok && ep.Node != v.node {
		v.deleteLocked(kv.Key, changed)
		return
	}
	v.forgetLocked(kv.Key, old.checked, changed)
	v.objects[kv.Key] = object{kv: kv, checked: checked}
	changed.copy = true
	if ep, ok := checked.(*resource.WorkloadEndpoint); ok {
		v.byID[ep.Endpoint] = kv.Key
		v.dirty[ep.Endpoint] = struct{}{}
		changed.local = true
		return
	}
	changed.fabric = true
}

func (v *View) deleteLocked(key string, changed *changes) {
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
		changed.fabric = changed.fabric || old != nil
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
	return checked, nil
}

func sortByName[T resource.Object](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		return cmp.Compare(a.Metadata().Name, b.Metadata().Name)
	})
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
