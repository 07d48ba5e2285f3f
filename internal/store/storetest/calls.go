package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/store"
)

func testGet(f *fixture) {
	_, empty, err := f.client.Get(f.ctx, "r/a")
	if !errors.Is(err, store.ErrNotFound) || empty < 1 {
		f.Fatalf("get from an empty store: revision %d, %v", empty, err)
	}
	made := f.txn(store.Op{Key: "r/a", Value: []byte("1")})
	changed := f.txn(store.Op{Key: "r/a", Value: []byte("2")})
	if made <= empty || changed <= made {
		f.Fatalf("revisions %d, %d, %d do not grow", empty, made, changed)
	}
	kv, revision, err := f.client.Get(f.ctx, "r/a")
	want := store.KV{Key: "r/a", Value: []byte("2"), CreateRevision: made, ModRevision: changed}
	if err != nil || revision != changed || !cmp.Equal(kv, want) {
		f.Fatalf("revision %d, %v, %s", revision, err, cmp.Diff(want, kv))
	}
	f.delete("r/a")
	again := f.put("r/a")
	kv, _, err = f.client.Get(f.ctx, "r/a")
	if err != nil || kv.CreateRevision != again {
		f.Fatalf("made again at %d: %+v, %v", again, kv, err)
	}
	if r, err := f.client.Revision(f.ctx); err != nil || r != again {
		f.Fatalf("revision %d, wanted %d, %v", r, again, err)
	}
}

func testRead(f *fixture) {
	f.put("r/a", "r/b")
	now := f.put("r/a")
	keys := make([]string, store.MaxOps-3)
	for i := range keys {
		keys[i] = fmt.Sprint("r/none", i)
	}
	keys[7], keys[100] = "r/b", "r/a"
	ranges := []string{"r/b", "none/", "r/"}
	all, err := f.client.Read(f.ctx, keys, ranges)
	if err != nil || all.Revision != now || len(all.KVs) != len(keys) || len(all.Pages) != len(ranges) {
		f.Fatalf("%d of %d keys and %d ranges at revision %d, %v", len(all.KVs), len(keys), len(all.Pages), all.Revision, err)
	}
	for i, kv := range all.KVs {
		there := i == 7 || i == 100
		if kv.Key != keys[i] || (kv.ModRevision != 0) != there || (string(kv.Value) == keys[i]) != there {
			f.Errorf("%s: %+v", keys[i], kv)
		}
	}
	if all.KVs[100].ModRevision != now || all.KVs[100].CreateRevision == now {
		f.Errorf("%+v", all.KVs[100])
	}
	var below [][]string
	for i, page := range all.Pages {
		below = append(below, keysOf(page))
		if page.Revision != now || page.Next != "" {
			f.Errorf("%s: revision %d, next %q", ranges[i], page.Revision, page.Next)
		}
	}
	if diff := cmp.Diff([][]string{{"r/b"}, {}, {"r/a", "r/b"}}, below); diff != "" {
		f.Error(diff)
	}
	if _, err := f.client.Read(f.ctx, append(keys, "r/more"), ranges); !errors.Is(err, store.ErrTooLarge) {
		f.Errorf("%d keys and ranges: %v", len(keys)+1+len(ranges), err)
	}
}

// testReadPages reads the first page of a range that is longer than one.
func testReadPages(f *fixture) {
	keys := make([]string, store.ReadLimit+1)
	for i := range keys {
		keys[i] = fmt.Sprintf("r/%04d", i)
	}
	for some := range slices.Chunk(keys, store.MaxOps) {
		f.put(some...)
	}
	all, err := f.client.Read(f.ctx, nil, []string{"r/"})
	if err != nil || len(all.Pages) != 1 || len(all.Pages[0].KVs) != store.ReadLimit {
		f.Fatalf("%d pages, %v", len(all.Pages), err)
	}
	rest, err := f.client.List(f.ctx, "r/", store.ListOptions{Start: all.Pages[0].Next, Revision: all.Revision})
	if err != nil || rest.Next != "" {
		f.Fatalf("next %q, %v", rest.Next, err)
	}
	if diff := cmp.Diff(keys, append(keysOf(all.Pages[0]), keysOf(rest)...)); diff != "" {
		f.Error(diff)
	}
}

func testList(f *fixture) {
	f.put("q/z", "r/a", "r/b", "r/b/c", "r/d", "r0", "s/a")
	page, err := f.client.List(f.ctx, "r/", store.ListOptions{Limit: 2})
	if err != nil {
		f.Fatal(err)
	}
	first := page.Revision
	keys := keysOf(page)
	f.put("r/a0", "r/e") // not part of the snapshot
	f.delete("r/d")
	for page.Next != "" {
		page, err = f.client.List(f.ctx, "r/", store.ListOptions{Limit: 2, Start: page.Next, Revision: first})
		if err != nil || page.Revision != first || len(page.KVs) > 2 {
			f.Fatalf("%d keys at revision %d, wanted %d, %v", len(page.KVs), page.Revision, first, err)
		}
		keys = append(keys, keysOf(page)...)
	}
	if diff := cmp.Diff([]string{"r/a", "r/b", "r/b/c", "r/d"}, keys); diff != "" {
		f.Fatal(diff)
	}
	page, err = f.client.List(f.ctx, "x/", store.ListOptions{})
	if err != nil || len(page.KVs) != 0 || page.Next != "" || page.Revision <= first {
		f.Fatalf("list of nothing: %+v, %v", page, err)
	}
	if _, err := f.client.List(f.ctx, "r/", store.ListOptions{Revision: page.Revision + 100}); !errors.Is(err, store.ErrForeign) {
		f.Fatalf("list at a revision yet to come: %v", err)
	}
}

func testListCompacted(f *fixture) {
	old := f.put("r/a", "r/b")
	now := f.put("r/a")
	f.server.Compact(f.T, now)
	if _, err := f.client.List(f.ctx, "r/", store.ListOptions{Revision: old}); !errors.Is(err, store.ErrCompacted) {
		f.Fatalf("list at a compacted revision: %v", err)
	}
	page, err := f.client.List(f.ctx, "r/", store.ListOptions{Revision: now})
	if err != nil || len(page.KVs) != 2 {
		f.Fatalf("list at the compaction: %+v, %v", page, err)
	}
}

// testTxnBelow: a range that was read gets no more keys; what is written again
// or goes does not matter, and neither does what lies elsewhere.
func testTxnBelow(f *fixture) {
	read := f.put("r/a", "r/b", "r0")
	try := func() error {
		_, err := f.client.Txn(f.ctx, []store.Compare{{Key: "r/", ModRevision: read, Below: true}}, []store.Op{{Key: "done"}})
		return err
	}
	f.put("r/a", "r", "r1", "s/a")
	f.delete("r/b")
	if err := try(); err != nil {
		f.Errorf("nothing new: %v", err)
	}
	f.put("r/b")
	var conflict *store.ConflictError
	if err := try(); !errors.As(err, &conflict) || conflict.Key != "r/" || conflict.Have.Key != "r/b" || conflict.Have.CreateRevision <= read {
		f.Errorf("a key was made again: %v", err)
	}
	if _, err := f.client.Txn(f.ctx, []store.Compare{{Key: "x/", Below: true}}, []store.Op{{Key: "done"}}); err != nil {
		f.Errorf("nothing there: %v", err)
	}
}

func testTxn(f *fixture) {
	a := f.put("a", "b")
	for _, c := range []struct {
		name     string
		compares []store.Compare
		differs  string // key, or empty
	}{
		{"exists", []store.Compare{{Key: "a"}}, "a"},
		{"does not exist", []store.Compare{{Key: "c", ModRevision: a}}, "c"},
		{"older", []store.Compare{{Key: "a", ModRevision: a - 1}}, "a"},
		{"first of two", []store.Compare{{Key: "c"}, {Key: "b"}, {Key: "a"}}, "b"},
		{"holds", []store.Compare{{Key: "c"}, {Key: "a", ModRevision: a}}, ""},
	} {
		before, err := f.client.Revision(f.ctx)
		if err != nil {
			f.Fatal(err)
		}
		after, err := f.client.Txn(f.ctx, c.compares, []store.Op{
			{Key: "new"}, {Key: "b", Delete: true}, {Key: "never", Delete: true}})
		var conflict *store.ConflictError
		switch {
		case c.differs == "" && (err != nil || after != before+1):
			f.Errorf("%s: from %d to %d, %v", c.name, before, after, err)
		case c.differs == "":
		case !errors.Is(err, store.ErrConflict) || !errors.As(err, &conflict) || conflict.Key != c.differs:
			f.Errorf("%s: %v", c.name, err)
		case c.differs != "c" && (conflict.Have.ModRevision != a || string(conflict.Have.Value) != c.differs):
			f.Errorf("%s: conflict with %+v", c.name, conflict.Have)
		}
	}
	page, err := f.client.List(f.ctx, "", store.ListOptions{})
	if diff := cmp.Diff([]string{"a", "new"}, keysOf(page)); err != nil || diff != "" {
		f.Fatalf("%v %s", err, diff)
	}
	if kv, _, err := f.client.Get(f.ctx, "new"); err != nil || len(kv.Value) != 0 {
		f.Fatalf("empty value: %+v, %v", kv, err)
	}
	now, err := f.client.Txn(f.ctx, []store.Compare{{Key: "c"}}, []store.Op{{Key: "c", Delete: true}})
	if err != nil || now != page.Revision {
		f.Fatalf("a transaction that changes nothing: from %d to %d, %v", page.Revision, now, err)
	}
}

// testTxnLooks: without operations a transaction reads many keys at once.
func testTxnLooks(f *fixture) {
	a := f.put("a")
	absent := make([]store.Compare, store.MaxOps)
	for i := range absent {
		absent[i].Key = fmt.Sprintf("k/%03d", i)
	}
	if now, err := f.client.Txn(f.ctx, absent, nil); err != nil || now != a {
		f.Errorf("from %d to %d, %v", a, now, err)
	}
	at := f.put("k/100")
	var conflict *store.ConflictError
	if _, err := f.client.Txn(f.ctx, absent, nil); !errors.As(err, &conflict) || conflict.Have.Key != "k/100" || conflict.Have.ModRevision != at {
		f.Errorf("%v", err)
	}
	if now, err := f.client.Revision(f.ctx); err != nil || now != at {
		f.Errorf("from %d to %d, %v", at, now, err)
	}
}

func testTxnLimits(f *fixture) {
	var ops []store.Op
	for i := range store.MaxOps {
		ops = append(ops, store.Op{Key: fmt.Sprintf("k/%03d", i)})
	}
	f.txn(ops...)
	ops = append(ops, store.Op{Key: "k/more"})
	if _, err := f.client.Txn(f.ctx, nil, ops); !errors.Is(err, store.ErrTooLarge) {
		f.Errorf("%d operations: %v", len(ops), err)
	}
	if _, err := f.client.Txn(f.ctx, nil, []store.Op{{Key: "x"}, {Key: "x", Delete: true}}); err == nil {
		f.Error("a key in two operations was accepted")
	}
	if _, _, err := f.client.Get(f.ctx, "x"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a refused transaction left %v", err)
	}
}

// testParallelWriters counts by compare-and-swap: no increment is lost or
// doubled.
func testParallelWriters(f *fixture) {
	const writers, each = 8, 20
	ctx := f.ctx
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for done := 0; done < each; {
				kv, _, err := f.client.Get(ctx, "n")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					f.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(kv.Value)) // empty before the first
				_, err = f.client.Txn(ctx, []store.Compare{{Key: "n", ModRevision: kv.ModRevision}},
					[]store.Op{{Key: "n", Value: []byte(strconv.Itoa(n + 1))}})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					f.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if kv, _, err := f.client.Get(ctx, "n"); err != nil || string(kv.Value) != strconv.Itoa(writers*each) {
		f.Fatalf("counted to %s, %v", kv.Value, err)
	}
}

func testTooLarge(f *fixture) {
	for _, size := range []int{1700 << 10, 5 << 20} { // above etcd's limit; above gRPC's
		_, err := f.client.Txn(f.ctx, nil, []store.Op{{Key: "big", Value: make([]byte, size)}})
		if !errors.Is(err, store.ErrTooLarge) {
			f.Errorf("%d bytes: %v", size, err)
		}
	}
	f.txn(store.Op{Key: "big", Value: make([]byte, 1<<20)})
}

func testCancelled(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	if _, _, err := f.client.Get(ctx, "a"); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		f.Errorf("get: %v", err)
	}
	if _, err := f.client.Txn(ctx, nil, []store.Op{{Key: "a"}}); !errors.Is(err, context.Canceled) {
		f.Errorf("transaction: %v", err)
	}
}

func testClose(f *fixture) {
	c := f.server.Open(f.T)
	m := f.mirror(c, store.WatchOptions{Prefixes: []string{"r/"}})
	m.until(1)
	for range 2 {
		if err := c.Close(); err != nil {
			f.Fatal(err)
		}
	}
	m.untilError(store.ErrClosed)
	if _, _, err := c.Get(f.ctx, "a"); !errors.Is(err, store.ErrClosed) {
		f.Errorf("get: %v", err)
	}
	if _, err := c.Grant(f.ctx, time.Second); !errors.Is(err, store.ErrClosed) {
		f.Errorf("grant: %v", err)
	}
	f.mirror(c, store.WatchOptions{Prefixes: []string{"r/"}}).untilError(store.ErrClosed)
}

func testUnavailable(f *fixture) {
	f.put("a")
	f.client.Cut()
	ctx, cancel := context.WithTimeout(f.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err := f.client.Get(ctx, "a")
	if !errors.Is(err, store.ErrUnavailable) || store.RetryAfter(err) <= 0 {
		f.Errorf("get: %v", err)
	}
	if _, err := f.client.Txn(ctx, nil, []store.Op{{Key: "a"}}); !errors.Is(err, store.ErrUnavailable) {
		f.Errorf("transaction: %v", err)
	}
	f.client.Mend()
	if _, _, err := f.client.Get(f.ctx, "a"); err != nil {
		f.Errorf("get after the connection is back: %v", err)
	}
}

func keysOf(p store.Page) []string {
	keys := make([]string, len(p.KVs))
	for i, kv := range p.KVs {
		keys[i] = kv.Key
	}
	return keys
}
