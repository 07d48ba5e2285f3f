package session

import (
	"math"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// openHold is how long a peer may take for its OPEN. RFC 4271 §8.2.2 suggests
// four minutes; a peer that has not sent it after one will not.
const openHold = time.Minute

// timers are those of a connection. Messages do not touch the two timers: when
// one expires it looks at when something was read or sent last, and sleeps for
// the rest.
type timers struct {
	conn            *Conn
	hold, keepalive *time.Timer

	// lastRead is when the reader was done with the last message, lastSent when
	// one was written; since conn was born.
	lastRead, lastSent atomic.Int64
	working            atomic.Bool // the reader is busy with what it has read

	holdTime, keepaliveTime, sendHoldTime atomic.Int64 // zero: none
}

// init makes the timers, with the hold time of OpenSent running.
func (t *timers) init(c *Conn) {
	t.conn = c
	// Stopped at first, so that their fields are written before they run.
	t.hold = time.AfterFunc(math.MaxInt64, t.checkHold)
	t.keepalive = time.AfterFunc(math.MaxInt64, t.checkKeepalive)
	t.keepalive.Stop()
	t.holdTime.Store(int64(openHold))
	t.sendHoldTime.Store(int64(openHold))
	t.hold.Reset(openHold)
}

// negotiated sets the times that both ends agreed on.
func (t *timers) negotiated(n *Negotiated) {
	t.holdTime.Store(int64(n.HoldTime))
	t.sendHoldTime.Store(int64(n.SendHold))
	if n.HoldTime == 0 {
		t.hold.Stop()
	} else {
		t.hold.Reset(n.HoldTime)
	}
	t.keepaliveTime.Store(int64(n.Keepalive))
	if n.Keepalive > 0 {
		t.keepalive.Reset(jitter(n.Keepalive))
	}
}

func (t *timers) stop() {
	t.hold.Stop()
	t.keepalive.Stop()
}

func (t *timers) sendHold() time.Duration { return time.Duration(t.sendHoldTime.Load()) }

// waiting notes that the reader waits for the peer, after messages or not.
func (t *timers) waiting(messages bool) {
	if messages {
		t.lastRead.Store(int64(time.Since(t.conn.born)))
	}
	t.working.Store(false)
}

// atWork notes that something came.
func (t *timers) atWork() { t.working.Store(true) }

// sent notes that messages went out.
func (t *timers) sent() { t.lastSent.Store(int64(time.Since(t.conn.born))) }

func (t *timers) since(last *atomic.Int64) time.Duration {
	return time.Since(t.conn.born) - time.Duration(last.Load())
}

// checkHold is the hold timer. It counts from the last message, and not while
// we are the slow one: a reader that is held up by its engine, or has not got
// round to what the kernel has for it, may have heard the peer.
func (t *timers) checkHold() {
	hold := time.Duration(t.holdTime.Load())
	if hold == 0 || t.conn.ending.Load() {
		return
	}
	left := hold - t.since(&t.lastRead)
	if left <= 0 && (t.working.Load() || unread(t.conn.sock)) {
		left = min(hold, time.Second)
	}
	if left > 0 {
		t.hold.Reset(left)
		return
	}
	t.conn.peer.post(request{event: event{kind: holdExpired}, conn: t.conn})
}

// checkKeepalive sends a KEEPALIVE unless something else went out meanwhile, or
// is just going out: any message will do (RFC 4271 §4.4).
func (t *timers) checkKeepalive() {
	every := time.Duration(t.keepaliveTime.Load())
	c := t.conn
	if c.ending.Load() {
		return
	}
	// What jitter took from the interval counts as idle already.
	if idle := t.since(&t.lastSent); idle < every/2 {
		t.keepalive.Reset(jitter(every - idle))
		return
	}
	if c.writing.TryLock() {
		err := c.keepaliveLocked()
		c.writing.Unlock()
		if err != nil {
			return
		}
	}
	t.keepalive.Reset(jitter(every))
}

// keepaliveLocked writes a KEEPALIVE; the caller holds writing.
func (c *Conn) keepaliveLocked() error {
	err := c.writeLocked(&net.Buffers{wire.AppendKeepalive(nil)})
	if err == nil {
		c.peer.out.add(wire.TypeKeepalive, 1, wire.HeaderLen)
	}
	return err
}

// jitter is d or up to a quarter less, so that sessions do not send in step
// (RFC 4271 §10).
func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }
