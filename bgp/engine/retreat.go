package engine

import (
	"bytes"
	"slices"
)

// retreat gives members other treatments. Each is sent what it has not, or has
// otherwise, and is told to forget what it is not to have; nothing else is sent.
func (r *rib) retreat(wanted map[*member]treatment) {
	r.pack()
	r.sets.forgetChanges()
	// Where all members of a group are treated alike again it stays, and they
	// share what is sent; else members move, each by itself.
	for _, g := range slices.Clone(r.groups) {
		if len(g.members) == 0 {
			continue
		}
		t := wanted[g.members[0]]
		alike := !slices.ContainsFunc(g.members, func(m *member) bool { u, ok := wanted[m]; return !ok || u != t })
		if alike && t != g.treatment && !slices.ContainsFunc(r.groups, func(o *group) bool { return o.treatment == t }) {
			r.retarget(g, t)
			continue
		}
		for _, m := range slices.Clone(g.members) {
			if t, ok := wanted[m]; ok && t != g.treatment {
				r.move(m, t)
			}
		}
	}
	r.forgetExports()
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
	if a.hopMode() == b.hopMode() {
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

// move makes m a member of the group of t, and notes what it is to be told for
// that.
func (r *rib) move(m *member, t treatment) {
	from, walk := m.group, m.walk
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

// difference is what m, of the group from, is to be told to have what the group
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
