package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// A session that was just opened anew cannot be opened anew again without harm:
// what is still stale when its connection is lost goes (RFC 4724 §4.2), at our
// end and at the peer's. So a change waits until no connection can be taken for
// up by the peer, or both ends have told all. Their End-of-RIB says so; because
// some never send one, so does a silence when nothing is stale. Who of two
// ends that change at once is first there closes the connection; the other one
// then has all, too, and no connection, and follows at once.

// postponed is a change of a session that waits.
type postponed struct {
	want  bgp.Session // the newest
	until time.Time   // the wait is bounded from the first on
	timer *time.Timer
}

// postponeTime bounds how long a change waits, and is how long a peer is silent
// that has told all. Tables of the size of a fabric are exchanged in much less,
// and an operator who mends a setting is not to wait longer. Where nothing was
// told for so long a change does not wait at all.
const postponeTime = 5 * time.Second

// changeLocked opens the session of p, which reopens s, anew with s, or postpones
// that until it can be done.
func (e *Engine) changeLocked(p *peer, s bgp.Session) error {
	c := e.config(s)
	if c.Check() != nil || p.settled() { // what is wrong is said at once
		return e.reopenLocked(p, s)
	}
	if p.postponed == nil {
		e.log.Info("change of a session waits for End-of-RIB", "peer", p.endpoint().String(), "session", s.Name, "limit", postponeTime)
		later := &postponed{until: time.Now().Add(postponeTime)}
		later.timer = time.AfterFunc(p.patience(later.until), func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			switch left := p.patience(later.until); {
			case p.postponed != later || e.stopped:
			case left > 0 && p.reopens(later.want) && !p.settled():
				later.timer.Reset(left)
			default:
				e.reviseLocked(p)
			}
		})
		p.postponed = later
	}
	p.postponed.want = s
	e.adoptLocked(p, p.want.Adopt(s)) // what needs no other connection holds at once
	return nil
}

// silence is how long a peer that is up has told nothing.
func (p *peer) silence() time.Duration {
	return min(time.Since(p.since), time.Since(p.lastUpdate))
}

// patience is when a change of p is to be looked at again that waits until then
// at most.
func (p *peer) patience(until time.Time) time.Duration {
	left := time.Until(until)
	if rest := postponeTime - p.silence(); rest > 0 {
		left = min(left, rest)
	}
	return left
}

// forgetPostponed leaves no change to p that waits.
func (p *peer) forgetPostponed() {
	if p.postponed != nil {
		p.postponed.timer.Stop()
		p.postponed = nil
	}
}

// settled reports whether p loses nothing, at either end, when its session is
// opened anew. If it is not up it must then be.
func (p *peer) settled() bool {
	if p.conn == nil {
		return p.session.Bar()
	}
	silent := p.silence() >= postponeTime
	for _, c := range p.channels {
		m, r := c.member, c.retention
		kept := r.restarts || r.longLived > 0
		all := c.endOfRIB || silent && c.source.stale == 0
		if m != nil && (!m.told || kept && !all) {
			return false
		}
	}
	return true
}

// makePostponedLocked makes the change of p that waits, if there is one and it need
// not wait any longer.
func (e *Engine) makePostponedLocked(p *peer) {
	if p.postponed != nil && !e.stopped && (!p.reopens(p.postponed.want) || p.settled()) {
		e.reviseLocked(p)
	}
}

// reviseLocked makes the change of p that waits. One that cannot be opened anew
// meanwhile is another one: it was held for too many prefixes, or the peer came
// back without graceful restart.
func (e *Engine) reviseLocked(p *peer) {
	s := p.postponed.want
	var err error
	if p.reopens(s) {
		err = e.reopenLocked(p, s)
	} else {
		e.removeLocked(p, farewell(s, true))
		if !p.within.IsValid() {
			err = e.addLocked(e.newPeer(s))
		}
	}
	if err != nil {
		e.log.Error("opening a session anew failed", "session", s.Name, "error", err) // it was checked before
	}
	e.settleLocked(true)
}
