package agent

import (
	"context"
	"fmt"
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

// TestCopyOfAStoreThatIsBehind restarts a host whose store was restored from a
// backup, after that has grown past what the host had seen.
func TestCopyOfAStoreThatIsBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		withCopy := func(o *Options) { o.CopyPath, o.Copy = path, load(t, path) }
		r.start(withCopy)
		r.pass(time.Minute)
		backup := r.store.Backup()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		r.store.Restore(backup)
		r.pass(time.Minute)
		r.wantNotReady(conditionStore)
		for _, name := range []string{"b", "c", "d", "e", "f"} {
			r.put(endpointObject(name, "host2", "10.0.0."+fmt.Sprint(name[0])+"/32"))
		}
		r.end()
		r.start(withCopy)
		r.pass(10 * time.Minute)
		r.wantRoutes(lineA)
		if _, err := r.agent.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		r.wantNotReady()
		r.wantRoutes()
		if c := load(t, path); c.Revision == store.Overtaken {
			t.Error("the copy remembers what was adopted")
		}
	})
}
