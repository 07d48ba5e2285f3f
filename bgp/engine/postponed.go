package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// A session that was just opened anew cannot be opened anew again without harm:
// what is still stale when its connection is lost goes (RFC 4724 §4.2), at our
// end and at the peer's. So a change waits until no connection can be taken for
// up by the peer, or both ends have sent their End-of-RIB. Who of two ends that
// change at once is first there closes the connection; the other one then has
// all, too, and no connection, and follows at once.

// postponed is a change of a session that waits.
type postponed struct {
	want  bgp.Session // the newest
	timer *time.Timer // bounds the wait from the first on
}

// postponeTime bounds how long a change waits. Tables of the size of a fabric are
// exchanged in much less; a peer that is silent for so long may never send an
// End-of-RIB, and an operator who mends a setting is not to wait longer.
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
		later := &postponed{}
		later.timer = time.AfterFunc(postponeTime, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if p.postponed == later && !e.stopped {
				e.reviseLocked(p)
			}
		})
		p.postponed = later
	}
	p.postponed.want = s
	e.adoptLocked(p, p.want.Adopt(s)) // what needs no other connection holds at once
	return nil
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
	for _, c := range p.channels {
		m, r := c.member, c.retention
		kept := r.restarts || r.longLived > 0
		if m != nil && (!m.told || kept && !c.endOfRIB) {
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
