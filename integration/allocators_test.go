package integration_test

import (
	"context"
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

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/controller"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
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
	noted := make(map[string]bool) // owners that are there
	lab.Eventually(t, fabric.Limit, "the owners are read", func() error {
		_, err := store.Scan(t.Context(), s, ownerPrefix, 0, func(kv store.KV) { noted[kv.Key] = true })
		return err
	})
	addressed := slices.Collect(maps.Values(c.Endpoints))
	for id, h := range c.Handles {
		if noted[h.Owner.Key] && !slices.Contains(addressed, h.Owner.Key) {
			t.Errorf("handle %s has an owner without addresses", id)
		}
	}
}

// collectAll runs two controllers, whose grace period is short, until they have
// collected what leaked.
func collectAll(t *testing.T, s store.Store) {
	t.Helper()
	pool := &vrouterv1.IPPool{Metadata: &vrouterv1.Metadata{Name: proto.String("crowd")},
		Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String("10.64.0.0/22"), BlockSize: proto.Int32(28)}}
	resource.Canonicalize(pool)
	value, err := resource.Encode(resource.Successor(pool, nil))
	if err != nil {
		t.Fatal(err)
	}
	ops := []store.Op{{Key: store.ResourceKey("IPPool", "", "crowd"), Value: value}}
	for i := range allocatorNodes { // a controller collects the blocks of others
		ops = append(ops, store.Op{Key: store.ResourceKey("Node", "", fmt.Sprint("host", i))})
	}
	lab.Eventually(t, fabric.Limit, "the pool and the nodes are stored", func() error {
		_, err := s.Txn(t.Context(), nil, ops) // twice changes nothing
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	for i := range 2 {
		c := controller.New(controller.Options{Name: fmt.Sprint("controller", i), Store: s, LeaseTTL: 5 * time.Second,
			Grace: time.Second, Health: telemetry.NewHealth(controller.Conditions()...), Logger: hclog.NewNullLogger()})
		g.Go(func() error { return c.Run(ctx) })
	}
	lab.Eventually(t, fabric.Limit, "nothing leaks", func() error {
		report := contentsOf(t, s).Check(allocatorEnv(time.Now()))
		if len(report.Leaks) > 0 {
			return fmt.Errorf("%d addresses do", len(report.Leaks))
		}
		return nil
	})
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
