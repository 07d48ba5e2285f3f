package engine

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// SetSessions implements bgp.Speaker.
func (e *Engine) SetSessions(list []bgp.Session) error {
	e.apply.Lock()
	defer e.apply.Unlock()
	w, err := e.normalise(list)
	errs := []error{err, e.setKeys(w.keys)}

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return errors.New("set sessions: the speaker has stopped")
	}
	e.ranges = w.ranges
	changed := false
	for _, p := range e.sorted() {
		s, ok := w.session(p)
		if ok && s.SameAs(p.want) {
			p.forgetPostponed()
			e.adoptLocked(p, s)
			continue
		}
		if changed = true; ok && p.reopens(s) {
			errs = append(errs, e.changeLocked(p, s))
			continue
		}
		e.removeLocked(p, farewell(s, ok))
	}
	for _, end := range w.order {
		if e.peers[end] == nil {
			errs = append(errs, e.addLocked(e.newPeer(w.peers[end])))
			changed = true
		}
	}
	e.settleLocked(changed)
	e.beginDeferralLocked()
	return errors.Join(errs...)
}

// settleLocked draws what follows from sessions that were set, or changed.
func (e *Engine) settleLocked(changed bool) {
	if changed {
		e.setPolicyLocked()
	}
	if !e.retreat.empty() {
		e.rib.retreat(e.retreat)
		e.retreat = newRetreat()
	}
	e.touched()
	signal(e.peersChanged)
}

// farewell is what a session is told that has to go, because another one is
// wanted in its place, or none.
func farewell(s bgp.Session, wanted bool) *wire.Notification {
	switch {
	case !wanted:
		return cease(wire.PeerDeconfigured)
	case !s.Shutdown:
		return cease(wire.OtherConfigurationChange)
	}
	n, err := wire.NewShutdown(wire.AdministrativeShutdown, s.ShutdownMessage)
	if err != nil {
		return cease(wire.AdministrativeShutdown) // Check lets no such message through
	}
	return n.Hard()
}

// sorted is all peers in order of endpoint.
func (e *Engine) sorted() []*peer {
	list := make([]*peer, 0, len(e.peers))
	for _, p := range e.peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *peer) int { return a.endpoint().Compare(b.endpoint()) })
	return list
}

// addLocked lets p begin, unless it is shut down.
func (e *Engine) addLocked(p *peer) error {
	if p.want.Shutdown {
		p.holdLocked("shut down by configuration", nil, 0)
	} else if err := e.openLocked(p); err != nil {
		p.forget()
		return err
	}
	addr := p.want.Peer
	e.peers[p.endpoint()] = p
	e.byAddr[addr] = append(e.byAddr[addr], p)
	slices.SortFunc(e.byAddr[addr], func(a, b *peer) int { return cmp.Compare(a.endpoint().Port(), b.endpoint().Port()) })
	return nil
}

// openLocked gives p a session.
func (e *Engine) openLocked(p *peer) error {
	s, err := e.transport.New(e.config(p.want), p)
	if err != nil {
		return err
	}
	p.stopHold()
	p.session = s
	s.Start()
	return nil
}

// removeLocked closes the session of p; its paths go with it at once.
func (e *Engine) removeLocked(p *peer, why *wire.Notification) {
	w := p.want
	delete(e.peers, w.Endpoint())
	e.byAddr[w.Peer] = slices.DeleteFunc(e.byAddr[w.Peer], func(o *peer) bool { return o == p })
	if len(e.byAddr[w.Peer]) == 0 {
		delete(e.byAddr, w.Peer)
	}
	p.removed = true
	p.forgetPostponed()
	p.stopHold()
	p.leave()
	p.forget()
	if p.session != nil {
		p.session.Stop(why)
	}
}

// forget removes the sources of p with their paths.
func (p *peer) forget() {
	for _, c := range p.channels {
		c.stopTimer()
		p.engine.rib.removeSource(c.source)
	}
}

// config is w in the words of the transport.
func (e *Engine) config(w bgp.Session) session.Config {
	local := w.Local
	if local.IsLinkLocalUnicast() && local.Zone() == "" {
		local = local.WithZone(w.Peer.Zone())
	}
	c := session.Config{
		Name: w.Name, Peer: w.Endpoint(), Local: netip.AddrPortFrom(local, 0),
		LocalAS: w.LocalAS, PeerAS: w.PeerAS, RouterID: e.settings.RouterID, Passive: w.Passive,
		TTLSecurity: w.TTLSecurity, Password: w.Password, StrictRole: w.StrictRole,
		Hold: w.Hold, Keepalive: w.Keepalive, ConnectRetry: w.ConnectRetry,
	}
	if w.Hold < 0 {
		c.Hold = session.NoHold
	}
	if !w.Internal() {
		c.Multihop = w.Multihop
	}
	return c
}

// lookup is the session that a connection is for.
func (e *Engine) lookup(remote, local netip.AddrPort) *session.Peer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil
	}
	known := e.byAddr[remote.Addr()]
	for _, p := range known {
		if want := p.want.Local; !want.IsValid() || want.WithZone("") == local.Addr().WithZone("") {
			return p.session
		}
	}
	if len(known) > 0 {
		return nil // an address that is wanted by itself is of no range
	}
	return e.admitLocked(remote.Addr(), local.Addr())
}

// setPolicyLocked makes the import policy that the sessions need.
func (e *Engine) setPolicyLocked() {
	own := make(map[netip.Addr]bool)
	for _, p := range e.peers {
		for _, a := range []netip.Addr{p.want.Local, p.want.NextHop4, p.want.NextHop6, p.local} {
			if a.IsValid() {
				own[a] = true
			}
		}
	}
	e.rib.setPolicy(bgp.ImportPolicy{ASN: e.settings.ASN, RouterID: e.settings.RouterID, Own: own})
}
