package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// connWatch remembers why the last connection did not come up or ended, which
// gRPC often hides behind a passed deadline: a refused dial, a failed
// handshake, or an alert by which a server refuses our certificate after it.
type connWatch struct {
	mu   sync.Mutex // guards last
	last error
	told func(error) // called when a new reason appears, and with nil when it is over
}

func (w *connWatch) failed(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	w.mu.Lock()
	news := w.last == nil || w.last.Error() != err.Error()
	w.last = err
	w.mu.Unlock()
	if news {
		w.told(err)
	}
}

// works forgets the failure: a call has been answered.
func (w *connWatch) works() {
	w.mu.Lock()
	over := w.last != nil
	w.last = nil
	w.mu.Unlock()
	if over {
		w.told(nil)
	}
}

func (w *connWatch) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// dial connects to an address as etcd's resolver writes it. A proxy named in
// the environment is not used: etcd is part of the fabric.
func (w *connWatch) dial(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
		if abs, ok := strings.CutPrefix(path, "//"); ok {
			address = abs
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	w.failed(err)
	return conn, err
}

// credentials returns transport credentials whose failures show; nil: no TLS.
func (w *connWatch) credentials(c *tls.Config) credentials.TransportCredentials {
	if c == nil {
		return insecure.NewCredentials()
	}
	return &watchedCredentials{credentials.NewTLS(c), w}
}

type watchedCredentials struct {
	credentials.TransportCredentials
	watch *connWatch
}

func (c *watchedCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		c.watch.failed(&handshakeError{raw.RemoteAddr().String(), err})
		return conn, info, err
	}
	return &watchedConn{conn, c.watch}, info, nil
}

func (c *watchedCredentials) Clone() credentials.TransportCredentials {
	return &watchedCredentials{c.TransportCredentials.Clone(), c.watch}
}

// watchedConn notes read errors: with TLS 1.3 a server's verdict on the
// client's certificate arrives with the first read.
type watchedConn struct {
	net.Conn
	watch *connWatch
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && strings.Contains(err.Error(), "tls:") {
		c.watch.failed(&handshakeError{c.RemoteAddr().String(), err})
	}
	return n, err
}

type handshakeError struct {
	server string
	cause  error
}

func (e *handshakeError) Error() string { return "TLS with " + e.server + ": " + e.cause.Error() }
func (e *handshakeError) Unwrap() error { return e.cause }
