package reflectorbench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// client is one session of the generator, from its address, and the table that
// came over it.
type client struct {
	number int
	plan   Plan
	conn   net.Conn
	hold   time.Duration // negotiated; zero: no keepalives (RFC 4271 §4.4)
	done   chan struct{} // closed when the session has ended
	closed chan struct{} // closed by close
	once   sync.Once     // of close

	mu     sync.Mutex // guards the rest; never held across I/O
	table  *table
	goal   *goal
	paused chan struct{} // not nil: reading waits until it is closed
	err    error         // why the session ended

	buf  []byte // of the reader
	have int
}

// goal is a state of the table that somebody waits for.
type goal struct {
	reached func(*table) bool
	at      chan time.Time // gets when it was reached
}

func newGoal(reached func(*table) bool) *goal {
	return &goal{reached: reached, at: make(chan time.Time, 1)}
}

// read takes in what the target sends, until the session ends.
func (c *client) read() {
	err := c.takeAll()
	for err == nil {
		c.waitWhilePaused()
		var n int
		n, err = c.conn.Read(c.buf[c.have:])
		c.have += n
		if taken := c.takeAll(); taken != nil {
			err = taken
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // pause woke it up
			err = nil
		}
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	_ = c.conn.Close()
	close(c.done)
}

// takeAll applies all messages that are complete.
func (c *client) takeAll() error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.buf[:c.have]
	for {
		kind, body, n, err := nextMessage(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		switch kind {
		case msgUpdate:
			if err := c.table.take(body, now); err != nil {
				return err
			}
		case msgNotification:
			return notification(body)
		}
		rest = rest[n:]
	}
	c.have = copy(c.buf, rest)
	c.checkGoalLocked(now)
	return nil
}

func (c *client) checkGoalLocked(now time.Time) {
	if c.goal != nil && c.goal.reached(c.table) {
		c.goal.at <- now
		c.goal = nil
	}
}

// until tells when the table has come to a state; now, if it has.
func (c *client) until(reached func(*table) bool) <-chan time.Time {
	g := newGoal(reached)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goal = g
	c.checkGoalLocked(time.Now())
	return g.at
}

// with runs f on the table.
func (c *client) with(f func(*table)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.table)
}

// taken is how many bytes of updates have come.
func (c *client) taken() (n int64) {
	c.with(func(t *table) { n = t.bytes })
	return n
}

// failure is why the session has ended; call it after done.
func (c *client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("client %d: %w", c.number, c.err)
}

// pause stops reading, as a client does that hangs; keepalives go on.
func (c *client) pause() error {
	c.mu.Lock()
	c.paused = make(chan struct{})
	c.mu.Unlock()
	return c.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader up
}

// resume reads on.
func (c *client) resume() error {
	err := c.conn.SetReadDeadline(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused != nil {
		close(c.paused)
		c.paused = nil
	}
	return err
}

func (c *client) waitWhilePaused() {
	c.mu.Lock()
	paused := c.paused
	c.mu.Unlock()
	if paused == nil {
		return
	}
	select {
	case <-paused:
	case <-c.closed:
	}
}

// send writes whole messages. It blocks while the target does not read.
func (c *client) send(messages []byte) error {
	if _, err := c.conn.Write(messages); err != nil {
		select {
		case <-c.done:
			return c.failure() // which is why
		default:
		}
		return fmt.Errorf("client %d: send to the target: %w", c.number, err)
	}
	return nil
}

func (c *client) keepAlive() {
	if c.hold == 0 {
		return
	}
	tick := time.NewTicker(c.hold / 3)
	defer tick.Stop()
	message := appendKeepalive(nil)
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
			if _, err := c.conn.Write(message); err != nil {
				return // the reader hears of it
			}
		}
	}
}

// close ends the session as the death of the client does: the kernel says FIN
// or RST, nobody says NOTIFICATION.
func (c *client) close() {
	c.once.Do(func() {
		close(c.closed)
		_ = c.conn.Close()
	})
	<-c.done
}
