package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFeedWalk drives a feed at random through changes, snapshots, snapshots
// that are given up, and takes, and compares what the consumer holds with what
// is there, each time the feed says that it is in sync.
func TestFeedWalk(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := NewFeed(WatchOptions{})
		there, held := map[string]int64{}, map[string]int64{}
		revision := int64(1)
		change := func() Event {
			revision++
			e := Event{Type: EventType(rng.IntN(2)), KV: KV{Key: fmt.Sprint(rng.IntN(12)), ModRevision: revision}}
			if e.Type == Put {
				there[e.KV.Key] = revision
			} else {
				delete(there, e.KV.Key)
			}
			return e
		}
		snapshot := func() {
			f.BeginSnapshot()
			for range rng.IntN(3) { // given up half way, and history lost
				f.Snapshot(somePage(there, rng.IntN(6)))
				change()
				f.BeginSnapshot()
			}
			f.Snapshot(somePage(there, len(there)))
			f.EndSnapshot(revision)
		}
		snapshot()
		for range 500 {
			switch rng.IntN(8) {
			case 0:
				change() // while the connection is lost
				snapshot()
			case 1:
				f.Progress(revision)
			case 2:
				b, err, ok := f.take()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					continue
				}
				for _, e := range b.Events {
					if e.Type == Put {
						held[e.KV.Key] = e.KV.ModRevision
					} else {
						delete(held, e.KV.Key)
					}
				}
				if diff := cmp.Diff(there, held); !b.Synced || b.Revision != revision || diff != "" {
					t.Fatalf("seed %d: synced %v at %d of %d %s", seed, b.Synced, b.Revision, revision, diff)
				}
			default:
				f.Apply([]Event{change()}, revision)
			}
			if n := len(f.pending.events); n > 64+12 {
				t.Fatalf("%d events wait for 12 keys", n)
			}
		}
	}
}

// somePage returns the first n keys of a state.
func somePage(there map[string]int64, n int) []KV {
	var kvs []KV
	for _, key := range slices.Sorted(maps.Keys(there)) {
		if len(kvs) == n {
			break
		}
		kvs = append(kvs, KV{Key: key, ModRevision: there[key]})
	}
	return kvs
}

func TestFeedSuperseding(t *testing.T) {
	f := NewFeed(WatchOptions{After: 1})
	for i := range int64(1000) {
		f.Apply([]Event{
			{Put, KV{Key: "a", ModRevision: i + 2}},
			{EventType(i % 2), KV{Key: "b", ModRevision: i + 2}},
		}, i+2)
	}
	b, err := f.Next(t.Context())
	want := Batch{Revision: 1001, Synced: true, Events: []Event{
		{Put, KV{Key: "a", ModRevision: 1001}},
		{Delete, KV{Key: "b", ModRevision: 1001}},
	}}
	if diff := cmp.Diff(want, b); err != nil || diff != "" {
		t.Fatalf("%v %s", err, diff)
	}
}

func TestFeedProgress(t *testing.T) {
	f := NewFeed(WatchOptions{After: 5})
	f.Progress(5) // nothing new
	f.Progress(4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("told %+v, %v", b, err)
	}
	f.Progress(9)
	if b, err := f.Next(t.Context()); err != nil || !cmp.Equal(b, Batch{Revision: 9, Synced: true}) {
		t.Fatalf("told %+v, %v", b, err)
	}
}

// TestFeedTellsBeforeItFails has a consumer see what came before the failure.
func TestFeedTellsBeforeItFails(t *testing.T) {
	f := NewFeed(WatchOptions{After: 5})
	f.Apply([]Event{{Put, KV{Key: "a", ModRevision: 6}}}, 6)
	f.Fail(ErrForeign)
	f.Fail(ErrClosed)
	if b, err := f.Next(t.Context()); err != nil || len(b.Events) != 1 {
		t.Fatalf("told %+v, %v", b, err)
	}
	for range 2 {
		if _, err := f.Next(t.Context()); !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
	}
}

// TestFeedForgets says when a watch without a memory may read a snapshot: only
// while it has told nothing.
func TestFeedForgets(t *testing.T) {
	f := NewFeed(WatchOptions{Forget: true})
	f.BeginSnapshot()
	f.Snapshot(nil)
	if !f.CanRelist() {
		t.Error("nothing told, but no snapshot allowed")
	}
	f.Snapshot([]KV{{Key: "a", ModRevision: 1}})
	if f.CanRelist() {
		t.Error("a second snapshot allowed that would hide deletions")
	}
	if NewFeed(WatchOptions{After: 1}).CanRelist() {
		t.Error("a snapshot allowed that was not asked for")
	}
}
