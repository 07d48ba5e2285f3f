package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryLeaseRunsOutWhileDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := NewMemory()
		other := host.Open()
		lease, err := host.Grant(t.Context(), 15*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := host.Txn(t.Context(), nil, []Op{{Key: "live/agent/a", Lease: lease.ID()}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // virtual: kept alive
		if _, _, err := other.Get(t.Context(), "live/agent/a"); err != nil {
			t.Fatalf("lease of a connected client ran out: %v", err)
		}
		host.Disconnect()
		time.Sleep(14 * time.Second)
		host.Reconnect()
		time.Sleep(time.Hour)
		if _, _, err := other.Get(t.Context(), "live/agent/a"); err != nil {
			t.Fatalf("lease ran out although renewed in time: %v", err)
		}
		host.Disconnect()
		if _, err := host.Revision(t.Context()); !errors.Is(err, ErrUnavailable) || RetryAfter(err) == 0 {
			t.Fatalf("call while disconnected: %v", err)
		}
		time.Sleep(16 * time.Second)
		select {
		case <-lease.Lost():
		default:
			t.Fatal("lease not told as lost")
		}
		if _, _, err := other.Get(t.Context(), "live/agent/a"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("key under a lost lease: %v", err)
		}
	})
}

func TestMemoryCompactsByItself(t *testing.T) {
	m := NewMemory()
	for i := range memoryHistory + 10 {
		if _, err := m.Txn(t.Context(), nil, []Op{{Key: fmt.Sprint("k/", i%100)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.server.mvcc.log); n > memoryHistory {
		t.Fatalf("history of %d", n)
	}
	if _, err := m.List(t.Context(), "k/", ListOptions{Revision: 5}); !errors.Is(err, ErrCompacted) {
		t.Fatalf("list at an old revision: %v", err)
	}
	page, err := m.List(t.Context(), "k/", ListOptions{})
	if err != nil || len(page.KVs) != 100 {
		t.Fatalf("%d keys, %v", len(page.KVs), err)
	}
}

func TestMemoryWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := NewMemory().Watch(ctx, WatchOptions{Prefixes: []string{"r/"}})
	cancel()
	for {
		if _, err := w.Next(t.Context()); err != nil {
			if !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestMemoryRestoreIsForeign(t *testing.T) {
	m := NewMemory()
	b := m.Backup()
	w := m.Watch(t.Context(), WatchOptions{Prefixes: []string{"r/"}})
	if _, err := m.Txn(t.Context(), nil, []Op{{Key: "r/a"}}); err != nil {
		t.Fatal(err)
	}
	m.Restore(b)
	for {
		batch, err := w.Next(t.Context())
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range batch.Events {
			if e.Type == Delete {
				t.Fatalf("a restored backup was told as %v", e)
			}
		}
	}
}
