package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	// dialTimeout leaves room for two repetitions of a lost SYN.
	dialTimeout = 5 * time.Second
	// stableAfter is how long a session must have been up for its end to say
	// nothing about the next.
	stableAfter = 30 * time.Second
	// collisionTime is how long after a session has come up the connection that
	// the peer tried to make at the same time may still arrive.
	collisionTime = 2 * dialTimeout
	// maxWait bounds how long a session waits for its next attempt.
	maxWait = 30 * time.Second
)

// take steps the machine and does what it says.
func (p *Peer) take(r request) {
	if r.conn != nil && !p.locate(&r) {
		reply(r, answer{}) // the connection was shut before its reader could ask
		return
	}
	if !p.upSince.IsZero() {
		up := time.Since(p.upSince)
		r.event.stable, r.event.fresh = up >= stableAfter, up < collisionTime
	}
	r.event.passive = p.passive.Load()
	late := (r.event.kind == connected || r.event.kind == dialFailed) && r.dial != p.dials
	var actions []action
	if !late {
		p.machine, actions = p.machine.step(r.event)
	}
	var a answer
	used := false // the socket that came with the event
	for _, do := range actions {
		switch do.order {
		case serve, hear:
			p.serve(do, r)
			used = true
		case confirm:
			a.confirm = true
			r.conn.agreed = r.up
		case establish:
			a.establish, a.after = true, p.establish(r)
		default:
			p.do(do, r)
		}
	}
	if r.sock != nil && !used {
		r.sock.Close()
	}
	if r.event.kind == dialFailed && !late {
		p.unreached(p.dialWords(r.err))
	}
	p.publish() // before the peer hears of it; see Bar
	a.confirm = a.confirm && !p.isBarred()
	reply(r, a)
}

func reply(r request, a answer) {
	if r.reply != nil {
		r.reply <- a
	}
}

// locate finds the slot of the connection that r is about.
func (p *Peer) locate(r *request) bool {
	for s, c := range p.conns {
		if c == r.conn {
			r.event.slot = slot(s)
			return true
		}
	}
	return false
}

// do does what concerns no reader that waits.
func (p *Peer) do(a action, r request) {
	switch a.order {
	case dial:
		p.dial()
	case abandonDial:
		p.dials++ // what it comes to is of no interest
		p.cancelDial()
	case startRetry:
		p.retry.Reset(p.wait())
	case stopRetry:
		p.retry.Stop()
	case shut:
		p.shut(a, r)
	}
}

// wait is how long until the next attempt: the retry time, and more from strike
// to strike, up to a quarter less so that sessions do not move in step (RFC 4271
// §10).
func (p *Peer) wait() time.Duration {
	d := p.config.ConnectRetry
	for n := p.machine.strikes; n > maxStrikes && d < maxWait; n-- {
		d *= 2
	}
	d = max(min(d, maxWait), p.config.ConnectRetry)
	return d - rand.N(d/4+1)
}

func (p *Peer) dial() {
	p.dials++
	number := p.dials
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	p.cancelDial = cancel
	p.running.Go(func() {
		defer cancel()
		sock, err := p.transport.dial(ctx, p.config)
		r := request{event: event{kind: connected}, sock: sock, dial: number}
		if err != nil {
			r = request{event: event{kind: dialFailed}, err: err, dial: number}
		}
		if !p.post(r) && sock != nil {
			sock.Close()
		}
	})
}

func (p *Peer) serve(a action, r request) {
	c := newConn(p, r.sock, a.slot == dialled)
	c.silent = a.order == hear
	p.conns[a.slot] = c
	p.running.Go(c.run)
}

// establish makes the connection the current one, and returns the end of the
// one before.
func (p *Peer) establish(r request) <-chan struct{} {
	p.conns[r.event.slot] = nil
	p.conns[current] = r.conn
	p.upSince = time.Now()
	before := p.predecessor
	p.predecessor = r.conn
	up := r.conn.agreed
	p.came(up)
	p.log.Info("session established", "local", up.Local.String(), "asn", up.PeerAS,
		"router_id", up.RouterID.String(), "families", up.Families.String())
	if before == nil {
		return nil
	}
	return before.told
}

// shut ends a connection; its reader says goodbye.
func (p *Peer) shut(a action, r request) {
	c := p.conns[a.slot]
	p.conns[a.slot] = nil
	why := Reason{Sent: sendable(a.notice, c.knowsHardReset())}
	switch {
	case a.why == byCollision:
		why.words = "another connection with the peer was kept"
	case a.why == byReturn:
		why.words, why.Returned = "the peer came back on a new connection", true
	case r.event.kind == notified:
		why.Received = r.event.notice
	case r.event.kind == lost:
		why.Err = r.err
	case r.event.kind == malformed && r.err != nil:
		why.words = r.err.Error()
	case r.event.kind == stop, r.event.kind == reset:
		why.words = "closed by us"
	}
	words := why.String()
	// What is left of a collision, or of a peer that dials once more, says
	// nothing about a session that is up.
	beside := a.slot != current && !p.upSince.IsZero()
	if a.slot == current {
		p.upSince = time.Time{}
		p.countDrops()
	} else if r.event.kind == holdExpired {
		words = p.withHint(words) // it was silent, perhaps for us only
	}
	c.shut(why)
	if a.why == byCollision || beside {
		p.log.Debug("connection closed", "reason", words)
		return
	}
	p.report(a.slot, why, words)
}

// report records and logs why a connection ended, in words.
func (p *Peer) report(s slot, why Reason, words string) {
	switch {
	case why.Received == nil && why.Sent == nil:
		p.unreached(words)
	default:
		p.noticed(words, s != current)
	}
	if s == current {
		p.log.Info("session closed", "reason", words)
		return
	}
	p.log.Debug("connection closed", "reason", words)
}

// dialWords explains a failed dial.
func (p *Peer) dialWords(err error) string {
	words := fmt.Sprintf("connect to %s: %s", p.config.Peer, transportWords(err))
	if errors.Is(err, syscall.EADDRNOTAVAIL) && p.config.Local.Addr().IsValid() {
		words += fmt.Sprintf(": this host has no address %s", p.config.Local.Addr())
	}
	return p.withHint(words)
}

// withHint adds what the kernel has dropped, which may be why.
func (p *Peer) withHint(why string) string {
	if hint := p.DropHint(); hint != "" {
		why += "; " + hint
	}
	return why
}
