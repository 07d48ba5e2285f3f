package agent

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
)

// TestCopyOfAStoreThatWent loses the store between two copies: what it told
// last is written all the same, with the identity that it had then.
func TestCopyOfAStoreThatWent(t *testing.T) {
	withFeed(t, func(r *feedRig) {
		path := filepath.Join(t.TempDir(), "copy")
		c := &localCopy{path: path, view: r.view, feed: r.feed, log: hclog.NewNullLogger(), delay: time.Hour}
		ctx, cancel := context.WithCancel(r.t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		r.store.Wipe()
		r.pass()
		r.adopt()
		adopted, epoch := r.feed.Identity()
		r.store.Wipe()
		r.pass()
		r.wantForeign("empty")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		saved, err := store.LoadCopy(path)
		if err != nil || saved.GUID != adopted || saved.Epoch != epoch {
			r.t.Errorf("the copy is of %s at epoch %d, wanted %s at %d (%v)", saved.GUID, saved.Epoch, adopted, epoch, err)
		}
	})
}
