package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// The common case is one transaction and nothing else: the node's blocks are
// remembered.
func TestOneTransactionPerAllocation(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/26"))
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	r.one(ask("host1", "first", 1))
	if count.txns != 1 {
		t.Errorf("the first took %d transactions", count.txns)
	}
	count.txns = 0
	count.reads.Store(0)
	for i := range 30 {
		r.one(ask("host1", fmt.Sprint("h", i), 1))
	}
	if count.txns != 30 || count.reads.Load() != 0 {
		t.Errorf("30 took %d transactions and %d reads", count.txns, count.reads.Load())
	}
	r.consistent()
}

// The first addresses of a node take one read, whatever others have: of its own
// blocks, and of those that it begins with. Where one of these is another's it
// takes one more, and seldom what all others have.
func TestCostOfTheFirstAddress(t *testing.T) {
	const nodes = 20
	for _, c := range []struct {
		pool         string
		others, each int
		reads        int64
	}{
		{"a=10.0.0.0/16/26", 0, 1, nodes},
		{"a=10.0.0.0/16/26", 0, 200, nodes + 5}, // which meet one another
		{"a=10.0.0.0/16/26", 50, 1, nodes + 2},
		{"a=10.0.0.0/18/26", 120, 1, 30},
	} {
		r := newRig(t, pool(c.pool))
		for i := range c.others {
			r.one(ask(fmt.Sprint("other", i), fmt.Sprint("other", i), 1))
		}
		count := &counting{Store: r.memory}
		r.Client = NewClient(count, r.settings)
		for i := range nodes {
			for _, a := range r.allocate(ask(fmt.Sprint("host", i), fmt.Sprint("h", i), c.each)).Allocations {
				if a.Borrowed {
					t.Errorf("%+v", a)
				}
			}
		}
		if n := count.reads.Load(); n > c.reads || count.txns != nodes {
			t.Errorf("%d from %s, %d others: %d reads and %d transactions for %d nodes", c.each, c.pool, c.others, n, count.txns, nodes)
		}
		r.consistent()
	}
}

// What was remembered is compared, and read again when it was wrong.
func TestRememberedBlocksAreCompared(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/28/28"))
	o := r.other()
	for i := range 8 {
		a, b := r.one(ask("host1", fmt.Sprint("a", i), 1)), o.one(ask("host1", fmt.Sprint("b", i), 1))
		if a.Address == b.Address {
			t.Fatalf("%s twice", a.Address)
		}
	}
	wantShort(t, r.allocate(ask("host1", "c", 1)), 0, ErrPoolsExhausted)
	if _, err := o.ReleaseHandle(t.Context(), "host1", "b0"); err != nil {
		t.Fatal(err)
	}
	r.one(ask("host1", "c", 1)) // although it remembers that there is nothing left
	r.consistent()
}

// Hundreds of addresses take a few transactions; one that is refused in the end
// leaves nothing behind.
func TestBatch(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/29"))
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	req := ask("host1", "h", 500) // 63 blocks
	req.MaxBlocks = 63
	wantShort(t, r.allocate(req), 500, nil)
	if count.txns > 3 {
		t.Errorf("%d transactions", count.txns)
	}
	r.consistent()

	req = ask("host2", "i", 600)
	req.MaxBlocks, req.Partial = 63, false
	if _, err := r.Allocate(t.Context(), req); !errors.Is(err, ErrBlockLimit) {
		t.Errorf("got %v", err)
	}
	if h := r.read().Handles; len(h) != 1 {
		t.Errorf("handles %v", h)
	}
	r.consistent()

	req.Partial = true
	got := r.allocate(req)
	wantShort(t, got, 504, ErrBlockLimit)
	if e := got.Short[0]; e.Wanted != 600 || e.Got != 504 {
		t.Errorf("short: %+v", e)
	}
	all, err := r.ReleaseHandle(t.Context(), "host2", "i")
	if err != nil || len(all) != 504 {
		t.Errorf("released %d, %v", len(all), err)
	}
	r.consistent()
}

// A hundred endpoints, each with a handle of its own, in one transaction.
func TestManyHandlesInOneStep(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	if _, err := r.Do(t.Context(), "host1", func(_ context.Context, s *Step) error {
		for i := range 90 {
			if _, err := s.Allocate(ask("host1", fmt.Sprint("h", i), 1)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := len(r.read().Handles); n != 90 || count.txns != 1 {
		t.Errorf("%d handles in %d transactions", n, count.txns)
	}
	r.consistent()
}

// busy is a store on which every transaction meets a conflict.
type busy struct{ *store.Memory }

func (b busy) Txn(context.Context, []store.Compare, []store.Op) (int64, error) {
	return 0, &store.ConflictError{Key: "x"}
}

// ambiguous is a store that does what it is told and does not say so.
type ambiguous struct{ *store.Memory }

func (a ambiguous) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if _, err := a.Memory.Txn(ctx, compares, ops); err != nil {
		return 0, err
	}
	return 0, &store.UnavailableError{Cause: errors.New("no answer")}
}

func TestCancelledWhileOthersWrite(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.Client = NewClient(busy{r.memory}, r.settings)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	n := 0
	_, err := r.Do(ctx, "host1", func(_ context.Context, s *Step) error {
		if n++; n > 5 {
			cancel(enough)
		}
		_, err := s.Allocate(ask("host1", "h", 1))
		return err
	})
	if !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// An answer that is lost is not asked for again by itself: it may have been
// yes. Resume finds out.
func TestLostAnswer(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	lost := NewClient(ambiguous{r.memory}, r.settings)
	req := ask("host1", "h", 1)
	req.Resume = true
	if _, err := lost.Allocate(t.Context(), req); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if a := r.one(req); !a.Existed {
		t.Errorf("got %+v", a)
	}
	if n := r.read().Blocks[0]; n.Size()-n.Free() != 1 {
		t.Errorf("%d addresses are held", n.Size()-n.Free())
	}
}

// Many goroutines of several processes, on the same nodes.
func TestParallelClients(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/22/28"), pool("b=fd00::/118/124"))
	parallel(r, 4, 3, func(int) Store { return r.memory.Open() })
}

// parallel has processes with some goroutines each allocate and release, and
// looks at what they leave.
func parallel(r *rig, processes, each int, open func(int) Store) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards all
		all  = make(map[netip.Addr]string)
		take = func(got []Allocation) {
			mu.Lock()
			defer mu.Unlock()
			for _, a := range got {
				if was := all[a.Address]; was != "" {
					r.Errorf("%s given to %s and to %s", a.Address, was, a.Handle)
				}
				all[a.Address] = a.Handle
			}
		}
		drop = func(handle string) {
			mu.Lock()
			defer mu.Unlock()
			for a, h := range all {
				if h == handle {
					delete(all, a)
				}
			}
		}
	)
	for p := range processes {
		client := NewClient(open(p), r.settings)
		for g := range each {
			wg.Go(func() {
				node := fmt.Sprint("host", g)
				for i := range 12 {
					handle := fmt.Sprintf("h-%d-%d-%d", p, g, i)
					got, err := client.Allocate(r.Context(), Request{Node: node, Handle: handle, Owner: external(), IPv4: 1 + i%4, IPv6: i % 2})
					if err != nil {
						r.Errorf("allocate %s: %v", handle, err)
						continue
					}
					take(got.Allocations)
					if i%3 != 0 {
						continue
					}
					drop(handle)
					if _, err := client.ReleaseHandle(r.Context(), node, handle); err != nil {
						r.Errorf("release %s: %v", handle, err)
					}
				}
			})
		}
	}
	wg.Wait()
	stored := 0
	for _, b := range r.read().Blocks {
		for _, h := range b.Holdings() {
			stored++
			if all[h.Address] != h.Handle {
				r.Errorf("%s is held by %s, given to %q", h.Address, h.Handle, all[h.Address])
			}
		}
	}
	if stored != len(all) {
		r.Errorf("%d addresses are held, %d were given", stored, len(all))
	}
	r.consistent()
}

// A handle that holds more of one family than it asks for, and less of the
// other than one transaction gives.
func TestResumeOfManyAfterMore(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("b=fd00::/64/128"))
	r.allocate(ask("host1", "h", 5))
	req := Request{Node: "host1", Handle: "h", Owner: external(), IPv4: 3, IPv6: 150, MaxBlocks: 150, Resume: true}
	if got := r.allocate(req); len(got.Allocations) != 5+150 {
		t.Errorf("%d addresses", len(got.Allocations))
	}
	r.consistent()
}

// A handle of more blocks than a transaction compares gets more all the same.
func TestResumeOfVeryMany(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/32"))
	req := ask("host1", "h", 400)
	req.MaxBlocks = 500
	wantShort(t, r.allocate(req), 400, nil)
	req.Resume, req.IPv4 = true, 403
	got := r.other().allocate(req)
	wantShort(t, got, 403, nil)
	n := 0
	for _, a := range got.Allocations {
		if a.Existed {
			n++
		}
	}
	if n != 400 {
		t.Errorf("%d existed", n)
	}
	r.consistent()
}

// What is resumed is still held when that is written.
func TestResumeWhileReleased(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	req := Request{Node: "host1", Handle: "h", Owner: external(), IPv4: 2, Resume: true}
	held := r.allocate(req)
	for _, release := range []func(*rig) error{
		func(o *rig) error { _, err := o.ReleaseHandle(t.Context(), "", "h"); return err },
		func(o *rig) error {
			_, err := o.Release(t.Context(), "", []Release{{Address: held.Allocations[1].Address}})
			return err
		},
	} {
		r.allocate(req)
		released := false
		var got *Result
		_, err := r.Do(t.Context(), "host1", func(_ context.Context, s *Step) (err error) {
			if got, err = s.Allocate(req); err != nil {
				return err
			}
			if got.Allocations[0].Existed && !released { // else it was guessed that it has none
				released = true
				if err := release(r.other()); err != nil {
					t.Fatal(err)
				}
			}
			s.Join(nil, []store.Op{{Key: "endpoint"}})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !released {
			t.Error("nothing was resumed")
		}
		for _, a := range got.Allocations {
			if h, _ := r.read().Blocks[0].Holding(a.Address); h.Handle != "h" || h.Sequence != a.Sequence {
				t.Errorf("%+v is held as %+v", a, h)
			}
		}
		held = got
	}
	r.consistent()
}

// Who goes on though there was nothing to release has not gone by a block that
// is remembered, and has changed since.
func TestNothingToReleaseIsCompared(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	first := r.one(ask("host1", "first", 1)) // now the block is remembered
	a := first.Address.Next()
	if _, err := r.other().Assign(t.Context(), AssignRequest{Address: a, Node: "host1", Handle: "h", Owner: external()}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Do(t.Context(), "host1", func(_ context.Context, s *Step) error {
		if err := s.Release(Release{Address: a, Handle: "h"}); err != nil && !errors.Is(err, ErrNotAllocated) {
			return err
		}
		s.Join(nil, []store.Op{{Key: "endpoint"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if h, held := r.read().Blocks[0].Holding(a); held {
		t.Errorf("%s is still held by %s", a, h.Handle)
	}
	r.consistent()
}

// What is too large because of a guess is decided upon again; what is so anyhow
// is refused.
func TestTooLargeByAGuess(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	large := func(s *Step) {
		s.Join(make([]store.Compare, store.MaxOps+1), []store.Op{{Key: "x"}})
	}
	tries := 0
	work := func(more int) Work {
		return func(_ context.Context, s *Step) error {
			if tries++; tries <= more {
				large(s)
			}
			_, err := s.Allocate(ask("host1", fmt.Sprint("h", more), 1))
			return err
		}
	}
	if _, err := r.Do(t.Context(), "host1", work(2)); err != nil { // once to say what is to be read
		t.Error(err)
	}
	if _, err := r.Do(t.Context(), "host1", work(99)); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	r.consistent()
}

// Where a transaction is full to the last key, blocks are written with their
// claims or not at all.
func TestFullTransaction(t *testing.T) {
	for _, reclaims := range []bool{false, true} {
		for keys := range 6 {
			r := newRig(t, pool("a=10.0.0.0/26/32"))
			if reclaims {
				req := ask("host2", "before", 64)
				req.MaxBlocks = 64
				r.allocate(req)
				if _, err := r.ReleaseHandle(t.Context(), "host2", "before"); err != nil {
					t.Fatal(err)
				}
				r.pass(time.Hour)
			}
			req := ask("host1", "h", 60)
			req.MaxBlocks = 64
			n := 0
			if _, err := r.Do(t.Context(), "host1", func(_ context.Context, s *Step) error {
				for i := range keys {
					s.guard(fmt.Sprint("key", i), 0)
				}
				got, err := s.Allocate(req)
				if err == nil {
					n = len(got.Allocations)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if c := r.read(); n == 0 || len(c.Handles) != 1 {
				t.Errorf("%d addresses, handles %v", n, c.Handles)
			}
			r.consistent()
		}
	}
}

// Who finds all blocks full has read them in a few round trips, and not the more
// the more there are.
func TestCostOfAFullPool(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/23/32"))
	r.settings.env.Config.StrictAffinity = true
	for i := range 4 {
		req := ask(fmt.Sprint("host", i), fmt.Sprint("h", i), 128)
		req.MaxBlocks = 128
		wantShort(t, r.allocate(req), 128, nil)
	}
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	wantShort(t, r.allocate(ask("new", "h", 1)), 0, ErrStrictAffinity)
	if n := count.reads.Load(); n > 30 { // on what may be old, and again
		t.Errorf("%d reads", n)
	}
}
