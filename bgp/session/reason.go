package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Reason says why a connection ended. At most one of Sent and Received is set.
type Reason struct {
	Sent     *wire.Notification // by us; perhaps it did not get through
	Received *wire.Notification
	// Err is what the transport said, if it was the transport.
	Err error
	// Retain says that the peer's paths are to be kept as stale for its
	// restart time (RFC 4724 §4.2, RFC 8538 §4).
	Retain bool
	// Returned says that the peer has come back on another connection before
	// this one was known to be dead.
	Returned bool

	words string // for ends that have none of the above
}

// String is the reason in words for an operator.
func (r Reason) String() string {
	switch {
	case r.Received != nil:
		return "received notification " + r.Received.Error()
	case r.Sent != nil && r.words != "":
		return fmt.Sprintf("sent notification %s (%s)", r.Sent.Error(), r.words)
	case r.Sent != nil:
		return "sent notification " + r.Sent.Error()
	case r.Err != nil:
		return transportWords(r.Err)
	}
	return r.words
}

// silent reports whether we closed the connection, and said nothing.
func (r Reason) silent() bool {
	return r.Sent == nil && r.Received == nil && r.Err == nil && !r.Returned
}

// transportWords is an error of TCP in words, without the addresses, which
// stand beside it already.
func transportWords(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the peer closed the connection"
	case errors.Is(err, syscall.ECONNRESET):
		return "the peer reset the connection"
	case isTimeout(err):
		return "no answer"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) && call.Syscall == "connect" {
		err = call.Err
	}
	return err.Error()
}

// TimedOut reports whether the transport gave the peer up.
func (r Reason) TimedOut() bool { return isTimeout(r.Err) }

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}

// retain reports whether a connection that ends with r leaves paths to keep.
// Without a NOTIFICATION graceful restart is enough; with one, both ends must
// have said that it does not matter, and it must be no Hard Reset (RFC 8538
// §4).
func retain(n wire.Negotiated, r Reason) bool {
	notice := r.Received
	if notice == nil {
		notice = r.Sent
	}
	if notice == nil {
		return n.GracefulRestart
	}
	return n.Notification && (notice.Code != wire.Cease || notice.Subcode != wire.HardReset)
}

// sendable is n as the peer may be sent it: a Hard Reset is for those who know
// it (RFC 8538 §3.1).
func sendable(n *wire.Notification, known bool) *wire.Notification {
	if n == nil || known {
		return n
	}
	if inner, ok := n.Encapsulated(); ok {
		return inner
	}
	return n
}
