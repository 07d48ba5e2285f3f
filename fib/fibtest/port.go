package fibtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/fib"
)

// TestKernel runs the contract of fib.Kernel over hosts that newHost makes.
func TestKernel(t *testing.T, newHost func(*testing.T) Host) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Host)
	}{
		{"every form is read as it was written", testForms},
		{"slots", testSlots},
		{"errors stay with their change", testErrors},
		{"objects", testObjects},
		{"events", testEvents},
		{"events before writes", testEventsBeforeWrites},
		{"batches", testBatches},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.AddLink("up0")
			h.AddLink("up1")
			h.AddAddress("up0", pfx("192.168.0.1/24"))
			h.AddAddress("up0", pfx("fd00::1/64"))
			test.run(t, h)
		})
	}
}

func hop(h Host, gateway, link string) fib.Hop {
	out := fib.Hop{Index: h.Index(link)}
	if gateway != "" {
		out.Gateway = netip.MustParseAddr(gateway)
	}
	return out
}

func entry(prefix string, hops ...fib.Hop) fib.Entry {
	e := fib.Entry{Prefix: pfx(prefix), Table: mainTableID, Metric: 118, Protocol: 118, Hops: hops}
	if len(hops) == 0 {
		e.Kind = fib.KindBlackhole
	}
	return e
}

func expectText(t *testing.T, h Host, table uint32, want ...string) {
	t.Helper()
	got, err := Text(t.Context(), h, table)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(want...), got); diff != "" {
		t.Fatalf("kernel (-want +got):\n%s", diff)
	}
}

func create(entries ...fib.Entry) []fib.Change {
	var changes []fib.Change
	for _, e := range entries {
		changes = append(changes, fib.Change{Op: fib.Create, Entry: e})
	}
	return changes
}

func testForms(t *testing.T, h Host) {
	onlink, weighted, src := hop(h, "10.7.7.7", "up1"), hop(h, "192.168.0.3", "up0"), entry("10.0.5.0/24", hop(h, "", "up0"))
	onlink.Onlink, weighted.Weight = true, 4
	onlink6 := hop(h, "fd77::7", "up1")
	onlink6.Onlink = true
	src.Src = netip.MustParseAddr("192.168.0.1")
	entries := []fib.Entry{
		entry("0.0.0.0/0", hop(h, "192.168.0.2", "up0")),
		entry("10.0.0.1/32", hop(h, "", "up0")),
		entry("10.0.0.2/32", onlink),
		entry("10.0.1.0/24", hop(h, "192.168.0.2", "up0"), weighted),
		entry("10.0.2.0/24"),
		entry("10.0.3.0/24", hop(h, "fd00::2", "up0")),
		entry("10.0.4.0/24", hop(h, "fd00::2", "up0"), hop(h, "192.168.0.2", "up0")),
		src,
		entry("::/0", hop(h, "fd00::2", "up0")),
		entry("fd10::1/128", hop(h, "", "up0")),
		entry("fd10::2/128", onlink6),
		entry("fd11::/64", hop(h, "fd00::2", "up0"), hop(h, "fd00::3", "up0")),
		entry("fd12::/64"),
	}
	check(t, h.Apply(t.Context(), create(entries...)))
	want := []string{
		"0.0.0.0/0 via 192.168.0.2 dev up0 proto 118 metric 118",
		"10.0.0.1/32 dev up0 proto 118 metric 118",
		"10.0.0.2/32 via 10.7.7.7 dev up1 onlink proto 118 metric 118",
		"10.0.1.0/24 via 192.168.0.2 dev up0 + via 192.168.0.3 dev up0 weight 5 proto 118 metric 118",
		"10.0.2.0/24 blackhole proto 118 metric 118",
		"10.0.3.0/24 via fd00::2 dev up0 proto 118 metric 118",
		"10.0.4.0/24 via 192.168.0.2 dev up0 + via fd00::2 dev up0 proto 118 metric 118",
		"10.0.5.0/24 dev up0 src 192.168.0.1 proto 118 metric 118",
		"::/0 via fd00::2 dev up0 proto 118 metric 118",
		"fd10::1/128 dev up0 proto 118 metric 118",
		"fd10::2/128 via fd77::7 dev up1 onlink proto 118 metric 118",
		"fd11::/64 via fd00::2 dev up0 + via fd00::3 dev up0 proto 118 metric 118",
		"fd12::/64 blackhole proto 118 metric 118",
	}
	expectText(t, h, mainTableID, want...)
	high := entry("10.0.0.9/32", hop(h, "", "up0"))
	high.Table = 70000
	check(t, h.Apply(t.Context(), create(high)))
	expectText(t, h, 70000, "10.0.0.9/32 dev up0 proto 118 metric 118")
	expectText(t, h, mainTableID, want...)
	expectText(t, h, 70001)

	var deletes []fib.Change
	for i, e := range append(entries, high) {
		if i%2 == 0 { // by slot; the others exactly
			e.Hops = nil
		}
		deletes = append(deletes, fib.Change{Op: fib.Delete, Entry: e})
	}
	check(t, h.Apply(t.Context(), deletes))
	check(t, h.Apply(t.Context(), deletes)) // not there is no error
	expectText(t, h, mainTableID)
}

func testSlots(t *testing.T, h Host) {
	for _, p := range []string{"10.0.0.1/32", "fd10::1/128"} {
		ours, theirs := entry(p, hop(h, "", "up0")), entry(p)
		theirs.Protocol = 42
		check(t, h.Apply(t.Context(), []fib.Change{{Op: fib.Replace, Entry: ours}})) // an empty slot is filled
		for _, e := range []fib.Entry{ours, theirs, entry(p, hop(h, "", "up1"))} {
			if errs := h.Apply(t.Context(), create(e)); errs == nil || !errors.Is(errs[0], fib.ErrExists) {
				t.Errorf("create %s in a taken slot: %v", p, errs)
			}
		}
		expectText(t, h, mainTableID, p+" dev up0 proto 118 metric 118")
		theirs.Metric = 7
		check(t, h.Apply(t.Context(), create(theirs)))
		ours.Protocol = 42 // a delete with another mark does not touch ours
		check(t, h.Apply(t.Context(), []fib.Change{{Op: fib.Delete, Entry: ours}}))
		expectText(t, h, mainTableID, p+" blackhole proto 42 metric 7", p+" dev up0 proto 118 metric 118")

		for _, hops := range [][]fib.Hop{
			{hop(h, "fd00::2", "up0")}, nil, {hop(h, "fd00::2", "up0"), hop(h, "fd00::3", "up0")},
			{hop(h, "", "up1")}, {hop(h, "fd00::3", "up0"), hop(h, "fd00::4", "up0")}, {hop(h, "fd00::4", "up0")},
		} {
			e := entry(p, hops...)
			e.Protocol = 120
			check(t, h.Apply(t.Context(), []fib.Change{{Op: fib.Replace, Entry: e}}))
			all, err := Text(t.Context(), h, mainTableID)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(all, "metric 118"); n != 1 {
				t.Fatalf("%d routes in one slot after a replace:\n%s", n, all)
			}
		}
		check(t, h.Apply(t.Context(), []fib.Change{
			{Op: fib.Delete, Entry: theirs}, {Op: fib.Delete, Entry: fib.Entry{Prefix: pfx(p), Table: mainTableID, Metric: 118, Protocol: 120}},
		}))
		expectText(t, h, mainTableID)
	}
}

func testErrors(t *testing.T, h Host) {
	var changes []fib.Change
	for i := range 2500 {
		e := entry(fmt.Sprintf("10.1.%d.%d/32", i/256, i%256), hop(h, "", "up0"))
		if i%5 == 3 || i == 2499 {
			e.Hops[0] = hop(h, "203.0.113.9", "up0")
		}
		changes = append(changes, fib.Change{Op: fib.Create, Entry: e})
	}
	errs := h.Apply(t.Context(), changes)
	if len(errs) != len(changes) {
		t.Fatalf("%d errors for %d changes", len(errs), len(changes))
	}
	for i, err := range errs {
		if bad := i%5 == 3 || i == 2499; bad != (err != nil) {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if errs := h.Apply(ctx, changes[:3]); len(errs) != 3 || errs[0] == nil {
		t.Errorf("Apply after cancel: %v", errs)
	}
}

func testBatches(t *testing.T, h Host) {
	var changes []fib.Change
	hops := []fib.Hop{hop(h, "192.168.0.2", "up0"), hop(h, "192.168.0.3", "up0"), hop(h, "192.168.0.4", "up0")}
	for i := range 3000 { // large messages, more than one send
		changes = append(changes, fib.Change{Op: fib.Create, Entry: entry(fmt.Sprintf("10.2.%d.%d/32", i/256, i%256), hops...)})
	}
	check(t, h.Apply(t.Context(), changes))
	for i := range changes {
		changes[i].Op = fib.Delete
	}
	check(t, h.Apply(t.Context(), changes))
	expectText(t, h, mainTableID)
	check(t, h.Apply(t.Context(), nil))
}

func testObjects(t *testing.T, h Host) {
	if !h.HasObjects() {
		t.Skip("no next-hop objects here")
	}
	object := func(id uint32, gateway string) *fib.Object {
		o := &fib.Object{ID: id, Protocol: 120, Hop: hop(h, gateway, "up0")}
		o.Family = fib.FamilyOf(netip.MustParseAddr(gateway))
		return o
	}
	group := func(id uint32, members ...fib.Member) *fib.Object {
		return &fib.Object{ID: id, Protocol: 120, IsGroup: true, Group: members}
	}
	apply := func(op fib.Op, o *fib.Object) error {
		if errs := h.Apply(t.Context(), []fib.Change{{Op: op, Object: o}}); errs != nil {
			return errs[0]
		}
		return nil
	}
	must := func(op fib.Op, o *fib.Object) {
		t.Helper()
		if err := apply(op, o); err != nil {
			t.Fatal(err)
		}
	}
	must(fib.Create, object(1, "192.168.0.2"))
	must(fib.Create, object(2, "192.168.0.3"))
	must(fib.Create, object(3, "fd00::2"))
	must(fib.Create, group(10, fib.Member{ID: 1}, fib.Member{ID: 2, Weight: 2}))
	must(fib.Create, group(11, fib.Member{ID: 3}))
	if err := apply(fib.Create, object(1, "192.168.0.2")); !errors.Is(err, fib.ErrExists) {
		t.Errorf("an id made twice: %v", err)
	}
	for _, o := range []*fib.Object{object(10, "192.168.0.2"), group(1, fib.Member{ID: 2}), group(12, fib.Member{ID: 10}), group(12), group(12, fib.Member{ID: 99})} {
		if err := apply(fib.Replace, o); err == nil {
			t.Errorf("%+v: the kernel has taken what it does not take", o)
		}
	}
	via := func(p string, id uint32) fib.Entry {
		return fib.Entry{Prefix: pfx(p), Table: mainTableID, Metric: 118, Protocol: 120, Object: id}
	}
	check(t, h.Apply(t.Context(), create(via("10.0.0.1/32", 10), via("10.0.0.2/32", 11), via("fd10::1/128", 11))))
	if errs := h.Apply(t.Context(), create(via("fd10::2/128", 10))); errs == nil {
		t.Error("an IPv6 route with IPv4 next hops")
	}
	expectText(t, h, mainTableID,
		"10.0.0.1/32 group(via 192.168.0.2 dev up0 + via 192.168.0.3 dev up0 weight 3) proto 120 metric 118",
		"10.0.0.2/32 group(via fd00::2 dev up0) proto 120 metric 118",
		"fd10::1/128 group(via fd00::2 dev up0) proto 120 metric 118")
	must(fib.Replace, group(10, fib.Member{ID: 2}))
	must(fib.Delete, object(1, "192.168.0.2"))
	expectText(t, h, mainTableID,
		"10.0.0.1/32 group(via 192.168.0.3 dev up0) proto 120 metric 118",
		"10.0.0.2/32 group(via fd00::2 dev up0) proto 120 metric 118",
		"fd10::1/128 group(via fd00::2 dev up0) proto 120 metric 118")
	must(fib.Delete, object(3, "fd00::2")) // takes its group, and the routes of that
	must(fib.Delete, object(3, "fd00::2"))
	expectText(t, h, mainTableID, "10.0.0.1/32 group(via 192.168.0.3 dev up0) proto 120 metric 118")
}

// recorder is an observer that remembers what it was told, as text.
type recorder struct {
	mu  sync.Mutex
	all []string
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprintf(format, args...))
}

func (r *recorder) has(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.all, what)
}

func presence(p fib.Presence) string { return [...]string{"present", "replacing", "gone"}[p] }

func (r *recorder) ObserveLink(l fib.Link, p fib.Presence) {
	r.add("link %s up %t carrier %t %s", l.Name, l.Up, l.Carrier, presence(p))
}

func (r *recorder) ObserveAddress(a fib.Address, p fib.Presence) {
	r.add("address %s %s", a.Addr, presence(p))
}

func (r *recorder) ObserveObject(o fib.Object, p fib.Presence) {
	r.add("object %d %s", o.ID, presence(p))
}

func (r *recorder) ObserveEntry(e fib.Entry, p fib.Presence) {
	r.add("route %s proto %d %s", e.Prefix, e.Protocol, presence(p))
}

func testEvents(t *testing.T, h Host) {
	var r recorder
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.Watch(ctx, mainTableID, func() { close(ready) }, &r) }()
	<-ready
	own := entry("10.0.0.1/32", hop(h, "", "up0"))
	check(t, h.Apply(t.Context(), create(own, entry("fd10::1/128"))))
	elsewhere := entry("10.9.9.9/32", hop(h, "", "up0"))
	elsewhere.Table = 100
	check(t, h.Interfere(create(elsewhere)...))
	theirs := own
	theirs.Hops = []fib.Hop{hop(h, "", "up1")}
	check(t, h.Interfere(fib.Change{Op: fib.Replace, Entry: theirs}))
	check(t, h.Interfere(fib.Change{Op: fib.Delete, Entry: theirs}))
	if h.HasObjects() {
		o := &fib.Object{ID: 5, Protocol: 42, Hop: hop(h, "", "up0")}
		check(t, h.Interfere(fib.Change{Op: fib.Create, Object: o}, fib.Change{Op: fib.Delete, Object: o}))
		await(t, &r, "object 5 present")
		await(t, &r, "object 5 gone")
	}
	h.AddAddress("up1", pfx("10.77.0.1/24"))
	h.DeleteAddress("up1", pfx("10.77.0.1/24"))
	h.SetCarrier("up1", false)
	h.SetUp("up1", false)
	h.DeleteLink("up1")
	for _, what := range []string{
		"route 10.0.0.1/32 proto 118 replacing", "route 10.0.0.1/32 proto 118 gone",
		"address 10.77.0.1 present", "address 10.77.0.1 gone",
		"route 10.77.0.0/24 proto 2 present", "route 10.77.0.0/24 proto 2 gone",
		"link up1 up true carrier false present", "link up1 up false carrier false present",
		"link up1 up false carrier false gone",
	} {
		await(t, &r, what)
	}
	for _, what := range []string{"route 10.0.0.1/32 proto 118 present", "route fd10::1/128 proto 118 present", "route 10.9.9.9/32 proto 118 present"} {
		if r.has(what) {
			t.Errorf("event %q should not have come", what)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch after cancel: %v", err)
	}
}

// testEventsBeforeWrites: of what others did before a write Watch has told when the
// write is made, so that nobody takes it for younger.
func testEventsBeforeWrites(t *testing.T, h Host) {
	var r recorder
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.Watch(ctx, mainTableID, func() { close(ready) }, &r) }()
	<-ready
	for i := range 300 {
		theirs, own := entry(fmt.Sprintf("10.3.%d.%d/32", i/256, i%256)), entry(fmt.Sprintf("10.4.%d.%d/32", i/256, i%256))
		theirs.Protocol = 42
		check(t, h.Interfere(create(theirs)...))
		check(t, h.Apply(t.Context(), create(own)))
		if what := fmt.Sprintf("route %s proto 42 present", theirs.Prefix); !r.has(what) {
			t.Fatalf("event %q was not told before the write that came after it", what)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch after cancel: %v", err)
	}
	check(t, h.Apply(t.Context(), create(entry("10.5.0.0/24")))) // nobody hears any more
}

func await(t *testing.T, r *recorder, what string) {
	t.Helper()
	f := fixture{t: t}
	f.until("event", func() string {
		if r.has(what) {
			return ""
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return what + " is not among\n" + strings.Join(r.all, "\n")
	})
}
