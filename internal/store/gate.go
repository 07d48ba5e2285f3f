package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Gate is a Store that writes only while one key allows it: every transaction
// compares that key, so that none is carried out after it has changed. What the
// key said last is remembered; a transaction costs one compare more and no
// round trip, unless the key has changed. Nothing is refused on what is
// remembered: then the key is read again.
type Gate struct {
	Store
	key  string
	open func(KV) error

	reads singleflight.Group // of pass

	mu       sync.Mutex // guards the rest; never held across I/O
	known    bool
	revision int64 // at which the key allowed to write; zero: without it
}

// gateTries is how often a transaction is tried while the key changes. It does
// so when an operator says so: more than once at a time is somebody's mistake.
const gateTries = 4

// NewGate returns a Gate before s. Open says why nothing may be written while
// the key holds a value; nil: it may. A key that does not exist has no value
// and revision zero.
func NewGate(s Store, key string, open func(KV) error) *Gate {
	return &Gate{Store: s, key: key, open: open}
}

// Txn is that of the Store, while the key allows it; else the error is that of
// open, which is no conflict.
func (g *Gate) Txn(ctx context.Context, compares []Compare, ops []Op) (int64, error) {
	for n := 1; ; n++ {
		revision, err := g.pass(ctx)
		if err != nil {
			return 0, err
		}
		all := append(slices.Clip(compares), Compare{Key: g.key, ModRevision: revision})
		written, err := g.Store.Txn(ctx, all, ops)
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Key != g.key || n == gateTries {
			return written, err
		}
		g.forget()
	}
}

// Check says why nothing may be written now; nil: it may.
func (g *Gate) Check(ctx context.Context) error {
	_, err := g.read(ctx)
	return err
}

// pass returns the revision to compare with. Many who do not know it at once wait
// for one of them to read; if that does not let them pass each reads itself.
func (g *Gate) pass(ctx context.Context) (int64, error) {
	g.mu.Lock()
	known, revision := g.known, g.revision
	g.mu.Unlock()
	if known {
		return revision, nil
	}
	select {
	case r := <-g.reads.DoChan("", func() (any, error) { return g.read(ctx) }):
		if r.Err == nil {
			return r.Val.(int64), nil
		}
		if !r.Shared {
			return 0, r.Err
		}
		return g.read(ctx)
	case <-ctx.Done():
		return 0, Waited(ctx, "what tells whether the datastore is locked")
	}
}

func (g *Gate) read(ctx context.Context) (int64, error) {
	kv, _, err := g.Get(ctx, g.key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, fmt.Errorf("look whether the datastore is locked: %w", err)
	}
	if err := g.open(kv); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known, g.revision = true, kv.ModRevision
	return kv.ModRevision, nil
}

func (g *Gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = false
}
