package ipam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// World is what the collector looks at in one round.
type World struct {
	*Contents
	Env *Env
	// Nodes are those that have a Node object. One is dead when it has none, never
	// because its lease ended.
	Nodes map[string]bool
	// owners is the revision of the objects that hold on to handles which the
	// a/ keys do not explain, as they were after Contents; zero: gone.
	owners map[string]int64
	held   map[string][]Release // by handle
	// unreadable are the keys of Contents that do not convert: of a newer version
	// they may be all.
	unreadable map[string]bool
}

// ReadWorld reads it all: some tens of round trips for 250,000 addresses.
func ReadWorld(ctx context.Context, s Store, settings Settings) (*World, error) {
	contents, err := ReadContents(ctx, s)
	if err != nil {
		return nil, err
	}
	w := &World{Contents: contents, Nodes: make(map[string]bool), held: make(map[string][]Release), unreadable: make(map[string]bool)}
	for _, f := range w.Unreadable {
		w.unreadable[f.Subject] = true
	}
	if w.Env, err = settings.Fresh(ctx); err != nil {
		return nil, fmt.Errorf("read settings of address management: %w", err)
	}
	for _, b := range w.Blocks {
		for _, h := range b.Holdings() {
			w.held[h.Handle] = append(w.held[h.Handle], Release{Address: h.Address, Handle: h.Handle, Sequence: h.Sequence, Block: b.CIDR})
		}
	}
	return w, w.readOwners(ctx, s)
}

// readOwners reads which nodes there are, and the owners of handles that nothing
// explains so far.
func (w *World) readOwners(ctx context.Context, s Store) error {
	w.owners = make(map[string]int64)
	for id, h := range w.Handles {
		if h.collectable() && !w.noted(h.Owner.Key, w.held[id]) {
			w.owners[h.Owner.Key] = 0
		}
	}
	nodes, reads := store.KindPrefix(string(resource.KindNode)), NewReads(false)
	need := &NeedError{Keys: slices.Sorted(maps.Keys(w.owners)), Prefixes: []string{nodes}}
	if err := reads.Fill(ctx, s, need); err != nil {
		return err
	}
	for _, key := range reads.below(nodes) {
		if _, _, name, err := store.ParseResourceKey(key); err == nil {
			w.Nodes[name] = true
		}
	}
	for key := range w.owners {
		w.owners[key] = reads.keys[key].kv.ModRevision
	}
	return nil
}

// noted tells whether an a/ key says that an owner has one of some addresses.
func (w *World) noted(owner string, held []Release) bool {
	return slices.ContainsFunc(held, func(r Release) bool { return w.Endpoints[r.Address] == owner })
}

// needed tells whether the owner of a handle needs what it holds. Endpoints have
// what the a/ keys say; one that was written since those were read may have any
// of it. Others need all for as long as they are there. What lies in a block
// that cannot be read may be needed.
func (w *World) needed(h *Handle) bool {
	held, revision := w.held[h.ID], w.owners[h.Owner.Key]
	if w.noted(h.Owner.Key, held) {
		return true
	}
	for cidr := range h.Blocks {
		if w.unreadable[store.BlockKey(cidr)] {
			return true
		}
	}
	told := strings.HasPrefix(h.Owner.Key, store.KindPrefix(string(resource.KindWorkloadEndpoint))) // by a/ keys
	return revision > w.Revision || revision != 0 && (!told || len(held) == 0)
}

// collectable tells whether a handle may be collected, once its owner needs it
// no more. What is external, says no owner, or is of a kind that only a newer
// version knows, never is.
func (h *Handle) collectable() bool {
	switch h.Owner.Kind {
	case OwnerEndpoint, OwnerTunnel, OwnerLoadBalancer:
		return h.Owner.Key != ""
	}
	return false
}
