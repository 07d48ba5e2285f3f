package session

import (
	"sync/atomic"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Status is what is known of a session at one time.
type Status struct {
	State bgp.State
	Since time.Time // of State
	// Established counts how often the session came up.
	Established int
	// LastError says why the session went down, or could not come up, last;
	// empty: neither happened. It stays when the session comes up. While one end
	// refuses connections, it begins with what the last NOTIFICATION said.
	LastError   string
	LastErrorAt time.Time
	// Negotiated is of the present or the last connection; nil: none yet.
	Negotiated *Negotiated
	In, Out    Counters
}

// Counters count messages and octets over all connections of a session.
type Counters struct {
	Opens, Updates, Notifications, Keepalives, Refreshes uint64
	Octets                                               uint64
}

// counters are Counters that goroutines of a session add to.
type counters struct {
	messages [wire.TypeRouteRefresh + 1]atomic.Uint64
	octets   atomic.Uint64
}

func (c *counters) add(t wire.MessageType, messages, octets int) {
	c.messages[t].Add(uint64(messages))
	c.octets.Add(uint64(octets))
}

func (c *counters) read() Counters {
	return Counters{
		Opens:         c.messages[wire.TypeOpen].Load(),
		Updates:       c.messages[wire.TypeUpdate].Load(),
		Notifications: c.messages[wire.TypeNotification].Load(),
		Keepalives:    c.messages[wire.TypeKeepalive].Load(),
		Refreshes:     c.messages[wire.TypeRouteRefresh].Load(),
		Octets:        c.octets.Load(),
	}
}

// Status is the state of the session now.
func (p *Peer) Status() Status {
	p.mu.Lock()
	s := p.status
	p.mu.Unlock()
	s.In, s.Out = p.in.read(), p.out.read()
	return s
}

// State is the state of the session now.
func (p *Peer) State() bgp.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status.State
}

// publish brings the status up to the machine's state.
func (p *Peer) publish() {
	state := p.machine.state()
	p.mu.Lock()
	was := p.status.State
	if state != was {
		p.status.State, p.status.Since = state, time.Now()
	}
	p.mu.Unlock()
	if state == was {
		return
	}
	p.log.Debug("session changed state", "state", state.String(), "before", was.String())
	p.transport.signal()
}

// failed records why the session is not up.
func (p *Peer) failed(why string) {
	p.mu.Lock()
	same := p.status.LastError == why
	p.status.LastError, p.status.LastErrorAt = why, time.Now()
	p.mu.Unlock()
	if !same {
		p.transport.signal()
	}
}

// unreached records why a connection could not be made, or ended without a
// word. The NOTIFICATION before it says more: a peer that is shut down, say,
// tells why once, and then takes no connection.
func (p *Peer) unreached(why string) {
	p.mu.Lock()
	notice := p.notice
	p.mu.Unlock()
	if notice != "" {
		why = notice + "; then " + why
	}
	p.failed(why)
}

// noticed records a NOTIFICATION, sent or received, that ended a connection. The
// log is told of one that is new, of passive sessions now and then: those of
// ranges are made anew for whoever connects, and he is not to fill the log.
func (p *Peer) noticed(why string, log bool) {
	p.mu.Lock()
	same := p.notice == why
	p.notice = why
	p.mu.Unlock()
	if log && !same {
		if n := p.loggable(); n > 0 {
			p.log.Info("session does not come up", "reason", why, "count", n)
		}
	}
	p.failed(why)
}

// loggable is how many events a line in the log would stand for; zero: none now.
func (p *Peer) loggable() int {
	if !p.config.Passive {
		return 1
	}
	t := p.transport
	t.quietMu.Lock()
	defer t.quietMu.Unlock()
	return t.quiet.allow()
}

// came records that the session has come up.
func (p *Peer) came(n *Negotiated) {
	p.mu.Lock()
	p.notice = ""
	p.status.Established++
	p.status.Negotiated = n
	p.mu.Unlock()
}
