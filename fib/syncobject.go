package fib

import (
	"context"
	"errors"
	"slices"

	"github.com/projectvrouter/vrouter/internal/reconcile"
)

type objectChange = reconcile.Change[uint32, objectValue]

// writeObjects writes the next-hop objects and groups that differ, objects
// first. A refused object is left out of its groups, so that one bad next hop
// does not take the others of its set with it.
func (t *Table) writeObjects(ctx context.Context, errs *problems) {
	// Each turn may find objects that were refused, or wanted meanwhile; what
	// a stream of news leaves over has kicked the next round.
	for range 16 {
		t.prepare()
		t.mu.Lock()
		members, groups := t.pendingObjectsLocked()
		if len(members) > 0 {
			t.requeueLocked(groups)
			groups = nil
		}
		groups = t.holdBackLocked(groups)
		t.mu.Unlock()
		if len(members)+len(groups) == 0 || ctx.Err() != nil {
			return
		}
		t.applyObjects(ctx, members, errs)
		t.applyObjects(ctx, groups, errs)
	}
}

func (t *Table) requeueLocked(changes []objectChange) {
	for _, c := range changes {
		t.objects.delta.Requeue(c.Key)
	}
}

// holdBackLocked returns the groups whose members are all in the kernel, and
// puts the others back.
func (t *Table) holdBackLocked(groups []objectChange) []objectChange {
	var ready []objectChange
	for _, c := range groups {
		if slices.ContainsFunc(unpackMembers(c.Wanted.members), func(m Member) bool {
			_, ok := t.objects.delta.Observed(m.ID)
			return !ok
		}) {
			t.objects.delta.Requeue(c.Key)
			continue
		}
		ready = append(ready, c)
	}
	return ready
}

// pendingObjectsLocked takes the objects to write; what is to be removed is
// removeObjects' business.
func (t *Table) pendingObjectsLocked() (members, groups []objectChange) {
	for _, c := range t.objects.delta.Pending(1 << 30) {
		switch {
		case !c.IsWanted:
		case c.WasObserved && (c.Observed.isGroup != c.Wanted.isGroup || c.Observed.other):
			t.objects.clash = true
		case c.Wanted.isGroup:
			groups = append(groups, c)
		default:
			members = append(members, c)
		}
	}
	return members, groups
}

func (t *Table) applyObjects(ctx context.Context, pending []objectChange, errs *problems) {
	if len(pending) == 0 {
		return
	}
	changes := make([]Change, len(pending))
	for i, c := range pending {
		changes[i] = Change{Op: Create, Object: c.Wanted.object(c.Key, t.opts.Protocols[BGP])}
		if c.WasObserved {
			changes[i].Op = Replace
		}
	}
	t.mu.Lock()
	t.making = true
	t.mu.Unlock()
	results := t.apply(ctx, changes)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.making = false
	fresh := false
	for i, c := range pending {
		err := errorAt(results, i)
		if err == nil {
			if !t.objects.delta.Applied(c) {
				t.doubtLocked()
			}
			fresh = fresh || c.Wanted.isGroup && !c.WasObserved
			continue
		}
		errs.add(err)
		if errors.Is(err, ErrExists) { // a stranger's, or ours unknown to us
			t.doubtLocked()
		}
		if !c.Wanted.isGroup {
			t.objects.refuse(c.Key, err)
		}
	}
	if fresh { // routes may have waited for a group
		for prefix := range t.failed {
			t.routes.Requeue(prefix)
		}
	}
}

// refuse notes that the kernel does not take an object; its groups do without.
func (o *objectTable) refuse(id uint32, err error) {
	o.bad[id] = err
	for key, g := range o.groups {
		for f := range g.members {
			for _, member := range g.members[f] {
				if member == id {
					o.stale[key] = struct{}{}
				}
			}
		}
	}
}

// forgive lets refused objects be tried again.
func (o *objectTable) forgive() {
	for id := range o.bad {
		o.refuse(id, nil)
		delete(o.bad, id)
		o.delta.Requeue(id)
	}
}

// unref notes that one route less names a group.
func (o *objectTable) unref(id uint32) {
	if o.refs[id]--; o.refs[id] <= 0 {
		delete(o.refs, id)
	}
	o.idle = true
}

// removeObjects removes objects of ours that nothing wants or names, groups
// first, once the sweeps of all sources are open: an id found at start may be
// what a route still to be wanted names.
func (t *Table) removeObjects(ctx context.Context, errs *problems) {
	t.mu.Lock()
	idle := t.objects.idle
	if idle {
		t.objects.dropUnused()
	}
	t.objects.idle = false // what becomes so from now on is another round's
	t.mu.Unlock()
	if !idle {
		return
	}
	for _, groups := range []bool{true, false} {
		var changes []Change
		t.mu.Lock()
		if t.allOpenLocked() {
			changes = t.removableLocked(groups)
		}
		t.mu.Unlock()
		if len(changes) == 0 {
			continue
		}
		results := t.apply(ctx, changes)
		t.mu.Lock()
		for i, c := range changes {
			if err := errorAt(results, i); err != nil {
				errs.add(err)
				continue
			}
			t.objects.delta.Unobserve(c.Object.ID)
		}
		t.mu.Unlock()
	}
}

func (t *Table) removableLocked(groups bool) []Change {
	held := make(map[uint32]struct{})
	for id := range t.objects.delta.All() {
		if v, ok := t.objects.delta.Observed(id); ok && v.isGroup {
			for _, m := range unpackMembers(v.members) {
				held[m.ID] = struct{}{}
			}
		}
	}
	var changes []Change
	for id := range t.objects.delta.All() {
		v, observed := t.objects.delta.Observed(id)
		_, wanted := t.objects.delta.Wanted(id)
		_, inGroup := held[id]
		if !observed || wanted || v.isGroup != groups || inGroup || t.objects.refs[id] > 0 || t.outside.names(id) {
			continue
		}
		changes = append(changes, Change{Op: Delete, Object: &Object{ID: id, IsGroup: groups, Protocol: t.opts.Protocols[BGP]}})
	}
	return changes
}

func (t *Table) allOpenLocked() bool {
	for _, families := range t.open {
		for _, open := range families {
			if !open {
				return false
			}
		}
	}
	return true
}
