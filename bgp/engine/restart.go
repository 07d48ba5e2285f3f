package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// restarting reports whether a session that starts now is the return of one
// that our predecessor had (RFC 4724 §4.1).
func (e *Engine) restarting(f bgp.Family) bool {
	return e.settings.Restarting[f] && time.Since(e.started) < e.settings.RestartTime
}

// restartTime is how long the peer of w shall keep our routes.
func (e *Engine) restartTime(w bgp.Session) time.Duration {
	switch {
	case w.RestartTime < 0:
		return 0
	case w.RestartTime > 0:
		return w.RestartTime
	}
	return e.settings.RestartTime
}

// lostLocked keeps the paths of c for the peer's restart time, or drops them
// (RFC 4724 §4.2). Those that were stale already go in any case.
func (c *channel) lostLocked(retain bool) {
	e := c.peer.engine
	c.endOfRIB = false
	if !retain || c.restart == nil {
		e.rib.drop(c.source.id, false)
		return
	}
	e.rib.drop(c.source.id, true)
	if n := e.rib.retire(c.source.id); n > 0 {
		e.log.Info("paths kept for a restart", "peer", c.peer.endpoint().String(), "family", c.family.String(),
			"paths", n, "restart_time", c.restart.Time)
		c.expireLocked(c.restart.Time)
	}
}

// returnedLocked decides what becomes of stale paths when the peer has come
// back.
func (c *channel) returnedLocked(n session.Negotiated) {
	e := c.peer.engine
	c.stopTimer()
	c.restart = nil
	if n.GracefulRestart && n.Families.Has(c.family) && n.Capabilities.GracefulRestart.Families.Has(c.family) {
		c.restart = n.Capabilities.GracefulRestart
	}
	same := c.source.routerID == n.RouterID && c.source.want.PeerAS == n.PeerAS
	c.source.want.PeerAS = n.PeerAS
	if !same {
		e.rib.renumber(c.source, n.RouterID)
	}
	if !same || c.restart == nil || !c.restart.Forwarding.Has(c.family) {
		e.rib.drop(c.source.id, true)
	} else if c.source.stale > 0 {
		c.expireLocked(e.settings.StaleTime)
	}
	// One that restarts itself, and reflects, waits as we do; one that cannot
	// restart gracefully sends no End-of-RIB.
	c.complete = c.restart == nil || c.restart.Restarting && c.source.role != client
}

// endOfRIBLocked drops what the peer has not told again.
func (c *channel) endOfRIBLocked() {
	e := c.peer.engine
	c.endOfRIB, c.complete = true, true
	c.stopTimer()
	e.rib.drop(c.source.id, true)
	e.releaseLocked()
	signal(e.peersChanged)
}

// expireLocked drops what is stale of c after d, unless its connection comes or
// goes before.
func (c *channel) expireLocked(d time.Duration) {
	e := c.peer.engine
	c.stopTimer()
	epoch := c.epoch
	c.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.stopped || c.epoch != epoch {
			return
		}
		e.rib.drop(c.source.id, true)
		e.reapLocked()
		e.touched()
	})
}

// stopTimer stops the timer, also if it has just run out.
func (c *channel) stopTimer() {
	c.epoch++
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// deferral is the time after a restart in which peers that we reflect to are
// sent nothing, because what is best among the paths of all is not known (RFC
// 4724 §4.1), and the first one back would drop what the others had told.
type deferral struct {
	families bgp.Families // in which it lasts
	timer    *time.Timer  // bounds it; runs from the first sessions on
}

func (d *deferral) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// beginDeferralLocked lets the bounded time run once there are sessions.
func (e *Engine) beginDeferralLocked() {
	if e.deferral.families != 0 && e.deferral.timer == nil && len(e.peers)+len(e.ranges) > 0 {
		e.deferral.timer = time.AfterFunc(e.settings.Deferral, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.deferral.families = 0
			e.releaseLocked()
		})
	}
	e.releaseLocked()
}

// deferredLocked reports whether peers of f are to wait.
func (e *Engine) deferredLocked(f bgp.Family) bool {
	if !e.deferral.families.Has(f) {
		return false
	}
	for _, p := range e.peers {
		if c := p.channel(f); c != nil && p.session != nil && p.want.ClusterID.IsValid() && !c.complete {
			return true
		}
	}
	for _, r := range e.ranges { // who is still to come from there nobody knows
		if r.Carried().Has(f) && r.ClusterID.IsValid() && !r.Shutdown {
			return true
		}
	}
	return false
}

// releaseLocked lets those begin who need not wait any longer. The first time
// that nobody needs to, the deferral of the family is over.
func (e *Engine) releaseLocked() {
	for _, f := range e.deferral.families.All() {
		if len(e.peers) > 0 && !e.deferredLocked(f) {
			e.deferral.families &^= bgp.FamiliesOf(f)
		}
	}
	for _, p := range e.peers {
		for _, c := range p.channels {
			if m := c.member; m != nil && m.waiting && !e.deferral.families.Has(c.family) {
				e.rib.pack()
				m.start()
			}
		}
	}
}

// maxDead bounds the routes that are kept for slow peers only, so that they can
// still be told the end of them.
const maxDead = 1 << 18

// evict resets the connections that hold up more than that.
func (e *Engine) evict() {
	if len(e.rib.dead) <= maxDead+e.rib.routes.len()/2 {
		return
	}
	i := e.rib.dead[0]
	for _, p := range e.sorted() {
		c := p.channel(e.rib.routes.records.at(i).key.family)
		if c == nil || c.member == nil || c.member.group == nil {
			continue
		}
		m := c.member
		if int(i) < m.group.state.len() && m.group.state.at(i).changed >= m.since() {
			e.log.Warn("peer reset for not reading", "peer", p.endpoint().String())
			p.conn.Reset(&wire.Notification{Code: wire.Cease, Subcode: wire.OutOfResources})
			e.rib.leave(m)
		}
	}
}
