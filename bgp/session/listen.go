package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
)

// Lookup finds the session that a connection is for; nil: none, and it is
// closed. It is called for each connection that comes and must be quick. Remote
// has the zone of a link-local address. A session for a dynamic neighbour may be
// made, and must then be started, by the call.
type Lookup func(remote, local netip.AddrPort) *Peer

// Listener takes the connections of peers to one address.
type Listener struct {
	transport *Transport
	lookup    Lookup
	tcp       *net.TCPListener
	log       hclog.Logger
	done      chan struct{}
	refused   atomic.Uint64

	mu   sync.Mutex // guards keys, and the kernel's with them
	keys map[netip.Prefix]bgp.Password
}

// Listen listens on an address; an unspecified one means all of its family. The
// error names the address.
func (t *Transport) Listen(ctx context.Context, at netip.AddrPort, lookup Lookup) (*Listener, error) {
	network, v6 := "tcp4", at.Addr().Is6()
	if v6 {
		network = "tcp6"
	}
	lc := net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			return onFD(raw, func(fd int) error {
				// SYN-ACKs must pass a peer's check, too (RFC 5082); accepted
				// connections get the TTL of their session.
				return errors.Join(setTTL(fd, v6, 255), setTrafficClass(fd, v6))
			})
		},
	}
	l, err := lc.Listen(ctx, network, at.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, err)
	}
	s := &Listener{
		transport: t, lookup: lookup, tcp: l.(*net.TCPListener),
		log: t.log.With("address", at.String()), done: make(chan struct{}),
		keys: make(map[netip.Prefix]bgp.Password),
	}
	go s.run()
	return s, nil
}

// Addr is the address listened on, with its port.
func (l *Listener) Addr() netip.AddrPort { return addrPort(l.tcp.Addr()) }

// Refused counts the connections for which there was no session.
func (l *Listener) Refused() uint64 { return l.refused.Load() }

// SetKey sets the TCP MD5 key of peers in p, where the longest prefix counts;
// without a password it removes it. Connections that exist, and the keys of
// others, stay as they are. The same again changes nothing.
func (l *Listener) SetKey(p netip.Prefix, w bgp.Password) error {
	p = p.Masked()
	if err := w.Check(); err != nil {
		return fmt.Errorf("set key of %s: %w", p, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys[p] == w {
		return nil
	}
	raw, err := l.tcp.SyscallConn()
	if err == nil {
		err = onFD(raw, func(fd int) error { return setKey(fd, p, w) })
	}
	if err != nil {
		return fmt.Errorf("set key of %s: %w", p, err)
	}
	l.keys[p] = w
	if w == "" {
		delete(l.keys, p)
	}
	return nil
}

// Close stops listening. Connections that were taken stay.
func (l *Listener) Close() error {
	err := l.tcp.Close()
	<-l.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// run accepts until the listener is closed.
func (l *Listener) run() {
	defer close(l.done)
	var quiet limiter
	for {
		sock, err := l.tcp.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of descriptors or memory: that passes, and asking at once
			// again would only take the processor.
			if n := quiet.allow(); n > 0 {
				l.log.Error("accepting connections failed", "count", n, "error", err)
			}
			time.Sleep(acceptPause)
		default:
			l.take(sock, &quiet)
		}
	}
}

// acceptPause is short against what a peer waits for its connection.
const acceptPause = 100 * time.Millisecond

func (l *Listener) take(sock net.Conn, quiet *limiter) {
	remote, local := addrPort(sock.RemoteAddr()), addrPort(sock.LocalAddr())
	p := l.lookup(remote, local)
	if p == nil {
		sock.Close()
		l.refused.Add(1)
		if n := quiet.allow(); n > 0 {
			l.log.Warn("connection refused: no session with this peer, or it is shut down", "peer", remote.String(), "count", n)
		}
		return
	}
	if err := p.config.adopt(sock); err != nil {
		sock.Close()
		p.failed("accept a connection: " + err.Error())
		l.log.Warn("connection of a peer not taken", "peer", remote.String(), "error", err)
		return
	}
	p.Accept(sock)
}

// limiter lets one of many events through in logEvery.
type limiter struct {
	last  time.Time
	count int
}

const logEvery = 10 * time.Second

// allow is how many events there were since it last was not zero; zero: say
// nothing yet.
func (l *limiter) allow() int {
	l.count++
	if !l.last.IsZero() && time.Since(l.last) < logEvery {
		return 0
	}
	n := l.count
	l.last, l.count = time.Now(), 0
	return n
}
