package session

import (
	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// slot is one of the connections that a session may have at a time: until one
// is established, one that each end made (RFC 4271 §6.8); and while one is
// established, one of a peer that has come back (RFC 4724 §4.2).
type slot uint8

const (
	dialled  slot = iota // made by us
	accepted             // made by the peer
	current              // established, whoever made it
	slots
)

// machine is the finite state machine of a session (RFC 4271 §8), without
// time and I/O: step goes from one to the next and says what is to be done.
// Where the RFC has one machine for each connection, here is one for the
// session; dialling is the Connect state of the slot dialled.
type machine struct {
	passive bool   // do not dial
	localID uint32 // BGP identifiers as numbers, for collisions
	localAS uint32

	started bool
	conns   [slots]connection
	// held says that the peer's connections are refused until the
	// ConnectRetryTimer expires (IdleHoldTimer; RFC 4271 §8.1.1, option 6).
	held bool
	// strikes counts the ends in a row that waiting is the answer to.
	strikes int
}

// connection is one connection of a machine.
type connection struct {
	state bgp.State // Idle: none
	// restarts says that both ends have the graceful restart capability; from
	// OpenConfirm on.
	restarts bool
}

// maxStrikes is how many bad ends in a row have no consequence but the usual
// wait: enough for an operator's corrections and for a peer that restarts.
const maxStrikes = 4

// kind is the kind of an event; the numbers in comments are those of RFC 4271
// §8.1.
type kind uint8

const (
	start           kind = iota // 1, 3, 4, 5
	stop                        // 2, 8; with a notification or, for a graceful stop, without
	reset                       // close the connections and begin anew
	turned                      // who dials has changed
	retryExpired                // 9
	connected                   // 16: our dial succeeded
	dialFailed                  // 18 in Connect
	incoming                    // 17
	openOK                      // 19, checked
	keepalive                   // 26
	update                      // 27
	refresh                     // RFC 2918
	notified                    // 24, 25
	malformed                   // 21, 22, 28, or the engine wants the connection closed
	holdExpired                 // 10
	sendHoldExpired             // 29, RFC 9687
	lost                        // 18: the connection failed or ended
)

// event is something that happened.
type event struct {
	kind   kind
	slot   slot               // of the events of a connection
	notice *wire.Notification // to send (stop, reset, malformed) or received (notified)
	open   openFacts          // openOK
	// passive: do not dial; of turned.
	passive bool
	// stable: the session was up for long enough to forgive strikes; fresh: for
	// so short that a new connection may be what is left of a collision.
	stable, fresh bool
}

// openFacts is what the machine has to know of a checked OPEN.
type openFacts struct {
	id, as   uint32
	restarts bool
}

// order is the kind of an action.
type order uint8

const (
	dial        order = iota // connect to the peer
	abandonDial              // give up connecting
	startRetry               // run the ConnectRetryTimer
	stopRetry
	serve     // begin on the connection: send OPEN, read, hold time of OpenSent
	hear      // likewise, but send OPEN only after the peer's
	refuse    // close the incoming connection at once
	confirm   // send OPEN, if that was not done, and KEEPALIVE; from now on the negotiated hold time holds
	establish // the connection moved to the slot current: tell the engine
	shut      // send the notification, if there is one, and close
)

// action is something to do.
type action struct {
	order  order
	slot   slot
	notice *wire.Notification // shut
	why    cause              // shut
}

// cause says why a connection was shut, where its notification does not.
type cause uint8

const (
	byEvent     cause = iota // by what the event says
	byCollision              // another connection won (RFC 4271 §6.8)
	byReturn                 // the peer came back on a new connection (RFC 4724 §4.2)
)

// state is that of the session as an operator sees it.
func (m machine) state() bgp.State {
	if !m.started || m.held {
		return bgp.Idle
	}
	s := bgp.Active
	if m.conns[dialled].state == bgp.Connect {
		s = bgp.Connect
	}
	for _, c := range m.conns {
		if c.state >= bgp.OpenSent {
			s = max(s, c.state)
		}
	}
	return s
}

// step is the machine after e, and what has to be done for it, in order.
func (m machine) step(e event) (machine, []action) {
	switch e.kind {
	case start:
		return m.start()
	case stop, reset:
		return m.stop(e)
	case turned:
		m.passive = e.passive
		if !m.started {
			return m, nil
		}
		return m.dial()
	case retryExpired:
		if !m.started {
			return m, nil
		}
		m.held = false
		return m.dial()
	case connected:
		return m.connected()
	case dialFailed:
		if m.conns[dialled].state != bgp.Connect {
			return m, nil
		}
		m.conns[dialled] = connection{}
		return m, []action{{order: startRetry}}
	case incoming:
		return m.incoming()
	}
	if m.conns[e.slot].state < bgp.OpenSent {
		return m, nil // of a connection that is no more
	}
	return m.message(e)
}

func (m machine) start() (machine, []action) {
	if m.started {
		return m, nil
	}
	m.started, m.held, m.strikes = true, false, 0
	return m.dial()
}

// dial connects, unless the peer's own connection may yet come to something.
func (m machine) dial() (machine, []action) {
	if m.passive || m.held || m.alive() {
		return m, nil
	}
	m.conns[dialled].state = bgp.Connect
	return m, []action{{order: dial}}
}

// stop ends all connections. An incomplete one, too, is told why (event 2 in
// OpenSent and later).
func (m machine) stop(e event) (machine, []action) {
	if !m.started {
		return m, nil
	}
	acts := []action{{order: stopRetry}}
	for s := range slots {
		acts = append(acts, m.close(s, e.notice, byEvent)...)
	}
	m.held = false
	if e.kind == stop {
		m.started = false
		return m, acts
	}
	return m, append(acts, action{order: startRetry})
}

// close forgets the connection in s and says how to end it.
func (m *machine) close(s slot, n *wire.Notification, why cause) []action {
	was := m.conns[s].state
	m.conns[s] = connection{}
	switch was {
	case bgp.Idle:
		return nil
	case bgp.Connect:
		return []action{{order: abandonDial}}
	}
	return []action{{order: shut, slot: s, notice: n, why: why}}
}

func (m machine) connected() (machine, []action) {
	if m.conns[dialled].state != bgp.Connect {
		return m, nil // the dial was abandoned; who abandoned it closes what comes of it
	}
	m.conns[dialled].state = bgp.OpenSent
	return m, []action{{order: stopRetry}, {order: serve, slot: dialled}}
}

// incoming takes the peer's connection. A second one takes the place of the
// first, because a peer that dials again has given up on it. While another
// connection has got farther the peer must speak first: an OPEN of ours could
// make it give up that one in the moment in which we give up this.
func (m machine) incoming() (machine, []action) {
	if !m.started || m.held {
		return m, []action{{order: refuse}}
	}
	acts := m.close(accepted, collision(), byCollision)
	m.conns[accepted].state = bgp.OpenSent
	if m.conns[dialled].state == bgp.OpenConfirm || m.conns[current].state == bgp.Established {
		return m, append(acts, action{order: hear, slot: accepted})
	}
	return m, append(acts, action{order: serve, slot: accepted})
}
