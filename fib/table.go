package fib

import (
	"iter"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unique"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/reconcile"
)

// Defaults of [Options]. The protocol numbers are free in the lists of
// iproute2 and FRR; the metric is neither 0 nor 1024, the ones that routes get
// when nobody says otherwise.
const (
	DefaultProtocol   = 118 // of the first source; the others follow
	DefaultMetric     = 118
	DefaultTable      = 254        // main
	DefaultObjectBase = 0x76720000 // "vr"
	DefaultReadBack   = time.Minute
)

// Options of a Table. The zero value has all defaults.
type Options struct {
	Protocols  [numSources]uint8 // route protocol of each source; all different
	Metric     uint32
	Table      uint32
	PlainOnly  bool          // write groups as plain multipath routes
	ObjectBase uint32        // next-hop ids are taken from here upwards
	ReadBack   time.Duration // between full read-backs; negative is never
	// Report lists the sources whose prefixes Drain tells of; empty is all.
	Report []Source
	Logger hclog.Logger
}

// Table holds what the sources want and what the kernel has, and makes them
// equal. Methods may be called from anywhere.
//
// The kernel has no compare-and-swap for routes: between a foreign change and
// our next write to the same slot lie some microseconds in which a replace of
// ours can hit a stranger's route. It has no events either for IPv4 routes that
// it drops with a link, an address or a next-hop object, so Table concludes
// them; where it cannot be sure it reads back.
type Table struct {
	kernel  Kernel
	opts    Options
	log     hclog.Logger
	loop    *reconcile.Loop
	changed chan struct{}
	moved   chan struct{} // what Resolve looks at has changed
	ready   chan struct{}
	syncing sync.Mutex // one Sync at a time

	mu          sync.Mutex // guards the rest; never held across a kernel call
	wanted      [numSources]map[netip.Prefix]unique.Handle[spec]
	open        [numSources][numFamilies]bool // sweeps
	routes      *reconcile.Delta[netip.Prefix, value]
	problems    map[netip.Prefix]error // why the strongest wanted route is not in the kernel
	failed      map[netip.Prefix]struct{}
	dirty       map[netip.Prefix]struct{} // for Drain
	byInterface map[string]map[netip.Prefix]struct{}
	viaIndex    map[int32]int          // plain routes of ours observed, by interface
	withSrc     map[netip.Addr]int     // routes of ours observed, by preferred source
	strays      map[strayKey]Entry     // with our mark, outside our slots
	writing     map[netip.Prefix]Entry // that the kernel is making now, which may go with a link or an address
	objects     objectTable
	making      bool // the kernel is making next-hop objects now
	outside     outside
	known       bool // the kernel has been read once
	doubt       bool // something cannot be concluded: read back
	stats       Stats
	adopted     [numSources][numFamilies]bool
	news        *news // what events told during a read-back; nil when there is none
}

// New returns a Table over kernel that does nothing until Run or Sync.
func New(kernel Kernel, opts Options) *Table {
	opts.fill()
	t := &Table{
		kernel: kernel, opts: opts, log: opts.Logger,
		changed: make(chan struct{}, 1), moved: make(chan struct{}, 1), ready: make(chan struct{}),
		routes:      reconcile.NewDelta[netip.Prefix](func(a, b value) bool { return a == b }),
		problems:    make(map[netip.Prefix]error),
		failed:      make(map[netip.Prefix]struct{}),
		dirty:       make(map[netip.Prefix]struct{}),
		byInterface: make(map[string]map[netip.Prefix]struct{}),
		viaIndex:    make(map[int32]int),
		withSrc:     make(map[netip.Addr]int),
		strays:      make(map[strayKey]Entry),
		outside:     newOutside(),
		writing:     make(map[netip.Prefix]Entry),
	}
	for s := range t.wanted {
		t.wanted[s] = make(map[netip.Prefix]unique.Handle[spec])
	}
	t.objects = newObjectTable(opts.ObjectBase, !opts.PlainOnly && kernel.HasObjects())
	t.routes.Moved = t.countObserved
	t.loop = reconcile.NewLoop(reconcile.Config{
		Sync: t.Sync, ReadBack: max(opts.ReadBack, 0),
		Failed: func(err error, pause time.Duration) {
			t.log.Warn("sync failed", "retry_in", pause, "error", err)
		},
	})
	return t
}

func (o *Options) fill() {
	if o.Protocols == [numSources]uint8{} {
		for i := range o.Protocols {
			o.Protocols[i] = DefaultProtocol + uint8(i)
		}
	}
	if o.Metric == 0 {
		o.Metric = DefaultMetric
	}
	if o.Table == 0 {
		o.Table = DefaultTable
	}
	if o.ObjectBase == 0 {
		o.ObjectBase = DefaultObjectBase
	}
	if o.ReadBack == 0 {
		o.ReadBack = DefaultReadBack
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
}

// Put says that source wants route for prefix. Host bits of prefix are
// ignored. Twice changes nothing.
func (t *Table) Put(source Source, prefix netip.Prefix, route Route) {
	prefix = prefix.Masked()
	handle := internRoute(route)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putLocked(source, prefix, handle)
	t.kickLocked()
}

// Delete says that source does not want prefix.
func (t *Table) Delete(source Source, prefix netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleteLocked(source, prefix.Masked())
	t.kickLocked()
}

// Replace says all that source wants.
func (t *Table) Replace(source Source, routes iter.Seq2[netip.Prefix, Route]) {
	all := make(map[netip.Prefix]unique.Handle[spec])
	for prefix, route := range routes {
		all[prefix.Masked()] = internRoute(route)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for prefix := range t.wanted[source] {
		if _, ok := all[prefix]; !ok {
			t.deleteLocked(source, prefix)
		}
	}
	for prefix, handle := range all {
		t.putLocked(source, prefix, handle)
	}
	t.kickLocked()
}

// SetGroup says where the routes that name key are sent. No next hops at all,
// or none whose interface is ready, takes those routes out of the kernel.
func (t *Table) SetGroup(key GroupKey, hops []NextHop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects.set(key, hops) {
		t.kickLocked()
	}
}

// DeleteGroup says that no route names key any more. A route that still does
// is treated as one without next hops.
func (t *Table) DeleteGroup(key GroupKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects.unset(key) {
		t.kickLocked()
	}
}

// Done says that source has said all it wants in these families (none given:
// in all), so that what else is in the kernel with its mark is to go.
func (t *Table) Done(source Source, families ...Family) {
	if len(families) == 0 {
		families = []Family{IPv4, IPv6}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, family := range families {
		if t.open[source][family] {
			continue
		}
		t.open[source][family] = true
		t.log.Debug("sweep opened", "source", source, "family", family)
	}
	for prefix := range t.routes.All() {
		if _, ok := t.routes.Wanted(prefix); !ok {
			t.routes.Requeue(prefix)
		}
	}
	t.objects.idle = true
	t.kickLocked()
}

func (t *Table) putLocked(source Source, prefix netip.Prefix, handle unique.Handle[spec]) {
	old, ok := t.wanted[source][prefix]
	if ok && old == handle {
		return
	}
	if ok {
		t.unlist(prefix, old)
		t.objects.named(old.Value().group, -1)
	}
	t.wanted[source][prefix] = handle
	t.objects.named(handle.Value().group, +1)
	t.list(prefix, handle)
	t.choose(prefix)
}

func (t *Table) deleteLocked(source Source, prefix netip.Prefix) {
	old, ok := t.wanted[source][prefix]
	if !ok {
		return
	}
	t.markLocked(prefix)
	delete(t.wanted[source], prefix)
	t.unlist(prefix, old)
	t.objects.named(old.Value().group, -1)
	for s := range t.wanted { // another source may name the same interface
		if handle, ok := t.wanted[s][prefix]; ok {
			t.list(prefix, handle)
		}
	}
	t.choose(prefix)
}

// list remembers which prefixes name an interface themselves, so that a link
// event finds them without a walk.
func (t *Table) list(prefix netip.Prefix, handle unique.Handle[spec]) {
	for _, hop := range unpackNextHops(handle.Value().hops) {
		set := t.byInterface[hop.Interface]
		if set == nil {
			set = make(map[netip.Prefix]struct{})
			t.byInterface[hop.Interface] = set
		}
		set[prefix] = struct{}{}
	}
}

func (t *Table) unlist(prefix netip.Prefix, handle unique.Handle[spec]) {
	for _, hop := range unpackNextHops(handle.Value().hops) {
		if set := t.byInterface[hop.Interface]; set != nil {
			if delete(set, prefix); len(set) == 0 {
				delete(t.byInterface, hop.Interface)
			}
		}
	}
}

// kickLocked wakes the loop when there is something to do.
func (t *Table) kickLocked() {
	switch {
	case t.doubt:
		t.loop.KickFull()
	case t.routes.Queued() || t.objects.busy() || len(t.strays) > 0:
		t.loop.Kick()
	}
}

// markLocked notes that the state of prefix may have changed, for Drain.
func (t *Table) markLocked(prefix netip.Prefix) {
	if len(t.opts.Report) > 0 && !slices.ContainsFunc(t.opts.Report, func(s Source) bool {
		_, ok := t.wanted[s][prefix]
		return ok
	}) {
		return
	}
	t.dirty[prefix] = struct{}{}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// sourceOf says whose mark a protocol number is.
func (t *Table) sourceOf(protocol uint8) (Source, bool) {
	for s, p := range t.opts.Protocols {
		if p == protocol {
			return Source(s), true
		}
	}
	return 0, false
}
