package engine

import (
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// Another connection in the place of one is a restart of the session alone: we
// forward on, and so does the peer. Where graceful restart was agreed on both
// keep what they have for as long as they would if one of them restarted (RFC
// 4724 §4). TCP is closed without a NOTIFICATION. A Cease that is no Hard Reset
// would do as well between ends that know RFC 8538, and would say why; but to
// those that do not it ends everything, so that there would be two ways, and the
// silent one is what all makes understand as a restart.

// reopens reports whether s takes over from p what p has. That needs an
// agreement on graceful restart, now or when p was last up, and a peer for whom
// s is the same session: between the same ASes and from the same address.
func (p *peer) reopens(s bgp.Session) bool {
	agreed := slices.ContainsFunc(p.channels, func(c *channel) bool { return c.retention.restarts || c.retention.longLived > 0 })
	here := s.Local == p.want.Local || s.Local.WithZone("") == p.local
	return p.session != nil && agreed && here && !s.Shutdown && s.LocalAS == p.want.LocalAS && s.PeerAS == p.want.PeerAS
}

// reopenLocked puts a session made for s in the place of p. The paths of
// families that it carries, too, are stale until the peer tells them again.
func (e *Engine) reopenLocked(p *peer, s bgp.Session) error {
	next := &peer{
		engine: e, want: s, within: p.within, local: p.local, up: p.up, met: p.met, lastUpdate: p.lastUpdate,
	}
	opened, err := e.transport.New(e.config(s), next)
	if err != nil {
		e.removeLocked(p, farewell(s, true))
		return err
	}
	wasUp := p.conn != nil
	p.forgetPostponed()
	p.leave()
	p.removed = true
	for _, c := range p.channels {
		if !s.Carried().Has(c.family) {
			c.stopTimer()
			e.rib.removeSource(c.source)
		}
	}
	for _, f := range s.Carried().All() {
		c := p.channel(f)
		if c == nil {
			c = &channel{peer: next, family: f, source: e.rib.addSource(s)}
		}
		c.peer = next
		c.succeedLocked(s, wasUp)
		next.channels = append(next.channels, c)
	}
	p.channels = nil
	e.peers[next.endpoint()] = next
	known := e.byAddr[s.Peer]
	known[slices.Index(known, p)] = next
	// What the peer told of its connection must be over when the next begins, or
	// it would take that for one too many.
	next.session = opened
	p.session.Stop(nil)
	opened.Follow(p.session)
	e.log.Info("session opened anew", "peer", next.endpoint().String(), "session", s.Name)
	return nil
}

// succeedLocked makes c a channel of s, after the connection that it had, if it
// was up.
func (c *channel) succeedLocked(s bgp.Session, wasUp bool) {
	c.retention.longLived = min(c.retention.longLived, s.LongLived)
	c.adoptLocked(s)
	switch {
	case wasUp:
		c.stopTimer()
		c.lostLocked(true)
		c.reopened = true
	case !c.until.IsZero():
		if most := time.Now().Add(c.retention.longLived); most.Before(c.until) {
			c.until = most
		}
		c.afterLocked(time.Until(c.until), c.expireLocked)
	}
}
