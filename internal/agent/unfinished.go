package agent

import (
	"context"
	"time"
)

// soonPause is the pause before finish where only the kernel is to be waited
// for, which does not always say when a route is gone.
const soonPause = 100 * time.Millisecond

// unfinished returns in what time finish has something to do, because no event
// may come for it; zero: there is nothing.
func (w *workloads) unfinished() time.Duration {
	switch {
	case len(w.leaving) > 0:
		return soonPause
	case len(w.troubled) > 0 || w.origins.better > 0 || w.blocks.troubled():
		return longPause
	}
	return 0
}

// finish tries again what was refused, or went by without news: what is more than
// a look at the table not more often than it would be if nothing were leaving.
func (w *workloads) finish(ctx context.Context) {
	for prefix := range w.leaving {
		w.left(ctx, prefix)
	}
	if time.Since(w.finished) < longPause {
		return
	}
	w.finished = time.Now()
	w.recheckBlocks()
	for id := range w.troubled {
		l := w.byID[id]
		if l.trouble != nil {
			w.prepare(ctx, l)
		}
		for _, prefix := range l.prefixes() {
			w.claims[prefix].status = w.table.Get(prefix).Status
		}
		w.advance(id, l)
	}
	w.origins.settle()
}
