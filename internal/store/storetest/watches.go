package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

func one() store.WatchOptions { return store.WatchOptions{Prefixes: []string{"r/"}} }

func testWatch(f *fixture) {
	at := f.put("r/a", "r/b", "q/x", "r0")
	m := f.mirror(f.client, one())
	m.until(at)
	m.want("r/a", "r/b")
	f.put("r/c")
	f.put("s/y")
	at = f.delete("r/a")
	m.until(at)
	m.want("r/b", "r/c")
	f.delete("r/never")
	at = f.put("r/d", "r/e")
	m.until(at)
	m.want("r/b", "r/c", "r/d", "r/e")
	if m.count() != 6 {
		f.Errorf("told %v", m.told)
	}
}

func testWatchPrefixes(f *fixture) {
	f.put("r/a", "ipam/host/h1/x", "ipam/host/h2/x")
	m := f.mirror(f.client, store.WatchOptions{Prefixes: []string{"r/", "ipam/host/h1/"}})
	m.until(1)
	m.want("r/a", "ipam/host/h1/x")
	f.put("r/b", "ipam/host/h2/y", "ipam/host/h1/y")
	m.untilTold("r/b", true)
	m.untilTold("ipam/host/h1/y", true)
	f.delete("r/a", "ipam/host/h1/x")
	m.untilTold("r/a", false)
	m.untilTold("ipam/host/h1/x", false)
	m.want("r/b", "ipam/host/h1/y")
}

func testWatchOverlap(f *fixture) {
	for _, prefixes := range [][]string{nil, {""}, {"r/", "r/Node/"}, {"r/", "r/"}} {
		w := f.client.Watch(f.Context(), store.WatchOptions{Prefixes: prefixes})
		if _, err := w.Next(f.ctx); err == nil || errors.Is(err, f.ctx.Err()) {
			f.Errorf("watch of %q: %v", prefixes, err)
		}
		w.Close()
	}
}

func testWatchAfter(f *fixture) {
	first := f.put("r/a")
	second := f.put("r/b")
	third := f.delete("r/a")
	opts := one()
	opts.After = first
	m := f.mirror(f.client, opts)
	m.until(third)
	m.want("r/b")
	if m.told["r/a"] != 1 {
		f.Errorf("told %v", m.told)
	}
	opts.After = third + 100
	f.mirror(f.client, opts).untilError(store.ErrForeign)
	f.server.Compact(f.T, third)
	opts.After = second - 1
	f.mirror(f.client, opts).untilError(store.ErrCompacted)
}

func testWatchNextCancelled(f *fixture) {
	m := f.mirror(f.client, one())
	m.until(1)
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	for {
		if _, err := m.watch.Next(ctx); errors.Is(err, context.Canceled) {
			break
		} else if err != nil {
			f.Fatal(err)
		}
	}
	m.until(f.put("r/a"))
	m.want("r/a")
	m.watch.Close()
	m.untilError(store.ErrClosed)
}

// large writes 5,000 keys; with pages of 500 that is ten of them.
func (f *fixture) large() []string {
	f.Helper()
	var keys []string
	for i := range 5000 {
		keys = append(keys, fmt.Sprintf("r/%05d", i))
	}
	for i := 0; i < len(keys); i += 125 {
		f.put(keys[i : i+125]...)
	}
	return keys
}

func testWatchLarge(f *fixture) {
	keys := f.large()
	m := f.mirror(f.client, one())
	m.until(1)
	m.want(keys...)
	if m.count() != len(keys) {
		f.Errorf("%d events for %d keys", m.count(), len(keys))
	}
}

// testWatchSlow has a consumer that takes nothing while two keys change a
// thousand times: it is told the last of each.
func testWatchSlow(f *fixture) {
	const rounds = 500
	m := f.mirror(f.client, one())
	m.until(1)
	before := uint64(0)
	if f.client.Received != nil {
		before = f.client.Received()
	}
	for i := range rounds {
		value := []byte(fmt.Sprint(i))
		f.txn(store.Op{Key: "r/a", Value: value}, store.Op{Key: "r/b", Value: value, Delete: i%2 == 1})
	}
	for f.client.Received != nil && f.client.Received()-before < 2*rounds {
		select {
		case <-time.After(time.Millisecond):
		case <-f.ctx.Done():
			f.Fatalf("watch received %d changes", f.client.Received()-before)
		}
	}
	m.untilTold("r/a", true)
	if m.state["r/a"] != fmt.Sprint(rounds-1) || m.told["r/a"] != 1 || m.told["r/b"] > 1 {
		f.Fatalf("state %v, told %v", m.state, m.told)
	}
}

// testWatchSnapshotCompacted loses the revision of a snapshot while it is
// being read: what was told of it and is gone by now must be told as gone.
func testWatchSnapshotCompacted(f *fixture) {
	keys := f.large()
	m := f.mirror(f.client, one())
	if err := m.step(); err != nil {
		f.Fatal(err)
	}
	f.delete("r/00000", "r/04999")
	f.put("r/new")
	f.server.Compact(f.T, f.put("r/00001"))
	m.untilTold("r/new", true)
	m.until(1)
	m.want(append([]string{"r/new"}, keys[1:len(keys)-1]...)...)
}

func testWatchCut(f *fixture) {
	other := open(f.T, f.server)
	f.put("r/a", "r/b")
	m := f.mirror(other, one())
	m.until(1)
	other.Cut()
	f.delete("r/a")
	at := f.put("r/c")
	other.Mend()
	m.until(at)
	m.want("r/b", "r/c")
	if m.told["r/b"] != 1 {
		f.Errorf("told %v", m.told)
	}
}

// testWatchCutCompacted loses connection and history: the difference is told,
// and what did not change is not told again.
func testWatchCutCompacted(f *fixture) {
	other := open(f.T, f.server)
	f.put("r/gone", "r/same", "r/changed", "r/remade")
	m := f.mirror(other, one())
	m.until(1)
	other.Cut()
	f.delete("r/gone", "r/remade")
	f.txn(store.Op{Key: "r/changed", Value: []byte("anew")})
	at := f.put("r/new", "r/remade")
	f.server.Compact(f.T, at)
	other.Mend()
	m.until(at)
	if m.state["r/changed"] != "anew" {
		f.Errorf("changed to %q", m.state["r/changed"])
	}
	delete(m.state, "r/changed")
	m.want("r/same", "r/new", "r/remade")
	if m.told["r/same"] != 1 || m.told["r/gone"] != 2 || m.told["r/remade"] != 2 {
		f.Errorf("told %v", m.told)
	}
	m.until(f.put("r/later"))
}

func testWatchForget(f *fixture) {
	other := open(f.T, f.server)
	f.put("r/a")
	opts := one()
	opts.Forget = true
	m := f.mirror(other, opts)
	m.until(1)
	m.want("r/a")
	other.Cut()
	f.delete("r/a")
	f.server.Compact(f.T, f.put("r/b"))
	other.Mend()
	m.untilError(store.ErrCompacted)
}

func testWatchRestart(f *fixture) {
	f.put("r/a", "r/b")
	m := f.mirror(f.client, one())
	m.until(1)
	f.server.Restart(f.T)
	// The first call may still meet the old connection.
	for {
		_, _, err := f.client.Get(f.ctx, "r/a")
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) || f.ctx.Err() != nil {
			f.Fatal(err)
		}
	}
	f.delete("r/a")
	m.until(f.put("r/c"))
	m.want("r/b", "r/c")
	if m.told["r/b"] != 1 {
		f.Errorf("told %v", m.told)
	}
}

func testWatchWiped(f *fixture) {
	f.put("r/a")
	at := f.put("r/b")
	m := f.mirror(f.client, one())
	m.until(at)
	f.server.Wipe(f.T)
	m.untilError(store.ErrForeign)
	m.want("r/a", "r/b")
	opts := one()
	opts.MinRevision = at
	f.mirror(f.client, opts).untilError(store.ErrForeign)
}
