package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// benchRig is an etcd that waits for its disk, with daemons: each has a
// connection of its own, an allocator and an API.
type benchRig struct {
	b       *testing.B
	etcd    *etcdtest.Server
	daemons []*benchDaemon
	floors  atomic.Int64 // bare transactions
}

type benchDaemon struct {
	clients
	store *counted
	ipam  *ipam.Client
	stop  func()
}

// newBenchRig starts an etcd with a pool and n daemons.
func newBenchRig(b *testing.B, n int) *benchRig {
	b.Helper()
	r := &benchRig{b: b, etcd: etcdtest.StartProgram(b)}
	for i := range n {
		r.daemons = append(r.daemons, r.daemon(fmt.Sprint("daemon", i)))
	}
	p := pool("four", "10.0.0.0/8")
	if _, err := r.daemons[0].resources.Put(b.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(p)}); err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *benchRig) daemon(name string) *benchDaemon {
	r.b.Helper()
	s, err := etcd.New(etcd.Config{Endpoints: []string{r.etcd.Endpoint()}})
	if err != nil {
		r.b.Fatal(err)
	}
	count := &counted{Store: s}
	socket := filepath.Join(r.b.TempDir(), "s")
	api, err := New(Options{Store: count, Local: &fakeLocal{node: name}, NodeName: name, RequirePool: true,
		Logger: hclog.NewNullLogger(), Socket: Socket{Path: socket}})
	if err != nil {
		r.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	<-api.Ready()
	conn := dial(r.b, socket)
	return &benchDaemon{clients: clientsOf(conn), store: count, ipam: ipam.NewClient(count, &settings{store: count}),
		stop: func() {
			conn.Close()
			cancel()
			if err := <-done; err != nil {
				r.b.Error(err)
			}
			s.Close()
		}}
}

func (r *benchRig) close() {
	for _, d := range r.daemons {
		d.stop()
	}
	r.etcd.Stop()
}

// txns is how many transactions all daemons have made.
func (r *benchRig) txns() int64 {
	var n int64
	for _, d := range r.daemons {
		n += d.store.txns.Load()
	}
	return n
}

// method takes an address for a node, the i-th, in one of the ways that are
// compared.
type method struct {
	name string
	take func(ctx context.Context, d *benchDaemon, node string, i int) error
}

func byPackage() method {
	return method{"ipam", func(ctx context.Context, d *benchDaemon, node string, i int) error {
		_, err := d.ipam.Allocate(ctx, ipam.Request{Node: node, Handle: fmt.Sprintf("%s-%d", node, i), Owner: external(), IPv4: 1})
		return err
	}}
}

func byAPI() method {
	return method{"api", func(ctx context.Context, d *benchDaemon, node string, i int) error {
		req := registration(fmt.Sprintf("%s-%d", node, i))
		req.InterfaceName, req.Node = "cali12345678901", node
		_, err := d.endpoints.Register(ctx, req)
		return err
	}}
}

// floor makes bare transactions like those of another method, over the same
// connections: as many keys compared, as many written, keys and values as long.
// The keys are new ones: nobody is in the way of anybody, and etcd need not read
// what it compares.
func (r *benchRig) floor(of method, warm int) method {
	r.b.Helper()
	last := &lastTxn{Store: r.daemons[0].store.Store}
	node := "sample-" + of.name
	r.daemons[0].store.Store = last
	for i := range warm {
		if err := of.take(r.b.Context(), r.daemons[0], node, i); err != nil {
			r.b.Fatal(err)
		}
	}
	r.daemons[0].store.Store = last.Store
	return method{of.name + "-floor", func(ctx context.Context, d *benchDaemon, _ string, _ int) error {
		return last.replay(ctx, d.store, r.floors.Add(1))
	}}
}

// lastTxn remembers the transaction that was made last.
type lastTxn struct {
	store.Store
	compares []store.Compare
	ops      []store.Op
}

func (l *lastTxn) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	l.compares, l.ops = compares, ops
	return l.Store.Txn(ctx, compares, ops)
}

// replay makes a transaction of the same size, the n-th, on keys that nobody
// else has.
func (l *lastTxn) replay(ctx context.Context, s store.Store, n int64) error {
	compares, ops := make([]store.Compare, len(l.compares)), make([]store.Op, len(l.ops))
	as := make(map[string]string, len(l.compares))
	for i, c := range l.compares {
		as[c.Key] = sameLength(fmt.Sprintf("%08x%02x", n, i), c.Key)
		compares[i].Key = as[c.Key]
	}
	for i, op := range l.ops { // each is compared
		ops[i] = store.Op{Key: as[op.Key], Value: op.Value}
	}
	_, err := s.Txn(ctx, compares, ops)
	return err
}

// sameLength returns a key as long as another one, if that is not too short to
// be told from others.
func sameLength(key, as string) string {
	if len(as) <= len(key) {
		return key
	}
	return key + as[len(key):]
}

// crowd is who asks: nodes, spread over the daemons, each of which makes calls,
// several of them at once.
type crowd struct{ nodes, calls, atOnce int }

// run has the crowd ask, and returns how long each call took and all of them.
// The nodes are named for the round, so that none of them is met again.
func (r *benchRig) run(m method, round string, c crowd, from int) (each []time.Duration, all time.Duration, err error) {
	took := make([][]time.Duration, c.nodes)
	var g errgroup.Group
	start := time.Now()
	for n := range c.nodes {
		took[n] = make([]time.Duration, c.calls)
		node, d := fmt.Sprintf("%s-%d", round, n), r.daemons[n%len(r.daemons)]
		g.Go(func() error {
			var callers errgroup.Group
			callers.SetLimit(c.atOnce)
			for i := range c.calls {
				callers.Go(func() error {
					began := time.Now()
					err := m.take(r.b.Context(), d, node, from+i)
					took[n][i] = time.Since(began)
					return err
				})
			}
			return callers.Wait()
		})
	}
	err = g.Wait()
	return slices.Concat(took...), time.Since(start), err
}

// fill has others hold n addresses.
func (r *benchRig) fill(n int) {
	r.b.Helper()
	const each = 63 // of a block of 64
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n / each {
		g.Go(func() error {
			node := fmt.Sprint("other", i)
			_, err := r.daemons[i%len(r.daemons)].ipam.Allocate(r.b.Context(),
				ipam.Request{Node: node, Handle: node, Owner: external(), IPv4: each})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		r.b.Fatal(errors.Join(errors.New("fill"), err))
	}
}
