package bgp

import (
	"net/netip"
	"time"
)

// Observer hears what peers say, for monitoring (BMP, RFC 7854). Its methods
// are called in the order of what happens, with the Speaker's lock held: they
// return at once, call nothing of the Speaker, and keep no slice that they are
// given.
type Observer interface {
	// PeerUp says that a session came up.
	PeerUp(*Connection)
	// Heard is an UPDATE of what the peer tells. It is as the peer sent it, or
	// says the same where it was malformed. With post it is what the import
	// policy made of it, then or when the policy changed later.
	Heard(c *Connection, u MonitoredUpdate)
	// PeerDown says that the connection has ended; what it told is gone.
	PeerDown(*Connection, PeerDown)
}

// Connection is a session that is up. It is not changed.
type Connection struct {
	ID      uint64 // later ones have higher ones
	Session Session
	Up      time.Time

	Local, Remote netip.AddrPort
	RouterID      netip.Addr // of the peer
	PeerAS        uint32
	Families      Families
	// SentOpen and ReceivedOpen are the OPENs, headers included.
	SentOpen, ReceivedOpen []byte
}

// MonitoredUpdate is a whole UPDATE message.
type MonitoredUpdate struct {
	Message   []byte // header included; with path identifiers if the OPENs agree on them
	TwoByteAS bool   // its AS numbers have two octets
	Post      bool   // after the import policy
}

// PeerDown says why a session went down, as RFC 7854 §4.9 tells it.
type PeerDown struct {
	Reason       DownReason
	Notification []byte // the message, header included
	Event        uint16 // of the FSM (RFC 4271 §8.1), of DownLocal
}

// DownReason is a reason of RFC 7854 §4.9.
type DownReason uint8

// The reasons.
const (
	DownLocalNotification  DownReason = 1 // we sent a NOTIFICATION
	DownLocal              DownReason = 2 // we closed without one
	DownRemoteNotification DownReason = 3 // the peer sent one
	DownRemote             DownReason = 4 // the peer closed without one
	DownDeconfigured       DownReason = 5 // it is monitored no longer
)
