package session

import (
	"context"
	"net"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// Transport is what the sessions of one speaker share.
type Transport struct {
	log     hclog.Logger
	dial    Dialer
	changed chan struct{}
	buffers sync.Pool // of *buffer

	quietMu sync.Mutex
	quiet   limiter // of what passive sessions log; guarded by quietMu
}

// Dialer connects to the peer of a session. The connection is best a
// *net.TCPConn: others are read and written with more copying, and no socket
// options are set on them.
type Dialer func(ctx context.Context, c Config) (net.Conn, error)

// NewTransport is the ground of sessions that dial with dial; nil: Dial.
func NewTransport(log hclog.Logger, dial Dialer) *Transport {
	if dial == nil {
		dial = Dial
	}
	return &Transport{
		log:     log,
		dial:    dial,
		changed: make(chan struct{}, 1),
		buffers: sync.Pool{New: func() any { return new(buffer) }},
	}
}

// Changed is signalled when the Status of a session has another State or
// LastError. One signal may stand for many.
func (t *Transport) Changed() <-chan struct{} { return t.changed }

func (t *Transport) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}
