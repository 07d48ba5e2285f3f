package backup

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// compacting is a store that forgets its history before some page of a list.
type compacting struct {
	*store.Memory
	t    *testing.T
	page int // before which; each time from the first page on
	left int // how often it does so
	at   int
}

func (c *compacting) List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error) {
	if opts.Revision == 0 {
		c.at = 0
	} else if c.at++; c.at == c.page && c.left > 0 {
		c.left--
		if _, err := c.Txn(ctx, nil, []store.Op{{Key: "s/of/this/moment", Value: []byte(fmt.Sprint(c.left))}}); err != nil {
			c.t.Fatal(err)
		}
		now, err := c.Revision(ctx)
		if err == nil {
			err = c.Compact(now)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return c.Memory.List(ctx, prefix, opts)
}

// TestExportWhileCompacted: a history that goes meanwhile tears no export: all
// of it is of one revision, or there is none.
func TestExportWhileCompacted(t *testing.T) {
	for page := 1; page <= 5; page++ { // as many ranges as there are, and where the sequence numbers begin
		r := filled(t)
		c := &compacting{Memory: r.store, t: t, page: page, left: readTries - 1}
		f, err := Read(t.Context(), c, true, "test", r.importing("").Now())
		if err != nil {
			t.Fatalf("compacted before page %d: %v", page, err)
		}
		if err := f.Check(); err != nil || len(f.KVs) != len(r.contents())+1 {
			t.Errorf("compacted before page %d: %d keys, %v", page, len(f.KVs), err)
		}
		c.left = readTries
		if _, err := Read(t.Context(), c, true, "test", r.importing("").Now()); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("compacted again and again: %v", err)
		}
	}
}
