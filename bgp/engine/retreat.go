package engine

import (
	"bytes"
	"slices"
)

// retreat is what becomes of living sessions whose policy or role changes.
type retreat struct {
	members map[*member]treatment // that they are to have
	roles   map[*source]role      // that are others
	judged  []*source             // whose paths are to be judged again
}

func newRetreat() retreat {
	return retreat{members: make(map[*member]treatment), roles: make(map[*source]role)}
}

func (t retreat) empty() bool { return len(t.members)+len(t.roles)+len(t.judged) == 0 }

// retreat gives members other treatments, and sources other roles, and judges
// their paths again. Each member is sent what it has not, or has otherwise, and
// is told to forget what it is not to have; nothing else is sent, not even for a
// moment.
func (r *rib) retreat(to retreat) {
	r.pack()
	r.sets.forgetChanges()
	// Where all members of a group are treated alike again it stays, and they
	// share what is sent; else members move, each by itself.
	whole := r.whole(to.members)
	before := make(map[*group]*group)
	for _, g := range r.groups {
		if _, stays := whole[g]; !stays && slices.ContainsFunc(g.members, to.moves) {
			before[g] = r.freeze(g)
		}
	}
	for s, role := range to.roles {
		s.role = role
		r.markSource(s)
	}
	for _, s := range to.judged {
		r.judgeSource(s)
	}
	for _, g := range r.groups {
		if t, ok := whole[g]; ok {
			r.retarget(g, t)
		}
	}
	// Groups to which members come know all that is new before anybody moves.
	// What those who move are to have no more from their old ones is not read.
	r.pack()
	for _, g := range slices.Clone(r.groups) {
		frozen := before[g]
		if frozen == nil {
			continue
		}
		for _, m := range slices.Clone(g.members) {
			if to.moves(m) {
				r.move(m, frozen, to.members[m])
			}
		}
		frozen.releaseAll(r)
	}
	r.forgetExports()
}

// moves reports whether m is to have another treatment than that of its group.
func (t retreat) moves(m *member) bool {
	wanted, ok := t.members[m]
	return ok && wanted != m.group.treatment
}

// whole is the groups of which all members get the same treatment, one that no
// other group has or gets.
func (r *rib) whole(wanted map[*member]treatment) map[*group]treatment {
	taken := make(map[treatment]bool)
	for _, g := range r.groups {
		taken[g.treatment] = true
	}
	list := make(map[*group]treatment)
	for _, g := range r.groups {
		if len(g.members) == 0 {
			continue
		}
		t := wanted[g.members[0]]
		alike := !slices.ContainsFunc(g.members, func(m *member) bool { u, ok := wanted[m]; return !ok || u != t })
		if alike && !taken[t] {
			list[g], taken[t] = t, true
		}
	}
	return list
}

// freeze is g as it is now, without members.
func (r *rib) freeze(g *group) *group {
	frozen := newGroup(g.treatment)
	for i := range routeID(r.routes.records.len()) {
		g.each(i, func(id uint32, h held) {
			if h != (held{}) {
				*frozen.place(i, id) = h
				r.sets.retain(h.set)
			}
		})
	}
	return frozen
}

// retarget gives all members of g another treatment, through its log.
func (r *rib) retarget(g *group, t treatment) {
	before := &group{treatment: g.treatment}
	g.treatment = t
	g.prepare()
	other := r.differently(before, g)
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).key.family == g.family {
			r.update(g, &picks{i: i}, other)
		}
	}
	g.flush(r)
}

// differently says of a choice whether a and b have other attributes for it.
func (r *rib) differently(a, b *group) func(choice) bool {
	if a.hopMode() == b.hopMode() && a.cluster == b.cluster {
		return nil
	}
	known := make(map[choice]bool)
	return func(c choice) bool {
		differ, ok := known[c]
		if !ok {
			differ = !bytes.Equal(a.attributes(r, c), b.attributes(r, c))
			known[c] = differ
		}
		return differ
	}
}

// move makes m, whose group was as from is, a member of the group of t, and
// notes what it is to be told for that.
func (r *rib) move(m *member, from *group, t treatment) {
	walk := m.walk
	to := r.groupOf(t)
	var pending []unit
	if !m.waiting {
		pending = r.difference(m, from, to)
	}
	r.leave(m)
	m.group, m.cursor = to, to.log.end
	m.pending = append(m.pending, pending...)
	to.members = append(to.members, m)
	if walk != nil { // it tells all again
		again := *walk
		again.next, again.until, again.all, again.passes = 1, to.log.end, true, max(walk.passes, 1)
		m.walk = &again
	}
	m.wakeUp()
}

// unit is a path that a member is to be told of, whatever it holds.
type unit struct {
	key prefixKey
	id  uint32
}

// difference is what m, whose group was as from is, is to be told to have what the group
// to has. While it walks it is to be told only what it has to forget.
func (r *rib) difference(m *member, from, to *group) []unit {
	other := r.differently(from, to)
	same := func(a, b choice) bool { return a == b && (other == nil || !other(a)) }
	var list []unit
	for i := range routeID(r.routes.records.len()) {
		k := r.routes.records.at(i).key
		if k.family != from.family {
			continue
		}
		from.each(i, func(id uint32, old held) {
			has, known := m.holds(i, old)
			now := to.holds(i, id)
			gets := now.set != 0 && now.peer != m.peer
			settled := known && (has == gets) && (!has || same(old.choice, now.choice))
			if m.walk != nil {
				settled = gets || known && !has
			}
			if !settled {
				list = append(list, unit{k, id})
			}
		})
		if m.walk != nil {
			continue
		}
		to.each(i, func(id uint32, now held) {
			if !from.knows(i, id) && now.set != 0 && now.peer != m.peer {
				list = append(list, unit{k, id})
			}
		})
	}
	return list
}

// holds reports whether m holds h of route i, and whether that is known: it is
// not of what changed behind its place in the log.
func (m *member) holds(i routeID, h held) (has, known bool) {
	at := m.cursor
	if w := m.walk; w != nil {
		if i < w.next {
			at = w.until
		} else if w.first() {
			return false, true
		}
	}
	return h.set != 0 && h.peer != m.peer, h.changed < at
}

// tellPending tells some of what a move left to be told, as it is now.
func (m *member) tellPending(r *rib, b *batch) {
	g := m.group
	n := min(len(m.pending), r.limits.step)
	for _, u := range m.pending[:n] {
		var h held
		if i := r.routes.find(u.key); i != 0 {
			h = g.holds(i, u.id)
		}
		if h.set != 0 && h.peer != m.peer {
			g.buckets.add(message{choice: h.choice}, u.key, u.id)
		} else {
			g.buckets.add(message{}, u.key, u.id)
		}
	}
	if m.pending = m.pending[n:]; len(m.pending) == 0 {
		m.pending = nil
	}
	m.write(r, b)
}
