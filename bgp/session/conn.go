package session

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Conn is one connection of a session. A Handler gets it when it is
// established; Writev, Write and Done may then be used from any goroutine.
type Conn struct {
	peer    *Peer
	sock    net.Conn
	dialled bool
	born    time.Time

	frames  *frames
	silent  bool       // the peer must send its OPEN first
	local   wire.Open  // the OPEN sent, or to be sent; reader only
	offered Negotiated // what the OPENs agree on; reader only
	up      bool       // the Handler was told; reader only

	agreed *Negotiated // from OpenConfirm on; loop only

	timers timers

	ending atomic.Bool
	done   chan struct{} // closed when the connection is to end
	told   chan struct{} // closed when the Handler knows that it has
	why    Reason        // written before done is closed

	writing  sync.Mutex // held while messages are written
	deadline time.Time  // for writing; guarded by writing
	torn     bool       // a write has failed; guarded by writing
}

// ErrClosed is returned by writes on a connection that is ending. The Handler
// is told why.
var ErrClosed = errors.New("the session has ended")

func newConn(p *Peer, sock net.Conn, dialled bool) *Conn {
	c := &Conn{
		peer: p, sock: sock, dialled: dialled, born: time.Now(),
		done: make(chan struct{}), told: make(chan struct{}),
	}
	c.frames = newFrames(sock, &p.transport.buffers, c.timers.waiting, c.timers.atWork)
	c.timers.init(c)
	return c
}

// Peer is the session that c is of.
func (c *Conn) Peer() *Peer { return c.peer }

// Done is closed when the connection is ending, for whoever waits in Update or
// before a write.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Reset ends the connection with n, or in silence, and lets the session begin
// anew. It does not wait. On a connection that has ended it does nothing.
func (c *Conn) Reset(n *wire.Notification) {
	go c.peer.post(request{event: event{kind: malformed, notice: n}, conn: c})
}

// Write is Writev of one buffer with whole UPDATEs, messages of them.
func (c *Conn) Write(b []byte, messages int) error {
	return c.Writev(net.Buffers{b}, messages, 0)
}

// writeAtOnce is how many octets are given to the kernel within one send hold
// time: so few that a slow peer is told from one that does not read at all.
const writeAtOnce = 1 << 18

// Writev writes whole messages, as many UPDATEs and ROUTE-REFRESHes as said, and
// consumes bufs as net.Buffers.WriteTo does. It blocks while the peer takes nothing, up to the
// send hold time. An error is final: the Handler's Closed tells more.
func (c *Conn) Writev(bufs net.Buffers, updates, refreshes int) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	octets := 0
	for len(bufs) > 0 {
		n, size := 0, 0
		for n < len(bufs) && (n == 0 || size+len(bufs[n]) <= writeAtOnce) {
			size += len(bufs[n])
			n++
		}
		part := bufs[:n]
		bufs = bufs[n:]
		if err := c.writeLocked(&part); err != nil {
			return err
		}
		octets += size
	}
	c.peer.out.add(wire.TypeUpdate, updates, octets)
	c.peer.out.add(wire.TypeRouteRefresh, refreshes, 0)
	return nil
}

// WriteRefresh writes a ROUTE-REFRESH.
func (c *Conn) WriteRefresh(r wire.RouteRefresh) error {
	return c.writeMessage(wire.TypeRouteRefresh, wire.AppendRouteRefresh(nil, r))
}

func (c *Conn) writeMessage(t wire.MessageType, b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.writeLocked(&net.Buffers{b}); err != nil {
		return err
	}
	c.peer.out.add(t, 1, len(b))
	return nil
}

// writeLocked writes; the caller holds writing. The deadline moves only when a
// second of it is gone, because it costs as much as a short write.
func (c *Conn) writeLocked(bufs *net.Buffers) error {
	if c.ending.Load() || c.torn {
		return ErrClosed
	}
	limit := c.timers.sendHold()
	want := time.Now().Add(limit)
	if left := want.Sub(c.deadline); left > time.Second || left < 0 {
		c.deadline = want
		if err := c.sock.SetWriteDeadline(want); err != nil {
			return fmt.Errorf("write to %s: %w", c.peer.config.Peer, err)
		}
		if c.ending.Load() { // the time for ending a message may have been overwritten
			return ErrClosed
		}
	}
	_, err := bufs.WriteTo(c.sock)
	if err == nil {
		c.timers.sent()
		return nil
	}
	c.torn = true
	if c.ending.Load() {
		return ErrClosed
	}
	r := request{event: event{kind: lost}, conn: c, err: err}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r = request{event: event{kind: sendHoldExpired}, conn: c}
	}
	c.peer.post(r)
	return fmt.Errorf("write to %s: %w", c.peer.config.Peer, err)
}

// shut makes the reader end the connection for why. The loop calls it, once.
func (c *Conn) shut(why Reason) {
	if c.agreed != nil {
		why.Retain = retain(c.agreed.Negotiated, why)
	}
	c.why = why
	c.ending.Store(true)
	close(c.done)
	_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // an error: the reader sees it, too
}

// knowsHardReset reports whether the peer knows Hard Reset (RFC 8538 §3).
func (c *Conn) knowsHardReset() bool { return c.agreed != nil && c.agreed.Notification }

// ends are both ends of the connection.
func (c *Conn) ends() (local, remote netip.AddrPort) {
	return addrPort(c.sock.LocalAddr()), addrPort(c.sock.RemoteAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
