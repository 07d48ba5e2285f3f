package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Dial connects over TCP as c says. The error names the peer.
func Dial(ctx context.Context, c Config) (net.Conn, error) {
	d := net.Dialer{
		KeepAlive: -1, // BGP has its own
		Control: func(_, _ string, raw syscall.RawConn) error {
			return onFD(raw, c.prepareDial)
		},
	}
	if c.Local.Addr().IsValid() || c.Local.Port() != 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(c.Local)
	}
	network := "tcp4"
	if c.Peer.Addr().Unmap().Is6() {
		network = "tcp6"
	}
	return d.DialContext(ctx, network, c.Peer.String())
}

// prepareDial sets the options of a socket that has not connected yet.
func (c Config) prepareDial(fd int) error {
	v6 := c.Peer.Addr().Unmap().Is6()
	var errs []error
	if c.Device != "" {
		errs = append(errs, bindToDevice(fd, c.Device))
	}
	if c.Password != "" {
		errs = append(errs, setKey(fd, keyOf(c.Peer.Addr()), c.Password))
	}
	errs = append(errs, c.prepare(fd, v6))
	if c.Local.Port() != 0 {
		errs = append(errs, reuseAddress(fd)) // the port of the connection before is still kept
	} else {
		errs = append(errs, bindWithoutPort(fd)) // a port per peer, not one of all for each
	}
	return errors.Join(errs...)
}

// prepare sets the options that dialled and accepted sockets have in common.
func (c Config) prepare(fd int, v6 bool) error {
	return errors.Join(
		setTTL(fd, v6, c.sendTTL()),
		setMinTTL(fd, v6, c.minTTL()),
		setTrafficClass(fd, v6),
		setFDUserTimeout(fd, openHold),
	)
}

// adopt sets the options of a connection that the peer made.
func (c Config) adopt(sock net.Conn) error {
	t, ok := sock.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	if err := onFD(raw, func(fd int) error { return c.prepare(fd, c.Peer.Addr().Unmap().Is6()) }); err != nil {
		return fmt.Errorf("connection from %s: %w", sock.RemoteAddr(), err)
	}
	return nil
}

// setUserTimeout bounds how long what we sent may stay unacknowledged, so that
// the kernel's patience is ours (RFC 9687 §4).
func setUserTimeout(sock net.Conn, d time.Duration) {
	t, ok := sock.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		_ = onFD(raw, func(fd int) error { return setFDUserTimeout(fd, d) }) // the send hold timer is there without it
	}
}

// onFD runs f on the descriptor of raw.
func onFD(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	if outer := raw.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}
