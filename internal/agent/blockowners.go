package agent

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/view"
)

// blockOwners is the edge store → whose each block is, from the first time that
// somebody asks: hosts that check no origins do not watch others' blocks.
type blockOwners struct {
	store  store.Store
	feed   *feed
	owners *view.BlockOwners
	log    hclog.Logger
	start  chan struct{} // signalled when it is to follow
}

func newBlockOwners(s store.Store, f *feed, log hclog.Logger) *blockOwners {
	return &blockOwners{store: s, feed: f, owners: view.NewBlockOwners(), log: log, start: make(chan struct{}, 1)}
}

// follow has the blocks followed.
func (b *blockOwners) follow() { signal(b.start) }

// Run follows until ctx ends.
func (b *blockOwners) Run(ctx context.Context) error {
	if !wait(ctx, b.start) {
		return nil
	}
	for ctx.Err() == nil {
		guid, ours := b.feed.Ours(ctx)
		if !ours {
			return nil
		}
		err := b.watch(ctx, guid)
		b.owners.Restart()
		if ctx.Err() != nil {
			return nil
		}
		b.log.Warn("blocks are not followed", "retry_in", longPause, "error", err)
		if !sleep(ctx, longPause) {
			return nil
		}
	}
	return nil
}

func (b *blockOwners) watch(ctx context.Context, guid string) error {
	w := b.store.Watch(ctx, store.WatchOptions{Prefixes: []string{store.HostsPrefix}, GUID: guid})
	defer w.Close()
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		b.owners.Apply(batch)
	}
}
