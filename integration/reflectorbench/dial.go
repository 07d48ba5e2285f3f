package reflectorbench

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/lab"
)

const (
	holdTime      = 240 // seconds that a client offers
	readBuffer    = 64 << 10
	dialTimeout   = 5 * time.Second
	firstRedial   = 20 * time.Millisecond
	longestRedial = 500 * time.Millisecond
)

// opening is how a session begins.
type opening struct {
	table  *table
	goal   *goal // from the beginning; may be nil
	window int   // SO_RCVBUF in bytes; zero: the kernel's choice
}

// connect brings a session up, however often the target refuses until it knows
// its client, or until ctx ends.
func connect(ctx context.Context, from *lab.Host, o opening) (*client, error) {
	pause := firstRedial
	for {
		c, err := dial(ctx, from, o)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("client %d: session with the target: %w", o.table.self, err)
		case <-time.After(pause):
			pause = min(2*pause, longestRedial)
		}
	}
}

func dial(ctx context.Context, from *lab.Host, o opening) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	t := o.table
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: t.plan.clientAddr(t.self).AsSlice()},
		Control:   o.control,
	}
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(t.plan.target().String(), "179"))
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &client{
		number: t.self, plan: t.plan, conn: conn, table: t, goal: o.goal,
		done: make(chan struct{}), closed: make(chan struct{}), buf: make([]byte, readBuffer),
	}
	if err := c.handshake(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.read()
	go c.keepAlive()
	return c, nil
}

// control sets the receive buffer before the connection offers a window.
func (o opening) control(_, _ string, conn syscall.RawConn) (err error) {
	if o.window == 0 {
		return nil
	}
	if failed := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, o.window)
	}); failed != nil {
		return failed
	}
	return err
}

// handshake exchanges OPEN and KEEPALIVE (RFC 4271 §8.2.2).
func (c *client) handshake(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	out := openMessage(firstRouterID+uint32(c.number), holdTime, c.plan.IPv6)
	if _, err := c.conn.Write(out); err != nil {
		return err
	}
	body, err := c.expect(msgOpen)
	if err != nil {
		return err
	}
	hold, err := openHold(body)
	if err != nil {
		return err
	}
	c.hold = time.Duration(min(hold, holdTime)) * time.Second
	if _, err := c.conn.Write(appendKeepalive(nil)); err != nil {
		return err
	}
	if _, err := c.expect(msgKeepalive); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Time{})
}

// expect reads one message of that type; what follows it stays in the buffer.
func (c *client) expect(kind byte) (body []byte, err error) {
	for {
		got, body, n, err := nextMessage(c.buf[:c.have])
		switch {
		case err != nil:
			return nil, err
		case n > 0 && got == msgNotification:
			return nil, notification(body)
		case n > 0 && got != kind:
			return nil, fmt.Errorf("the target sent message type %d instead of %d", got, kind)
		case n > 0:
			body = append([]byte(nil), body...)
			c.have = copy(c.buf, c.buf[n:c.have])
			return body, nil
		}
		n, err = c.conn.Read(c.buf[c.have:])
		if err != nil {
			return nil, err
		}
		c.have += n
	}
}
