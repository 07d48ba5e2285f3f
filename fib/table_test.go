package fib_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func newKernel() *fibtest.Kernel {
	k := fibtest.New()
	k.AddLink("up0")
	k.AddAddress("up0", pfx("192.168.0.1/24"))
	return k
}

func toUp0() fib.Route { return fib.Route{NextHops: []fib.NextHop{{Interface: "up0"}}} }

// run starts a table in a synctest bubble and opens its sweeps.
func run(t *testing.T, k fib.Kernel, opts fib.Options) *fib.Table {
	t.Helper()
	table := fib.New(k, opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for _, s := range fib.Sources() {
		table.Done(s)
	}
	synctest.Wait()
	return table
}

func expect(t *testing.T, k fib.Kernel, want ...string) {
	t.Helper()
	synctest.Wait()
	got, err := fibtest.Text(t.Context(), k, fib.DefaultTable)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Join(append(want, ""), "\n"), got); diff != "" {
		t.Fatalf("kernel (-want +got):\n%s", diff)
	}
}

func TestOneBadRouteHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{})
		refused := errors.New("refused")
		k.Refuse(func(c fib.Change) error {
			if c.Entry.Prefix == pfx("10.0.0.2/32") {
				return refused
			}
			return nil
		})
		for i := range 5 {
			table.Put(fib.Workload, pfx(fmt.Sprintf("10.0.0.%d/32", i)), toUp0())
		}
		expect(t, k,
			"10.0.0.0/32 dev up0 proto 118 metric 118", "10.0.0.1/32 dev up0 proto 118 metric 118",
			"10.0.0.3/32 dev up0 proto 118 metric 118", "10.0.0.4/32 dev up0 proto 118 metric 118")
		if s := table.Get(pfx("10.0.0.2/32")); !errors.Is(s.Err, refused) || s.Programmed || !s.Wanted {
			t.Errorf("status of what is refused: %+v", s.Status)
		}
		time.Sleep(time.Hour)
		if n := k.Writes(); n > 5+200 {
			t.Errorf("%d writes in an hour of refusals: no back-off", n)
		}
		k.Refuse(nil)
		time.Sleep(time.Minute)
		if s := table.Get(pfx("10.0.0.2/32")); s.Err != nil || !s.Programmed {
			t.Errorf("status of what is no longer refused: %+v", s.Status)
		}
	})
}

func TestLostEventsLeadToReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{ReadBack: -1})
		table.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0())
		const line = "10.0.0.1/32 dev up0 proto 118 metric 118"
		expect(t, k, line)
		k.Forget(pfx("10.0.0.1/32"))
		expect(t, k)
		k.Overrun()
		expect(t, k, line)
	})
}

func TestReadBackByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{ReadBack: time.Minute})
		table.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0())
		synctest.Wait()
		k.Forget(pfx("10.0.0.1/32"))
		expect(t, k)
		time.Sleep(2 * time.Minute)
		expect(t, k, "10.0.0.1/32 dev up0 proto 118 metric 118")
		n := k.Writes()
		time.Sleep(time.Hour)
		if k.Writes() != n {
			t.Errorf("%d writes in an hour in which nothing happened", k.Writes()-n)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{})
		drain := func() map[string]bool {
			synctest.Wait()
			select {
			case <-table.Changed():
			default:
			}
			out := make(map[string]bool)
			for _, s := range table.Drain() {
				out[s.Prefix.String()] = s.Programmed
			}
			return out
		}
		expectDrain := func(what string, want map[string]bool) {
			t.Helper()
			if diff := cmp.Diff(want, drain()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		table.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0())
		table.Put(fib.Workload, pfx("10.0.0.2/32"), fib.Route{NextHops: []fib.NextHop{{Interface: "w9"}}})
		<-table.Changed()
		expectDrain("put", map[string]bool{"10.0.0.1/32": true, "10.0.0.2/32": false})
		table.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0())
		expectDrain("the same again", map[string]bool{})
		k.AddLink("w9")
		expectDrain("interface appears", map[string]bool{"10.0.0.2/32": true})
		k.DeleteLink("w9")
		expectDrain("interface goes", map[string]bool{"10.0.0.2/32": false})
		table.Delete(fib.Workload, pfx("10.0.0.1/32"))
		expectDrain("deleted", map[string]bool{"10.0.0.1/32": false})
		if p, w := table.Count(fib.Workload); p != 0 || w != 1 {
			t.Errorf("count %d programmed, %d wanted", p, w)
		}
	})
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{})
		gateway := netip.MustParseAddr("192.168.0.2")
		table.Put(fib.Blackhole, pfx("10.0.0.77/26"), fib.Route{Blackhole: true}) // host bits fall away
		table.Put(fib.BGP, pfx("10.0.0.1/32"), fib.Route{Group: "x"})
		table.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0())
		table.SetGroup("x", []fib.NextHop{{Gateway: gateway, Interface: "up0"}})
		synctest.Wait()
		var got []string
		for _, s := range table.States() {
			var wanted []string
			for source, r := range s.Routes {
				if r != nil {
					wanted = append(wanted, fib.Source(source).String())
				}
			}
			got = append(got, fmt.Sprint(s.Prefix, " ", s.Source, " ", s.Programmed, " ", wanted, " ", s.Kernel.Protocol))
		}
		want := []string{"10.0.0.1/32 workload true [workload bgp] 118", "10.0.0.64/26 blackhole true [blackhole] 121"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

// Whatever order things are said in, the kernel ends the same.
func TestOrderMeansNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hops := []fib.NextHop{{Gateway: netip.MustParseAddr("192.168.0.2"), Interface: "up0"}}
		say := []func(*fib.Table){
			func(t *fib.Table) { t.Put(fib.BGP, pfx("10.0.0.1/32"), fib.Route{Group: "x"}) },
			func(t *fib.Table) { t.Put(fib.Workload, pfx("10.0.0.1/32"), toUp0()) },
			func(t *fib.Table) { t.SetGroup("x", hops) },
			func(t *fib.Table) { t.SetGroup("y", hops) },
			func(t *fib.Table) { t.Put(fib.BGP, pfx("10.0.0.2/32"), fib.Route{Group: "y"}) },
		}
		for range 24 {
			k := newKernel()
			table := run(t, k, fib.Options{})
			for _, f := range say {
				f(table)
				if len(say)%2 == 0 {
					synctest.Wait()
				}
			}
			expect(t, k,
				"10.0.0.1/32 dev up0 proto 118 metric 118",
				"10.0.0.2/32 group(via 192.168.0.2 dev up0) proto 120 metric 118")
			say = append(say[1:], say[0])
			slices.Reverse(say[2:])
		}
	})
}

// Whatever is said while a round is under way, nothing is asked of the kernel
// that it must refuse: no group before its objects, no route before its group.
func TestNewsDuringRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		table := run(t, k, fib.Options{ReadBack: -1})
		const groups, routes = 50, 1000
		for round := range 20 {
			for i := range groups {
				gateway := netip.AddrFrom4([4]byte{192, 168, 0, byte(2 + (i+round*7)%200)})
				table.SetGroup(fib.GroupKey(fmt.Sprint(i)), []fib.NextHop{{Gateway: gateway, Interface: "up0"}})
				for j := range routes / groups {
					p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}), 32)
					table.Put(fib.BGP, p, fib.Route{Group: fib.GroupKey(fmt.Sprint((i + round + j) % groups))})
				}
			}
		}
		synctest.Wait()
		if programmed, wanted := table.Count(fib.BGP); programmed != routes || wanted != routes {
			t.Errorf("%d routes programmed of %d, want %d", programmed, wanted, routes)
		}
		if s := table.Stats(); s.Refused != 0 || s.ReadBacks != 1 {
			t.Errorf("the kernel had to refuse: %+v", s)
		}
	})
}

// TestLeft: of what an earlier run has left, only what looks like a workload's is
// taken for one's.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		for _, name := range []string{"w1", "w2", "bare"} {
			k.AddLink(name)
		}
		k.AddAddress("w1", pfx("169.254.1.1/32"))
		k.AddAddress("w1", pfx("fe80::1/64"))
		via := netip.MustParseAddr("fe80::2")
		for prefix, hops := range map[string][]fib.Hop{
			"10.0.0.1/32":     {{Index: k.Index("w1")}},
			"2001:db8::1/128": {{Index: k.Index("w1")}},
			"10.0.0.2/32":     {{Index: k.Index("w1")}, {Index: k.Index("w2")}},
			"10.0.0.3/32":     {{Index: k.Index("w2")}, {Index: k.Index("up0")}},
			"10.0.0.4/32":     {{Index: k.Index("up0")}},
			"2001:db8::4/128": {{Index: k.Index("bare"), Gateway: via}},
		} {
			e := fib.Entry{Prefix: pfx(prefix), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: fib.DefaultProtocol, Hops: hops}
			if errs := k.Interfere(fib.Change{Op: fib.Create, Entry: e}); errs != nil {
				t.Fatal(prefix, errs)
			}
		}
		table := fib.New(k, fib.Options{})
		if err := table.Sync(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		want := map[netip.Prefix][]string{
			pfx("10.0.0.1/32"): {"w1"}, pfx("2001:db8::1/128"): {"w1"}, pfx("10.0.0.2/32"): {"w1", "w2"}, pfx("10.0.0.3/32"): {"w2"},
		}
		sameWay := func(a, b string) bool { return a < b }
		if diff := cmp.Diff(want, table.Left(fib.Workload), cmpopts.SortSlices(sameWay), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if left := table.Left(fib.BGP); len(left) > 0 {
			t.Errorf("of BGP: %v", left)
		}
	})
}
