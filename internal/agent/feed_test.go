package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/view"
)

// feedRig is a feed on a store in memory, in virtual time.
type feedRig struct {
	t     *testing.T
	feed  *feed
	store *store.Memory
	view  *view.View
}

// withFeed runs f while a feed follows a store in which ten nodes stand.
func withFeed(t *testing.T, f func(*feedRig)) {
	synctest.Test(t, func(t *testing.T) {
		db := store.NewMemory()
		defer db.Close()
		r := &feedRig{t: t, store: db, view: view.New("h1")}
		r.feed = newFeed(db, r.view, store.Copy{}, telemetry.NewHealth(Conditions()...), hclog.NewNullLogger())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.feed.Run(ctx) }()
		r.grow("before", 10)
		f(r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// grow writes n keys that nobody watches, and lets the feed take notice.
func (r *feedRig) grow(name string, n int) {
	r.t.Helper()
	for i := range n {
		op := store.Op{Key: fmt.Sprintf("s/Node/-/%s%d", name, i), Value: []byte(name)}
		if _, err := r.store.Txn(r.t.Context(), nil, []store.Op{op}); err != nil {
			r.t.Fatal(err)
		}
	}
	r.pass()
}

// pass lets so much time pass that the store was judged again.
func (r *feedRig) pass() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func (r *feedRig) wantForeign(words string) {
	r.t.Helper()
	if got := r.feed.Foreign(); words == "" && got != "" || !strings.Contains(got, words) {
		r.t.Fatalf("foreign: %q, wanted %q", got, words)
	}
}

func (r *feedRig) adopt() {
	r.t.Helper()
	if _, adopted, err := r.feed.Adopt(r.t.Context()); err != nil || !adopted {
		r.t.Fatalf("adopted: %t, %v", adopted, err)
	}
	r.pass()
}

func TestFeedHoldsBackARestoredBackup(t *testing.T) {
	withFeed(t, func(r *feedRig) {
		backup := r.store.Backup()
		r.grow("later", 10)
		r.wantForeign("")
		r.store.Restore(backup)
		r.pass()
		r.wantForeign("old backup")
		// Orchestrators go on to write.
		r.grow("other", 20)
		r.wantForeign("may have grown")
		r.adopt()
		r.wantForeign("")
	})
}

// TestFeedKnowsItsStoreAgain shows that another store, put in place of ours by
// mistake, leaves nothing behind.
func TestFeedKnowsItsStoreAgain(t *testing.T) {
	withFeed(t, func(r *feedRig) {
		backup := r.store.Backup()
		r.store.Wipe()
		r.pass()
		r.wantForeign("empty")
		r.store.Restore(backup)
		r.pass()
		r.wantForeign("")
	})
}
