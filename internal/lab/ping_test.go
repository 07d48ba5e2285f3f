package lab

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestPingerCountsWhatItReadsLate: a reply that has come, but was not read
// before the pinging was stopped, was not lost.
func TestPingerCountsWhatItReadsLate(t *testing.T) {
	testenv.Need(t, "root")
	l := New(t, "late")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("up0", "10.1.0.1/24", "fd00::1/64"), b.Port("up0", "10.1.0.2/24", "fd00::2/64"))
	for _, s := range []string{"10.1.0.2", "fd00::2"} {
		dst := netip.MustParseAddr(s)
		Eventually(t, daemonStart, "a reaches "+s, func() error { return a.Ping(dst) })
		p, err := a.newPinger(dst, PingOptions{Interval: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		go p.send()
		close(p.stop)
		<-p.sent
		Eventually(t, daemonStart, "a reply of "+s+" waits to be read", p.holdsReply)
		_ = p.conn.SetReadDeadline(time.Unix(1, 0))
		p.receive()
		if r := p.Report(); r.Received != 1 || r.Missing() != 0 {
			t.Errorf("%s: %s", s, r)
		}
		_ = p.conn.Close()
	}
}

// holdsReply returns nil when the socket holds a reply.
func (p *Pinger) holdsReply() error {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return err
	}
	var peeked error
	err = raw.Control(func(fd uintptr) {
		_, _, peeked = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	if err != nil {
		return err
	}
	return peeked
}
