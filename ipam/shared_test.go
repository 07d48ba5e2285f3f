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

// hold has a node's turn until the function that it returns is called, which
// first waits for n calls to wait.
func hold(t *testing.T, c *Client, node string) (release func(n int)) {
	t.Helper()
	l, err := c.enter(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	return func(n int) {
		for deadline := time.Now().Add(time.Minute); waiting(c, l) < n; {
			if time.Now().After(deadline) {
				t.Fatalf("%d calls wait, wanted %d", waiting(c, l), n)
			}
			time.Sleep(time.Millisecond)
		}
		c.leave(l)
	}
}

func waiting(c *Client, l *lane) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(l.waiting)
}

// sharedRig is a rig whose node host1 has a block and whose client counts.
func sharedRig(t *testing.T, pools ...Pool) (*rig, *counting) {
	t.Helper()
	r := newRig(t, pools...)
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	r.one(ask("host1", "first", 1))
	count.txns = 0
	return r, count
}

// What waits for a node's turn goes into one transaction.
func TestSharedTransaction(t *testing.T) {
	r, count := sharedRig(t, pool("a=10.0.0.0/16/26"), pool("b=fd00::/112/122"))
	release := hold(t, r.Client, "host1")
	const calls = 30
	var mu sync.Mutex
	seen := make(map[netip.Addr]bool)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			got, err := r.Allocate(t.Context(), ask("host1", fmt.Sprint("h", i), 1))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[got.Allocations[0].Address] = true
		})
	}
	release(calls)
	wg.Wait()
	if count.txns != 1 || len(seen) != calls {
		t.Errorf("%d addresses in %d transactions", len(seen), count.txns)
	}
	r.consistent()
}

// Nobody fails because of whom it shares a transaction with: who is refused,
// asks for what it has, needs a block more than there was, writes what another
// writes, or meets somebody else's write.
func TestSharedWithOthers(t *testing.T) {
	r, _ := sharedRig(t, pool("a=10.0.0.0/26/28"), pool("manual=10.1.0.0/26/28"))
	r.settings.env.Pools[1].Manual = true
	odd := []struct {
		name string
		work Work
		want error
	}{
		{"refused", func(_ context.Context, s *Step) error {
			_, err := s.Assign(AssignRequest{Address: netip.MustParseAddr("10.9.0.1"), Node: "host1", Handle: "x", Owner: external()})
			return err
		}, ErrNotInPool},
		{"nothing to write", func(_ context.Context, s *Step) error {
			req := ask("host1", "first", 1)
			req.Resume = true
			_, err := s.Allocate(req)
			return err
		}, nil},
		{"a conflict that goes", func() Work {
			tries := 0
			return func(_ context.Context, s *Step) error {
				revision := int64(0)
				if tries++; tries < 3 {
					revision = 99
				}
				s.Join([]store.Compare{{Key: "other", ModRevision: revision}}, []store.Op{{Key: "one"}})
				return nil
			}
		}(), nil},
		{"the same key", func(_ context.Context, s *Step) error {
			s.Join(nil, []store.Op{{Key: "one"}})
			return nil
		}, nil},
		{"a whole block", func(_ context.Context, s *Step) error {
			_, err := s.Allocate(Request{Node: "host1", Handle: "whole", Owner: external(), IPv4: 16})
			return err
		}, nil},
		{"another pool", func(_ context.Context, s *Step) error {
			_, err := s.Allocate(Request{Node: "host1", Handle: "named", Owner: external(), IPv4: 1, Pools: []string{"manual"}})
			return err
		}, nil},
	}
	release := hold(t, r.Client, "host1")
	var wg sync.WaitGroup
	for _, o := range odd {
		wg.Go(func() {
			if _, err := r.DoShared(t.Context(), "host1", o.work); !errors.Is(err, o.want) {
				t.Errorf("%s: %v, wanted %v", o.name, err, o.want)
			}
		})
	}
	for i := range 20 {
		wg.Go(func() {
			if _, err := r.Allocate(t.Context(), ask("host1", fmt.Sprint("h", i), 1)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	release(len(odd) + 20)
	wg.Wait()
	if handles := len(r.read().Handles); handles != 1+2+20 {
		t.Errorf("%d handles", handles)
	}
	r.consistent()
}

// Who gives up waiting leaves the others alone; who is being served has its
// answer.
func TestSharedCancelled(t *testing.T) {
	r, _ := sharedRig(t, pool("a=10.0.0.0/16/26"))
	release := hold(t, r.Client, "host1")
	gone, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() {
		_, err := r.Allocate(gone, ask("host1", "gone", 1))
		cancelled <- err
	}()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if _, err := r.Allocate(t.Context(), ask("host1", fmt.Sprint("h", i), 1)); err != nil {
				t.Error(err)
			}
		})
	}
	l := r.lane("host1")
	for waiting(r.Client, l) < 4 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who gave up: %v", err)
	}
	release(3)
	wg.Wait()
	if _, there := r.read().Handles["gone"]; there {
		t.Error("the one who gave up holds an address")
	}
	r.consistent()
}

// Many at once through two clients that know nothing of each other, some of
// whom give up.
func TestSharedCrowd(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/22/28"))
	other := r.other()
	var wg sync.WaitGroup
	for i := range 240 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%5 == 0 {
				go cancel()
			}
			client, handle := r.Client, fmt.Sprint("h", i)
			if i%3 == 0 {
				client = other.Client
			}
			got, err := client.Allocate(ctx, ask(fmt.Sprint("host", i%2), handle, 1+i%3))
			if err == nil && i%4 == 0 {
				_, err = client.ReleaseHandle(t.Context(), "host1", handle)
			} else if err == nil && len(got.Allocations) != 1+i%3 {
				t.Errorf("%s has %d addresses", handle, len(got.Allocations))
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", handle, err)
			}
		})
	}
	wg.Wait()
	r.consistent()
}

// TestRemembersFewNodes: a daemon that serves very many remembers some of them,
// and none that is being served is forgotten.
func TestRemembersFewNodes(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/28"))
	for i := range 2 * maxRemembered {
		r.one(ask(fmt.Sprint("host", i), fmt.Sprint("h", i), 1))
		if n := len(r.lanes); n > maxRemembered || n != min(i+1, maxRemembered) {
			t.Fatalf("%d nodes are remembered after %d", n, i+1)
		}
	}
	r.consistent()
}
