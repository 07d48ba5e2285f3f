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

// lostLocked keeps the paths of p for its restart time, or drops them (RFC 4724
// §4.2). Those that were stale already go in any case.
func (e *Engine) lostLocked(p *peer, retain bool) {
	p.endOfRIB = 0
	restart := p.restart
	if !retain || restart == nil || !restart.Families.Has(p.family()) {
		e.rib.drop(p.source.id, false)
		return
	}
	e.rib.drop(p.source.id, true)
	if n := e.rib.retire(p.source.id); n > 0 {
		e.log.Info("paths kept for a restart", "peer", p.endpoint().String(), "paths", n, "restart_time", restart.Time)
		e.expireLocked(p, restart.Time)
	}
}

// returnedLocked decides what becomes of stale paths when p has come back.
func (e *Engine) returnedLocked(p *peer, n session.Negotiated) {
	p.epoch++
	p.stopTimer()
	p.restart, p.enhanced = nil, n.EnhancedRefresh
	if n.GracefulRestart {
		p.restart = n.Capabilities.GracefulRestart
	}
	same := p.source.routerID == n.RouterID
	if !same {
		e.rib.renumber(p.source, n.RouterID)
	}
	if !same || p.restart == nil || !p.restart.Forwarding.Has(p.family()) {
		e.rib.drop(p.source.id, true)
	} else {
		e.expireLocked(p, e.settings.StaleTime)
	}
	// One that restarts itself, and reflects, waits as we do; one that cannot
	// restart gracefully sends no End-of-RIB.
	p.complete = p.restart == nil || p.restart.Restarting && p.source.role != client
}

// endOfRIBLocked drops what the peer has not told again.
func (p *peer) endOfRIBLocked() {
	p.endOfRIB, p.complete = p.endOfRIB.With(p.family()), true
	p.stopTimer()
	p.engine.rib.drop(p.source.id, true)
	p.engine.releaseLocked()
	signal(p.engine.peersChanged)
}

// expireLocked drops what is stale of p after d, unless its connection comes or
// goes before.
func (e *Engine) expireLocked(p *peer, d time.Duration) {
	epoch := p.epoch
	p.stopTimer()
	p.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.removed || e.stopped || p.epoch != epoch || p.endOfRIB != 0 {
			return
		}
		e.rib.drop(p.source.id, true)
		e.touched()
	})
}

func (p *peer) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
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
	if e.deferral.families != 0 && e.deferral.timer == nil && len(e.peers) > 0 {
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
		if p.family() == f && p.source.want.ClusterID.IsValid() && !p.complete {
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
		if m := p.member; m != nil && m.waiting && !e.deferral.families.Has(p.family()) {
			e.rib.pack()
			m.start()
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
		m := p.member
		if m == nil || m.group == nil || m.group.family != e.rib.routes.records.at(i).key.family {
			continue
		}
		if int(i) < m.group.state.len() && m.group.state.at(i).changed >= m.since() {
			e.log.Warn("peer reset for not reading", "peer", p.endpoint().String())
			p.conn.Reset(&wire.Notification{Code: wire.Cease, Subcode: wire.OutOfResources})
			e.rib.leave(m)
		}
	}
}
