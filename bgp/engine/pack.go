package engine

import (
	"slices"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// pack brings the logs of all groups up to the table. A route that changed many
// times since is written once.
func (r *rib) pack() {
	if len(r.dirty) == 0 {
		r.free()
		return
	}
	for _, g := range r.groups {
		if g.several {
			g.told = g.since()
		}
	}
	for _, i := range r.dirty {
		rec := r.routes.records.at(i)
		rec.marks &^= markDirty
		k := picks{i: i}
		for _, g := range r.groups {
			if g.family == rec.key.family {
				r.update(g, &k, nil)
			}
		}
		if rec.first == 0 && rec.own == 0 && rec.marks&markDead == 0 {
			rec.marks |= markDead
			r.dead = append(r.dead, i)
		}
	}
	r.dirty = r.dirty[:0]
	for _, g := range r.groups {
		g.flush(r)
	}
	r.free()
}

// update brings what members of g hold of a route up to the table. Other says of
// a choice that it is to be told again although it is the same; nil: none is.
func (r *rib) update(g *group, k *picks, other func(choice) bool) {
	if !g.several {
		g.change(r, touched{i: k.i}, r.choose(g, k), other)
		return
	}
	g.forget(k.i)
	wanted := r.chooseAll(g, k)
	for _, s := range slices.Clone(g.more[k.i]) {
		if !slices.ContainsFunc(wanted, func(w sent) bool { return w.id == s.id }) {
			g.change(r, touched{k.i, s.id}, choice{}, nil)
		}
	}
	for _, w := range wanted {
		g.change(r, touched{k.i, w.id}, w.choice, other)
	}
}

// change takes a path of a route from what the members hold to c, whose
// reference it takes over. The giver of a path is skipped; so the one that
// becomes the giver is told to forget what it had from us, and the one that was
// it gets what the others get.
func (g *group) change(r *rib, t touched, c choice, other func(choice) bool) {
	h := g.place(t.i, t.id)
	if h.choice == c && (other == nil || c.set == 0 || !other(c)) {
		r.sets.release(c.set)
		return
	}
	k := r.routes.records.at(t.i).key
	if c.set == 0 {
		g.buckets.add(message{audience: audience{peer: h.peer}}, k, t.id)
	} else {
		g.buckets.add(message{choice: c, audience: audience{peer: c.peer}}, k, t.id)
		if h.set != 0 && c.peer != 0 && c.peer != h.peer {
			g.buckets.add(message{audience: audience{peer: c.peer, only: true}}, k, t.id)
		}
	}
	g.set(r, h, c)
	g.touched = append(g.touched, t)
}

// flush writes what change gathered to the log and wakes the members that it
// is for.
func (g *group) flush(r *rib) {
	if len(g.touched) == 0 {
		return
	}
	begin := g.log.end
	write := func(m message, buf []byte) { g.log.add(buf, m.audience) }
	g.write(r, g.log.room, write)
	for _, t := range g.touched {
		g.place(t.i, t.id).changed = g.log.end - 1
	}
	g.touched = g.touched[:0]
	for _, m := range g.members {
		if !m.passes(begin) {
			m.wakeUp()
		}
	}
	g.trim(r.limits.log)
}

// write encodes what was gathered into what room gives, and hands it to done.
// Of prefixes whose attributes cannot be sent members hold nothing: who has
// older ones is to forget them.
func (g *group) write(r *rib, room func() []byte, done func(message, []byte)) {
	for _, m := range g.buckets.write(g, r, room, done) {
		if len(r.unsent) < maxUnsent {
			r.unsent = append(r.unsent, unsent{g.id, m.keys[0].prefix(), len(m.keys), m.err})
		}
		for n, k := range m.keys {
			id := m.id(n)
			g.set(r, g.place(r.routes.find(k), id), choice{})
			g.buckets.add(message{}, k, id)
		}
	}
	g.buckets.write(g, r, room, done)
}

// message is what prefixes that go into one UPDATE have in common. Set zero is
// a withdrawal.
type message struct {
	choice
	audience audience
}

// bucket is the prefixes of one message.
type bucket struct {
	message
	keys []prefixKey
	ids  []uint32 // of the paths; none where they have no identifiers
	err  error    // why they cannot be sent
}

func (b *bucket) id(n int) uint32 {
	if len(b.ids) == 0 {
		return 0
	}
	return b.ids[n]
}

// buckets gather prefixes by message, in the order in which the first of each
// came.
type buckets struct {
	packer *wire.Packer
	list   []bucket
	find   map[message]int
	last   int
}

func (b *buckets) init(form wire.Form) {
	b.packer = wire.NewPacker(form)
	b.find = make(map[message]int)
}

func (b *buckets) add(m message, k prefixKey, id uint32) {
	if b.last >= len(b.list) || b.list[b.last].message != m {
		n, ok := b.find[m]
		if !ok {
			n = len(b.list)
			b.find[m] = n
			if n < cap(b.list) {
				b.list = b.list[:n+1]
				b.list[n].message, b.list[n].keys, b.list[n].ids = m, b.list[n].keys[:0], b.list[n].ids[:0]
			} else {
				b.list = append(b.list, bucket{message: m})
			}
		}
		b.last = n
	}
	last := &b.list[b.last]
	last.keys = append(last.keys, k)
	if id != 0 {
		last.ids = append(last.ids, id)
	}
}

// write encodes the buckets into what room gives, hands it to done in pieces of
// maxEntry at most, and empties them. Those whose attributes cannot be sent are
// returned.
func (b *buckets) write(g *group, r *rib, room func() []byte, done func(message, []byte)) (failed []bucket) {
	for n := range b.list {
		each := &b.list[n]
		if each.set != 0 {
			raw := g.attributes(r, each.choice)
			if _, err := b.packer.Announce(nil, g.family, raw); err != nil {
				failed = append(failed, bucket{each.message, slices.Clone(each.keys), slices.Clone(each.ids), err})
				continue
			}
			b.each(each, room, done, func(buf []byte) []byte {
				buf, _ = b.packer.Announce(buf, g.family, raw) // as before
				return buf
			})
			continue
		}
		b.each(each, room, done, func(buf []byte) []byte { return b.packer.Withdraw(buf, g.family) })
	}
	b.empty()
	return failed
}

// each writes the prefixes of one bucket.
func (b *buckets) each(w *bucket, room func() []byte, done func(message, []byte), begin func([]byte) []byte) {
	buf := begin(room())
	for n, k := range w.keys {
		if len(buf) > maxEntry-wire.MaxMessage {
			done(w.message, b.packer.Close(buf))
			buf = begin(room())
		}
		buf = b.packer.Add(buf, k.prefix(), w.id(n))
	}
	done(w.message, b.packer.Close(buf))
}

// empty keeps the room of what is gathered often, and not that of a storm.
func (b *buckets) empty() {
	clear(b.find)
	if len(b.list) > 1024 {
		b.list = nil
	}
	for n := range b.list {
		if cap(b.list[n].keys) > 1<<14 {
			b.list[n].keys, b.list[n].ids = nil, nil
		}
	}
	b.list, b.last = b.list[:0], 0
}
