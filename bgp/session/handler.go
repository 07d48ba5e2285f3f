package session

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Handler holds the routes of a session. All calls about one connection come
// from one goroutine: Established, then any of Update and RouteRefresh, then
// Closed; and all of one connection before those of the next. Only Capabilities
// may be called at any time, also from two goroutines at once.
//
// Update and RouteRefresh may block; the peer is then read no further, while
// the timers run on and do not expire for it. When Conn.Done closes they must
// return.
type Handler interface {
	// Capabilities is asked for each OPEN. Four-byte AS numbers are added.
	Capabilities() wire.Capabilities

	// Established says that c may be written to.
	Established(c *Conn, n Negotiated)

	// Update takes the body of an UPDATE; it is valid during the call. A
	// *wire.Notification as error is sent and ends the connection; another
	// error ends it with Cease.
	Update(c *Conn, body []byte) error

	// RouteRefresh takes a ROUTE-REFRESH of a family of the session; the error
	// is as that of Update.
	RouteRefresh(c *Conn, r wire.RouteRefresh) error

	// Closed says that c has ended.
	Closed(c *Conn, why Reason)
}

// Negotiated is what both ends agreed on for one connection.
type Negotiated struct {
	wire.Negotiated

	RouterID     netip.Addr        // of the peer
	Capabilities wire.Capabilities // of the peer
	Offered      wire.Capabilities // ours

	Local, Remote netip.AddrPort // of the connection
	Dialled       bool           // by us

	// The OPENs, headers included. They are not changed.
	SentOpen, ReceivedOpen []byte

	Keepalive time.Duration // zero: none is sent
	SendHold  time.Duration
}
