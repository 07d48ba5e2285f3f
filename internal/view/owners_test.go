package view

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

func owner(t *testing.T, o *Owners, address, want string) {
	t.Helper()
	if got, _ := o.Of(netip.MustParseAddr(address)); got != want {
		t.Errorf("%s is on %q, want %q", address, got, want)
	}
}

func TestOwners(t *testing.T) {
	v := New(self)
	o := v.KeepOwners()
	v.Apply(puts(1, kv(t, endpoint("w1", "host2", "10.0.0.1/32"), 1), kv(t, endpoint("w2", self, "10.0.0.2/32"), 1)))
	owner(t, o, "10.0.0.1", "host2")
	owner(t, o, "10.0.0.2", self)
	owner(t, o, "::ffff:10.0.0.2", self)
	owner(t, o, "10.0.0.3", "")
	if changed, all := o.Drain(); all || len(changed) != 2 {
		t.Errorf("changed: %v, all: %t", changed, all)
	}

	moved := kv(t, endpoint("w1", "host3", "10.0.0.1/32"), 2)
	v.Apply(puts(2, moved))
	owner(t, o, "10.0.0.1", "host3")
	v.Apply(puts(3, kv(t, endpoint("w1", "host3", "10.0.0.9/32"), 3)))
	owner(t, o, "10.0.0.1", "")
	owner(t, o, "10.0.0.9", "host3")
	if changed, _ := o.Drain(); len(changed) != 2 {
		t.Errorf("changed: %v", changed)
	}

	// Its successor is told before the delete, as a snapshot does.
	v.Apply(puts(4, kv(t, endpoint("w3", "host3", "10.0.0.9/32"), 4)))
	v.Apply(deletes(5, moved.Key))
	owner(t, o, "10.0.0.9", "host3")
	if o.Len() != 2 {
		t.Errorf("%d endpoints", o.Len())
	}

	// What a new snapshot does not tell is gone, and not before it is whole.
	v.Restart()
	v.Apply(store.Batch{Events: puts(6, kv(t, endpoint("w2", self, "10.0.0.2/32"), 1)).Events})
	owner(t, o, "10.0.0.9", "host3")
	v.Apply(puts(6))
	owner(t, o, "10.0.0.9", "")
	owner(t, o, "10.0.0.2", self)
}

// TestOwnersWalk compares the table with a plain map over random changes.
func TestOwnersWalk(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	o := newOwners()
	type place struct {
		node      string
		addresses []netip.Addr
	}
	endpoints := make(map[string]place)
	for step := range 5000 {
		key := store.ResourceKey(string(resource.KindWorkloadEndpoint), "default", fmt.Sprint(random.IntN(20)))
		if random.IntN(4) == 0 {
			o.delete(key)
			delete(endpoints, key)
			continue
		}
		p := place{node: fmt.Sprintf("host%d", random.IntN(4))}
		for range 1 + random.IntN(4) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(60))})
			if random.IntN(2) == 0 {
				a = netip.AddrFrom16([16]byte{0xfd, 15: byte(random.IntN(60))})
			}
			free := !slices.Contains(p.addresses, a)
			for other, held := range endpoints {
				free = free && (other == key || !slices.Contains(held.addresses, a))
			}
			if free {
				p.addresses = append(p.addresses, a)
			}
		}
		o.put(key, &resource.WorkloadEndpoint{Node: p.node, Addresses: p.addresses})
		endpoints[key] = p
		want := make(map[netip.Addr]string)
		for _, p := range endpoints {
			for _, a := range p.addresses {
				want[a] = p.node
			}
		}
		if len(o.v4)+len(o.v6) != len(want) {
			t.Fatalf("step %d: %d addresses, want %d", step, len(o.v4)+len(o.v6), len(want))
		}
		for a, node := range want {
			if got, _ := o.Of(a); got != node {
				t.Fatalf("step %d: %s is on %q, want %q", step, a, got, node)
			}
		}
	}
}

// TestOwnersAreSmall holds the goal of 48 MiB for 250,000 endpoints.
func TestOwnersAreSmall(t *testing.T) {
	const endpoints, goal = 250_000, 48 << 20
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	o := newOwners()
	for i := range endpoints {
		o.put(store.ResourceKey(string(resource.KindWorkloadEndpoint), "default", fmt.Sprintf("host-k8s-pod--%d-eth0", i)),
			&resource.WorkloadEndpoint{Node: fmt.Sprintf("host%d", i%1000), Addresses: []netip.Addr{
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
				netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
			}})
	}
	used := heap() - before
	t.Logf("%d dual-stack endpoints: %.1f MiB, %d bytes each", endpoints, float64(used)/(1<<20), used/endpoints)
	if used > goal {
		t.Errorf("%d endpoints take %d bytes, more than %d", endpoints, used, goal)
	}
	runtime.KeepAlive(o)
}
