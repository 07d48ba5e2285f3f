package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
)

func connect(t *testing.T, endpoints ...string) *etcd.Store {
	t.Helper()
	s, err := etcd.New(etcd.Config{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestLeaderLost has writers create keys by compare-and-swap while the leader
// of three members dies: every key is made once and told once, or as the same.
func TestLeaderLost(t *testing.T) {
	const keys = 300
	cluster := etcdtest.StartCluster(t, 3)
	s := connect(t, cluster.Endpoints()...)
	w := s.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range keys {
		if i == keys/3 {
			cluster.StopLeader(t)
		}
		key := fmt.Sprintf("r/%03d", i)
		err := eventually(t, func() error {
			_, err := s.Txn(ctx, []store.Compare{{Key: key}}, []store.Op{{Key: key}})
			if errors.Is(err, store.ErrConflict) {
				return nil // our own, whose answer was lost
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	made := make(map[string]int64)
	for len(made) < keys {
		b, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("%d keys told: %v", len(made), err)
		}
		for _, e := range b.Events {
			if was, ok := made[e.KV.Key]; ok && was != e.KV.CreateRevision || e.Type == store.Delete {
				t.Fatalf("%s made at %d and at %d", e.KV.Key, was, e.KV.CreateRevision)
			}
			made[e.KV.Key] = e.KV.CreateRevision
		}
	}
}

// TestProgress has one of two prefixes change: the watch's revision follows,
// although nothing happens below the other.
func TestProgress(t *testing.T) {
	s := connect(t, etcdtest.Start(t, nil).Endpoint())
	w := s.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/", "ipam/host/h1/"}})
	at, err := s.Txn(t.Context(), nil, []store.Op{{Key: "r/a"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if b.Revision >= at {
			return
		}
	}
}

// TestSwapped has the server replaced by a stranger with a higher revision,
// which the revision alone does not show. etcd's own cluster id shows it only
// when the stranger was started with other settings; the GUID always.
func TestSwapped(t *testing.T) {
	for _, other := range []bool{false, true} {
		t.Run(fmt.Sprintf("other cluster id %v", other), func(t *testing.T) { testSwapped(t, other) })
	}
}

func testSwapped(t *testing.T, otherID bool) {
	server := etcdtest.Start(t, func(c *embed.Config) {
		if otherID { // counts only for a new data directory
			c.InitialClusterToken = uuid.NewString()
		}
	})
	s := connect(t, server.Endpoint())
	cluster, _, err := store.EnsureIdentity(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Txn(t.Context(), nil, []store.Op{{Key: "r/ours"}}); err != nil {
		t.Fatal(err)
	}
	link := etcdtest.NewLink(t, server.Addr)
	host := connect(t, "http://"+link.Addr)
	guarded := host.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}, GUID: cluster.GUID})
	plain := host.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}})
	resumed := host.Watch(t.Context(), store.WatchOptions{Prefixes: []string{"r/"}, After: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, w := range []store.Watch{guarded, plain, resumed} {
		if b, err := w.Next(ctx); err != nil || len(b.Events) != 1 {
			t.Fatalf("told %+v, %v", b, err)
		}
	}
	link.Cut()
	server.Wipe(t)
	for i := range 10 {
		err := eventually(t, func() error {
			_, err := s.Txn(t.Context(), nil, []store.Op{{Key: "r/theirs", Value: fmt.Append(nil, i)}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	link.Mend()
	if events := untilError(ctx, t, guarded, store.ErrForeign); len(events) > 0 {
		t.Errorf("a watch that knows the GUID told %v", events)
	}
	if !otherID {
		return
	}
	untilError(ctx, t, resumed, store.ErrCompacted)
	state := map[string]bool{"r/ours": true}
	for state["r/ours"] || !state["r/theirs"] {
		b, err := plain.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			state[e.KV.Key] = e.Type == store.Put
		}
	}
}

// untilError takes what a watch tells until it fails, as it should.
func untilError(ctx context.Context, t *testing.T, w store.Watch, kind error) (events []store.Event) {
	t.Helper()
	for {
		b, err := w.Next(ctx)
		if errors.Is(err, kind) {
			return events
		}
		if err != nil {
			t.Fatalf("watch ended with %v, wanted %v", err, kind)
		}
		events = append(events, b.Events...)
	}
}
