package engine

import (
	"cmp"
	"errors"
	"fmt"
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
	want, order, err := e.normalise(list)
	errs := []error{err}

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return errors.New("set sessions: the speaker has stopped")
	}
	changed := false
	for _, p := range e.sorted() {
		w, ok := want[p.endpoint()]
		if ok && w.SameAs(p.want) {
			p.adopt(w)
			continue
		}
		e.removeLocked(p)
		changed = true
	}
	for _, end := range order {
		if e.peers[end] == nil {
			errs = append(errs, e.addLocked(want[end]))
			changed = true
		}
	}
	if changed {
		e.setPolicyLocked()
	}
	e.beginDeferralLocked()
	e.touched()
	signal(e.peersChanged)
	return errors.Join(errs...)
}

// normalise is the sessions by endpoint, in the order in which they came, with
// what cannot be had left out.
func (e *Engine) normalise(list []bgp.Session) (map[netip.AddrPort]bgp.Session, []netip.AddrPort, error) {
	want := make(map[netip.AddrPort]bgp.Session, len(list))
	var order []netip.AddrPort
	var errs []error
	for _, w := range list {
		if w.LocalAS == 0 {
			w.LocalAS = e.settings.ASN
		}
		other, twice := want[w.Endpoint()]
		switch err := w.Check(); {
		case err != nil:
			errs = append(errs, err)
		case twice:
			errs = append(errs, fmt.Errorf("session %s: session %s has the same endpoint", w, other))
		default:
			want[w.Endpoint()] = w
			order = append(order, w.Endpoint())
		}
	}
	return want, order, errors.Join(errs...)
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

func (e *Engine) addLocked(w bgp.Session) error {
	p := e.newPeer(w)
	s, err := e.transport.New(e.config(w), p)
	if err != nil {
		p.forget()
		return err
	}
	p.session = s
	e.peers[w.Endpoint()] = p
	e.byAddr[w.Peer] = append(e.byAddr[w.Peer], p)
	slices.SortFunc(e.byAddr[w.Peer], func(a, b *peer) int { return cmp.Compare(a.endpoint().Port(), b.endpoint().Port()) })
	s.Start()
	return nil
}

// removeLocked closes the session of p; its paths go with it at once.
func (e *Engine) removeLocked(p *peer) {
	w := p.want
	delete(e.peers, w.Endpoint())
	e.byAddr[w.Peer] = slices.DeleteFunc(e.byAddr[w.Peer], func(o *peer) bool { return o == p })
	if len(e.byAddr[w.Peer]) == 0 {
		delete(e.byAddr, w.Peer)
	}
	p.removed = true
	p.leave()
	p.forget()
	p.session.Stop(cease(wire.PeerDeconfigured))
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
	c := session.Config{
		Name: w.Name, Peer: w.Endpoint(), Local: netip.AddrPortFrom(w.Local, 0),
		LocalAS: w.LocalAS, PeerAS: w.PeerAS, RouterID: e.settings.RouterID, Passive: w.Passive,
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
	for _, p := range e.byAddr[remote.Addr()] {
		if want := p.want.Local; !want.IsValid() || want == local.Addr() {
			return p.session
		}
	}
	return nil
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
