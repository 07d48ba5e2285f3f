package engine

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestRouteTable adds and removes at random beside a map.
func TestRouteTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, want := newRouteTable(), make(map[netip.Prefix]routeID)
	for range 20000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})
		if random.IntN(2) == 0 {
			a = netip.AddrFrom16([16]byte{0xfd, 14: byte(random.IntN(4)), 15: byte(random.IntN(256))})
		}
		p := netip.PrefixFrom(a, a.BitLen()-random.IntN(2)).Masked()
		if k := keyOf(p); k.prefix() != p {
			t.Fatalf("%s as a key is %s", p, k.prefix())
		}
		i, had := want[p]
		if found := table.find(keyOf(p)); found != i {
			t.Fatalf("%s is at %d, want %d", p, found, i)
		}
		switch {
		case had && random.IntN(3) > 0:
			table.remove(i)
			delete(want, p)
		default:
			at, made := table.add(keyOf(p))
			if made == had || had && at != i {
				t.Fatalf("add %s: at %d, made %t; had %t at %d", p, at, made, had, i)
			}
			want[p] = at
		}
		if table.len() != len(want) {
			t.Fatalf("%d routes, want %d", table.len(), len(want))
		}
	}
	for p, i := range want {
		if table.records.at(i).key != keyOf(p) {
			t.Errorf("record of %s is of %s", p, table.records.at(i).key.prefix())
		}
	}
}
