package engine

import (
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// peer is a session that is wanted. It is the session.Handler of it.
type peer struct {
	engine  *Engine
	session *session.Peer

	// Owned by the goroutine that reads the connection.
	update    wire.Update
	options   wire.Options
	malformed bool // an update was

	// Guarded by Engine.mu.
	source     *source
	removed    bool          // no longer wanted
	conn       *session.Conn // while established
	member     *member       // likewise
	up         int           // how often it was established
	complete   bool          // nothing more is to be waited for after a restart
	endOfRIB   bgp.Families
	lastUpdate time.Time
	restart    *wire.GracefulRestart // of the last connection; nil: not agreed on
	enhanced   bool                  // RFC 7313 was agreed on
	timer      *time.Timer           // of stale paths
	epoch      int                   // counts connections and their ends; tells late timers
}

func (p *peer) endpoint() netip.AddrPort { return p.source.want.Endpoint() }

// family is the one that the session carries.
func (p *peer) family() bgp.Family { return p.source.want.Carried().All()[0] }

// Capabilities implements session.Handler.
func (p *peer) Capabilities() wire.Capabilities {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	f := bgp.FamiliesOf(p.family())
	restart := &wire.GracefulRestart{
		Restarting:   p.up == 0 && e.restarting(p.family()),
		Notification: true,
		Time:         e.settings.RestartTime,
		Families:     f,
	}
	// What our predecessor left is in the kernel, and what we had when this
	// session was last up still is.
	if restart.Restarting || p.up > 0 {
		restart.Forwarding = f
	}
	return wire.Capabilities{
		Multiprotocol: true, Families: f, RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		GracefulRestart: restart,
	}
}

// Established implements session.Handler.
func (p *peer) Established(c *session.Conn, n session.Negotiated) {
	e := p.engine
	p.options, p.malformed = n.Options(), false
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.removed {
		return
	}
	p.up++
	p.conn, p.endOfRIB = c, 0
	e.returnedLocked(p, n)
	m := newMember(p.source.id)
	p.member = m
	w := p.source.want
	e.rib.join(treatment{
		family: p.family(), role: p.source.role, localAS: w.LocalAS,
		local: n.Local.Addr().WithZone(""), cluster: w.ClusterID, form: n.Form(),
	}, m)
	// Who gets only what is our own need not wait for what others have.
	if m.waiting = m.group.reflects() && e.deferredLocked(p.family()); !m.waiting {
		m.start()
	}
	e.releaseLocked()
	e.touched()
	e.running.Go(func() { e.send(c, m) })
}

// Update implements session.Handler.
func (p *peer) Update(c *session.Conn, body []byte) error {
	v := p.update.Parse(body, p.options)
	if v.Action != wire.OK {
		if v.Bug != nil {
			p.engine.log.Error("decoding an update failed", "peer", p.session.Config().Peer.String(), "error", v.Bug)
		}
		if v.Action == wire.SessionReset {
			return v.Notification()
		}
		level := hclog.Debug
		if !p.malformed {
			level, p.malformed = hclog.Warn, true // once for each connection
		}
		p.engine.log.Log(level, "malformed update", "peer", p.session.Config().Peer.String(), "verdict", v.String())
	}
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.conn != c {
		return nil
	}
	p.lastUpdate = time.Now()
	for _, n := range p.update.Withdrawn {
		for prefix := range n.All() {
			e.rib.withdraw(p.source.id, prefix)
		}
	}
	for _, a := range p.update.Announced {
		if err := p.announce(a); err != nil {
			return err
		}
	}
	if p.update.EndOfRIB == p.family() {
		p.endOfRIBLocked()
	}
	e.touched()
	return nil
}

// announce takes the prefixes of one set of attributes.
func (p *peer) announce(a wire.Announcement) error {
	r := p.engine.rib
	set, err := r.sets.intern(a.Attributes)
	if err != nil {
		return err
	}
	defer r.sets.release(set)
	refusal := r.judge(p.source, set)
	for prefix := range a.NLRI.All() {
		r.announce(p.source.id, prefix, set, refusal)
	}
	return nil
}

// RouteRefresh implements session.Handler.
func (p *peer) RouteRefresh(c *session.Conn, m wire.RouteRefresh) error {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.conn == c && m.Kind == wire.RefreshRequest {
		e.rib.pack()
		p.member.refresh(p.enhanced)
	}
	return nil
}

// Closed implements session.Handler.
func (p *peer) Closed(c *session.Conn, why session.Reason) {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.conn != c {
		return
	}
	p.leave()
	p.epoch++
	p.stopTimer()
	if !e.stopped {
		e.lostLocked(p, why.Retain)
	}
	e.touched()
}

// leave ends the membership of the connection.
func (p *peer) leave() {
	if p.member != nil {
		p.engine.rib.leave(p.member)
	}
	p.conn, p.member = nil, nil
}

// send writes to c what its member is to get, until it ends.
func (e *Engine) send(c *session.Conn, m *member) {
	for {
		e.mu.Lock()
		b := m.take(e.rib)
		e.mu.Unlock()
		if b.octets > 0 {
			if c.Writev(b.bufs, b.messages) != nil {
				return // the session knows
			}
			continue
		}
		select {
		case <-m.wake:
		case <-c.Done():
			return
		}
	}
}
