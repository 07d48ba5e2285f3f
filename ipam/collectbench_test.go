package ipam

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
)

// The size of a large cluster: 25 addresses in use of each block.
const (
	crowdNodes     = 1000
	crowdBlocks    = 10_000
	crowdAddresses = 250_000
)

// BenchmarkCollect makes rounds of the collector over 250,000 addresses of
// endpoints in 10,000 blocks of 1,000 nodes, on an etcd in this process that does
// not wait for its disk: one that looks, and one that takes away what it may of
// 10,000 leaks. Beside it the floor: the same ranges read, and nothing made of
// them. Seconds of CPU are those of both together.
func BenchmarkCollect(b *testing.B) {
	s := openEtcd(b, etcdtest.Start(b, nil).Endpoint())
	settings := benchSettings()
	fillCrowd(b, s)
	b.Run("floor", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			for _, prefix := range []string{store.BlockPrefix, store.HostsPrefix, store.HandlePrefix, store.AddressPrefix} {
				if _, err := store.Scan(b.Context(), s, prefix, 0, func(store.KV) {}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	look := func(b *testing.B, c *Collector) *Garbage {
		w, err := ReadWorld(b.Context(), s, settings)
		if err != nil {
			b.Fatal(err)
		}
		return c.Round(w)
	}
	b.Run("look", func(b *testing.B) {
		c, done := &Collector{}, cpu(b)
		for b.Loop() {
			look(b, c)
		}
		done()
		before := live()
		w, err := ReadWorld(b.Context(), s, settings)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(live()-before)/(1<<20), "MiB")
		runtime.KeepAlive(w)
	})
	b.Run("collect", func(b *testing.B) {
		leakCrowd(b, s, 10_000)
		client, c := NewClient(s, settings), &Collector{}
		look(b, c)
		defer cpu(b)()
		settings.env.Now = settings.env.Now.Add(time.Hour)
		for b.Loop() {
			got, err := client.Collect(b.Context(), look(b, c))
			if err != nil || got.Addresses != defaultCollect {
				b.Fatalf("collected %+v, %v", got, err)
			}
		}
	})
}

// cpu reports the seconds of CPU that each round took.
func cpu(b *testing.B) (done func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric((used()-before).Seconds()/float64(b.N), "cpu-s/op") }
}

// live returns how many bytes are in use.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// crowded is the address of an endpoint, its block and its key.
func crowded(i int) (netip.Addr, string) {
	block := i % crowdBlocks
	a := netip.AddrFrom4([4]byte{10, byte(block >> 10), byte(block >> 2), byte(block<<6 + i/crowdBlocks)})
	return a, store.ResourceKey("WorkloadEndpoint", fmt.Sprint("namespace-", i%50), fmt.Sprintf("k8s/web-5d4f8c7b9-%d/eth0", i))
}

func fillCrowd(b *testing.B, s Store) {
	b.Helper()
	var ops []store.Op
	put := func(key string, value []byte, err error) {
		if err != nil {
			b.Fatal(err)
		}
		if ops = append(ops, store.Op{Key: key, Value: value}); len(ops) == store.MaxOps {
			commit(b, s, ops)
			ops = nil
		}
	}
	blocks := make(map[netip.Prefix]*Block)
	for i := range crowdAddresses {
		a, owner := crowded(i)
		cidr := netip.PrefixFrom(a, 26).Masked()
		if blocks[cidr] == nil {
			node := fmt.Sprint("node", i%crowdNodes)
			blocks[cidr] = newBlock(cidr, 1)
			blocks[cidr].Affinity = AffinityOf(node)
			value, err := (&BlockAffinity{Node: node, CIDR: cidr, State: Confirmed}).encode()
			put(store.HostBlockKey(node, cidr), value, err)
		}
		id := fmt.Sprintf("namespace-%d/k8s/web-5d4f8c7b9-%d/eth0", i%50, i)
		ordinal, _ := blocks[cidr].ordinal(a)
		blocks[cidr].take(ordinal, attributeOf(id, ""))
		h := &Handle{ID: id, Owner: Owner{OwnerEndpoint, owner}, Blocks: map[netip.Prefix]int{cidr: 1}}
		value, err := h.encode()
		put(store.HandleKey(id), value, err)
		put(store.AddressKey(a), []byte(owner), nil)
	}
	for cidr, block := range blocks {
		value, err := block.encode()
		put(store.BlockKey(cidr), value, err)
	}
	for i := range crowdNodes {
		put(store.ResourceKey("Node", "", fmt.Sprint("node", i)), make([]byte, 500), nil)
	}
	commit(b, s, ops)
}

// leakCrowd takes what says that endpoints have their addresses away.
func leakCrowd(b *testing.B, s Store, n int) {
	b.Helper()
	var ops []store.Op
	for i := range n {
		a, _ := crowded(i)
		if ops = append(ops, store.Op{Key: store.AddressKey(a), Delete: true}); len(ops) == store.MaxOps {
			commit(b, s, ops)
			ops = nil
		}
	}
	commit(b, s, ops)
}

func commit(b *testing.B, s Store, ops []store.Op) {
	b.Helper()
	if len(ops) == 0 {
		return
	}
	if _, err := s.Txn(b.Context(), nil, ops); err != nil {
		b.Fatal(err)
	}
}
