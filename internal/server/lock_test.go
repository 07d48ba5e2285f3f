package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func lockOf(locked bool) *vrouterv1.ClusterInformation {
	info := &vrouterv1.ClusterInformation{
		Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec:     &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(!locked)},
	}
	if locked {
		info.Spec.DatastoreLock = &vrouterv1.DatastoreLock{By: proto.String("alice@host9"), Reason: proto.String("new etcd")}
	}
	return info
}

// TestLockedRefusesEveryWrite: nothing is written through any service while the
// datastore is locked, whatever it is, and reads go on. A daemon that does not
// know of the lock yet finds out in the transaction.
func TestLockedRefusesEveryWrite(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.put(node("host1", "192.0.2.1/24"))
	r.register(registration("a", "10.0.0.1"))
	taken, err := r.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Ipv4: 1, Handle: "lb"})
	if err != nil {
		t.Fatal(err)
	}
	other := newRig(t, func(o *Options) { o.Store = r.store }) // adds pools that are there
	other.put(lockOf(true))
	before := r.revision()
	for name, write := range map[string]func() error{
		"put":       func() error { _, err := r.try(apply, node("host2", "192.0.2.2/24")); return err },
		"put again": func() error { _, err := r.try(apply, pool("seven", "10.7.0.0/16")); return err },
		"dry run": func() error {
			_, err := r.resources.Put(ctx, &vrouterv1.PutRequest{Resource: resource.Wrap(node("host2", "192.0.2.2/24")), DryRun: true})
			return err
		},
		"delete": func() error {
			_, err := r.resources.Delete(ctx, &vrouterv1.DeleteRequest{Kind: "IPPool", Name: "six"})
			return err
		},
		"register": func() error {
			_, err := r.endpoints.Register(ctx, registration("b", "10.0.0.2"))
			return err
		},
		"unregister": func() error {
			_, err := r.endpoints.Unregister(ctx, &vrouterv1.UnregisterRequest{Id: endpointOf("a")})
			return err
		},
		"allocate": func() error {
			_, err := r.addresses.Allocate(ctx, &vrouterv1.AllocateRequest{Ipv4: 1, Handle: "x"})
			return err
		},
		"assign": func() error {
			_, err := r.addresses.Assign(ctx, &vrouterv1.AssignRequest{Address: "10.0.0.9", Handle: "x"})
			return err
		},
		"release": func() error {
			_, err := r.addresses.Release(ctx, &vrouterv1.ReleaseRequest{Addresses: []*vrouterv1.AddressRelease{
				{Address: taken.Allocations[0].Address}}})
			return err
		},
		"release by handle": func() error {
			_, err := r.addresses.ReleaseByHandle(ctx, &vrouterv1.ReleaseByHandleRequest{Handle: "lb"})
			return err
		},
		"assign a block": func() error {
			_, err := r.addresses.AssignBlock(ctx, &vrouterv1.AssignBlockRequest{Node: "host2", Cidr: "10.0.200.0/26"})
			return err
		},
		"split": func() error {
			_, err := r.addresses.SplitPool(ctx, &vrouterv1.SplitPoolRequest{Pool: "six", Parts: 2})
			return err
		},
		"drain": func() error {
			_, err := r.nodes.Drain(ctx, &vrouterv1.DrainRequest{Node: "host1"})
			return err
		},
	} {
		st := wantCode(t, write(), codes.FailedPrecondition)
		if f := detail[*errdetails.PreconditionFailure](t, st); f.Violations[0].Type != "LOCKED" {
			t.Errorf("%s: details %v", name, f)
		}
		for _, said := range []string{"alice@host9", "new etcd", "vrouterctl datastore unlock"} {
			if !strings.Contains(st.Message(), said) {
				t.Errorf("%s: %q does not say %q", name, st.Message(), said)
			}
		}
	}
	if after := r.revision(); after != before {
		t.Errorf("written while locked: revision %d, was %d", after, before)
	}
	r.register(registration("a", "10.0.0.1")) // it stands so already: nothing is written
	other.put(lockOf(false))
	r.register(registration("b", "10.0.0.2"))
	r.consistent()
}

// TestLockCostsNothing: a write that finds the datastore unlocked as it was
// costs one transaction, and no look at the lock.
func TestLockCostsNothing(t *testing.T) {
	c := &counting{reads: make(map[string]int)}
	r := newRig(t, func(o *Options) {
		c.Store = o.Store
		o.Store = c
	})
	key := store.ResourceKey("ClusterInformation", "", "default")
	if _, err := r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: 1, Handle: "warm"}); err != nil {
		t.Fatal(err)
	}
	c.reset()
	for i := range 10 {
		if _, err := r.addresses.Allocate(t.Context(), &vrouterv1.AllocateRequest{Ipv4: 1, Handle: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.txns > 11 || c.reads[key] != 0 { // one more for a reserve
		t.Errorf("%d transactions and %d looks at the lock for 10 allocations", c.txns, c.reads[key])
	}
}

// counting counts transactions, and reads by key.
type counting struct {
	store.Store
	mu    sync.Mutex
	txns  int
	reads map[string]int
}

func (c *counting) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.txns = 0
	clear(c.reads)
}

func (c *counting) Get(ctx context.Context, key string) (store.KV, int64, error) {
	c.mu.Lock()
	c.reads[key]++
	c.mu.Unlock()
	return c.Store.Get(ctx, key)
}

func (c *counting) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	c.mu.Lock()
	if len(ops) > 0 {
		c.txns++
	}
	c.mu.Unlock()
	return c.Store.Txn(ctx, compares, ops)
}

// TestNothingSlipsPastTheLock: while many daemons register, one of them locks.
// What was answered by then stands, whole; from the revision on that the store
// has when Lock returns nothing is written, whoever was under way.
func TestNothingSlipsPastTheLock(t *testing.T) {
	r := newRig(t)
	if _, _, err := store.EnsureIdentity(t.Context(), r.store); err != nil {
		t.Fatal(err)
	}
	daemons := []clients{r.clients}
	for i := range 3 {
		opts := Options{Store: r.store, Local: r.local, NodeName: fmt.Sprintf("host%d", i+2), RequirePool: true,
			Logger: hclog.NewNullLogger(), Socket: Socket{Path: filepath.Join(t.TempDir(), "s")}}
		start(t, opts)
		daemons = append(daemons, clientsOf(dial(t, opts.Socket.Path)))
	}
	registered := 0
	for round := range 4 {
		var done atomic.Int64
		var all sync.WaitGroup
		enough := make(chan struct{})
		for n := range 12 {
			all.Go(func() {
				for i := 0; ; i++ {
					req := registration(fmt.Sprintf("%d-%d-%d", round, n, i))
					req.Node = fmt.Sprintf("host%d", n%5+1)
					_, err := daemons[n%len(daemons)].endpoints.Register(t.Context(), req)
					if status.Code(err) == codes.FailedPrecondition && strings.Contains(err.Error(), "is locked") {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if done.Add(1) == 40 {
						close(enough)
					}
				}
			})
		}
		ended := make(chan struct{})
		go func() { all.Wait(); close(ended) }()
		select {
		case <-enough:
		case <-ended:
			t.Fatal("nobody registers any more")
		}
		if _, err := daemons[round].datastore.Lock(t.Context(), &vrouterv1.LockRequest{}); err != nil {
			t.Fatal(err)
		}
		locked := r.revision()
		<-ended
		if now := r.revision(); now != locked {
			t.Errorf("round %d: written at revision %d, after Lock had returned at %d", round, now, locked)
		}
		registered += int(done.Load())
		if has := len(keys(t, r.store, store.KindPrefix("WorkloadEndpoint"))); has != registered {
			t.Errorf("round %d: %d endpoints are stored, %d were registered", round, has, registered)
		}
		r.consistent()
		if _, err := daemons[0].datastore.Unlock(t.Context(), &vrouterv1.UnlockRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}
