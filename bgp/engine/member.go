package engine

import (
	"net"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// member is a connection in a group: its place in the log, or its walk.
type member struct {
	peer   peerID
	group  *group
	cursor uint64 // the next entry of the log; during a walk, where what it holds ends
	walk   *walk
	// pending is to be told before all else; see move.
	pending []unit
	// waiting says that it gets nothing yet (RFC 4724 §4.1).
	waiting bool
	idle    bool
	told    bool // the End-of-RIB was written
	// wake is signalled when there is something to send again. The members of
	// a connection share it.
	wake chan struct{}
}

// walk is a passage through the table.
type walk struct {
	next  routeID
	until uint64 // entry of the log from which on the log tells the rest
	// all: tell all, not only what changed since the cursor.
	all      bool
	endOfRIB bool // at its end
	enhanced bool // between BoRR and EoRR (RFC 7313)
	begun    bool
	passes   int // that have ended while the log moved on
}

// first reports whether the peer holds nothing but what w told it.
func (w *walk) first() bool { return w.endOfRIB && w.passes == 0 }

func newMember(p peerID, wake chan struct{}) *member {
	return &member{peer: p, wake: wake}
}

// reads is the entry of the log that m will need first.
func (m *member) reads() uint64 {
	switch {
	case m.walk != nil:
		return m.walk.until
	case m.waiting:
		return m.group.log.end
	}
	return m.cursor
}

// since is the entry from which on changes may not be known to m.
func (m *member) since() uint64 {
	if m.waiting {
		return m.group.log.end
	}
	return m.cursor
}

func (m *member) wakeUp() {
	if !m.idle {
		return
	}
	m.idle = false
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// passes goes over what was logged from begin on if none of it is for m, who
// has read all before: then it need not wake for it.
func (m *member) passes(begin uint64) bool {
	switch {
	case m.waiting:
		return true
	case !m.idle, m.walk != nil, m.cursor != begin:
		return false
	}
	l := &m.group.log
	for n := begin; n < l.end; n++ {
		if l.at(n).audience.has(m.peer) {
			return false
		}
	}
	m.cursor = l.end
	return true
}

// start lets m begin with all that there is, and an End-of-RIB behind it.
func (m *member) start() {
	m.waiting = false
	m.cursor = m.group.log.end
	m.walk = &walk{next: 1, until: m.cursor, all: true, endOfRIB: true}
	m.wakeUp()
}

// refresh lets m have everything again (RFC 2918). One that has not ended yet
// begins anew.
func (m *member) refresh(enhanced bool) {
	if m.group == nil || m.waiting {
		return
	}
	w := &walk{next: 1, until: m.group.log.end, all: true, enhanced: enhanced}
	if old := m.walk; old != nil {
		w.endOfRIB, w.begun, w.passes = old.endOfRIB, old.begun, max(old.passes, 1)
		w.enhanced = enhanced && !old.endOfRIB
	}
	m.walk = w
	m.wakeUp()
}

// batch is what is to be written at once.
type batch struct {
	bufs      net.Buffers
	messages  int
	refreshes int // of these
	octets    int
	endOfRIB  bool
	chunk     []byte // that messages of a walk are being written into
}

// room is a slice to append messages to.
func (b *batch) room() []byte {
	if cap(b.chunk)-len(b.chunk) < wire.MaxMessage {
		size := maxEntry
		if b.chunk == nil { // many walks have little to tell
			size = 2 * wire.MaxMessage
		}
		b.chunk = make([]byte, 0, size)
	}
	return b.chunk[len(b.chunk):]
}

// write adds what was appended to room.
func (b *batch) write(buf []byte) {
	if len(buf) == 0 {
		return
	}
	if n := len(b.chunk) + len(buf); n <= cap(b.chunk) {
		b.chunk = b.chunk[:n] // else it grew out of the chunk
	}
	b.add(buf, countMessages(buf))
}

func (b *batch) add(buf []byte, messages int) {
	b.octets += len(buf)
	b.messages += messages
	if n := len(b.bufs); n > 0 {
		// Entries that lie behind one another in memory go as one.
		if last := b.bufs[n-1]; len(last)+len(buf) <= cap(last) && &last[:len(last)+1][len(last)] == &buf[0] {
			b.bufs[n-1] = last[:len(last)+len(buf)]
			return
		}
	}
	b.bufs = append(b.bufs, buf)
}

// refresh adds one end of the answer to a ROUTE-REFRESH (RFC 7313 §4).
func (b *batch) refresh(f bgp.Family, kind wire.RefreshKind) {
	b.add(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Kind: kind}), 1)
	b.refreshes++
}

// take adds to b what m is to be sent next, and reports whether b has room for
// more that there is. With b empty and no more, m will be woken. It does no more
// at once than others can wait for.
func (m *member) take(r *rib, b *batch) (more bool) {
	if m.group == nil || m.waiting {
		m.idle = b.octets == 0
		return false
	}
	switch {
	case len(m.pending) > 0:
		m.tellPending(r, b)
		return b.octets < r.limits.batch
	case m.walk == nil && m.cursor < m.group.log.base:
		m.walk = &walk{next: 1, until: m.group.log.end}
	}
	if m.walk != nil && !m.walkOn(r, b) {
		return b.octets < r.limits.batch
	}
	l := &m.group.log
	if m.cursor < l.base { // there was no end to the passages
		return b.octets < r.limits.batch
	}
	for ; m.cursor < l.end && b.octets < r.limits.batch; m.cursor++ {
		if e := l.at(m.cursor); e.audience.has(m.peer) {
			b.add(e.buf, e.messages)
		}
	}
	m.idle = b.octets == 0
	return false
}

// maxPasses is how often a walk goes through the table before it has to end,
// whatever has changed meanwhile.
const maxPasses = 4

// walkOn goes a step on with the walk and reports whether it has ended.
func (m *member) walkOn(r *rib, b *batch) bool {
	w, g := m.walk, m.group
	if !w.begun {
		w.begun = true
		r.sources[m.peer].walks++
		g.walks++
		if w.enhanced {
			b.refresh(g.family, wire.RefreshBegin)
		}
	}
	if w.next == 1 && w.until < g.log.base { // the log has moved on, and nothing is told yet
		w.until = g.log.end
		if w.first() {
			m.cursor = w.until
		}
	}
	m.step(r, b)
	if int(w.next) < g.end(r) {
		return false
	}
	m.cursor = w.until
	if w.until < g.log.base && w.passes < maxPasses {
		// It took so long that the log has moved on. Another passage tells what
		// changed since this one began, and no more.
		w.next, w.until, w.all = 1, g.log.end, false
		w.passes++
		return false
	}
	if w.endOfRIB {
		b.add(wire.AppendEndOfRIB(nil, g.family), 1)
		b.endOfRIB = true
	}
	if w.enhanced {
		b.refresh(g.family, wire.RefreshEnd)
	}
	m.walk = nil
	return true
}

// step looks at the next routes of a walk.
func (m *member) step(r *rib, b *batch) {
	w, g := m.walk, m.group
	end := routeID(max(int(w.next), min(int(w.next)+r.limits.step, g.end(r))))
	for i := w.next; i < end; i++ {
		if !g.several {
			h := g.state.at(i)
			m.look(r, i, 0, &h)
			continue
		}
		list := g.more[i]
		for n := range list {
			m.look(r, i, list[n].id, &list[n].held)
		}
	}
	w.next = end
	m.write(r, b)
}

// look decides what a walk tells of a path of route i.
func (m *member) look(r *rib, i routeID, id uint32, h *held) {
	w, g := m.walk, m.group
	gets := h.set != 0 && h.peer != m.peer
	changed := h.changed >= m.cursor
	switch {
	case h.changed >= w.until && w.until >= g.log.base && (gets || m.cursor == w.until):
		// The log will tell. Of what m does not get it may not: that m is
		// the giver now, or was, is no news to one who knew what was before.
	case gets && (w.all || changed):
		g.buckets.add(message{choice: h.choice}, r.routes.records.at(i).key, id)
	case !gets && changed:
		g.buckets.add(message{}, r.routes.records.at(i).key, id)
	}
}

// write puts what was gathered into b.
func (m *member) write(r *rib, b *batch) {
	m.group.write(r, b.room, func(_ message, buf []byte) { b.write(buf) })
}
