package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// restarting reports whether a session that starts now is the return of one
// that our predecessor had (RFC 4724 §4.1).
func (e *Engine) restarting(w bgp.Session, f bgp.Family) bool {
	return e.settings.Restarting[f] && time.Since(e.started) < e.restartTime(w)+w.LongLived
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
			if m := c.member; m != nil && m.waiting && (!e.deferral.families.Has(c.family) || !m.group.reflects()) {
				e.rib.pack()
				m.start()
			}
		}
	}
}
