package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/ipam"
)

// TestAllocatorsInParallel runs a hundred processes that take addresses out of
// one pool, on an etcd of three members. Midway every fifth of them is killed,
// and so is the leader. Nobody is given what another one has; what the killed
// ones left behind is collected, and nothing else.
func TestAllocatorsInParallel(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	s := fabric.NewSegment(t, "crowd", 3)
	h, _ := s.Host("h1")
	db := storeIn(t, h, s.Etcd)
	var crowd []*lab.Process
	for i := range allocators {
		crowd = append(crowd, h.Start(fmt.Sprint("allocator", i),
			[]string{os.Args[0], allocatorCommand, fmt.Sprint(i), strings.Join(endpointsOf(s), ",")},
			lab.ProcessOptions{Env: []string{"GOMAXPROCS=1", "GOGC=50"}}))
	}
	const all = allocators * eachAllocates
	waitGiven(t, db, all/4)
	died := leader(t, h, s.Etcd)
	died.Kill()
	killed := make(map[int]bool)
	for i := 0; i < allocators; i += 5 {
		waitGiven(t, db, all/4+i) // one after the other, while the rest goes on
		if crowd[i].Running() {
			crowd[i].Kill()
			killed[i] = true
		}
	}
	for i, p := range crowd {
		if err := p.Wait(); err != nil && !killed[i] {
			t.Errorf("allocator %d: %v: %s", i, err, p.Output())
		}
	}
	if t.Failed() {
		return
	}
	before := contentsOf(t, db)
	t.Logf("leader %s and %d allocators killed; %d addresses are in use in %d blocks, %d of them leaked",
		died.Endpoint, len(killed), inUse(before), len(before.Blocks), len(before.Check(allocatorEnv(time.Now())).Leaks))
	requireOwned(t, db, before)
	collectAll(t, db)
	after := contentsOf(t, db)
	for _, f := range after.Check(allocatorEnv(time.Now())).Problems {
		t.Errorf("after collection: %s", f)
	}
	if noted := len(after.Endpoints); inUse(after) != noted || noted != len(before.Endpoints) {
		t.Errorf("%d addresses in use, %d noted, %d before collection", inUse(after), noted, len(before.Endpoints))
	}
	died.Start() // it has nothing of its own to say
	if again := contentsOf(t, db); inUse(again) != inUse(after) {
		t.Errorf("%d addresses in use with the old leader back, wanted %d", inUse(again), inUse(after))
	}
}

// storeIn opens the store that members in the network of a host serve, from
// outside of it.
func storeIn(t *testing.T, h *lab.Host, members []*lab.Etcd) *etcd.Store {
	t.Helper()
	path := filepath.Join(h.Lab().Dir(), "etcd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	g.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			g.Go(func() { relay(ctx, outside, h, members) })
		}
	})
	s, err := etcd.New(etcd.Config{Endpoints: []string{"unix://" + path}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		l.Close()
		cancel()
		g.Wait()
	})
	return s
}

// relay connects a caller with the first member that answers, until either side
// has enough.
func relay(ctx context.Context, outside net.Conn, h *lab.Host, members []*lab.Etcd) {
	defer outside.Close()
	for _, m := range members {
		inside, err := h.DialContext(ctx, "tcp", strings.TrimPrefix(m.Endpoint, "http://"))
		if err != nil {
			continue
		}
		defer inside.Close()
		stop := context.AfterFunc(ctx, func() { inside.Close() })
		defer stop()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(inside, outside) // either end tells by closing
			inside.Close()
		}()
		_, _ = io.Copy(outside, inside)
		outside.Close()
		<-done
		return
	}
}

// waitGiven waits until so many handles hold addresses.
func waitGiven(t *testing.T, s store.Store, handles int) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, fmt.Sprintf("%d handles hold addresses", handles), func() error {
		page, err := s.List(t.Context(), store.HandlePrefix, store.ListOptions{Limit: handles})
		if err == nil && len(page.KVs) < handles {
			err = fmt.Errorf("%d so far", len(page.KVs))
		}
		return err
	})
}

func contentsOf(t *testing.T, s store.Store) *ipam.Contents {
	t.Helper()
	var c *ipam.Contents
	lab.Eventually(t, fabric.Limit, "the store is read", func() (err error) {
		c, err = ipam.ReadContents(t.Context(), s)
		return err
	})
	return c
}

func inUse(c *ipam.Contents) int {
	n := 0
	for _, b := range c.Blocks {
		n += b.Size() - b.Free()
	}
	return n
}

// requireOwned checks what was noted against the blocks: each noted address is
// held by the handle of who noted it, and each handle holds all or nothing of
// what it was given. What a check finds are leaks, and nothing else.
func requireOwned(t *testing.T, s store.Store, c *ipam.Contents) {
	t.Helper()
	holder := make(map[netip.Addr]string)
	for _, b := range c.Blocks {
		for _, h := range b.Holdings() {
			holder[h.Address] = h.Handle
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(c.Endpoints), netip.Addr.Compare) {
		if handle := strings.TrimPrefix(c.Endpoints[a], ownerPrefix); holder[a] != handle {
			t.Errorf("%s was given to %s, its block says %q", a, handle, holder[a])
		}
	}
	for _, f := range c.Check(allocatorEnv(time.Now())).Problems {
		if f.Kind != ipam.NoEndpoint {
			t.Errorf("%s", f)
		}
	}
	for id, h := range c.Handles {
		if _, _, err := s.Get(t.Context(), h.Owner.Key); errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(slices.Collect(maps.Values(c.Endpoints)), h.Owner.Key) {
			t.Errorf("handle %s has an owner without addresses", id)
		}
	}
}

// collectAll collects as the controller does, with a clock that makes leaps,
// until there is nothing to collect.
func collectAll(t *testing.T, s store.Store) {
	t.Helper()
	client := ipam.NewClient(s, allocatorSettings{})
	collector := &ipam.Collector{}
	now := time.Now()
	for range 50 {
		w := ipam.World{Contents: contentsOf(t, s), Env: allocatorEnv(now)}
		w.Node = func(string) bool { return true }
		w.Owner = func(key string, a netip.Addr) (int64, bool) {
			kv, _, err := s.Get(t.Context(), key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			return kv.ModRevision, w.Endpoints[a] == key
		}
		garbage := collector.Round(w)
		if _, err := client.Collect(t.Context(), garbage); err != nil {
			t.Fatal(err)
		}
		if collector.Suspects() == (ipam.Suspects{}) {
			return
		}
		now = now.Add(3 * time.Minute) // the default grace is five
	}
	t.Errorf("suspects after 50 rounds: %+v", collector.Suspects())
}
