package session

import (
	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// opened takes a checked OPEN, and settles a collision if it makes one.
func (m machine) opened(e event) (machine, []action) {
	m.conns[e.slot] = connection{state: bgp.OpenConfirm, restarts: e.open.restarts}
	var acts []action
	if old := m.conns[current]; old.state == bgp.Established {
		if !old.restarts || e.fresh {
			return m, m.close(e.slot, collision(), byCollision)
		}
		// The peer has restarted and we have not heard the old connection die
		// (RFC 4724 §4.2). The RFC lets it go when the new one is accepted; by
		// waiting for the OPEN, what is left of a collision cannot cost us a
		// good session.
		acts = m.close(current, nil, byReturn)
	}
	if loser, ok := m.collide(e); ok {
		acts = append(acts, m.close(loser, collision(), byCollision)...)
		if loser == e.slot {
			return m, acts
		}
	}
	return m, append(acts, action{order: confirm, slot: e.slot})
}

// collide is the connection that must go after an OPEN has come on e.slot, if
// there is another one (RFC 4271 §6.8). Two ends that decide by what each has
// seen so far may both give up the connection that the other one keeps. So only
// the end that made the connection which stays goes by it as soon as it exists;
// the other one goes by it when it has seen the OPEN. And an end that confirms a
// connection no longer makes one.
func (m machine) collide(e event) (loser slot, ok bool) {
	other := dialled
	if e.slot == dialled {
		other = accepted
	}
	loser = dialled
	if m.wins(e.open) {
		loser = accepted
	}
	switch m.conns[other].state {
	case bgp.Connect:
		return other, true
	case bgp.OpenSent:
		return loser, loser == other || other == dialled
	case bgp.OpenConfirm:
		return loser, true
	}
	return 0, false
}

// wins reports whether the connection that we made stays: that of the higher
// identifier does (RFC 4271 §6.8), and of the higher AS number between two that
// have the same identifier in different ASes (RFC 6286 §2.3).
func (m machine) wins(peer openFacts) bool {
	if m.localID != peer.id {
		return m.localID > peer.id
	}
	return m.localAS > peer.as
}

// establish moves the connection to current. Another one that has not got as
// far is closed, as one that lost a collision.
func (m machine) establish(s slot) (machine, []action) {
	c := m.conns[s]
	m.conns[s] = connection{}
	var acts []action
	for _, other := range []slot{dialled, accepted} {
		acts = append(acts, m.close(other, collision(), byCollision)...)
	}
	c.state = bgp.Established
	m.conns[current] = c
	return m, append(acts, action{order: stopRetry}, action{order: establish, slot: s})
}

// collision is what a connection is told that had to go.
func collision() *wire.Notification {
	return &wire.Notification{Code: wire.Cease, Subcode: wire.CollisionResolution}
}

func isCollision(n *wire.Notification) bool {
	return n != nil && n.Code == wire.Cease && n.Subcode == wire.CollisionResolution
}
