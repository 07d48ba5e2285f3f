package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
)

// holdings is what a reader of a watch knows.
type holdings map[netip.Prefix]string

func (h holdings) read(t *testing.T, w bgp.RouteWatch, n int) {
	t.Helper()
	for {
		select {
		case <-w.Changed():
		default:
			return
		}
		states, _, reset := w.Next(n)
		if reset {
			clear(h)
		}
		if len(states) > n {
			t.Fatalf("%d prefixes at once, want %d at most", len(states), n)
		}
		for _, s := range states {
			if h[s.Prefix] = textOf(s.Entries); len(s.Entries) == 0 {
				delete(h, s.Prefix)
			}
		}
	}
}

func textOf(entries []bgp.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %d %t %t %s;", e.Peer, e.LocalPref, e.Own, e.Best, e.Refused)
	}
	return b.String()
}

// TestWatchRoutes: whoever reads a watch now and then holds, after each
// reading, what Routes yields.
func TestWatchRoutes(t *testing.T) {
	e := New(hclog.NewNullLogger())
	e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}})
	random := rand.New(rand.NewPCG(1, 2))
	prefix := func() netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + random.IntN(2)), 0, byte(random.IntN(4)), byte(random.IntN(8))}), 32)
	}
	queries := []bgp.Query{{}, {Within: netip.MustParsePrefix("10.0.1.0/24")}, {Family: bgp.IPv6Unicast}}
	watches, held := make([]bgp.RouteWatch, len(queries)), make([]holdings, len(queries))
	for n, q := range queries {
		watches[n], held[n] = e.WatchRoutes(q), make(holdings)
	}
	for step := range 2000 {
		if p := prefix(); random.IntN(3) > 0 {
			if err := e.Originate(p, bgp.Attributes{LocalPref: uint32(1 + random.IntN(3))}); err != nil {
				t.Fatal(err)
			}
		} else if err := e.Withdraw(p); err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) == 0 {
			e.mu.Lock()
			e.rib.pack()
			e.mu.Unlock()
			e.Drain()
		}
		if step%97 != 0 {
			continue
		}
		if random.IntN(3) == 0 { // as if the reader had slept for long
			e.mu.Lock()
			w := watches[0].(*watch)
			clear(w.pending)
			w.lost = true
			signal(w.changed)
			e.mu.Unlock()
		}
		for n, q := range queries {
			held[n].read(t, watches[n], 5)
			want := make(holdings)
			for entry := range e.Routes(q) {
				want[entry.Prefix] += textOf([]bgp.Entry{entry})
			}
			if a, b := fmt.Sprint(held[n]), fmt.Sprint(want); a != b {
				t.Fatalf("step %d, %+v: holds\n%s, want\n%s", step, q, a, b)
			}
		}
	}
	for _, w := range watches {
		w.Close()
	}
	if n := len(e.rib.watches); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestRoutesInOrder: the order is that of bgp.ComparePrefix, family by family.
func TestRoutesInOrder(t *testing.T) {
	e := New(hclog.NewNullLogger())
	for _, p := range []string{"2001:db8::/64", "10.2.0.0/16", "10.0.0.0/8", "10.2.0.0/24", "::1/128", "9.0.0.0/8"} {
		if err := e.Originate(netip.MustParsePrefix(p), bgp.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []netip.Prefix
	for entry := range e.Routes(bgp.Query{}) {
		got = append(got, entry.Prefix)
	}
	if !slices.IsSortedFunc(got, bgp.ComparePrefix) || len(got) != 6 {
		t.Errorf("order: %v", got)
	}
}
