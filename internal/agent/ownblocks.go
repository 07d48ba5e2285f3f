package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/view"
)

// ownBlocks is the edge store → which blocks the node owns.
type ownBlocks struct {
	store  store.Store
	feed   *feed
	blocks *view.Blocks
	log    hclog.Logger
}

// Run follows until ctx ends.
func (o *ownBlocks) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		guid, ours := o.feed.Ours(ctx)
		if !ours {
			return nil
		}
		told, err := o.watch(ctx, guid)
		if ctx.Err() != nil {
			return nil
		}
		if told {
			pause = firstPause
		}
		o.log.Warn("own blocks are not followed", "retry_in", pause, "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, longPause)
	}
	return nil
}

// watch follows until the watch fails, and reports whether it has told anything.
func (o *ownBlocks) watch(ctx context.Context, guid string) (told bool, err error) {
	o.blocks.Restart()
	w := o.store.Watch(ctx, store.WatchOptions{Prefixes: []string{o.blocks.Prefix()}, MinRevision: o.feed.seen(), GUID: guid})
	defer w.Close()
	for synced := false; ; {
		batch, err := w.Next(ctx)
		if err == nil && (len(batch.Events) > 0 || batch.Synced != synced) { // else it tells how far it is
			synced = batch.Synced
			err = o.feed.confirm(ctx)
		}
		if err != nil {
			return told, err
		}
		told = true
		o.blocks.Apply(batch)
	}
}

// answerLimit bounds the reading of claims: an address waits for it that peers
// are not told of yet.
const answerLimit = 2 * time.Second

// Answer reads the claims, until ctx ends, whenever an endpoint is heard of whose
// transaction may have given the node its block, too.
func (o *ownBlocks) Answer(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.blocks.Asked():
		}
		round := o.blocks.Round()
		if err := o.read(ctx, round); err != nil && ctx.Err() == nil {
			o.log.Warn("own blocks were not read; addresses are told to peers by themselves until the watch tells of blocks", "error", err)
			o.blocks.GiveUp(round)
		}
	}
}

func (o *ownBlocks) read(ctx context.Context, round int) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	page, err := o.store.List(ctx, o.blocks.Prefix(), store.ListOptions{})
	if err != nil {
		return fmt.Errorf("read claims: %w", err)
	}
	if err := o.feed.confirm(ctx); err != nil {
		return err
	}
	o.blocks.Take(round, page)
	return nil
}

// confirm returns an error unless the store is known to be ours now, and no
// older than what it has told: a range in which little happens would be the last
// to show that the store was exchanged.
func (f *feed) confirm(ctx context.Context) error {
	f.mu.Lock()
	known := f.known // before the store is asked: it may tell more meanwhile
	f.mu.Unlock()
	cluster, revision, err := store.Identity(ctx, f.store)
	if err != nil {
		return fmt.Errorf("confirm the identity of the store: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if verdict := store.Judge(known, cluster, true, revision); !f.ours || f.behind || verdict.Kind != store.Same {
		return fmt.Errorf("%w: %s", store.ErrForeign, verdict.Reason)
	}
	return nil
}
