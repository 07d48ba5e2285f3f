package fibtest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/fib"
)

// TestTable runs the suite of a table over hosts that newHost makes; plain
// asks for plain routes where the kernel has next-hop objects.
func TestTable(t *testing.T, newHost func(*testing.T) Host, plain bool, steps int) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"sweep waits for each source and family", testSweep},
		{"restart writes nothing", testRestart},
		{"stranger in the slot", testStranger},
		{"company in the slot", testCompany},
		{"network of the host's own", testOwnNetwork},
		{"interface comes later", testInterface},
		{"uplink without carrier", testCarrier},
		{"next hop moves", testMove},
		{"weaker source serves meanwhile", testFallback},
		{"preferred source goes", testPreferredSource},
		{"other metric after restart", testMetric},
		{"resolve", testResolve},
		{"gateway appears later", testGateway},
		{"foreign objects are left alone", testForeignObject},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFixture(t, newHost, plain)) })
	}
	t.Run("walk", func(t *testing.T) { testWalk(t, newHost, plain, steps) })
}

func testSweep(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.Put(fib.Workload, pfx("10.0.0.1/32"), dev("w0"))
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("a"))
	f.table.Put(fib.BGP, pfx("fd11::/64"), group("a6"))
	f.table.SetGroup("a", toA)
	f.table.SetGroup("a6", toA6)
	full := []string{
		"10.0.0.1/32 dev w0 proto 118 metric 118",
		"10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118",
		"fd11::/64 group(via fd00::2 dev up0) proto 120 metric 118",
	}
	f.await("before the restart", full...)
	f.start()
	want := [4][2]bool{fib.Workload: {true, false}, fib.BGP: {true, true}}
	if diff := cmp.Diff(want, f.table.Adopted()); diff != "" {
		t.Errorf("adopted (-want +got):\n%s", diff)
	}
	f.sync()
	f.await("restarted, nothing said", full...)
	f.table.Put(fib.BGP, pfx("10.0.0.1/32"), fib.Route{Blackhole: true})
	full[0] = "10.0.0.1/32 blackhole proto 120 metric 118"
	f.await("replaced before the sweep", full...)
	f.table.Done(fib.Workload)
	f.table.Done(fib.Overlay)
	f.table.Done(fib.Blackhole)
	f.table.Done(fib.BGP, fib.IPv6)
	full = full[:2]
	if f.host.HasObjects() && !f.opts.PlainOnly { // an object may be named yet, until all have spoken
		full = append(full, "unused group(via fd00::2 dev up0)")
	}
	f.await("swept in IPv6 alone", full...)
	f.table.Delete(fib.BGP, pfx("10.0.0.1/32"))
	f.sync()
	f.await("removed before the sweep", full...)
	f.table.Done(fib.BGP, fib.IPv4)
	f.await("swept")
}

// sync makes one full round beside the loop.
func (f *fixture) sync() {
	f.t.Helper()
	if err := f.table.Sync(f.t.Context(), true); err != nil {
		f.t.Errorf("sync: %v", err)
	}
}

func testRestart(t *testing.T, f *fixture) {
	s := states()[3]
	enter := func() {
		f.table = fib.New(f.host, f.opts)
		for key, hops := range s.groups {
			f.table.SetGroup(key, hops)
		}
		f.table.Replace(fib.BGP, all(s.bgp))
		f.done()
		f.sync()
	}
	enter()
	f.await("first", s.want...)
	n := f.host.writes.Load()
	enter()
	f.await("again", s.want...)
	if got := f.host.writes.Load() - n; got != 0 {
		t.Errorf("a restart with nothing new made %d writes", got)
	}
	f.sync()
	if got := f.host.writes.Load() - n; got != 0 {
		t.Errorf("a read-back with nothing new made %d writes", got)
	}
}

func testStranger(t *testing.T, f *fixture) {
	f.start()
	f.done()
	for _, p := range []string{"10.0.0.1/32", "fd10::1/128"} {
		theirs := fib.Entry{Prefix: pfx(p), Table: mainTableID, Metric: 118, Protocol: 42, Kind: fib.KindBlackhole}
		check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: theirs}))
		f.table.Put(fib.Workload, pfx(p), dev("w0"))
		f.settled(p, false, fib.Workload, "protocol 42 holds")
		f.sync()
		f.await("stranger first", p+" blackhole proto 42 metric 118")
		check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: theirs}))
		f.await("stranger gone", p+" dev w0 proto 118 metric 118")
		f.settled(p, true, fib.Workload, "")

		check(t, f.host.Interfere(fib.Change{Op: fib.Replace, Entry: theirs}))
		f.settled(p, false, fib.Workload, "protocol 42 holds")
		f.sync()
		f.await("stranger has replaced ours", p+" blackhole proto 42 metric 118")
		f.table.Delete(fib.Workload, pfx(p))
		f.sync()
		f.await("no longer wanted", p+" blackhole proto 42 metric 118")
		check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: theirs}))
		f.await("nothing left")
	}
	// Beside us, with another metric, a stranger is no trouble at all.
	other := fib.Entry{Prefix: pfx("10.0.0.1/32"), Table: mainTableID, Metric: 7, Protocol: 42, Kind: fib.KindBlackhole}
	check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: other}))
	f.table.Put(fib.Workload, pfx("10.0.0.1/32"), dev("w0"))
	f.await("another metric", "10.0.0.1/32 blackhole proto 42 metric 7", "10.0.0.1/32 dev w0 proto 118 metric 118")
	f.table.Delete(fib.Workload, pfx("10.0.0.1/32"))
	f.await("ours removed", "10.0.0.1/32 blackhole proto 42 metric 7")
}

// testCompany has others put routes beside ours into the same slot.
func testCompany(t *testing.T, f *fixture) {
	f.start()
	f.done()
	for _, p := range []string{"10.0.0.1/32", "fd10::1/128"} {
		f.table.Put(fib.Workload, pfx(p), dev("w0"))
		ours := p + " dev w0 proto 118 metric 118"
		f.await("alone", ours)
		for _, first := range []bool{false, true} {
			beside := entry(p, hop(f.host, "", "up0"))
			f.host.Append(beside, first)
			f.await("another with our mark", ours)
			f.sync()
			f.await("another with our mark, read back", ours)
		}
		beside := entry(p, hop(f.host, "", "up0"))
		beside.Protocol = 42
		f.host.Append(beside, false)
		f.sync()
		f.await("a stranger behind", ours, p+" dev up0 proto 42 metric 118")
		f.table.Put(fib.Workload, pfx(p), dev("up1"))
		f.settled(p, false, fib.Workload, "protocol 42 holds")
		f.sync()
		f.await("what replaces might hit the stranger's", ours, p+" dev up0 proto 42 metric 118")
		check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: beside}))
		f.await("stranger gone", p+" dev up1 proto 118 metric 118")
		f.settled(p, true, fib.Workload, "")
		f.host.Append(beside, false)
		f.table.Delete(fib.Workload, pfx(p))
		f.await("ours no longer wanted", p+" dev up0 proto 42 metric 118")
		check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: beside}))
		f.await("nothing left")
	}
}

// What is learned takes no network from the host, whatever the metric of the
// route that it has itself, and is there when that goes.
func testOwnNetwork(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.SetGroup("a", toA)
	f.table.SetGroup("a6", toA6)
	for p, key := range map[string]fib.GroupKey{"0.0.0.0/0": "a", "::/0": "a6"} {
		hops := map[fib.GroupKey]string{"a": "via 192.168.0.2 dev up0", "a6": "via fd00::2 dev up0"}[key]
		ours := fmt.Sprintf("%s group(%s) proto 120 metric 118", p, hops)
		for _, metric := range []uint32{7, 4096} {
			theirs := fib.Entry{Prefix: pfx(p), Table: mainTableID, Metric: metric, Protocol: 42, Kind: fib.KindBlackhole}
			text := fmt.Sprintf("%s blackhole proto 42 metric %d", p, metric)
			f.table.Put(fib.BGP, pfx(p), group(key))
			f.await("nobody else has one", ours)
			check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: theirs}))
			f.await("the host gets one", text)
			f.settled(p, false, fib.BGP, "the host has a route of its own")
			f.sync()
			f.await("read back", text)
			check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: theirs}))
			f.await("it is gone again", ours)
			f.table.Delete(fib.BGP, pfx(p))
			check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: theirs}))
			f.table.Put(fib.BGP, pfx(p), group(key))
			f.await("the host had one", text)
			check(t, f.host.Interfere(fib.Change{Op: fib.Delete, Entry: theirs}))
			f.await("and has none", ours)
			f.table.Delete(fib.BGP, pfx(p))
			f.await("nothing left")
		}
	}
}

func testInterface(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.Put(fib.Workload, pfx("10.0.0.1/32"), dev("w1"))
	f.table.Put(fib.Workload, pfx("fd10::1/128"), dev("w1"))
	f.settled("10.0.0.1/32", false, fib.Workload, "interface w1 is missing")
	both := []string{"10.0.0.1/32 dev w1 proto 118 metric 118", "fd10::1/128 dev w1 proto 118 metric 118"}
	for range 3 {
		f.host.AddLink("w1")
		f.await("interface appears", both...)
		f.settled("10.0.0.1/32", true, fib.Workload, "")
		f.host.SetUp("w1", false)
		f.await("interface down")
		f.settled("10.0.0.1/32", false, fib.Workload, "interface w1 is down")
		f.host.SetUp("w1", true)
		f.await("interface up", both...)
		f.host.DeleteLink("w1")
		f.await("interface gone")
		f.settled("fd10::1/128", false, fib.Workload, "interface w1 is missing")
	}
	f.host.AddLink("w1")
	f.await("interface again", both...)
	f.host.DeleteLink("w1")
	f.host.AddLink("w1")
	f.await("interface made again at once", both...)
}

func testCarrier(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.SetGroup("ab", toAB)
	f.table.SetGroup("ab6", toAB6)
	f.table.SetGroup("a", toA)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("ab"))
	f.table.Put(fib.BGP, pfx("fd11::/64"), group("ab6"))
	f.table.Put(fib.BGP, pfx("10.2.0.0/26"), group("a"))
	both := []string{
		"10.1.0.0/26 group(via 172.20.0.2 dev up1 + via 192.168.0.2 dev up0) proto 120 metric 118",
		"10.2.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118",
		"fd11::/64 group(via fd00::2 dev up0 + via fd20::2 dev up1) proto 120 metric 118",
	}
	for range 3 {
		f.await("both uplinks", both...)
		f.host.SetCarrier("up0", false)
		one := []string{
			"10.1.0.0/26 group(via 172.20.0.2 dev up1) proto 120 metric 118",
			"fd11::/64 group(via fd20::2 dev up1) proto 120 metric 118",
		}
		if f.opts.PlainOnly { // a plain route stays: nothing better is known
			one = []string{one[0], both[1], one[1]}
		}
		f.await("up0 without carrier", one...)
		f.host.SetCarrier("up0", true)
	}
	f.await("carrier back", both...)
}

func testMove(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.SetGroup("x", toA)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("x"))
	f.table.Put(fib.BGP, pfx("10.2.0.0/26"), group("x"))
	f.table.Put(fib.BGP, pfx("10.3.0.0/26"), group("x"))
	f.table.Put(fib.BGP, pfx("10.4.0.0/26"), group("b"))
	f.table.SetGroup("b", toB)
	at := func(hops string) []string {
		return []string{
			"10.1.0.0/26 group(" + hops + ") proto 120 metric 118",
			"10.2.0.0/26 group(" + hops + ") proto 120 metric 118",
			"10.3.0.0/26 group(" + hops + ") proto 120 metric 118",
			"10.4.0.0/26 group(via 172.20.0.2 dev up1) proto 120 metric 118",
		}
	}
	f.await("before", at("via 192.168.0.2 dev up0")...)
	n := f.host.writes.Load()
	f.table.SetGroup("x", toB)
	f.await("moved", at("via 172.20.0.2 dev up1")...)
	f.sync()
	if got := f.host.writes.Load() - n; got != 2 && !f.opts.PlainOnly { // the group, and the object left over
		t.Errorf("a next hop moved by %d writes, want 2", got)
	}
	f.table.SetGroup("x", nil)
	f.await("unresolved", at("")[3])
	f.settled("10.1.0.0/26", false, fib.BGP, "no next hops")
	f.table.SetGroup("x", toAB)
	f.await("resolved", at("via 172.20.0.2 dev up1 + via 192.168.0.2 dev up0")...)
	f.table.DeleteGroup("x")
	f.await("group deleted", at("")[3])
}

func testFallback(t *testing.T, f *fixture) {
	f.start()
	f.done()
	p := pfx("10.0.0.1/32")
	f.table.SetGroup("a", toA)
	f.table.Put(fib.BGP, p, group("a"))
	f.table.Put(fib.Workload, p, dev("w1"))
	f.await("interface missing", "10.0.0.1/32 group(via 192.168.0.2 dev up0) proto 120 metric 118")
	f.settled("10.0.0.1/32", true, fib.BGP, "interface w1 is missing")
	f.host.AddLink("w1")
	f.await("interface there", "10.0.0.1/32 dev w1 proto 118 metric 118")
	f.settled("10.0.0.1/32", true, fib.Workload, "")
}

func testPreferredSource(t *testing.T, f *fixture) {
	f.start()
	f.done()
	r := dev("w0")
	r.Src = netip.MustParseAddr("192.168.0.9")
	f.table.SetGroup("a", toA)
	f.host.AddAddress("up0", pfx("192.168.0.9/24"))
	f.table.Put(fib.Workload, pfx("10.0.0.1/32"), r)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), fib.Route{Group: "a", Src: r.Src})
	want := []string{
		"10.0.0.1/32 dev w0 src 192.168.0.9 proto 118 metric 118",
		"10.1.0.0/26 group(via 192.168.0.2 dev up0) src 192.168.0.9 proto 120 metric 118",
	}
	f.await("address there", want...)
	f.host.DeleteAddress("up0", pfx("192.168.0.9/24"))
	f.until("programmed without the address", func() string {
		if s := f.table.Get(pfx("10.0.0.1/32")); s.Err == nil {
			return "no problem is reported"
		}
		return ""
	})
	f.host.AddAddress("up0", pfx("192.168.0.9/24"))
	f.await("address back", want...)
}

func testMetric(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.SetGroup("a", toA)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("a"))
	f.await("old metric", "10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118")
	f.opts.Metric = 200
	f.start()
	f.table.SetGroup("a", toA)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("a"))
	f.await("before the sweep",
		"10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118",
		"10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 200")
	f.done()
	f.await("new metric", "10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 200")
}

func testGateway(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.SetGroup("ac", append([]fib.NextHop{via("192.168.7.2", "up0")}, toB...))
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("ac"))
	if !f.opts.PlainOnly { // one bad next hop does not take the other with it
		f.await("gateway unreachable", "10.1.0.0/26 group(via 172.20.0.2 dev up1) proto 120 metric 118")
	}
	f.host.AddAddress("up0", pfx("192.168.7.1/24"))
	f.await("gateway reachable", "10.1.0.0/26 group(via 172.20.0.2 dev up1 + via 192.168.7.2 dev up0) proto 120 metric 118")
}

func testForeignObject(t *testing.T, f *fixture) {
	if !f.host.HasObjects() || f.opts.PlainOnly {
		t.Skip("plain routes have no objects")
	}
	theirs := &fib.Object{ID: fib.DefaultObjectBase + 1, Protocol: 42, Hop: fib.Hop{Index: f.host.Index("up1")}}
	check(t, f.host.Interfere(fib.Change{Op: fib.Create, Object: theirs}))
	f.start()
	f.done()
	f.table.SetGroup("a", toA)
	f.table.Put(fib.BGP, pfx("10.1.0.0/26"), group("a"))
	want := []string{"10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118", "unused object dev up1"}
	f.await("a stranger's object in our range", want...)
	f.sync()
	f.await("it stays", want...)
	// A stranger takes over the very object of ours, and with it our routes.
	for id := range uint32(8) {
		theirs.ID = fib.DefaultObjectBase + id
		f.host.Interfere(fib.Change{Op: fib.Replace, Object: theirs})
	}
	f.until("ours does without it", func() string {
		s := f.table.Get(pfx("10.1.0.0/26"))
		if s.Programmed && s.Err == nil {
			return cmp.Diff("10.1.0.0/26 group(via 192.168.0.2 dev up0) proto 120 metric 118\n", firstLine(f.text()))
		}
		return "not programmed"
	})
}

func firstLine(s string) string {
	for i, c := range s {
		if c == '\n' {
			return s[:i+1]
		}
	}
	return s
}

func check(t *testing.T, errs []error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func testResolve(t *testing.T, f *fixture) {
	f.start()
	f.done()
	f.table.Put(fib.Workload, pfx("0.0.0.0/0"), dev("w0")) // ours never resolves anything
	ask := func(a string) string {
		r, ok := f.table.Resolve(netip.MustParseAddr(a))
		switch {
		case r.Local:
			return "local"
		case !ok:
			return "unresolved"
		}
		s := r.Prefix.String()
		for _, h := range r.NextHops {
			s += " " + h.Gateway.String() + " " + h.Interface
		}
		return s
	}
	expect := func(what, a, want string) {
		t.Helper()
		f.until(what, func() string { return cmp.Diff(want, ask(a)) })
	}
	expect("connected", "192.168.0.7", "192.168.0.0/24 192.168.0.7 up0")
	expect("connected", "fd20::7", "fd20::/64 fd20::7 up1")
	expect("own address", "192.168.0.1", "local")
	expect("own address", "fd00::1", "local")
	expect("no route", "8.8.8.8", "unresolved")
	expect("link-local", "fe80::9%up1", "fe80::/64 fe80::9 up1")
	theirs := fib.Entry{Prefix: pfx("8.0.0.0/8"), Table: mainTableID, Protocol: 4, Metric: 20, Hops: []fib.Hop{
		{Gateway: netip.MustParseAddr("172.20.0.2"), Index: f.host.Index("up1")},
	}}
	drain(f.table.ResolveChanged())
	check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: theirs}))
	<-f.table.ResolveChanged()
	expect("static", "8.8.8.8", "8.0.0.0/8 172.20.0.2 up1")
	theirs.Metric, theirs.Hops[0] = 10, fib.Hop{Gateway: netip.MustParseAddr("192.168.0.2"), Index: f.host.Index("up0")}
	check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: theirs}))
	expect("lower metric", "8.8.8.8", "8.0.0.0/8 192.168.0.2 up0")
	f.host.SetCarrier("up0", false)
	expect("its link has no carrier", "8.8.8.8", "8.0.0.0/8 172.20.0.2 up1")
	f.host.SetCarrier("up0", true)
	expect("carrier back", "8.8.8.8", "8.0.0.0/8 192.168.0.2 up0")
	f.host.SetUp("up0", false)
	f.host.SetUp("up0", true)
	expect("a route that went with its link", "8.8.8.8", "8.0.0.0/8 172.20.0.2 up1")
	expect("one that came back with it", "192.168.0.7", "192.168.0.0/24 192.168.0.7 up0")
	check(t, f.host.Interfere(fib.Change{Op: fib.Create, Entry: fib.Entry{
		Prefix: pfx("8.8.0.0/16"), Table: mainTableID, Protocol: 4, Metric: 1, Kind: fib.KindBlackhole,
	}}))
	expect("blackhole", "8.8.8.8", "unresolved")
	expect("beside the blackhole", "8.9.9.9", "8.0.0.0/8 172.20.0.2 up1")
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}
