package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/projectvrouter/vrouter/internal/reconcile"
)

// batch is how many routes one Apply is given: enough that its cost per call
// does not show, few enough that news is heard in between.
const batch = 8192

// Run keeps the kernel equal to what is wanted until ctx is done. It leaves
// everything in place. It is called once.
func (t *Table) Run(ctx context.Context) error {
	watching := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { t.watch(ctx, watching) })
	defer watch.Wait()
	select {
	case <-watching:
	case <-ctx.Done():
		return nil
	}
	return t.loop.Run(ctx)
}

// Sync makes the kernel equal to what is wanted, as far as that can be; with
// full, and the first time, it reads everything back before. It returns what
// the kernel refused; a missing interface, an unresolved group and a slot held
// by a stranger are not errors.
func (t *Table) Sync(ctx context.Context, full bool) error {
	t.syncing.Lock()
	defer t.syncing.Unlock()
	t.mu.Lock()
	full = full || t.doubt || !t.known
	t.mu.Unlock()
	if full {
		if err := t.readBack(ctx); err != nil {
			return fmt.Errorf("read kernel routes: %w", err)
		}
	}
	var errs problems
	t.writeObjects(ctx, &errs)
	t.writeRoutes(ctx, &errs)
	t.removeStrays(ctx, &errs)
	t.removeObjects(ctx, &errs)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
	return errs.err()
}

// prepare draws the conclusions of what events told.
func (t *Table) prepare() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.objects.lost) > 0 {
		for prefix := range t.routes.All() {
			v, ok := t.routes.Observed(prefix)
			if !ok {
				continue
			}
			if _, gone := t.objects.lost[v.Value().object]; gone {
				t.routes.Unobserve(prefix)
				t.markLocked(prefix)
			}
		}
		clear(t.objects.lost)
	}
	t.chooseGroups(t.objects.refresh(&t.outside))
}

// writeRoutes writes the routes that differ.
func (t *Table) writeRoutes(ctx context.Context, errs *problems) {
	var changes []Change
	for ctx.Err() == nil {
		t.mu.Lock()
		pending := t.routes.Pending(batch)
		if len(pending) == 0 {
			t.mu.Unlock()
			return
		}
		changes = changes[:0]
		todo := pending[:0]
		for _, c := range pending {
			if change, ok := t.changeLocked(c); ok {
				changes, todo = append(changes, change), append(todo, c)
				if e := change.Entry; len(e.Hops) > 0 || e.Src.IsValid() {
					t.writing[c.Key] = e
				}
			}
		}
		t.mu.Unlock()
		results := t.apply(ctx, changes)
		t.mu.Lock()
		clear(t.writing)
		for i, c := range todo {
			t.appliedLocked(c, errorAt(results, i), errs)
		}
		t.mu.Unlock()
	}
}

// changeLocked says what to write for c, if anything can be written now.
func (t *Table) changeLocked(c reconcile.Change[netip.Prefix, value]) (Change, bool) {
	if !c.IsWanted {
		source, _ := t.sourceOf(c.Observed.Value().protocol)
		if !t.open[source][FamilyOf(c.Key.Addr())] {
			return Change{}, false
		}
		e := t.entry(c.Key, c.Observed)
		e.Hops, e.Object = nil, 0
		return Change{Op: Delete, Entry: e}, true
	}
	if holder, ok := t.outside.holder(c.Key, t.opts.Metric); ok {
		t.problems[c.Key] = fmt.Errorf("protocol %d holds metric %d: %w", holder.Protocol, holder.Metric, ErrStranger)
		t.markLocked(c.Key)
		return Change{}, false
	}
	if id := c.Wanted.Value().object; id != 0 {
		if _, ok := t.objects.delta.Observed(id); !ok {
			t.problems[c.Key] = fmt.Errorf("next-hop group %d is not programmed: %w", id, ErrUnresolved)
			t.failed[c.Key] = struct{}{}
			t.markLocked(c.Key)
			return Change{}, false
		}
	}
	// Only what we saw to be ours may be replaced; an empty slot is taken in
	// a way that fails when a stranger is quicker.
	op := Create
	if c.WasObserved {
		op = Replace
	}
	return Change{Op: op, Entry: t.entry(c.Key, c.Wanted)}, true
}

func (t *Table) appliedLocked(c reconcile.Change[netip.Prefix, value], err error, errs *problems) {
	t.markLocked(c.Key)
	if err != nil {
		t.problems[c.Key] = err
		t.failed[c.Key] = struct{}{}
		errs.add(err)
		return
	}
	if _, ok := t.problems[c.Key]; ok {
		t.choose(c.Key) // what is wrong with a stronger source, if anything, stays
	}
	if !t.routes.Applied(c) {
		t.doubtLocked()
	}
}

// removeStrays removes routes with our mark that lie outside our slots: of a
// run with another metric, or put there by somebody with our protocol number.
func (t *Table) removeStrays(ctx context.Context, errs *problems) {
	var changes []Change
	t.mu.Lock()
	for _, e := range t.strays {
		source, _ := t.sourceOf(e.Protocol)
		if t.open[source][FamilyOf(e.Prefix.Addr())] {
			changes = append(changes, Change{Op: Delete, Entry: e})
		}
	}
	t.mu.Unlock()
	if len(changes) == 0 {
		return
	}
	results := t.apply(ctx, changes)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, c := range changes {
		if err := errorAt(results, i); err != nil {
			errs.add(err)
			continue
		}
		if delete(t.strays, strayKeyOf(c.Entry)); c.Entry.Object != 0 {
			t.objects.unref(c.Entry.Object)
		}
	}
}

// entry is our route to prefix as it stands in the kernel.
func (t *Table) entry(prefix netip.Prefix, v value) Entry {
	e := v.Value()
	return Entry{
		Prefix: prefix, Table: t.opts.Table, Metric: t.opts.Metric, Protocol: e.protocol,
		Kind: e.kind, Object: e.object, Hops: unpackHops(e.hops), Src: e.src,
	}
}

// doubtLocked asks for a read-back.
func (t *Table) doubtLocked() {
	t.doubt = true
	t.loop.KickFull()
}

// countObserved keeps the counts of what is observed and notes the prefixes
// for Drain; see Delta.Moved.
func (t *Table) countObserved(prefix netip.Prefix, old value, was bool, now value, is bool) {
	if was && is && old == now {
		return
	}
	t.markLocked(prefix)
	if was {
		t.count(old.Value(), -1)
	}
	if is {
		t.count(now.Value(), +1)
	}
}

func (t *Table) count(v entryValue, delta int) {
	if v.object != 0 {
		if t.objects.refs[v.object] += delta; t.objects.refs[v.object] == 0 {
			delete(t.objects.refs, v.object)
			t.objects.idle = true
		}
	}
	for _, hop := range unpackHops(v.hops) {
		if t.viaIndex[hop.Index] += delta; t.viaIndex[hop.Index] == 0 {
			delete(t.viaIndex, hop.Index)
		}
	}
	if v.src.IsValid() {
		if t.withSrc[v.src] += delta; t.withSrc[v.src] == 0 {
			delete(t.withSrc, v.src)
		}
	}
}

// problems collects errors of one Sync: the first few, and how many more.
type problems struct {
	first []error
	more  int
}

func (p *problems) add(err error) {
	if len(p.first) < 10 {
		p.first = append(p.first, err)
		return
	}
	p.more++
}

func (p *problems) err() error {
	if p.more > 0 {
		p.first = append(p.first, fmt.Errorf("and %d more", p.more))
	}
	return errors.Join(p.first...)
}

func errorAt(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}
