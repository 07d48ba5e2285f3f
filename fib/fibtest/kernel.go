package fibtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/fib"
)

// Errors of the fake beside those of package fib.
var (
	ErrInvalid = errors.New("invalid argument")
	ErrDown    = errors.New("network is down")
)

// Kernel is a kernel in memory. The zero value is not usable; see New.
type Kernel struct {
	// NoObjects makes it a kernel without next-hop objects.
	NoObjects bool

	mu        sync.Mutex // guards the rest
	links     map[int32]fib.Link
	lower     map[int32]bool // carrier as the other end has it
	nextIndex int32
	addresses map[int32][]netip.Prefix
	objects   map[uint32]fib.Object
	routes    map[netip.Prefix][]fib.Entry // the first of a slot is in use
	watchers  map[*watcher]struct{}
	writes    int
	refuse    func(fib.Change) error
}

// event is one call of an Observer.
type event func(fib.Observer)

type watcher struct {
	table    uint32
	observer fib.Observer
	wake     chan struct{}
	telling  sync.Mutex // held while the observer is told, before Kernel.mu
	events   []event    // guarded by Kernel.mu
	overrun  bool       // guarded by Kernel.mu
}

// New returns a kernel with the link lo and nothing else.
func New() *Kernel {
	k := &Kernel{
		links: make(map[int32]fib.Link), lower: make(map[int32]bool),
		addresses: make(map[int32][]netip.Prefix), objects: make(map[uint32]fib.Object),
		routes: make(map[netip.Prefix][]fib.Entry), watchers: make(map[*watcher]struct{}),
	}
	k.AddLink("lo")
	return k
}

// HasObjects implements fib.Kernel.
func (k *Kernel) HasObjects() bool { return !k.NoObjects }

// Writes returns how many changes were asked for by Apply, refused ones
// included.
func (k *Kernel) Writes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.writes
}

// Refuse makes Apply fail where f returns an error; nil ends it.
func (k *Kernel) Refuse(f func(fib.Change) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = f
}

// Overrun loses the events that watchers have not heard yet, and tells them.
func (k *Kernel) Overrun() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.watchers {
		w.events, w.overrun = nil, true
		w.signal()
	}
}

// Forget removes routes without any event, as a lost one would.
func (k *Kernel) Forget(prefix netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.routes, prefix)
}

// Read implements fib.Kernel.
func (k *Kernel) Read(ctx context.Context, table uint32, o fib.Observer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, e := range k.snapshot(table) {
		e(o)
	}
	return nil
}

func (k *Kernel) snapshot(table uint32) []event {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []event
	for _, l := range k.links {
		all = append(all, func(o fib.Observer) { o.ObserveLink(l, fib.Present) })
	}
	for index, prefixes := range k.addresses {
		for _, p := range prefixes {
			all = append(all, func(o fib.Observer) {
				o.ObserveAddress(fib.Address{Addr: p.Addr(), Index: index}, fib.Present)
			})
		}
	}
	for _, object := range k.objects {
		object.Group = slices.Clone(object.Group)
		all = append(all, func(o fib.Observer) { o.ObserveObject(object, fib.Present) })
	}
	for _, entries := range k.routes {
		for _, e := range entries {
			if e.Table == table {
				e.Hops = slices.Clone(e.Hops)
				all = append(all, func(o fib.Observer) { o.ObserveEntry(e, fib.Present) })
			}
		}
	}
	return all
}

// Watch implements fib.Kernel.
func (k *Kernel) Watch(ctx context.Context, table uint32, ready func(), o fib.Observer) error {
	w := &watcher{table: table, observer: o, wake: make(chan struct{}, 1)}
	k.mu.Lock()
	k.watchers[w] = struct{}{}
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.watchers, w)
	}()
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		if k.hear(w) {
			return fib.ErrOverrun
		}
	}
}

// hear tells a watcher all that has happened, and reports whether that was lost.
func (k *Kernel) hear(w *watcher) (overrun bool) {
	w.telling.Lock()
	defer w.telling.Unlock()
	k.mu.Lock()
	events, overrun := w.events, w.overrun
	w.events = nil
	k.mu.Unlock()
	for _, e := range events {
		e(w.observer)
	}
	return overrun
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (k *Kernel) tell(e event) {
	for w := range k.watchers {
		w.events = append(w.events, e)
		w.signal()
	}
}

func (k *Kernel) tellEntry(e fib.Entry, p fib.Presence) {
	e.Hops = slices.Clone(e.Hops)
	for w := range k.watchers {
		if w.table == e.Table {
			w.events = append(w.events, func(o fib.Observer) { o.ObserveEntry(e, p) })
			w.signal()
		}
	}
}

func (k *Kernel) tellObject(object fib.Object, p fib.Presence) {
	object.Group = slices.Clone(object.Group)
	k.tell(func(o fib.Observer) { o.ObserveObject(object, p) })
}

// Apply implements fib.Kernel.
func (k *Kernel) Apply(ctx context.Context, changes []fib.Change) []error {
	errs := k.apply(ctx, changes, false)
	k.mu.Lock()
	watchers := slices.Collect(maps.Keys(k.watchers))
	k.mu.Unlock()
	for _, w := range watchers {
		k.hear(w)
	}
	return errs
}

func (k *Kernel) apply(ctx context.Context, changes []fib.Change, foreign bool) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for i, c := range changes {
		err := ctx.Err()
		if !foreign {
			k.writes++
			if err == nil && k.refuse != nil {
				err = k.refuse(c)
			}
		}
		switch {
		case err != nil:
		case c.Object != nil:
			err = k.applyObject(c.Op, *c.Object, foreign)
		default:
			err = k.applyEntry(c.Op, c.Entry, foreign)
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(changes))
			}
			errs[i] = fmt.Errorf("change %d: %w", i, err)
		}
	}
	return errs
}
