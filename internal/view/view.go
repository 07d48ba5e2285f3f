// Package view folds the events of the store into one node's indexed view of
// the cluster. It does no I/O: whoever watches the store hands over batches,
// and the edges of the agent ask for what changed.
//
// It keeps that the view is a function of what is stored, whatever way the
// store came there: a batch may be told twice and steps may be skipped. Objects
// that cannot be converted keep their last good form, are listed as problems
// and hold up nothing else. Endpoints of other hosts are not kept, unless somebody
// follows all objects.
//
// A view may be filled from the local copy first; what the store does not
// confirm is forgotten when the first snapshot is complete.
package view

import (
	"strings"
	"sync"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

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
	owners        *Owners // nil: not kept

	mu          sync.Mutex // guards the rest
	followed    *followed  // nil: nobody follows
	objects     map[string]object
	pools       map[string]*resource.IPPool    // of objects
	byID        map[resource.EndpointID]string // local endpoints by identity: key
	dirty       map[resource.EndpointID]struct{}
	unconfirmed map[string]struct{} // keys of the local copy, or of an earlier watch, that this one has not told
	revision    int64
	moved       chan struct{} // closed and replaced when revision grows
	isSynced    bool
	loaded      bool          // from the local copy
	synced      chan struct{} // closed while isSynced
}

// New returns an empty view of the node of that name.
func New(node string) *View {
	return &View{
		node:          node,
		fabricChanged: make(chan struct{}, 1),
		localChanged:  make(chan struct{}, 1),
		copyChanged:   make(chan struct{}, 1),
		synced:        make(chan struct{}),
		moved:         make(chan struct{}),
		objects:       make(map[string]object),
		pools:         make(map[string]*resource.IPPool),
		byID:          make(map[resource.EndpointID]string),
		dirty:         make(map[resource.EndpointID]struct{}),
		unconfirmed:   make(map[string]struct{}),
	}
}

// KeepOwners has the view keep on which node each address is, of all nodes. It
// must come before the first batch. What the local copy holds is not of it: the
// owners are as good as the view is in sync.
func (v *View) KeepOwners() *Owners {
	v.owners = newOwners()
	return v.owners
}

// Prefixes is what a view wants watched.
func Prefixes() []string { return []string{store.ResourcePrefix} }

// Load fills the view from the local copy. It must come before the first batch.
func (v *View) Load(kvs []store.KV) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loaded = true
	changed := changes{}
	for _, kv := range kvs {
		if !strings.HasPrefix(kv.Key, store.ResourcePrefix) {
			continue // for Blocks
		}
		v.unconfirmed[kv.Key] = struct{}{}
		v.putLocked(kv, &changed)
	}
	v.signalLocked(changed)
}

// Apply folds a batch of the watch into the view.
func (v *View) Apply(b store.Batch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := changes{}
	for _, e := range b.Events {
		delete(v.unconfirmed, e.KV.Key)
		switch e.Type {
		case store.Put:
			if v.owners != nil {
				v.owners.confirm(e.KV.Key)
			}
			v.putLocked(e.KV, &changed)
		case store.Delete:
			if v.owners != nil {
				v.owners.delete(e.KV.Key)
			}
			v.deleteLocked(e.KV.Key, &changed)
		}
	}
	if b.Revision != 0 && b.Revision != v.revision {
		v.revision = b.Revision
		close(v.moved)
		v.moved = make(chan struct{})
	}
	if b.Synced && !v.isSynced {
		for key := range v.unconfirmed {
			v.deleteLocked(key, &changed)
		}
		clear(v.unconfirmed)
		if v.owners != nil {
			v.owners.sweep()
		}
		v.isSynced = true
		close(v.synced)
		changed = changes{fabric: true, local: true, copy: true}
	}
	v.signalLocked(changed)
	if v.owners != nil {
		v.owners.tell()
	}
}

// Restart says that the batches of another watch follow: the first were cut
// off, or the store is another one, which was adopted. What is known stays in
// force until the new snapshot is whole, which then decides what is gone.
func (v *View) Restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key := range v.objects {
		v.unconfirmed[key] = struct{}{}
	}
	for key := range v.followed.keys() {
		v.unconfirmed[key] = struct{}{}
	}
	if v.owners != nil {
		v.owners.restart()
	}
	if v.isSynced {
		v.isSynced = false
		v.synced = make(chan struct{})
	}
}
