package store

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// listed is a Store that notes the sizes of pages.
type listed struct {
	Store
	limits []int
}

func (l *listed) List(ctx context.Context, prefix string, opts ListOptions) (Page, error) {
	l.limits = append(l.limits, opts.Limit)
	return l.Store.List(ctx, prefix, opts)
}

// TestScan: a long range is read at one revision, in pages that are as long as
// their keys are small.
func TestScan(t *testing.T) {
	m := NewMemory()
	fill := func(prefix string, size int) {
		for i := 0; i < 2*ReadLimit+1; i += MaxOps {
			var ops []Op
			for j := i; j < min(i+MaxOps, 2*ReadLimit+1); j++ {
				ops = append(ops, Op{Key: fmt.Sprintf("%s%06d", prefix, j), Value: make([]byte, size)})
			}
			if _, err := m.Txn(t.Context(), nil, ops); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill("small/", 10)
	fill("large/", 8<<10)
	for _, c := range []struct {
		prefix string
		limits []int
	}{
		{"small/", []int{ReadLimit, 190_641}},
		{"large/", []int{ReadLimit, 511, 511}},
		{"none/", []int{ReadLimit}},
	} {
		l := &listed{Store: m}
		var keys []string
		revision, err := Scan(t.Context(), l, c.prefix, 0, func(kv KV) {
			if len(keys) == 0 { // what comes later is no part of it
				if _, err := m.Txn(t.Context(), nil, []Op{{Key: c.prefix + "9"}}); err != nil {
					t.Error(err)
				}
			}
			keys = append(keys, kv.Key)
		})
		if now, _ := m.Revision(t.Context()); err != nil || len(keys) > 0 && revision != now-1 {
			t.Errorf("%s: revision %d, %v", c.prefix, revision, err)
		}
		if want := 2*ReadLimit + 1; c.prefix != "none/" && (len(keys) != want || !slices.IsSorted(keys)) {
			t.Errorf("%s: %d keys", c.prefix, len(keys))
		}
		if !slices.Equal(l.limits, c.limits) {
			t.Errorf("%s: pages of %d", c.prefix, l.limits)
		}
	}
	m.Disconnect()
	if _, err := Scan(t.Context(), m, "small/", 0, func(KV) {}); err == nil {
		t.Error("no error of a store that is away")
	}
}
