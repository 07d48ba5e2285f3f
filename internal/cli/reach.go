package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// connectTimeout is how long one attempt to connect may take: a fabric answers
// in milliseconds, a host that is off never.
const connectTimeout = 5 * time.Second

// unreachableError says that no vrouterd answers, or no longer does.
type unreachableError struct {
	server string
	cause  error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach vrouterd at %s: %v", e.server, terse(e.cause))
}

func (e *unreachableError) Unwrap() error { return e.cause }

// hint says what to look at, if the cause tells.
func (e *unreachableError) hint() string {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(e.cause, &unknown):
		return "is --ca the authority that signed the server's certificate?"
	case isAlert(e.cause):
		return "does the server know the authority that signed --cert?"
	case errors.Is(e.cause, fs.ErrPermission):
		return "the socket is open to root and to its group"
	case errors.Is(e.cause, fs.ErrNotExist), errors.Is(e.cause, syscall.ECONNREFUSED),
		errors.Is(e.cause, os.ErrDeadlineExceeded), errors.Is(e.cause, context.DeadlineExceeded):
		return "is it running?"
	}
	return ""
}

// terse leaves out the addresses and calls that the network's errors begin with.
func terse(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// isAlert tells whether the other end refused us in TLS's own words.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" // as crypto/tls names it
}

// link dials, and remembers why the last attempt came to nothing: gRPC tells
// only a text.
type link struct {
	server           string // as given on the command line
	network, address string

	mu      sync.Mutex // guards the rest
	failure error      // of the last attempt; nil: the server has spoken since
	current *linkConn  // over which the server has spoken; nil: there is none
}

func (l *link) record(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
}

// up tells whether a connection is there over which the server has spoken. gRPC
// counts it as ready a little later, when a call may have been answered already.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current != nil
}

func (l *link) dial(ctx context.Context, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, l.network, l.address)
	if err != nil {
		l.record(err)
	}
	return conn, err
}

// recorder remembers failed handshakes, too.
type recorder struct {
	credentials.TransportCredentials
	link *link
}

func (r recorder) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := r.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		r.link.record(err)
		return conn, info, err
	}
	return &linkConn{conn, r.link}, info, nil
}

func (r recorder) Clone() credentials.TransportCredentials {
	return recorder{r.TransportCredentials.Clone(), r.link}
}

// linkConn tells its link whether the server speaks, and remembers an alert of
// it: in TLS 1.3 it refuses a client's certificate only after the client's
// handshake went well, and what then fails is any read or write.
type linkConn struct {
	net.Conn
	link *link
}

func (c *linkConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err != nil:
		c.lost(err)
	case n > 0:
		c.heard()
	}
	return n, err
}

func (c *linkConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		// The connection is lost; the alert may wait to be read.
		_ = c.SetReadDeadline(time.Now().Add(connectTimeout))
		var b [1]byte
		_, readErr := c.Conn.Read(b[:])
		c.lost(readErr)
	}
	return n, err
}

func (c *linkConn) heard() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.current, c.link.failure = c, nil
}

func (c *linkConn) lost(err error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.current == c {
		c.link.current = nil
	}
	if isAlert(err) {
		c.link.failure = err
	}
}

// translate tells errors of the connection from answers of the server: only
// the latter come while the connection is up. What broke it may be told before
// it counts as down.
func (c *client) translate(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s := status.Convert(err)
	if s.Code() != codes.Unavailable && s.Code() != codes.DeadlineExceeded {
		return err
	}
	if len(s.Details()) > 0 || c.link.up() && !wrapping.MatchString(s.Message()) {
		return err
	}
	return &unreachableError{server: c.link.server, cause: c.link.cause(s)}
}

// cause is why the connection is not there.
func (l *link) cause(s *status.Status) error {
	l.mu.Lock()
	err := l.failure
	l.mu.Unlock()
	if err == nil && s.Code() == codes.DeadlineExceeded {
		return errors.New("no answer in time")
	}
	if err == nil {
		return errors.New(innermost(s.Message()))
	}
	return err
}

// wrapping is what gRPC puts around the text of a lost connection.
var wrapping = regexp.MustCompile(`^(connection error: desc = "|transport: |error reading server preface: |error reading from server: )`)

// innermost strips gRPC's wrapping from a message.
func innermost(message string) string {
	quoted := false
	for {
		prefix := wrapping.FindString(message)
		if prefix == "" {
			break
		}
		quoted = quoted || prefix[len(prefix)-1] == '"'
		message = message[len(prefix):]
	}
	if quoted && message != "" && message[len(message)-1] == '"' {
		message = message[:len(message)-1]
	}
	if message == "EOF" {
		return "the connection was closed"
	}
	return message
}
