package backup

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestMove: what was exported is what is imported, and nothing else; the store
// has an identity of its own, is locked, and goes on giving out addresses and
// sequence numbers where the other stopped.
func TestMove(t *testing.T) {
	from := filled(t)
	f, _ := from.export()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	to := &rig{t, store.NewMemory()}
	done, err := to.importing("n1").Run(t.Context(), f, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(from.contents(), to.contents()) {
		t.Error("the imported store differs")
	}
	identity, revision, err := store.Identity(t.Context(), to.store)
	if err != nil || identity.Importing != "" || identity.GUID == f.ClusterGUID || identity.GUID != done.GUID {
		t.Errorf("identity %+v, %v", identity, err)
	}
	kv, _, err := to.store.Get(t.Context(), clusterKey())
	if locked := (&resource.LockedError{}); err != nil || !errors.As(resource.Unlocked(kv.Value), &locked) {
		t.Errorf("not locked: %v", err)
	}
	if revision >= f.Revision {
		t.Fatalf("revision %d of a new store is above %d: nothing is shown here", revision, f.Revision)
	}
	c := ipam.NewClient(to.store, ipam.Stored{Store: to.store})
	got, err := c.Allocate(t.Context(), ipam.Request{Node: "new", IPv4: 1, Handle: "new", Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Allocations[0].Sequence; s <= uint64(f.Revision) {
		t.Errorf("sequence number %d of a new block, and the old store had come to %d", s, f.Revision)
	}
	// And on to a third.
	second, _ := to.export()
	if second.SequenceFloor <= f.SequenceFloor {
		t.Errorf("floor %d after %d", second.SequenceFloor, f.SequenceFloor)
	}
}

// TestExportOfARunningCluster: what was written after the export is not known
// any more; its sequence numbers do not come again all the same.
func TestExportOfARunningCluster(t *testing.T) {
	from := filled(t)
	from.lock(false)
	f, _ := from.export()
	if w := f.Warnings(); len(w) != 1 || !strings.Contains(w[0], "not locked") {
		t.Errorf("warnings: %q", w)
	}
	c := ipam.NewClient(from.store, ipam.Stored{Store: from.store})
	lost, err := c.Allocate(t.Context(), ipam.Request{Node: "n1", IPv4: 1, Handle: "lost", Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
	if err != nil {
		t.Fatal(err)
	}
	to := &rig{t, store.NewMemory()}
	if _, err := to.importing("n1").Run(t.Context(), f, false); err != nil {
		t.Fatal(err)
	}
	c = ipam.NewClient(to.store, ipam.Stored{Store: to.store})
	got, err := c.Assign(t.Context(), ipam.AssignRequest{Address: lost.Allocations[0].Address, Node: "n1", Handle: "lost",
		Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Sequence <= lost.Allocations[0].Sequence {
		t.Errorf("sequence number %d was given out before", got.Sequence)
	}
	_, err = c.Release(t.Context(), "n1", []ipam.Release{{Address: got.Address, Handle: "lost", Sequence: lost.Allocations[0].Sequence}})
	if !errors.Is(err, ipam.ErrStale) {
		t.Errorf("released with a sequence number of the lost time: %v", err)
	}
}

// TestImportBreaksOff: wherever it does, nobody follows what is there and nobody
// unlocks it, and the same import makes it whole.
func TestImportBreaksOff(t *testing.T) {
	from := filled(t)
	f, _ := from.export()
	for n := 0; ; n++ {
		to := &rig{t, store.NewMemory()}
		broken := to.importing("n1")
		broken.Store = awayAfter(to.store, n)
		_, err := broken.Run(t.Context(), f, false)
		if err == nil {
			if n < 4 {
				t.Errorf("whole after %d transactions", n)
			}
			return
		}
		if !errors.Is(err, errAway) {
			t.Fatal(err)
		}
		if n == 0 {
			continue // nothing was written
		}
		copied := store.Copy{GUID: f.ClusterGUID}
		identity, revision, err := store.Identity(t.Context(), to.store)
		if v := store.Judge(copied, identity, err == nil, revision); v.Kind != store.Foreign || !strings.Contains(v.Reason, "import") {
			t.Errorf("%d: a host that comes says %+v", n, v)
		}
		if _, _, err := store.EnsureIdentity(t.Context(), to.store); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%d: a new host follows it: %v", n, err)
		}
		if _, _, err := store.Adopt(t.Context(), to.store, copied); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%d: it is adopted: %v", n, err)
		}
		if _, err := Read(t.Context(), to.store, true, "", broken.Now()); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%d: it is exported: %v", n, err)
		}
		if _, err := to.importing("n1").Run(t.Context(), f, false); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(from.contents(), to.contents()) {
			t.Errorf("%d: the imported store differs", n)
		}
		if identity, _, err = store.Identity(t.Context(), to.store); err != nil || identity.Importing != "" {
			t.Errorf("%d: %+v, %v", n, identity, err)
		}
	}
}

// TestImportWhere: a store that holds something, or that others follow, is
// refused and stays as it is; what a daemon writes into a new one is no obstacle.
func TestImportWhere(t *testing.T) {
	f, _ := filled(t).export()
	fresh := func(r *rig) {
		if _, _, err := store.EnsureIdentity(t.Context(), r.store); err != nil {
			t.Fatal(err)
		}
		r.put(&vrouterv1.BGPConfiguration{Metadata: named("default"), Spec: &vrouterv1.BGPConfigurationSpec{}})
		r.lock(false)
		r.put(&vrouterv1.Node{Metadata: named("me")})
		r.write(store.Op{Key: store.LiveKey("agent", "me"), Value: []byte("{}")})
	}
	for _, c := range []struct {
		name string
		have func(*rig)
		says string // empty: it is taken
	}{
		{"empty", func(*rig) {}, ""},
		{"new, with the daemon that takes the call", fresh, ""},
		{"locked", func(r *rig) { r.lock(true) }, ""},
		{"a node", func(r *rig) { fresh(r); r.put(&vrouterv1.Node{Metadata: named("n1")}) }, "r/Node/-/n1"},
		{"settings", func(r *rig) {
			r.put(&vrouterv1.BGPConfiguration{Metadata: named("default"),
				Spec: &vrouterv1.BGPConfigurationSpec{NodeToNodeMeshEnabled: proto.Bool(false)}})
		}, "r/BGPConfiguration/-/default"},
		{"a block", func(r *rig) { r.write(store.Op{Key: "ipam/block/10.0.0.0%2F26", Value: []byte("x")}) }, "ipam/block/"},
		{"a claim", func(r *rig) { r.write(store.Op{Key: store.AddressKey(addr("10.0.0.1"))}) }, "a/10.0.0.1"},
		{"a follower", func(r *rig) { r.write(store.Op{Key: store.LiveKey("agent", "n2")}) }, "n2"},
	} {
		r := &rig{t, store.NewMemory()}
		c.have(r)
		before, err := r.store.Revision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, dry := r.importing("me").Run(t.Context(), f, true)
		if now, _ := r.store.Revision(t.Context()); now != before {
			t.Errorf("%s: a dry run has written", c.name)
		}
		_, err = r.importing("me").Run(t.Context(), f, false)
		if (dry == nil) != (err == nil) {
			t.Errorf("%s: dry run %v, then %v", c.name, dry, err)
		}
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		wantError(t, err, c.says)
		if now, _ := r.store.Revision(t.Context()); now != before {
			t.Errorf("%s: refused, and written", c.name)
		}
	}
}

// TestImportOvertaken: what is written between the look and the lock is found,
// and the store is left as it was.
func TestImportOvertaken(t *testing.T) {
	f, _ := filled(t).export()
	r := &rig{t, store.NewMemory()}
	i := r.importing("me")
	i.Store = &overtaken{Store: r.store, once: func() { r.put(&vrouterv1.Node{Metadata: named("quick")}) }}
	_, err := i.Run(t.Context(), f, false)
	wantError(t, err, "r/Node/-/quick")
	if got := r.contents(); len(got) != 1 {
		t.Errorf("the store holds %d keys", len(got))
	}
	for _, key := range []string{store.MetaKey, clusterKey()} {
		if _, _, err := r.store.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s is there: %v", key, err)
		}
	}
}

// TestTwoImports: the later one wins, and the earlier writes nothing more.
func TestTwoImports(t *testing.T) {
	f, _ := filled(t).export()
	r := &rig{t, store.NewMemory()}
	broken := r.importing("me")
	broken.Store = awayAfter(r.store, 1)
	if _, err := broken.Run(t.Context(), f, false); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	i := r.importing("me")
	i.Store = &overtaken{Store: r.store, after: 1, once: func() {
		if _, err := r.importing("me").Run(t.Context(), f, false); err != nil {
			t.Error(err)
		}
	}}
	_, err := i.Run(t.Context(), f, false)
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("two at once: %v", err)
	}
	if identity, _, err := store.Identity(t.Context(), r.store); err != nil || identity.Importing != "" {
		t.Errorf("%+v, %v", identity, err)
	}
}

// TestImportIntoABusyStore: one that answers late, or not at all though it has
// done what it was told, ends no import; one that stays away does, in a while.
func TestImportIntoABusyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := filled(t)
		f, _ := from.export()
		for _, done := range []bool{false, true} {
			to := &rig{t, store.NewMemory()}
			i := to.importing("n1")
			busy := &busy{Store: to.store, done: done, every: 2}
			busy.calls.Store(2) // not at once: then it is away
			i.Store = busy
			if _, err := i.Run(t.Context(), f, false); err != nil {
				t.Fatalf("done %t: %v", done, err)
			}
			if !maps.Equal(from.contents(), to.contents()) {
				t.Errorf("done %t: the imported store differs", done)
			}
		}
		to := &rig{t, store.NewMemory()}
		i := to.importing("n1")
		away := &busy{Store: to.store, every: 1}
		away.calls.Store(-1) // the first is answered
		i.Store = away
		begun := time.Now()
		if _, err := i.Run(t.Context(), f, false); !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > time.Minute {
			t.Errorf("away: %v after %s", err, time.Since(begun))
		}
	})
}

// TestImportCancelled: what has not been written any more when the call ends is
// no success, though no transaction has an error.
func TestImportCancelled(t *testing.T) {
	r := &rig{t, store.NewMemory()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := r.importing("me").commit(ctx, &target{}, []store.Op{{Key: "r/Node/-/n1", Value: []byte("x")}})
	if !errors.Is(err, context.Canceled) || len(r.contents()) != 0 {
		t.Errorf("%v, %d keys", err, len(r.contents()))
	}
}
