package bgp

import (
	"net/netip"
	"time"
)

// State is a state of the finite state machine (RFC 4271 §8.2.2).
type State uint8

// The states of a session.
const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

// String is the name of the state in RFC 4271.
func (s State) String() string {
	switch s {
	case Idle:
		return "Idle"
	case Connect:
		return "Connect"
	case Active:
		return "Active"
	case OpenSent:
		return "OpenSent"
	case OpenConfirm:
		return "OpenConfirm"
	case Established:
		return "Established"
	}
	return "Unknown"
}

// PeerState is what is known of a session. What is negotiated is that of the
// present or the last connection.
type PeerState struct {
	Session Session
	Range   netip.Prefix // of the Session that let the peer in; zero: it has one of its own
	State   State
	Since   time.Time // of State; to a second
	// Established counts how often the session came up since it was wanted.
	Established int
	LastError   string // why it went down last, in words; empty: never did

	RouterID     netip.Addr
	Local        netip.Addr // our end of the connection; zero when it is down
	Hold         time.Duration
	Keepalive    time.Duration
	Capabilities []string // of the peer, sorted

	// Families is by family, IPv4 first. Received, Accepted and Advertised are
	// the sums.
	Families   []FamilyState
	Received   int // prefixes the peer told
	Accepted   int // of these, those that passed the import policy
	Advertised int // prefixes that we told the peer

	// EndOfRIB has the families for which the peer has sent its End-of-RIB
	// since the session came up (RFC 4724 §2). LastUpdate is when it last told
	// anything; zero: nothing yet. A peer without graceful restart sends no
	// End-of-RIB and counts as complete by being silent.
	EndOfRIB   Families
	LastUpdate time.Time

	GracefulRestart GracefulRestart

	Stats PeerStats
}

// FamilyState is what is known of one family of a session.
type FamilyState struct {
	Family   Family
	Up       bool // the session is, and both ends carry the family
	EndOfRIB bool // the peer has sent it since

	Received, Accepted, Advertised int // prefixes
	Stale                          int // of those received; see GracefulRestart
	// LongLivedUntil is when the stale paths go that are kept for longer than
	// a restart (RFC 9494); zero: there are none.
	LongLivedUntil time.Time
}

// GracefulRestart is what a peer said about it in its last OPEN (RFC 4724 §3).
type GracefulRestart struct {
	Negotiated  bool          // both ends have the capability
	Restarting  bool          // R: it restarts itself, waiting for it is pointless
	Forwarding  Families      // F: those for which it kept its forwarding state
	RestartTime time.Duration // for how long we keep its paths
	Stale       int           // its paths that we keep as stale now
}
