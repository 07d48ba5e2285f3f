package engine

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// retention is for how long the paths of a family are kept without a session,
// as the last connection agreed on.
type retention struct {
	restarts   bool          // graceful restart is for the family (RFC 4724)
	restart    time.Duration // may be none
	longLived  time.Duration // after that (RFC 9494); zero: not at all
	restarting bool          // the peer restarts itself, or did
	forwarding bool          // the peer has kept its forwarding state
	// longForwarding is forwarding for what is long-lived.
	longForwarding bool
}

// retentionOf is what n says for family f of the session w.
func retentionOf(w bgp.Session, f bgp.Family, n session.Negotiated) (r retention) {
	if !n.GracefulRestart || !n.Families.Has(f) {
		return r
	}
	gr := n.Capabilities.GracefulRestart
	if r.restarting = gr.Restarting; gr.Families.Has(f) {
		r.restarts, r.restart, r.forwarding = true, gr.Time, gr.Forwarding.Has(f)
	}
	for _, l := range n.Capabilities.LongLived {
		if n.LongLived && l.Family == f {
			r.longLived, r.longForwarding = min(w.LongLived, l.Time), l.Forwarding
		}
	}
	return r
}

// lostLocked keeps the paths of c for a restart, and longer, or drops them. Of
// those that were stale already only long-lived ones may stay (RFC 4724 §4.2,
// RFC 9494 §4.2).
func (c *channel) lostLocked(retain bool) {
	e, r := c.peer.engine, c.retention
	c.endOfRIB, c.reopened = false, false
	if !retain || !r.restarts && r.longLived == 0 {
		c.until = time.Time{}
		e.rib.drop(c.source.id, false)
		return
	}
	if r.longLived == 0 {
		e.rib.drop(c.source.id, true)
	}
	n := e.rib.retire(c.source.id)
	if n == 0 {
		return
	}
	e.log.Info("paths kept for a restart", "peer", c.peer.endpoint().String(), "family", c.family.String(),
		"paths", n, "restart_time", r.restart, "long_lived", r.longLived)
	if r.longLived == 0 {
		c.afterLocked(r.restart, c.expireLocked)
		return
	}
	wait := r.restart
	if !c.until.IsZero() { // it runs on until the peer has told all (RFC 9494 §4.2)
		wait = min(wait, time.Until(c.until))
	}
	if wait <= 0 {
		c.outliveLocked()
		return
	}
	c.afterLocked(wait, c.outliveLocked)
}

// outliveLocked makes what is stale of c long-lived, until its time has come,
// too.
func (c *channel) outliveLocked() {
	e := c.peer.engine
	if c.until.IsZero() {
		c.until = time.Now().Add(c.retention.longLived)
	}
	n := e.rib.outlive(c.source.id)
	e.log.Info("paths kept as long-lived stale ones", "peer", c.peer.endpoint().String(), "family", c.family.String(),
		"paths", n, "until", c.until)
	c.afterLocked(time.Until(c.until), c.expireLocked)
	e.reapLocked()
	e.touched()
}

// returnedLocked decides what becomes of stale paths when the peer has come
// back: they stay while it may still tell them again, if it has forwarded to
// them meanwhile.
func (c *channel) returnedLocked(n session.Negotiated) {
	e := c.peer.engine
	c.stopTimer()
	c.retention = retentionOf(c.source.want, c.family, n)
	same := c.source.routerID == n.RouterID && c.source.want.PeerAS == n.PeerAS
	c.source.want.PeerAS = n.PeerAS
	if !same {
		e.rib.renumber(c.source, n.RouterID)
	}
	kept := c.retention.forwarding
	if c.reopened && c.retention.restarts && !c.retention.restarting {
		kept = true // it is we who went: many set the flag only if they restart
	}
	if !c.until.IsZero() {
		kept = c.retention.longForwarding
	}
	c.reopened = false
	switch {
	case !same || !kept:
		c.until = time.Time{}
		e.rib.drop(c.source.id, true)
	case c.source.stale > 0:
		wait := e.settings.StaleTime
		if !c.until.IsZero() {
			wait = min(wait, time.Until(c.until))
		}
		c.afterLocked(wait, c.expireLocked)
	}
	c.complete = c.retention.complete(c.source.role)
}

// complete reports whether there is no End-of-RIB of a peer in role to be waited
// for: one that restarts itself, and reflects, waits as we do; one that cannot
// restart gracefully sends none.
func (r retention) complete(role role) bool {
	return !r.restarts || r.restarting && role != client
}

// endOfRIBLocked drops what the peer has not told again.
func (c *channel) endOfRIBLocked() {
	e := c.peer.engine
	c.endOfRIB, c.complete = true, true
	c.stopTimer()
	c.expireLocked()
	e.releaseLocked()
	signal(e.peersChanged)
}

// expireLocked drops what is stale of c.
func (c *channel) expireLocked() {
	e := c.peer.engine
	c.until = time.Time{}
	e.rib.drop(c.source.id, true)
	e.reapLocked()
	e.touched()
}

// afterLocked calls f after d, unless the connection of c comes or goes before.
func (c *channel) afterLocked(d time.Duration, f func()) {
	e := c.peer.engine
	c.stopTimer()
	epoch := c.epoch
	c.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.stopped && c.epoch == epoch {
			f()
		}
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

// outlive makes the stale paths of a peer long-lived ones, and is how many they
// are: LLGR_STALE comes to their communities, and those with NO_LLGR go (RFC
// 9494 §4.2).
func (r *rib) outlive(peer peerID) int {
	s := r.sources[peer]
	marked := make(map[setID]setID) // with a reference to each
	for _, i := range s.routes {
		r.remove(i, func(p *path) bool { return p.peer == peer && p.stale() && r.sets.sets[p.set].mortal })
		rec := r.routes.records.at(i)
		for at := rec.first; at != 0; at = r.paths.records.at(at).next {
			p := r.paths.records.at(at)
			if p.peer != peer || p.flags&(stale|longLived) != stale {
				continue
			}
			set, ok := marked[p.set]
			if !ok {
				set = r.markOld(p.set)
				marked[p.set] = set
				r.sets.retain(p.set)
			}
			r.count(rec, p, -1)
			r.sets.retain(set)
			r.sets.release(p.set)
			p.set, p.flags = set, p.flags|longLived
			if p.flags&altered != 0 {
				told := r.originals[at]
				r.originals[at] = r.markOld(told)
				r.sets.release(told)
			}
			r.count(rec, p, +1)
			r.mark(i)
		}
	}
	for plain, set := range marked {
		r.sets.release(plain)
		r.sets.release(set)
	}
	return s.stale
}

// markOld is the attributes of a set with LLGR_STALE, with a reference for the
// caller.
func (r *rib) markOld(set setID) setID {
	id, err := r.sets.intern(wire.AppendCommunities(nil, r.sets.sets[set].raw, bgp.LongLivedStale))
	if err != nil {
		panic("attributes of our own codec: " + err.Error())
	}
	return id
}
