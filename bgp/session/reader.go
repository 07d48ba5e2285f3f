package session

import (
	"errors"
	"net"
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// lingerTime is how long a peer that says nothing has for reading what we sent
// last and closing its end. Closing ours with something unread would reset the
// connection, and the peer would never know why; nor would it have our
// End-of-RIB, without which it drops what it had kept of ours (RFC 4724 §4.2).
const lingerTime = time.Second

// lingerMost is how long one has that goes on talking: a table on its way may
// take more than a moment, also because we are slow to read it.
const lingerMost = 5 * time.Second

// lingerOctets is how much is read and thrown away meanwhile.
const lingerOctets = 1 << 22

// run is the connection from its OPEN to its end, in a goroutine of its own.
func (c *Conn) run() {
	defer c.sock.Close()
	defer c.frames.close()
	c.offer()
	if !c.silent {
		c.sendOpen()
	}
	for !c.ending.Load() {
		t, body, err := c.frames.next()
		if err != nil {
			c.broken(err)
			break
		}
		c.peer.in.add(t, 1, wire.HeaderLen+len(body))
		c.message(t, body)
	}
	<-c.done // broken has seen to it, if nobody else had
	c.finish()
}

func (c *Conn) ask(r request) answer {
	r.conn = c
	return c.peer.ask(r)
}

// offer settles what our OPEN says.
func (c *Conn) offer() {
	p := c.peer
	c.local = wire.Open{
		AS: p.config.LocalAS, HoldTime: p.config.Hold, RouterID: p.config.RouterID,
		Capabilities: p.handler.Capabilities(),
	}
}

func (c *Conn) sendOpen() {
	b, err := wire.AppendOpen(nil, c.local)
	if err != nil {
		c.ask(request{event: event{kind: lost}, err: err})
		return
	}
	_ = c.writeMessage(wire.TypeOpen, b) // an error: the loop knows
}

// broken tells the loop that nothing more can be read.
func (c *Conn) broken(err error) {
	r := request{event: event{kind: lost}, err: err}
	var n *wire.Notification
	if errors.As(err, &n) {
		r = request{event: event{kind: malformed, notice: n}}
	}
	c.ask(r)
}

func (c *Conn) message(t wire.MessageType, body []byte) {
	switch t {
	case wire.TypeUpdate:
		if c.up {
			c.verdict(c.peer.handler.Update(c, body))
			return
		}
		c.ask(request{event: event{kind: update}})
	case wire.TypeKeepalive:
		if !c.up {
			c.keepalive()
		}
	case wire.TypeRouteRefresh:
		c.routeRefresh(body)
	case wire.TypeOpen:
		c.open(body)
	case wire.TypeNotification:
		n, err := wire.ParseNotification(body)
		if err != nil {
			c.verdict(err)
			return
		}
		c.ask(request{event: event{kind: notified, notice: n}})
	}
}

// verdict ends the connection if err says so.
func (c *Conn) verdict(err error) {
	if err == nil {
		return
	}
	n := &wire.Notification{Code: wire.Cease}
	r := request{event: event{kind: malformed}}
	var why *refusal
	if !errors.As(err, &n) || errors.As(err, &why) {
		r.err = err
	}
	r.event.notice = n
	c.ask(r)
}

// open takes the peer's OPEN. One that comes out of turn is the state machine's
// matter, whatever it says.
func (c *Conn) open(body []byte) {
	if c.offered.RouterID.IsValid() {
		c.ask(request{event: event{kind: openOK}})
		return
	}
	peer, err := wire.ParseOpen(body)
	if err != nil {
		c.verdict(err)
		return
	}
	n, err := c.peer.config.checkOpen(c.local, peer)
	if err != nil {
		c.verdict(err)
		return
	}
	c.offered = Negotiated{
		Negotiated: n, RouterID: peer.RouterID,
		Capabilities: peer.Capabilities, Offered: c.local.Capabilities,
		Dialled:   c.dialled,
		Keepalive: c.peer.config.keepalive(n.HoldTime),
		SendHold:  c.peer.config.sendHold(n.HoldTime),
	}
	c.offered.Local, c.offered.Remote = c.ends()
	c.offered.SentOpen, _ = wire.AppendOpen(nil, c.local) // an error: it was not, or will not be, sent
	c.offered.ReceivedOpen = wire.AppendMessage(nil, wire.TypeOpen, body)
	up := c.offered
	a := c.ask(request{event: event{kind: openOK, open: facts(peer, n)}, up: &up})
	if !a.confirm {
		return
	}
	if c.silent {
		c.sendOpen()
	}
	c.frames.extended = n.ExtendedMessage
	if c.writeMessage(wire.TypeKeepalive, wire.AppendKeepalive(nil)) == nil {
		c.timers.negotiated(&up)
	}
}

// keepalive establishes the session if one was what it lacked. The Handler
// first hears the last of the connection before.
func (c *Conn) keepalive() {
	a := c.ask(request{event: event{kind: keepalive}})
	if !a.establish {
		return
	}
	if a.after != nil {
		<-a.after
	}
	setUserTimeout(c.sock, c.offered.SendHold)
	c.up = true
	c.peer.handler.Established(c, c.offered)
}

func (c *Conn) routeRefresh(body []byte) {
	if !c.up {
		c.ask(request{event: event{kind: refresh}})
		return
	}
	r, err := wire.ParseRouteRefresh(body, c.offered.EnhancedRefresh)
	if err != nil {
		c.verdict(err)
		return
	}
	// A kind or family that was not agreed on is ignored (RFC 2918 §4, 7313 §5).
	if c.offered.RouteRefresh && c.offered.Families.Has(r.Family) && r.Kind <= wire.RefreshEnd {
		c.verdict(c.peer.handler.RouteRefresh(c, r))
	}
}

// finish says goodbye, tells the Handler, and closes.
func (c *Conn) finish() {
	c.timers.stop()
	said := c.goodbye()
	if c.up {
		c.peer.handler.Closed(c, c.why)
	}
	close(c.told)
	if said || c.up && c.why.silent() {
		c.linger()
	}
}

// goodbye sends the NOTIFICATION that ends the connection. A writer that is in
// the middle of a message gets a moment to end it; behind half a message it
// would be no NOTIFICATION.
func (c *Conn) goodbye() bool {
	if c.why.Sent == nil {
		return false
	}
	_ = c.sock.SetWriteDeadline(time.Now().Add(lingerTime)) // an error: the write has it, too
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.torn {
		return false
	}
	b := wire.AppendNotification(nil, c.why.Sent)
	if _, err := c.sock.Write(b); err != nil {
		return false
	}
	c.peer.out.add(wire.TypeNotification, 1, len(b))
	return true
}

// linger waits for the peer to close its end.
func (c *Conn) linger() {
	half, ok := c.sock.(*net.TCPConn)
	if !ok || half.CloseWrite() != nil {
		return
	}
	var buf [1 << 12]byte
	most := time.Now().Add(lingerMost)
	for left := lingerOctets; left > 0 && time.Now().Before(most); {
		if c.sock.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
			return
		}
		n, err := c.sock.Read(buf[:])
		left -= n
		if err != nil && (!isTimeout(err) || !unread(c.sock)) {
			return
		}
	}
}
