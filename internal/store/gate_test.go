package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts the calls of a Store.
type counted struct {
	Store
	calls []string
}

func (c *counted) Get(ctx context.Context, key string) (KV, int64, error) {
	c.calls = append(c.calls, "get")
	return c.Store.Get(ctx, key)
}

func (c *counted) Txn(ctx context.Context, compares []Compare, ops []Op) (int64, error) {
	c.calls = append(c.calls, "txn")
	return c.Store.Txn(ctx, compares, ops)
}

// TestGate: what is written before the key closes is written with one
// transaction and no read, nothing slips in after it, and it opens again.
func TestGate(t *testing.T) {
	shut := errors.New("shut")
	s := NewMemory()
	c := &counted{Store: s}
	g := NewGate(c, "gate", func(kv KV) error {
		if string(kv.Value) == "shut" {
			return shut
		}
		return nil
	})
	write := func(wanted error, calls ...string) {
		t.Helper()
		c.calls = nil
		compares := make([]Compare, 1, 8)
		compares[0] = Compare{Key: "other"}
		if _, err := g.Txn(t.Context(), compares, []Op{{Key: "k", Value: []byte("v")}}); !errors.Is(err, wanted) {
			t.Errorf("written: %v, wanted %v", err, wanted)
		}
		if compares = compares[:2]; compares[1].Key != "" {
			t.Error("wrote into the caller's compares")
		}
		if !slices.Equal(c.calls, calls) {
			t.Errorf("calls %v, wanted %v", c.calls, calls)
		}
	}
	set := func(value string) {
		t.Helper()
		if _, err := s.Txn(t.Context(), nil, []Op{{Key: "gate", Value: []byte(value), Delete: value == ""}}); err != nil {
			t.Fatal(err)
		}
	}
	write(nil, "get", "txn")
	write(nil, "txn")
	set("shut")
	write(shut, "txn", "get") // it did not know, and the transaction did
	write(shut, "get")
	if err := g.Check(t.Context()); !errors.Is(err, shut) {
		t.Errorf("check: %v", err)
	}
	set("open")
	write(nil, "get", "txn")
	set("open, and changed")
	write(nil, "txn", "get", "txn")
	set("")
	write(nil, "txn", "get", "txn")
	if _, err := s.Txn(t.Context(), nil, []Op{{Key: "other"}}); err != nil {
		t.Fatal(err)
	}
	write(ErrConflict, "txn")
}

// slow is a Store whose Get takes a second.
type slow struct {
	Store
	gets atomic.Int32
}

func (s *slow) Get(ctx context.Context, key string) (KV, int64, error) {
	s.gets.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return KV{}, 0, ctx.Err()
	}
	return s.Store.Get(ctx, key)
}

// TestGateIsReadOnce: many who write at once read the key once, also those who
// come later; where the one who reads gives up the others write all the same.
func TestGateIsReadOnce(t *testing.T) {
	for _, gone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{Store: NewMemory()}
			g := NewGate(s, "gate", func(KV) error { return nil })
			first, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			write := func(ctx context.Context, wanted error) {
				all.Go(func() {
					if _, err := g.Txn(ctx, nil, []Op{{Key: "k"}}); !errors.Is(err, wanted) {
						t.Errorf("gone %t: %v, wanted %v", gone, err, wanted)
					}
				})
			}
			short, end := context.WithTimeout(t.Context(), time.Second/2)
			defer end()
			if gone {
				write(first, context.Canceled)
			} else {
				write(first, nil)
			}
			synctest.Wait()
			for range 30 {
				write(t.Context(), nil)
			}
			if !gone {
				write(short, ErrUnavailable) // as the store says it
			}
			synctest.Wait()
			if gone {
				cancel()
			}
			all.Wait()
			if n := s.gets.Load(); !gone && n != 1 {
				t.Errorf("read %d times", n)
			}
		})
	}
}
