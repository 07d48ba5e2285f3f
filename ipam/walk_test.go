package ipam

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Every host comes by every block of a pool once, and hosts begin apart.
func TestWalk(t *testing.T) {
	p := pool("a=10.0.0.0/20/26")
	starts := make(map[netip.Prefix]bool)
	for _, node := range []string{"host1", "host2", "host3", "host4", "host5", "host6", "host7", "host8"} {
		w := newWalk(&p, nil, node)
		starts[w.at(0)] = true
		seen := make(map[netip.Prefix]bool)
		for i := range w.count {
			b := w.at(i)
			if !p.CIDR.Contains(b.Addr()) || b.Bits() != 26 || seen[b] {
				t.Fatalf("%s: block %s", node, b)
			}
			seen[b] = true
		}
		if len(seen) != 64 {
			t.Errorf("%s: %d blocks", node, len(seen))
		}
	}
	if len(starts) < 6 {
		t.Errorf("8 hosts begin at %d blocks", len(starts))
	}
	six := pool("six=fd00::/48/122")
	if w := newWalk(&six, nil, "host1"); !six.CIDR.Contains(w.at(w.count - 1).Addr()) {
		t.Error("a block outside of its pool")
	}
}

// What is not reserved is walked, whole blocks, each once.
func TestWalkWithReservations(t *testing.T) {
	for _, c := range []struct {
		pool, reserved string
		want           uint64
	}{
		{"a=10.0.0.0/24/26", "", 4},
		{"a=10.0.0.0/24/26", "10.0.0.64/26", 3},
		{"a=10.0.0.0/24/26", "10.0.0.64/26 10.0.0.64/27 10.0.0.64/26", 3},
		{"a=10.0.0.0/24/26", "10.0.0.0/23", 0},
		{"a=10.0.0.0/24/26", "10.0.0.0/25 10.0.0.128/25", 0},
		{"a=10.0.0.0/24/26", "10.0.0.64/27 10.0.0.96/27", 3}, // two halves of a block
		{"a=10.0.0.0/24/26", "10.0.0.64/27 10.0.0.96/28", 4},
		{"a=10.0.0.0/24/32", "10.0.0.0/32 10.0.0.255/32", 254},
		{"a=10.0.0.0/26/26", "10.0.0.1/32", 1},
		{"a=10.0.0.7/32/32", "10.0.0.7/32", 0},
		{"a=10.0.0.7/32/32", "10.0.0.8/32 fd00::/16", 1},
		{"a=10.0.0.0/28/26", "", 0}, // smaller than a block
		{"six=fd00::/32/122", "", maxWalked},
		{"six=fd00::/64/122", "fd00::/122", 27<<32 - 1},
	} {
		p := pool(c.pool)
		var reservations []netip.Prefix
		for _, text := range strings.Fields(c.reserved) {
			reservations = append(reservations, netip.MustParsePrefix(text))
		}
		for i := range 5 {
			w := newWalk(&p, reservations, fmt.Sprint("host", i))
			if c.want != w.count {
				t.Errorf("%s without %q: %d blocks", c.pool, c.reserved, w.count)
			}
			seen := make(map[netip.Prefix]bool)
			for n := range min(w.count, 1000) {
				b := w.at(n)
				if seen[b] || !p.CIDR.Contains(b.Addr()) || b.Bits() != p.BlockSize {
					t.Errorf("%s without %q: block %s", c.pool, c.reserved, b)
				}
				seen[b] = true
			}
		}
	}
}

// BenchmarkWalk is what a claim of a block costs where many addresses, or many
// blocks, of a pool are reserved.
func BenchmarkWalk(b *testing.B) {
	six := pool("six=fd00::/48/122")
	for _, bits := range []int{128, 122} {
		var reservations []netip.Prefix
		for i := range uint64(10000) {
			reservations = append(reservations, netip.PrefixFrom(offset(six.CIDR.Addr(), hashOf(fmt.Sprint(i))>>1), bits).Masked())
		}
		b.Run(fmt.Sprint("reserved/", bits), func(b *testing.B) {
			for b.Loop() {
				w := newWalk(&six, reservations, "host1")
				w.at(w.count - 1)
			}
		})
	}
}
