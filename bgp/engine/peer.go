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
	engine *Engine

	// Owned by the goroutine that reads the connection.
	update    wire.Update
	options   wire.Options
	malformed bool // an update was

	stats     peerStats
	monitored *monitored // guarded by Engine.mu; nil: not up, or nobody observes

	// Guarded by Engine.mu.
	want       bgp.Session   // as asked for
	within     netip.Prefix  // the range that let it in; zero: it is wanted by its address
	session    *session.Peer // nil: held
	held       *hold
	postponed  *postponed    // nil: no change of the session waits
	channels   []*channel    // one for each family, IPv4 first
	removed    bool          // no longer wanted
	conn       *session.Conn // while established
	local      netip.Addr    // of the present or last connection
	up         int           // how often it was established
	met        time.Time     // until when it may have what a session of its range told it before; zero: it has not
	since      time.Time     // when the present or last connection was
	lastUpdate time.Time
	enhanced   bool // RFC 7313 was agreed on
}

// newPeer is a peer for w, without a session yet.
func (e *Engine) newPeer(w bgp.Session) *peer {
	p := &peer{engine: e, want: w}
	for _, f := range w.Carried().All() {
		p.channels = append(p.channels, &channel{peer: p, family: f, source: e.rib.addSource(w)})
	}
	return p
}

func (p *peer) endpoint() netip.AddrPort { return p.want.Endpoint() }

// channel is that of a family; nil: the session does not carry it.
func (p *peer) channel(f bgp.Family) *channel {
	for _, c := range p.channels {
		if c.family == f {
			return c
		}
	}
	return nil
}

// Capabilities implements session.Handler.
func (p *peer) Capabilities() wire.Capabilities {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	w := p.want
	restart := &wire.GracefulRestart{Notification: true, Time: e.restartTime(w), Families: w.Carried()}
	// What our predecessor left is in the kernel, and what we had when this
	// session was last up still is.
	again := p.up > 0 || !p.met.IsZero()
	for _, f := range w.Carried().All() {
		if again || e.restarting(w, f) {
			restart.Restarting = !again
			restart.Forwarding = restart.Forwarding.With(f)
		}
	}
	caps := wire.Capabilities{
		Multiprotocol: true, Families: w.Carried(), RouteRefresh: true, EnhancedRefresh: true, ExtendedMessage: true,
		ExtendedNextHop: w.ExtendedNextHop, GracefulRestart: restart,
	}
	if w.AddPathReceive {
		caps.AddPathReceive = w.Carried()
	}
	if w.AddPathSend != 0 && w.AddPathSend != 1 {
		caps.AddPathSend = w.Carried()
	}
	if w.LongLived > 0 {
		for _, f := range w.Carried().All() {
			caps.LongLived = append(caps.LongLived, wire.LongLived{
				Family: f, Forwarding: restart.Forwarding.Has(f), Time: w.LongLived,
			})
		}
	}
	if !w.Internal() {
		caps.Role = w.Role
	}
	return caps
}

// Established implements session.Handler.
func (p *peer) Established(c *session.Conn, n session.Negotiated) {
	e := p.engine
	p.options, p.malformed = n.Options(), false
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.removed || p.session != c.Peer() {
		return
	}
	p.up++
	p.since = time.Now()
	p.conn, p.enhanced = c, n.EnhancedRefresh
	if local := n.Local.Addr().WithZone(""); local != p.local {
		p.local = local
		e.setPolicyLocked()
	}
	var members []*member
	wake := make(chan struct{}, 1)
	for _, each := range p.channels {
		each.returnedLocked(n)
		if n.Families.Has(each.family) {
			each.joinLocked(n, wake)
			members = append(members, each.member)
		}
	}
	p.observeUpLocked(n)
	e.releaseLocked()
	e.touched()
	e.running.Go(func() { p.send(c, members, wake) })
}

// Update implements session.Handler.
func (p *peer) Update(c *session.Conn, body []byte) error {
	v := p.update.Parse(body, p.options)
	if v.Action != wire.OK {
		p.stats.malformed[v.Action].Add(1)
		if v.Bug != nil {
			p.engine.log.Error("decoding an update failed", "peer", c.Peer().Config().Peer.String(), "error", v.Bug)
		}
		if v.Action == wire.SessionReset {
			return v.Notification()
		}
		level := hclog.Debug
		if !p.malformed {
			level, p.malformed = hclog.Warn, true // once for each connection
		}
		p.engine.log.Log(level, "malformed update", "peer", c.Peer().Config().Peer.String(), "verdict", v.String())
	}
	return p.take(c, body, v)
}

// take takes what the parsed update says.
func (p *peer) take(c *session.Conn, body []byte, v wire.Verdict) error {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.conn != c {
		return nil
	}
	p.lastUpdate = time.Now()
	for _, n := range p.update.Withdrawn {
		from := p.channel(n.Family())
		for prefix, id := range n.All() {
			e.rib.withdraw(from.source.id, prefix, id)
		}
	}
	for _, a := range p.update.Announced {
		if err := p.channel(a.NLRI.Family()).announce(a); err != nil || p.conn != c {
			return err
		}
	}
	p.observeUpdateLocked(body, v)
	if from := p.channel(p.update.EndOfRIB); from != nil {
		from.endOfRIBLocked()
		e.makePostponedLocked(p)
	}
	e.touched()
	return nil
}

// RouteRefresh implements session.Handler.
func (p *peer) RouteRefresh(c *session.Conn, m wire.RouteRefresh) error {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.conn == c && m.Kind == wire.RefreshRequest {
		e.rib.pack()
		p.channel(m.Family).member.refresh(p.enhanced)
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
	p.observeDownLocked(downOf(why))
	p.leave()
	for _, each := range p.channels {
		each.stopTimer()
		if !e.stopped {
			each.lostLocked(why.Retain)
		}
	}
	e.reapLocked()
	e.makePostponedLocked(p)
	e.touched()
}

// leave ends what the connection had part in.
func (p *peer) leave() {
	p.observeDownLocked(p.downByUs())
	p.conn = nil
	for _, c := range p.channels {
		if c.member != nil {
			p.engine.rib.leave(c.member)
			c.member = nil
		}
	}
}

// send writes to c what its members are to get, until it ends.
func (p *peer) send(c *session.Conn, members []*member, wake <-chan struct{}) {
	e := p.engine
	for {
		idle := true
		for _, m := range members {
			var b batch
			for more := true; more; {
				e.mu.Lock()
				if more = m.take(e.rib, &b); len(e.rib.unsent) > 0 {
					signal(e.dirty) // to have it logged
				}
				e.mu.Unlock()
			}
			if b.octets == 0 {
				continue
			}
			idle = false
			if c.Writev(b.bufs, b.messages-b.refreshes, b.refreshes) != nil {
				return // the session knows
			}
			if b.endOfRIB {
				e.mu.Lock()
				m.told = true
				e.makePostponedLocked(p)
				e.mu.Unlock()
			}
		}
		if !idle {
			continue
		}
		select {
		case <-wake:
		case <-c.Done():
			return
		}
	}
}
