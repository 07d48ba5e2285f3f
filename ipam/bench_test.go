package ipam

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
)

// BenchmarkAllocate takes one address per call for one node: in memory, and on
// an etcd in this process that does not wait for its disk. Beside it the floor:
// bare transactions of the same keys and sizes.
func BenchmarkAllocate(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchAllocate(b, store.NewMemory()) })
	b.Run("memory-floor", func(b *testing.B) { benchFloor(b, store.NewMemory()) })
	b.Run("etcd", func(b *testing.B) { benchAllocate(b, openEtcd(b, etcdtest.Start(b, nil).Endpoint())) })
	b.Run("etcd-floor", func(b *testing.B) { benchFloor(b, openEtcd(b, etcdtest.Start(b, nil).Endpoint())) })
}

func benchSettings() *fixed {
	return &fixed{Env{Pools: []Pool{pool("a=10.0.0.0/8/26"), pool("b=fd00::/48/122")}, Now: time.Unix(1_800_000_000, 0)}}
}

func benchAllocate(b *testing.B, s Store) {
	count := &counting{Store: s}
	c := NewClient(count, benchSettings())
	req := ask("host1", "", 1)
	req.MaxBlocks = 1 << 20
	req.Attributes = map[string]string{"node": "host1", "namespace": "default", "workload": "web-5d4f8c7b9-x2x7k"}
	n := 0
	for b.Loop() {
		n++
		req.Handle = fmt.Sprint("endpoint/", n)
		if _, err := c.Allocate(b.Context(), req); err != nil {
			b.Fatal(err)
		}
		if n%50 == 0 { // a node keeps fifty at most; giving them back is not measured
			b.StopTimer()
			for i := n - 49; i <= n; i++ {
				if _, err := c.ReleaseHandle(b.Context(), "host1", fmt.Sprint("endpoint/", i)); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
	releases := n - n%50
	b.ReportMetric(float64(count.txns-releases)/float64(n), "txn/allocation")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "changes/s")
}

// benchFloor writes what an allocation writes: a block with half of its
// addresses held, and a handle.
func benchFloor(b *testing.B, s Store) {
	seed := store.NewMemory()
	c := NewClient(seed, benchSettings())
	req := ask("host1", "", 1)
	req.Attributes = map[string]string{"node": "host1", "namespace": "default", "workload": "web-5d4f8c7b9-x2x7k"}
	var block Allocation
	for n := range 25 {
		req.Handle = fmt.Sprint("endpoint/", n)
		got, err := c.Allocate(b.Context(), req)
		if err != nil {
			b.Fatal(err)
		}
		block = got.Allocations[0]
	}
	value := func(key string) []byte {
		kv, _, err := seed.Get(context.Background(), key)
		if err != nil {
			b.Fatal(err)
		}
		return kv.Value
	}
	key := store.BlockKey(block.Block)
	ops := []store.Op{{Key: key, Value: value(key)}, {Key: "handle", Value: value(store.HandleKey(block.Handle))}}
	revision, n := int64(0), 0
	for b.Loop() {
		n++
		compares := []store.Compare{{Key: key, ModRevision: revision}, {Key: "ipam/handle/none"},
			{Key: "guard/ipam/host1"}, {Key: store.HostBlockKey("host1", block.Block)}}
		var err error
		if revision, err = s.Txn(b.Context(), compares, ops); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "changes/s")
}

// BenchmarkHundred takes a hundred addresses in one call.
func BenchmarkHundred(b *testing.B) {
	s := &counting{Store: openEtcd(b, etcdtest.Start(b, nil).Endpoint())}
	c := NewClient(s, benchSettings())
	n := 0
	for b.Loop() {
		n++
		req := ask(fmt.Sprint("host", n), fmt.Sprint("h", n), 100)
		if _, err := c.Allocate(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.txns)/float64(n), "txn/call")
}

// BenchmarkThousandHosts has a thousand hosts ask for their first address at
// once.
func BenchmarkThousandHosts(b *testing.B) {
	for b.Loop() {
		s := openEtcd(b, etcdtest.Start(b, nil).Endpoint())
		c := NewClient(s, benchSettings())
		done := make(chan error)
		for i := range 1000 {
			go func() {
				_, err := c.Allocate(b.Context(), ask(fmt.Sprint("host", i), fmt.Sprint("h", i), 1))
				done <- err
			}()
		}
		for range 1000 {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	}
}

// BenchmarkAmongMany takes addresses while 100,000 are in use by 1,600 hosts:
// the first one of a new host, which claims a block, and further ones.
func BenchmarkAmongMany(b *testing.B) {
	s := openEtcd(b, etcdtest.Start(b, nil).Endpoint())
	c := NewClient(s, benchSettings())
	for i := range 1600 {
		if _, err := c.Allocate(b.Context(), ask(fmt.Sprint("host", i), fmt.Sprint("h", i), 63)); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := c.Allocate(b.Context(), ask(fmt.Sprint("new", n), fmt.Sprint("n", n), 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("further", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := c.Allocate(b.Context(), ask("new1", fmt.Sprint("n", n), 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
