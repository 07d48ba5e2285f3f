package lab

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PingOptions says how a Pinger pings.
type PingOptions struct {
	Source   netip.Addr    // the kernel's choice if not valid
	Interval time.Duration // 1 ms if zero
	// NewFlows gives each request an identifier of its own, which makes it the
	// first packet of a flow to a firewall. They come again after 65536.
	NewFlows bool
}

// Pinger sends ICMP echo requests (RFC 792, RFC 4443) at a steady rate and
// books every reply, until Stop. Requests are numbered in 64 bits of payload,
// because the 16 of the header wrap within a minute at 1 kHz.
type Pinger struct {
	conn  *net.IPConn
	dst   netip.Addr
	every time.Duration
	fresh bool    // NewFlows
	nonce [8]byte // tells our replies from those to other pingers

	stop     chan struct{}
	sent     chan struct{} // closed when the last request is out
	received chan struct{} // one token whenever a reply was booked
	read     chan struct{} // closed when nothing is read any more

	mu      sync.Mutex // guards the rest
	book    []echo     // by sequence number
	replies int
	extra   int
	sendErr error
}

type echo struct {
	at       time.Time
	answered bool
}

// ICMP types of echo; 8 and 0 in RFC 792, 128 and 129 in RFC 4443.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// icmpHeader is type, code, checksum, identifier, sequence number; then come
// the nonce and our own sequence number, 8 bytes each.
const icmpHeader, pingLength = 8, 8 + 16

// StartPing pings dst from the host in the background.
func (h *Host) StartPing(dst netip.Addr, opts PingOptions) *Pinger {
	h.lab.t.Helper()
	p, err := h.newPinger(dst, opts)
	if err != nil {
		h.lab.t.Fatalf("host %s: ping %s: %v", h.name, dst, err)
	}
	go p.receive()
	go p.send()
	return p
}

// Ping sends one echo request and waits for its reply, up to a second. It is
// made for Eventually.
func (h *Host) Ping(dst netip.Addr) error { return h.PingFrom(netip.Addr{}, dst) }

// PingFrom is Ping with a source address of the host.
func (h *Host) PingFrom(src, dst netip.Addr) error {
	p, err := h.newPinger(dst, PingOptions{Source: src, Interval: time.Hour})
	if err != nil {
		return fmt.Errorf("host %s: ping %s: %w", h.name, dst, err)
	}
	go p.receive()
	go p.send()
	if r := p.finish(time.Second); r.Received == 0 {
		return fmt.Errorf("host %s: no reply from %s (%w)", h.name, dst, r.cause())
	}
	return nil
}

func (h *Host) newPinger(dst netip.Addr, opts PingOptions) (*Pinger, error) {
	p := &Pinger{
		dst: dst, every: opts.Interval, fresh: opts.NewFlows,
		stop: make(chan struct{}), sent: make(chan struct{}), received: make(chan struct{}, 1), read: make(chan struct{}),
	}
	if p.every == 0 {
		p.every = time.Millisecond
	}
	_, _ = rand.Read(p.nonce[:])
	network := "ip4:icmp"
	if dst.Is6() {
		network = "ip6:ipv6-icmp"
	}
	local := &net.IPAddr{}
	if opts.Source.IsValid() {
		local.IP = opts.Source.AsSlice()
	}
	err := h.Do(func() (err error) {
		p.conn, err = net.ListenIP(network, local)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, p.prepare()
}

// prepare lets nothing but echo replies through, and gives the socket room for
// what comes while this process has no processor.
func (p *Pinger) prepare() error {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		level, name, reply := unix.SOL_RAW, 1 /* ICMP_FILTER */, uint(echoReply4)
		filter := make([]byte, 4)
		if p.dst.Is6() {
			level, name, reply = unix.SOL_ICMPV6, unix.ICMPV6_FILTER, echoReply6
			filter = make([]byte, 32)
		}
		for i := range filter {
			filter[i] = 0xff // a set bit blocks its type
		}
		word := reply / 32 * 4
		binary.NativeEndian.PutUint32(filter[word:], ^uint32(0)&^(1<<(reply%32)))
		optErr = errors.Join(
			unix.SetsockoptString(int(fd), level, name, string(filter)),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	})
	return errors.Join(err, optErr)
}

// send sends by the clock: a request that is due late is sent at once, so that
// the count of requests does not depend on the scheduler.
func (p *Pinger) send() {
	defer close(p.sent)
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	to := &net.IPAddr{IP: p.dst.AsSlice()}
	for seq := uint64(0); ; seq++ {
		timer.Reset(time.Until(start.Add(time.Duration(seq) * p.every)))
		select {
		case <-p.stop:
			if seq > 0 {
				return
			}
		case <-timer.C:
		}
		p.mu.Lock()
		p.book = append(p.book, echo{at: time.Now()})
		p.mu.Unlock()
		if _, err := p.conn.WriteTo(p.request(seq), to); err != nil {
			p.mu.Lock()
			p.sendErr = err
			p.mu.Unlock()
		}
	}
}

func (p *Pinger) request(seq uint64) []byte {
	b := make([]byte, pingLength)
	b[0] = echoRequest4
	if p.dst.Is6() {
		b[0] = echoRequest6
	}
	copy(b[4:6], p.nonce[:2])
	if p.fresh {
		binary.BigEndian.PutUint16(b[4:], uint16(seq))
	}
	binary.BigEndian.PutUint16(b[6:], uint16(seq))
	copy(b[icmpHeader:], p.nonce[:])
	binary.BigEndian.PutUint64(b[icmpHeader+8:], seq)
	if p.dst.Is4() { // the kernel does it for ICMPv6
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is that of RFC 1071 over an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// receive books replies until a deadline is set, then those that the socket
// still holds: a process that has had no processor has not lost them.
func (p *Pinger) receive() {
	defer close(p.read)
	buf := make([]byte, 2048)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			break
		}
		if err == nil {
			p.take(buf[:n])
		}
	}
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EAGAIN) {
				return
			}
			if err == nil {
				p.take(withoutHeader(buf[:n], p.dst.Is4()))
			}
		}
	})
}

// withoutHeader takes off the IPv4 header, which a raw socket of that family
// has before each packet.
func withoutHeader(packet []byte, v4 bool) []byte {
	if !v4 || len(packet) == 0 {
		return packet
	}
	return packet[min(int(packet[0]&15)*4, len(packet)):]
}

// take books a packet if it is a reply to us.
func (p *Pinger) take(packet []byte) {
	if len(packet) < pingLength || [8]byte(packet[icmpHeader:]) != p.nonce {
		return
	}
	if t := packet[0]; t != echoReply4 && t != echoReply6 {
		return // our own request, seen when pinging ourselves
	}
	p.answer(binary.BigEndian.Uint64(packet[icmpHeader+8:]))
	select {
	case p.received <- struct{}{}:
	default:
	}
}

func (p *Pinger) answer(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case seq >= uint64(len(p.book)):
	case p.book[seq].answered:
		p.extra++
	default:
		p.book[seq].answered = true
		p.replies++
	}
}

// Stop ends the pinging, gives replies under way two seconds to arrive, and
// reports. A round trip in a lab takes microseconds.
func (p *Pinger) Stop() PingReport { return p.finish(2 * time.Second) }

// Abandon ends the pinging, waits for nothing more, and reports.
func (p *Pinger) Abandon() PingReport { return p.finish(0) }

func (p *Pinger) finish(grace time.Duration) PingReport {
	close(p.stop)
	<-p.sent
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for waiting := p.missing(); waiting; {
		select {
		case <-p.received:
			waiting = p.missing()
		case <-limit.C:
			waiting = false
		}
	}
	_ = p.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader up
	<-p.read
	_ = p.conn.Close()
	return p.Report()
}

func (p *Pinger) missing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replies < len(p.book)
}

// Report is the state so far; the newest requests count as lost until their
// replies are here.
func (p *Pinger) Report() PingReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := PingReport{Sent: len(p.book), Received: p.replies, Duplicates: p.extra, SendError: p.sendErr}
	for i, e := range p.book {
		switch {
		case e.answered:
		case i > 0 && !p.book[i-1].answered:
			w := &r.Lost[len(r.Lost)-1]
			w.Last = e.at
			w.Count++
		default:
			r.Lost = append(r.Lost, LossWindow{First: e.at, Last: e.at, Count: 1})
		}
	}
	return r
}

// PingReport says what became of the requests of a Pinger.
type PingReport struct {
	Sent, Received, Duplicates int
	Lost                       []LossWindow // in the order of time
	SendError                  error        // the last, such as a missing route; the request counts as lost
}

// LossWindow is a run of requests without reply; the times are those of
// sending its first and its last.
type LossWindow struct {
	First, Last time.Time
	Count       int
}

// Missing is the number of requests without reply.
func (r PingReport) Missing() int { return r.Sent - r.Received }

// Longest is the time between the first and the last request of the longest
// loss window.
func (r PingReport) Longest() time.Duration {
	var longest time.Duration
	for _, w := range r.Lost {
		longest = max(longest, w.Last.Sub(w.First))
	}
	return longest
}

func (r PingReport) cause() error {
	var errno syscall.Errno
	if errors.As(r.SendError, &errno) {
		return errno
	}
	return errors.New("no error from the kernel")
}

// String is one line, with the loss windows if there are any.
func (r PingReport) String() string {
	s := fmt.Sprintf("%d sent, %d received, %d lost", r.Sent, r.Received, r.Missing())
	if r.Duplicates > 0 {
		s += fmt.Sprintf(", %d duplicates", r.Duplicates)
	}
	for _, w := range r.Lost {
		s += fmt.Sprintf("; %d lost from %s for %v", w.Count, w.First.Format("15:04:05.000"),
			w.Last.Sub(w.First).Round(time.Millisecond))
	}
	if r.SendError != nil {
		s += fmt.Sprintf("; last error: %v", r.SendError)
	}
	return s
}
