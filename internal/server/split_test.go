package server

import (
	"context"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// crumbling is a store whose watches tell one event at a time, as a large
// snapshot comes in several batches.
type crumbling struct{ store.Store }

func (c crumbling) Watch(ctx context.Context, opts store.WatchOptions) store.Watch {
	return &crumbs{Watch: c.Store.Watch(ctx, opts), last: store.Batch{Revision: opts.After, Synced: opts.After != 0}}
}

type crumbs struct {
	store.Watch
	last store.Batch // as told last, without its events
	rest store.Batch
	more bool
}

func (c *crumbs) Next(ctx context.Context) (store.Batch, error) {
	if !c.more {
		var err error
		if c.rest, err = c.Watch.Next(ctx); err != nil {
			return c.rest, err
		}
	}
	if c.more = len(c.rest.Events) > 1; !c.more {
		c.last = store.Batch{Revision: c.rest.Revision, Synced: c.rest.Synced}
		return c.rest, nil
	}
	b := c.last
	b.Events, c.rest.Events = c.rest.Events[:1], c.rest.Events[1:]
	return b, nil
}

func TestWatchesThatComeInSmallBatches(t *testing.T) {
	crumble := func(o *Options) { o.Store = crumbling{o.Store} }
	t.Run("resources", func(t *testing.T) { watchResumes(t, newRig(t, crumble)) })
	t.Run("endpoints of a node", func(t *testing.T) { watchEndpointsOfANode(t, newRig(t, crumble)) })
	t.Run("endpoints with status", func(t *testing.T) { watchEndpointsWithStatus(t, newRig(t, crumble)) })
}
