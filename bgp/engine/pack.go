package engine

import "github.com/projectvrouter/vrouter/bgp/wire"

// pack brings the logs of all groups up to the table. A route that changed many
// times since is written once.
func (r *rib) pack() {
	if len(r.dirty) == 0 {
		r.free()
		return
	}
	for _, i := range r.dirty {
		rec := r.routes.records.at(i)
		rec.marks &^= markDirty
		var first pathID
		asked := false
		for _, g := range r.groups {
			if g.family != rec.key.family {
				continue
			}
			if g.reflects() && !asked {
				first, asked = r.first(i, false), true
			}
			g.change(r, i, r.choose(g, i, first))
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

// change takes a route from what the members hold to c. The giver of a path is
// skipped; so the one that becomes the giver is told to forget what it had from
// us, and the one that was it gets what the others get.
func (g *group) change(r *rib, i routeID, c choice) {
	h := g.at(i)
	if h.choice == c {
		return
	}
	k := r.routes.records.at(i).key
	if c.set == 0 {
		g.buckets.add(message{audience: audience{peer: h.peer}}, k)
	} else {
		g.buckets.add(message{choice: c, audience: audience{peer: c.peer}}, k)
		if h.set != 0 && c.peer != 0 && c.peer != h.peer {
			g.buckets.add(message{audience: audience{peer: c.peer, only: true}}, k)
		}
	}
	g.set(r, h, c)
	g.touched = append(g.touched, i)
}

// flush writes what change gathered to the log and wakes the members.
func (g *group) flush(r *rib) {
	if len(g.touched) == 0 {
		return
	}
	write := func(m message, buf []byte) { g.log.add(buf, m.audience) }
	for _, m := range g.buckets.write(g, r, g.log.room, write) {
		// Attributes that cannot be sent: who holds older ones is to forget them.
		for _, k := range m.keys {
			i := r.routes.find(k)
			g.set(r, g.at(i), choice{})
			g.buckets.add(message{}, k)
		}
	}
	g.buckets.write(g, r, g.log.room, write)
	for _, i := range g.touched {
		g.state.at(i).changed = g.log.end - 1
	}
	g.touched = g.touched[:0]
	g.trim(r.limits.log)
	for _, m := range g.members {
		m.wakeUp()
	}
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

func (b *buckets) add(m message, k prefixKey) {
	if b.last >= len(b.list) || b.list[b.last].message != m {
		n, ok := b.find[m]
		if !ok {
			n = len(b.list)
			b.find[m] = n
			if n < cap(b.list) {
				b.list = b.list[:n+1]
				b.list[n].message, b.list[n].keys = m, b.list[n].keys[:0]
			} else {
				b.list = append(b.list, bucket{message: m})
			}
		}
		b.last = n
	}
	b.list[b.last].keys = append(b.list[b.last].keys, k)
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
				failed = append(failed, bucket{each.message, append([]prefixKey(nil), each.keys...)})
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
	for _, k := range w.keys {
		if len(buf) > maxEntry-wire.MaxMessage {
			done(w.message, b.packer.Close(buf))
			buf = begin(room())
		}
		buf = b.packer.Add(buf, k.prefix(), 0)
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
			b.list[n].keys = nil
		}
	}
	b.list, b.last = b.list[:0], 0
}
