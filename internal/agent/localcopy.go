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
	path   string
	view   *view.View
	blocks *view.Blocks // nil: the node has none
	feed   *feed
	log    hclog.Logger
	delay  time.Duration
}

// Run writes the copy after changes, and what changed last when ctx ends.
func (c *localCopy) Run(ctx context.Context) error {
	pause, pending := c.delay, false
	turned := c.feed.Turned()
	var blocks <-chan struct{}
	if c.blocks != nil {
		blocks = c.blocks.CopyChanged()
	}
	for {
		if !pending {
			select {
			case <-ctx.Done():
				select {
				case <-c.view.CopyChanged(): // together with the end of ctx
				case <-blocks:
				default:
					return nil
				}
			case <-c.view.CopyChanged():
			case <-blocks:
			case <-turned:
				turned = c.feed.Turned()
			}
		}
		goesOn := sleep(ctx, pause)
		err := c.save()
		if pending = err != nil; !pending {
			pause = c.delay
		} else {
			pause = min(2*pause, time.Minute)
			c.log.Warn("local copy was not written", "path", c.path, "retry_in", pause, "error", err)
		}
		if !goesOn {
			return nil
		}
	}
}

// save writes what the store has told, if that is whole. A state is of the
// identity that held before and after it was taken. A foreign store tells the
// view nothing: what ours told last before it went is written also then, or
// the host would remember an identity that nobody else does. Of a store that is
// behind the copy remembers that, or it would be taken for ours after a restart
// once it has grown.
func (c *localCopy) save() error {
	guid, epoch := c.feed.Identity()
	kvs, revision, synced := c.view.Copy()
	if c.blocks != nil {
		kvs = append(kvs, c.blocks.Copy()...)
	}
	nowGUID, nowEpoch := c.feed.Identity()
	if !synced || guid != nowGUID || epoch != nowEpoch {
		return nil // there is news when this has changed
	}
	if c.feed.Behind() {
		revision = store.Overtaken
	}
	return store.SaveCopy(c.path, store.Copy{
		GUID: guid, Epoch: epoch, Revision: revision, SavedAt: time.Now().UTC(), KVs: kvs,
	})
}
