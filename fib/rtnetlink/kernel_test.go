package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
)

// patience bounds the wait for a state that must come.
const patience = 30 * time.Second

// uplink makes the link that benchmarks and tests of size route over.
func (h *host) uplink() {
	h.AddLink("up0")
	h.AddAddress("up0", netip.MustParsePrefix("192.168.0.1/16"))
	h.AddAddress("up0", netip.MustParsePrefix("fd00::1/64"))
}

// prefixes returns n different host routes.
func prefixes(n int) []netip.Prefix {
	out := make([]netip.Prefix, n)
	for i := range out {
		out[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	return out
}

// run starts a table with open sweeps that ends with the test.
func run(t testing.TB, k fib.Kernel, opts fib.Options) *fib.Table {
	t.Helper()
	table := fib.New(k, opts)
	for _, s := range fib.Sources() {
		table.Done(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-table.Ready()
	return table
}

// programmed waits until n routes of source are in the kernel.
func programmed(t testing.TB, table *fib.Table, source fib.Source, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, _ := table.Count(source)
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d routes programmed, want %d", got, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// routes counts the routes of a protocol in the kernel.
type routes struct {
	collector
	protocol uint8
	n        int
}

func (r *routes) ObserveEntry(e fib.Entry, _ fib.Presence) {
	if e.Protocol == r.protocol {
		r.n++
	}
}

func (h *host) count(protocol uint8) int {
	h.t.Helper()
	r := routes{protocol: protocol}
	h.check(h.other.Read(context.Background(), fib.DefaultTable, &r))
	return r.n
}

// Events that do not fit the buffer are lost, Watch says so, and the table
// comes back to what is wanted.
func TestOverrun(t *testing.T) {
	h := newHost(t)
	h.uplink()
	h.eventBuffer = 1 // the kernel makes it some 2 KiB
	table := run(t, h.Kernel, fib.Options{ReadBack: -1})
	all := prefixes(3000)
	for _, p := range all {
		table.Put(fib.Workload, p, fib.Route{NextHops: []fib.NextHop{{Interface: "up0"}}})
	}
	programmed(t, table, fib.Workload, len(all))
	h.check(errors.Join(h.Interfere(deletes(all, fib.DefaultProtocol)...)...))
	deadline := time.Now().Add(patience)
	for h.count(fib.DefaultProtocol) != len(all) {
		if time.Now().After(deadline) {
			t.Fatalf("%d routes are back", h.count(fib.DefaultProtocol))
		}
		time.Sleep(time.Millisecond)
	}
}

func deletes(all []netip.Prefix, protocol uint8) []fib.Change {
	changes := make([]fib.Change, len(all))
	for i, p := range all {
		changes[i] = fib.Change{Op: fib.Delete, Entry: fib.Entry{
			Prefix: p, Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: protocol,
		}}
	}
	return changes
}

// With nexthop_compat_mode 0 the kernel says ids alone.
func TestTableWithoutCompatMode(t *testing.T) {
	fibtest.TestTable(t, func(t *testing.T) fibtest.Host {
		h := newHost(t)
		h.compat("0")
		return h
	}, false, 30)
}

func (h *host) compat(mode string) {
	h.t.Helper()
	h.in(func() {
		h.check(os.WriteFile("/proc/sys/net/ipv4/nexthop_compat_mode", []byte(mode), 0o644))
	})
}

// Errors say what was being done to what, and why not in the kernel's words.
func TestErrorText(t *testing.T) {
	h := newHost(t)
	h.uplink()
	e := fib.Entry{
		Prefix: netip.MustParsePrefix("10.0.0.1/32"), Table: fib.DefaultTable, Metric: 1, Protocol: 118,
		Hops: []fib.Hop{{Gateway: netip.MustParseAddr("203.0.113.1"), Index: h.Index("up0")}},
	}
	o := &fib.Object{ID: 9, Protocol: 118, Hop: e.Hops[0]}
	errs := h.Apply(t.Context(), []fib.Change{{Op: fib.Create, Entry: e}, {Op: fib.Create, Object: o}})
	got := fmt.Sprint(errs)
	for _, want := range []string{
		"create route 10.0.0.1/32: Nexthop has invalid gateway", "create next hop 9 via 203.0.113.1: Nexthop has invalid gateway",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("errors %s lack %q", got, want)
		}
	}
}
