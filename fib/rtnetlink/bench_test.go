package rtnetlink

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// The benchmarks run in a network namespace of their own. Each iteration is
// one round in which all methods take their turn, so that what else the
// machine does falls upon all alike; medians of the rounds are reported, and
// for comparison ratios. Run them with -benchtime=5x.

var (
	gatewayA = netip.MustParseAddr("192.168.0.2")
	gatewayB = netip.MustParseAddr("192.168.0.3")
)

// rounds holds the durations of each step over the rounds.
type rounds map[string][]time.Duration

func (r rounds) time(step string, f func()) {
	runtime.GC()
	start := time.Now()
	f()
	r[step] = append(r[step], time.Since(start))
}

func (r rounds) median(step string) time.Duration {
	d := slices.Sorted(slices.Values(r[step]))
	if len(d) == 0 {
		return 0
	}
	return d[len(d)/2]
}

func (r rounds) report(b *testing.B, base string) {
	b.ReportMetric(0, "ns/op") // a round mixes what must not be added up
	steps := make([]string, 0, len(r))
	for step := range r {
		steps = append(steps, step)
	}
	slices.Sort(steps)
	for _, step := range steps {
		m := r.median(step)
		b.ReportMetric(float64(m.Microseconds())/1000, step+"-ms")
		if op := filepath.Ext(step); base != "" && r.median(base+op) > 0 && step != base+op {
			b.ReportMetric(m.Seconds()/r.median(base+op).Seconds(), step+"-ratio")
		}
	}
}

// BenchmarkBulk adds, moves and removes routes, beside ip -batch.
func BenchmarkBulk(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := make(rounds)
			all := prefixes(n)
			for b.Loop() {
				r.ipBatch(b, all)
				r.apply(b, all, false)
				r.apply(b, all, true)
				r.table(b, "table-plain", all, fib.Options{PlainOnly: true}, 1)
				r.table(b, "table-group", all, fib.Options{}, 1)
			}
			r.report(b, "ip")
		})
	}
}

// BenchmarkManyGateways installs routes over 1,000 next hops on one link.
func BenchmarkManyGateways(b *testing.B) {
	r := make(rounds)
	all := prefixes(100_000)
	for b.Loop() {
		r.bird(b, all, 1000)
		r.table(b, "plain", all, fib.Options{PlainOnly: true}, 1000)
		r.table(b, "group", all, fib.Options{}, 1000)
		r.tableIn(b, "0", "group-compat0", all, fib.Options{}, 1000)
	}
	r.report(b, "bird")
}

// bird has BIRD's kernel protocol install static routes that it holds already.
func (r rounds) bird(b *testing.B, all []netip.Prefix, gateways int) {
	testenv.Need(b, "program:bird", "program:birdc")
	h := newHost(b)
	h.uplink()
	dir := b.TempDir()
	var conf bytes.Buffer
	fmt.Fprintf(&conf, "router id 192.168.0.1;\nlog \"%s/log\" all;\nprotocol device {}\n"+
		"protocol kernel k { disabled; ipv4 { import none; export all; }; }\nprotocol static { ipv4;\n", dir)
	for i, p := range all {
		fmt.Fprintf(&conf, "route %s via %s;\n", p, gatewayOf(i%gateways))
	}
	conf.WriteString("}\n")
	h.check(os.WriteFile(dir+"/conf", conf.Bytes(), 0o600))
	back := arrivals{protocol: unix.RTPROT_BIRD}
	back.watch(b, h)
	h.in(func() {
		bird := exec.Command(testenv.Program("bird"), "-f", "-c", dir+"/conf", "-s", dir+"/ctl", "-P", dir+"/pid")
		h.check(bird.Start())
		defer func() { _ = bird.Process.Kill(); _ = bird.Wait() }()
		birdc := func() error { // answers once the configuration is read
			return exec.Command(testenv.Program("birdc"), "-s", dir+"/ctl", "show", "route", "count").Run()
		}
		for deadline := time.Now().Add(patience); birdc() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatal("bird does not start")
			}
		}
		r.time("bird.add", func() {
			h.check(exec.Command(testenv.Program("birdc"), "-s", dir+"/ctl", "enable", "k").Run())
			back.wait(b, len(all))
		})
	})
}

// gatewayOf is the ith of many gateways on the uplink.
func gatewayOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, 1 + byte(i>>8), byte(i)})
}

func (r rounds) ipBatch(b *testing.B, all []netip.Prefix) {
	testenv.Need(b, "program:ip")
	h := newHost(b)
	h.uplink()
	for _, step := range []struct{ name, verb, gateway string }{
		{"ip.add", "add", gatewayA.String()}, {"ip.replace", "replace", gatewayB.String()}, {"ip.delete", "del", gatewayB.String()},
	} {
		var batch bytes.Buffer
		for _, p := range all {
			fmt.Fprintf(&batch, "route %s %s via %s dev up0 metric 118\n", step.verb, p, step.gateway)
		}
		file := filepath.Join(b.TempDir(), step.verb)
		h.check(os.WriteFile(file, batch.Bytes(), 0o600))
		h.in(func() {
			r.time(step.name, func() {
				if out, err := exec.Command(testenv.Program("ip"), "-batch", file).CombinedOutput(); err != nil {
					b.Fatalf("ip -batch: %v\n%s", err, out)
				}
			})
		})
	}
}

// apply writes through the port, with nobody listening.
func (r rounds) apply(b *testing.B, all []netip.Prefix, objects bool) {
	h := newHost(b)
	h.uplink()
	name := "apply-plain"
	entry := func(op fib.Op, p netip.Prefix, gateway netip.Addr) fib.Change {
		e := fib.Entry{Prefix: p, Table: fib.DefaultTable, Metric: 118, Protocol: 120}
		if op == fib.Delete {
			return fib.Change{Op: op, Entry: e}
		}
		if e.Object = 10; !objects {
			e.Object, e.Hops = 0, []fib.Hop{{Gateway: gateway, Index: h.Index("up0")}}
		}
		return fib.Change{Op: op, Entry: e}
	}
	if objects {
		name = "apply-object"
		h.apply(fib.Change{Object: &fib.Object{ID: 9, Protocol: 120, Hop: fib.Hop{Gateway: gatewayA, Index: h.Index("up0")}}},
			fib.Change{Object: &fib.Object{ID: 10, Protocol: 120, IsGroup: true, Group: []fib.Member{{ID: 9}}}})
	}
	for _, step := range []struct {
		name    string
		op      fib.Op
		gateway netip.Addr
	}{{"add", fib.Create, gatewayA}, {"replace", fib.Replace, gatewayB}, {"delete", fib.Delete, gatewayB}} {
		changes := make([]fib.Change, len(all))
		for i, p := range all {
			if changes[i] = entry(step.op, p, step.gateway); i > 0 && len(changes[i].Entry.Hops) > 0 {
				changes[i].Entry.Hops = changes[0].Entry.Hops
			}
		}
		r.time(name+"."+step.name, func() { h.apply(changes...) })
	}
}

func (h *host) apply(changes ...fib.Change) {
	h.t.Helper()
	for _, err := range h.Apply(context.Background(), changes) {
		h.check(err)
	}
}

// table writes through a table that runs, which includes what it remembers
// and that it listens.
func (r rounds) table(b *testing.B, name string, all []netip.Prefix, opts fib.Options, gateways int) {
	r.tableIn(b, "1", name, all, opts, gateways)
}

// tableIn is table with a given nexthop_compat_mode.
func (r rounds) tableIn(b *testing.B, compat, name string, all []netip.Prefix, opts fib.Options, gateways int) {
	h := newHost(b)
	h.uplink()
	h.compat(compat)
	opts.ReadBack, opts.Report = -1, []fib.Source{fib.Workload} // as the agent does
	table := run(b, h.Kernel, opts)
	sync := func() { h.check(table.Sync(context.Background(), false)) }
	key := func(i int) fib.GroupKey { return fib.GroupKey(fmt.Sprint("g", i%gateways)) }
	for i := range gateways {
		table.SetGroup(key(i), []fib.NextHop{{Gateway: gatewayOf(i), Interface: "up0"}})
	}
	r.time(name+".add", func() {
		for i, p := range all {
			table.Put(fib.BGP, p, fib.Route{Group: key(i)})
		}
		sync()
	})
	r.time(name+".replace", func() {
		for i := range gateways {
			table.SetGroup(key(i), []fib.NextHop{{Gateway: gatewayOf(i + gateways), Interface: "up0"}})
		}
		sync()
	})
	r.time(name+".readback", func() { h.check(table.Sync(context.Background(), true)) })
	if got := h.count(120); got != len(all) {
		b.Fatalf("%d routes, want %d", got, len(all))
	}
	r.time(name+".delete", func() {
		for _, p := range all {
			table.Delete(fib.BGP, p)
		}
		sync()
	})
}

// BenchmarkMove gives 100,000 routes another gateway.
func BenchmarkMove(b *testing.B) {
	for _, compat := range []string{"0", "1"} {
		b.Run("compat="+compat, func(b *testing.B) {
			h := newHost(b)
			h.uplink()
			h.compat(compat)
			table := run(b, h.Kernel, fib.Options{ReadBack: -1})
			sync := func() { h.check(table.Sync(context.Background(), false)) }
			for _, p := range prefixes(100_000) {
				table.Put(fib.BGP, p, fib.Route{Group: "x"})
			}
			gateways := []netip.Addr{gatewayA, gatewayB}
			table.SetGroup("x", []fib.NextHop{{Gateway: gatewayA, Interface: "up0"}})
			sync()
			r := make(rounds)
			for i := 1; b.Loop(); i++ {
				r.time("move", func() {
					table.SetGroup("x", []fib.NextHop{{Gateway: gateways[i%2], Interface: "up0"}})
					sync()
				})
			}
			r.report(b, "")
		})
	}
}

// BenchmarkRepair has somebody delete routes of ours, among 100,000.
func BenchmarkRepair(b *testing.B) {
	h := newHost(b)
	h.uplink()
	table := run(b, h.Kernel, fib.Options{ReadBack: -1})
	all := prefixes(100_000)
	for _, p := range all {
		table.Put(fib.BGP, p, fib.Route{Group: "x"})
	}
	table.SetGroup("x", []fib.NextHop{{Gateway: gatewayA, Interface: "up0"}})
	h.check(table.Sync(context.Background(), false))
	back := arrivals{protocol: 120}
	back.watch(b, h)

	var one []time.Duration
	r := make(rounds)
	for b.Loop() {
		for i := range 200 {
			gone := deletes(all[i*7:i*7+1], 120)
			h.Interfere(gone...)
			start := time.Now()
			one = append(one, back.wait(b, 1).Sub(start))
		}
		gone := deletes(all[:10_000], 120)
		start := time.Now()
		h.Interfere(gone...)
		r["10000-deleted"] = append(r["10000-deleted"], time.Since(start))
		r["10000-back"] = append(r["10000-back"], back.wait(b, 10_000).Sub(start))
	}
	r.report(b, "")
	slices.Sort(one)
	b.ReportMetric(float64(one[len(one)/2].Nanoseconds())/1000, "one-p50-µs")
	b.ReportMetric(float64(one[len(one)*99/100].Nanoseconds())/1000, "one-p99-µs")
}

// arrivals hears from the kernel when routes come back.
type arrivals struct {
	collector
	protocol uint8
	seen     chan time.Time
}

func (a *arrivals) ObserveEntry(e fib.Entry, p fib.Presence) {
	if p != fib.Gone && e.Protocol == a.protocol {
		a.seen <- time.Now()
	}
}

func (a *arrivals) watch(b *testing.B, h *host) {
	a.seen = make(chan time.Time, 1<<20)
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.other.Watch(ctx, fib.DefaultTable, func() { close(ready) }, a) }()
	<-ready
	b.Cleanup(func() { cancel(); <-done })
}

// wait returns when the nth arrival from now was.
func (a *arrivals) wait(b *testing.B, n int) (at time.Time) {
	for range n {
		select {
		case at = <-a.seen:
		case <-time.After(patience):
			b.Fatal("routes do not come back")
		}
	}
	return at
}

// BenchmarkRestart starts a table where 100,000 routes stand already.
func BenchmarkRestart(b *testing.B) {
	h := newHost(b)
	h.uplink()
	all := prefixes(100_000)
	start := func() {
		table := fib.New(h.Kernel, fib.Options{})
		table.SetGroup("x", []fib.NextHop{{Gateway: gatewayA, Interface: "up0"}})
		for _, p := range all {
			table.Put(fib.BGP, p, fib.Route{Group: "x"})
		}
		for _, s := range fib.Sources() {
			table.Done(s)
		}
		h.check(table.Sync(context.Background(), true))
	}
	start()
	r := make(rounds)
	for b.Loop() {
		r.time("restart", start)
		r.time("read", func() { h.check(h.Read(context.Background(), fib.DefaultTable, &routes{})) })
	}
	r.report(b, "")
}

// BenchmarkMemory reports what a table keeps per learned route.
func BenchmarkMemory(b *testing.B) {
	h := newHost(b)
	h.uplink()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := prefixes(100_000)
	for b.Loop() {
		before := heap()
		table := fib.New(h.Kernel, fib.Options{})
		table.SetGroup("x", []fib.NextHop{{Gateway: gatewayA, Interface: "up0"}})
		for _, p := range all {
			table.Put(fib.BGP, p, fib.Route{Group: "x"})
		}
		h.check(table.Sync(context.Background(), true))
		table.Drain()
		after := heap()
		b.ReportMetric(float64(after-before)/float64(len(all)), "B/route")
		runtime.KeepAlive(table)
	}
}
