package view

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

// history is a store that changes at random, as a watch tells it.
type history struct {
	t        *testing.T
	rng      *rand.Rand
	revision int64
	now      map[string]store.KV
	follow   bool // views are followed
}

// step changes one key.
func (h *history) step() store.Event {
	h.revision++
	n := h.rng.IntN(5)
	var msg proto.Message
	switch h.rng.IntN(6) {
	case 0:
		msg = node(fmt.Sprintf("host%d", n), fmt.Sprintf("192.0.2.%d/24", 1+h.rng.IntN(3)))
	case 1:
		msg = pool(fmt.Sprintf("pool%d", n), fmt.Sprintf("10.%d.0.0/16", h.rng.IntN(3)))
	case 2:
		msg = filter(fmt.Sprintf("filter%d", n), h.rng.IntN(3))
	case 3:
		msg = group(fmt.Sprintf("group%d", n), fmt.Sprintf("%ds", 3+h.rng.IntN(3)))
	case 4:
		msg = secret(fmt.Sprintf("secret%d", n), fmt.Sprintf("value%d", h.rng.IntN(3)))
	default:
		msg = endpoint(fmt.Sprintf("w%d", n), fmt.Sprintf("host%d", 1+h.rng.IntN(2)), fmt.Sprintf("10.0.0.%d", 1+h.rng.IntN(3)))
	}
	put := kv(h.t, msg, h.revision)
	if h.rng.IntN(3) == 0 {
		delete(h.now, put.Key)
		return store.Event{Type: store.Delete, KV: store.KV{Key: put.Key, ModRevision: h.revision}}
	}
	h.now[put.Key] = put
	return store.Event{Type: store.Put, KV: put}
}

// deltas is some steps as one batch: of each key the last, or every one.
func (h *history) deltas() store.Batch {
	b := store.Batch{Synced: true}
	for range h.rng.IntN(8) {
		e := h.step()
		if h.rng.IntN(2) == 0 {
			b.Events = slices.DeleteFunc(b.Events, func(o store.Event) bool { return o.KV.Key == e.KV.Key })
		}
		b.Events = append(b.Events, e)
	}
	b.Revision = h.revision
	return b
}

// snapshot is all there is in batches of some keys, out of order, with changes
// in between that the last batch makes good.
func (h *history) snapshot() []store.Batch {
	var batches []store.Batch
	keys := slices.Sorted(maps.Keys(h.now))
	h.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for part := range slices.Chunk(keys, 1+h.rng.IntN(4)) {
		b := store.Batch{}
		for _, key := range part {
			b.Events = append(b.Events, store.Event{Type: store.Put, KV: h.now[key]})
		}
		batches = append(batches, b)
	}
	return append(batches, h.deltas())
}

// empty is a view that nobody has told anything.
func (h *history) empty() *View {
	v := New(self)
	if h.follow {
		v.Follow()
	}
	return v
}

// fresh is a view that knows nothing but what is there now.
func (h *history) fresh() *View {
	v := h.empty()
	v.Apply(puts(h.revision, slices.Collect(maps.Values(h.now))...))
	return v
}

// TestFoldWalk folds batches of any kind, with restarts from a copy and with
// watches that begin anew: whenever a view is in sync it holds what a fresh one
// holds, and so does who follows DrainEndpoints.
func TestFoldWalk(t *testing.T) {
	for seed := range uint64(60) {
		h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 3)), now: make(map[string]store.KV), follow: seed%2 == 1}
		v := h.empty()
		objects := make(map[resource.ID]int64)
		mirror := make(map[resource.EndpointID]int64)
		begin := true
		for step := range 30 {
			switch {
			case begin:
				for _, b := range h.snapshot() {
					v.Apply(b)
				}
				begin = false
			default:
				b := h.deltas()
				v.Apply(b)
				if h.rng.IntN(4) == 0 {
					v.Apply(b) // told twice
				}
			}
			if h.rng.IntN(3) > 0 {
				follow(v, mirror)
				followObjects(v, objects)
			}
			if diff := cmp.Diff(text(h.fresh()), text(v)); diff != "" {
				t.Fatalf("seed %d, step %d (-fresh +folded):\n%s", seed, step, diff)
			}
			compareCopy(t, h.fresh(), v)
			switch h.rng.IntN(6) {
			case 0: // the watch ends; another one begins after some changes
				v.Restart()
				h.deltas()
				begin = true
			case 1: // the daemon does
				kvs, _, _ := v.Copy()
				v, begin = h.empty(), true
				v.Load(kvs)
				clear(mirror)
				clear(objects)
				follow(v, mirror)
				h.deltas()
			}
		}
		if begin {
			for _, b := range h.snapshot() {
				v.Apply(b)
			}
		}
		follow(v, mirror)
		held := make(map[resource.EndpointID]int64)
		for _, e := range h.fresh().Endpoints() {
			held[e.Endpoint] = e.Revision
		}
		if diff := cmp.Diff(held, mirror); diff != "" {
			t.Fatalf("seed %d: who followed the news (-want +got):\n%s", seed, diff)
		}
		if !h.follow {
			continue
		}
		all := make(map[resource.ID]int64)
		followObjects(h.fresh(), all)
		followObjects(v, objects)
		if diff := cmp.Diff(all, objects); diff != "" {
			t.Fatalf("seed %d: who followed all objects (-want +got):\n%s", seed, diff)
		}
	}
}

func followObjects(v *View, mirror map[resource.ID]int64) {
	if v.followed == nil {
		return
	}
	for id, o := range v.DrainObjects() {
		delete(mirror, id)
		if o != nil {
			mirror[id] = o.Metadata().Revision
		}
	}
}

func follow(v *View, mirror map[resource.EndpointID]int64) {
	for _, e := range v.DrainEndpoints() {
		delete(mirror, e.ID)
		if e.Spec != nil {
			mirror[e.ID] = e.Spec.Revision
		}
	}
}

func compareCopy(t *testing.T, fresh, folded *View) {
	t.Helper()
	want, wantRevision, _ := fresh.Copy()
	got, revision, synced := folded.Copy()
	if diff := cmp.Diff(want, got); diff != "" || !synced || revision != wantRevision {
		t.Fatalf("copy at %d, want %d, in sync %t (-want +got):\n%s", revision, wantRevision, synced, diff)
	}
}
