package view

import (
	"bytes"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// followed is what a view holds for who wants to hear of every object, those of
// other nodes included: policy is about all endpoints. Of these the view keeps
// what is stored and no more, for the local copy.
type followed struct {
	changed chan struct{}
	others  map[string]store.KV             // endpoints of other nodes, by key
	news    map[resource.ID]resource.Object // nil: gone
}

// Follow has DrainObjects tell of every object. It must come before the first
// batch and before Load.
func (v *View) Follow() {
	v.followed = &followed{
		changed: make(chan struct{}, 1), others: make(map[string]store.KV), news: make(map[resource.ID]resource.Object),
	}
}

// ObjectsChanged signals that DrainObjects may return something.
func (v *View) ObjectsChanged() <-chan struct{} { return v.followed.changed }

// DrainObjects returns what became of every object that changed since it was
// last called: its last good form, or nil when it is gone.
func (v *View) DrainObjects() map[resource.ID]resource.Object {
	v.mu.Lock()
	defer v.mu.Unlock()
	news := v.followed.news
	v.followed.news = make(map[resource.ID]resource.Object)
	return news
}

// keys returns the endpoints of other nodes.
func (f *followed) keys() map[string]store.KV {
	if f == nil {
		return nil
	}
	return f.others
}

// holds tells whether a key is an endpoint of another node.
func (f *followed) holds(key string) bool {
	_, ok := f.keys()[key]
	return ok
}

// has tells whether kv is an endpoint of another node that is known as it is.
func (f *followed) has(kv store.KV) bool {
	old, ok := f.keys()[kv.Key]
	return ok && old.ModRevision == kv.ModRevision && bytes.Equal(old.Value, kv.Value)
}

// put takes over a stored object, and reports whether it is kept here: it is
// another node's endpoint.
func (f *followed) put(kv store.KV, checked resource.Object, isOther bool) bool {
	if f == nil {
		return false
	}
	f.news[checked.Metadata().ID] = checked
	signal(f.changed)
	if isOther {
		f.others[kv.Key] = kv
	} else {
		delete(f.others, kv.Key)
	}
	return isOther
}

// delete takes over that a key is gone, and reports whether it was kept here.
func (f *followed) delete(key string) bool {
	if f == nil {
		return false
	}
	kind, namespace, name, err := store.ParseResourceKey(key)
	if err != nil {
		return false // never told, so never missed
	}
	f.news[resource.ID{Kind: resource.Kind(kind), Namespace: namespace, Name: name}] = nil
	signal(f.changed)
	had := f.holds(key)
	delete(f.others, key)
	return had
}
