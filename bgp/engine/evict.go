package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// A route that is gone is kept until every peer has been told. When that are
// many, nobody is to blame at once: a million routes that go together take the
// best reader a while. Who holds all of them up for evictAfter is reset.
const evictAfter = 10 * time.Second

// maxDead is how many times limits.dead nobody may hold up even for so long.
const maxDead = 16

// patience is since when no route could be freed, with too many waiting.
type patience struct {
	freed uint64 // by then; see rib.freed
	since time.Time
}

// overdue reports whether slow peers hold up more than they may.
func (r *rib) overdue(now time.Time) bool {
	all := r.routes.len()
	switch {
	case len(r.dead) <= r.limits.dead+all/2:
		r.slow = patience{}
		return false
	case len(r.dead) > maxDead*r.limits.dead+all/4*3:
		return true
	case r.slow.since.IsZero(), r.slow.freed != r.freed:
		r.slow = patience{freed: r.freed, since: now}
		return false
	}
	return now.Sub(r.slow.since) >= evictAfter
}

// evict resets the connections that hold up more than they may.
func (e *Engine) evict() {
	if !e.rib.overdue(time.Now()) {
		return
	}
	e.rib.slow = patience{}
	i := e.rib.dead[0]
	for _, p := range e.sorted() {
		c := p.channel(e.rib.routes.records.at(i).key.family)
		if c == nil || c.member == nil || c.member.group == nil {
			continue
		}
		m := c.member
		if m.group.changedSince(i, m.since()) {
			e.log.Warn("peer reset for not reading", "peer", p.endpoint().String())
			p.conn.Reset(&wire.Notification{Code: wire.Cease, Subcode: wire.OutOfResources})
			e.rib.leave(m)
		}
	}
}
