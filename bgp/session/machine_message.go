package session

import (
	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// message is step for the events of a connection in OpenSent or later.
func (m machine) message(e event) (machine, []action) {
	state := m.conns[e.slot].state
	switch e.kind {
	case openOK:
		if state == bgp.OpenSent {
			return m.opened(e)
		}
	case keepalive:
		switch state {
		case bgp.OpenConfirm:
			return m.establish(e.slot)
		case bgp.Established:
			return m, nil
		}
	case update, refresh:
		if state == bgp.Established {
			return m, nil
		}
	case notified, lost:
		return m.ended(e, nil)
	case malformed:
		return m.ended(e, e.notice)
	case holdExpired:
		return m.ended(e, &wire.Notification{Code: wire.HoldTimerExpired})
	case sendHoldExpired:
		return m.ended(e, &wire.Notification{Code: wire.SendHoldExpired})
	}
	return m.ended(e, &wire.Notification{Code: wire.FSMError, Subcode: unexpectedIn(state)})
}

// unexpectedIn is the subcode for a message that has no place in s (RFC 6608
// §3).
func unexpectedIn(s bgp.State) wire.Subcode {
	switch s {
	case bgp.OpenSent:
		return wire.UnexpectedInOpenSent
	case bgp.OpenConfirm:
		return wire.UnexpectedInOpenConfirm
	}
	return wire.UnexpectedInEstablished
}

// ended closes a connection for what e says, and waits to begin anew. Ends
// that will come again until somebody mends something are strikes: errors
// that either end told, and sessions that were up for a moment only. That a
// peer refuses or closes a connection before it is established is none: it may
// hear of us any moment.
func (m machine) ended(e event, n *wire.Notification) (machine, []action) {
	wasUp := m.conns[e.slot].state == bgp.Established
	acts := m.close(e.slot, n, byEvent)
	switch {
	case wasUp && e.stable:
		m.strikes = 0
	case wasUp, e.kind != lost && !isCollision(e.notice):
		m.strikes++
	}
	if m.alive() {
		return m, acts
	}
	m.held = m.strikes > maxStrikes
	return m, append(acts, action{order: startRetry})
}

// alive reports whether a connection is left to hope for.
func (m machine) alive() bool {
	for _, c := range m.conns {
		if c.state != bgp.Idle {
			return true
		}
	}
	return false
}
