package lab

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Talk is an open TCP connection to something that repeats every line.
type Talk struct {
	conn    net.Conn
	answers *bufio.Reader
	lines   int
}

// Repeat answers every line of every connection to an address of the host with
// itself, until the test is over.
func (h *Host) Repeat(at netip.AddrPort) {
	t := h.lab.t
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatalf("host %s: %v", h.name, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go repeat(c)
		}
	}()
}

func repeat(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if _, err := fmt.Fprintln(c, lines.Text()); err != nil {
			return
		}
	}
}

// Talk connects to something that repeats every line, as soon as limit allows
// it, and until the test is over.
func (h *Host) Talk(to netip.AddrPort, limit time.Duration) *Talk {
	t := h.lab.t
	t.Helper()
	c := new(Talk)
	Eventually(t, limit, fmt.Sprintf("host %s connects to %s", h.name, to), func() (err error) {
		c.conn, err = h.DialContext(t.Context(), "tcp", to.String())
		return err
	})
	t.Cleanup(func() { _ = c.conn.Close() })
	c.answers = bufio.NewReader(c.conn)
	return c
}

// Talks opens a connection to each address of a workload, which repeats every
// line.
func (w *Workload) Talks(to *Workload, limit time.Duration) (list []*Talk) {
	w.lab.t.Helper()
	for _, p := range to.Addrs {
		at := netip.AddrPortFrom(p.Addr(), 80)
		to.Repeat(at)
		list = append(list, w.Talk(at, limit))
	}
	return list
}

// Say sends a line, and returns an error if it is not repeated in time. What
// was not repeated in time before may still come first.
func (c *Talk) Say(within time.Duration) error {
	c.lines++
	_ = c.conn.SetDeadline(time.Now().Add(within))
	if _, err := fmt.Fprintln(c.conn, c.lines); err != nil {
		return err
	}
	for {
		answer, err := c.answers.ReadString('\n')
		if err != nil || answer == fmt.Sprintln(c.lines) {
			return err
		}
	}
}
