package agent

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/view"
)

// copyDelay gathers changes before the local copy is written: it is read only
// after a restart, when the store is away, so a second of age does no harm, and
// a cluster under churn does not wear out the disk.
const copyDelay = time.Second

// localCopy is the edge view → local copy of the last state in sync.
type localCopy struct {
	path  string
	view  *view.View
	feed  *feed
	log   hclog.Logger
	delay time.Duration
}

// Run writes the copy after changes, and once more when ctx ends.
func (c *localCopy) Run(ctx context.Context) error {
	pause := c.delay
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.view.CopyChanged():
		}
		for {
			ended := !sleep(ctx, pause)
			err := c.save()
			if ended {
				return nil
			}
			if err == nil {
				pause = c.delay
				break
			}
			pause = min(2*pause, time.Minute)
			c.log.Warn("local copy was not written", "retry_in", pause, "error", err)
		}
	}
}

func (c *localCopy) save() error {
	kvs, revision, synced := c.view.Copy()
	if !synced || c.feed.Foreign() != "" {
		return nil
	}
	guid, epoch := c.feed.Identity()
	return store.SaveCopy(c.path, store.Copy{
		GUID: guid, Epoch: epoch, Revision: revision, SavedAt: time.Now().UTC(), KVs: kvs,
	})
}
