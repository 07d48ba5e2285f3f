package engine

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// hold says why a peer has no session.
type hold struct {
	why   string
	since time.Time
	past  session.Status // of the session that it had
	timer *time.Timer    // opens it again; nil: only a change does
}

// holdLocked closes the session of p, if it has one, and opens it again after
// some time; zero: not by itself.
func (p *peer) holdLocked(why string, n *wire.Notification, again time.Duration) {
	h := &hold{why: why, since: time.Now()}
	e := p.engine
	if s := p.session; s != nil {
		h.past = s.Status()
		p.session = nil
		p.leave()
		for _, c := range p.channels {
			c.stopTimer()
			c.lostLocked(false)
		}
		s.Stop(n)
	}
	p.held = h
	if again > 0 {
		h.timer = time.AfterFunc(again, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if p.held == h && !p.removed && !e.stopped {
				e.resumeLocked(p)
			}
		})
	}
	signal(e.peersChanged)
}

// resumeLocked opens the session of p again; one of a range goes, and may come
// again.
func (e *Engine) resumeLocked(p *peer) {
	if p.within.IsValid() {
		e.removeLocked(p, nil)
	} else if err := e.openLocked(p); err != nil {
		e.log.Error("opening a session again failed", "peer", p.endpoint().String(), "error", err) // it was opened before
	}
	signal(e.peersChanged)
}

func (p *peer) stopHold() {
	if p.held != nil && p.held.timer != nil {
		p.held.timer.Stop()
	}
	p.held = nil
}

// status is that of the session, or of the want of one.
func (p *peer) status() session.Status {
	if p.session != nil {
		return p.session.Status()
	}
	s := p.held.past
	s.State, s.Since, s.LastError, s.LastErrorAt = bgp.Idle, p.held.since, p.held.why, p.held.since
	return s
}

// adoptLocked takes w, which is SameAs before: labels, policy, role and who dials.
func (e *Engine) adoptLocked(p *peer, w bgp.Session) {
	old := p.want.Policied().MaxPrefix
	if p.session != nil && p.want.Passive != w.Passive {
		p.session.SetPassive(w.Passive)
	}
	p.want = w
	for _, c := range p.channels {
		c.adoptLocked(w)
	}
	limit := w.Policied().MaxPrefix
	switch {
	case limit == old:
	case p.held != nil && !w.Shutdown:
		e.resumeLocked(p)
	default:
		for _, c := range p.channels {
			c.warned = false
			c.boundLocked()
		}
	}
}

// adoptLocked takes w, as far as the family goes: what policy makes of what the
// peer has told, and what the peer is to be sent.
func (c *channel) adoptLocked(w bgp.Session) {
	e, s := c.peer.engine, c.source
	was := s.want
	s.want = w
	s.want.PeerAS = was.PeerAS // an AS that was learned
	judged := !was.Policy.Equal(w.Policy) || was.ClusterID != w.ClusterID || was.Role != w.Role
	if !judged && was.ReflectorClient == w.ReflectorClient {
		return
	}
	if role := roleOf(w); role != s.role {
		e.retreat.roles[s] = role
		if c.peer.conn != nil && !c.endOfRIB {
			c.complete = c.retention.complete(role)
		}
	}
	if judged {
		s.filters = importRules(w.Policy)
		e.retreat.judged = append(e.retreat.judged, s)
	}
	if m := c.member; m != nil && m.group != nil {
		t := m.group.treatment
		t.role, t.cluster, t.policy = roleOf(w), w.ClusterID, e.rib.exportOf(w.Policy)
		e.retreat.members[m] = t
	}
}

// warnAt is the share of a limit, in percent, from which on a warning is
// logged, unless configured.
const warnAt = 75

// boundLocked closes the session if the peer gives more than it may. False: it
// did.
func (c *channel) boundLocked() bool {
	limit, n := c.source.want.Policied().MaxPrefix, c.source.received-c.source.stale
	if limit.Limit == 0 || c.member == nil {
		return true
	}
	percent := limit.Warning
	if percent == 0 {
		percent = warnAt
	}
	e := c.peer.engine
	if !c.warned && n*100 >= limit.Limit*percent {
		c.warned = true
		e.log.Warn("peer near its limit of prefixes", "peer", c.peer.endpoint().String(), "family", c.family.String(),
			"prefixes", n, "limit", limit.Limit)
	}
	if n <= limit.Limit || limit.WarnOnly {
		return true
	}
	why := fmt.Sprintf("told more than %d %s prefixes", limit.Limit, c.family)
	if limit.Restart > 0 {
		why += fmt.Sprintf(", opened again after %s", limit.Restart)
	}
	e.log.Error("session closed for too many prefixes", "peer", c.peer.endpoint().String(), "family", c.family.String(),
		"limit", limit.Limit, "retry_in", limit.Restart)
	c.peer.holdLocked(why, tooMany(c.family, limit.Limit), limit.Restart)
	return false
}

// tooMany is what a peer is told that gives more than limit prefixes of f (RFC
// 4486 §4). Its paths are gone, so it is to forget ours (RFC 8538 §3.1).
func tooMany(f bgp.Family, limit int) *wire.Notification {
	code := wire.CodeOf(f)
	data := binary.BigEndian.AppendUint16(nil, code.AFI)
	data = binary.BigEndian.AppendUint32(append(data, code.SAFI), uint32(limit))
	n := &wire.Notification{Code: wire.Cease, Subcode: wire.MaxPrefixes, Data: data}
	return n.Hard()
}
