package bgp

import (
	"net/netip"
	"time"
)

// RouteState is a prefix with what the RIB has of it, in the order of Routes.
// Without entries it is gone, or the query chooses none of them.
type RouteState struct {
	Prefix  netip.Prefix
	Entries []Entry
}

// RouteWatch follows the RIB: first all that a Query chooses, then each prefix
// that changes. It tells states, not changes: one that changed often since it
// was told last is told once. One goroutine uses it.
type RouteWatch interface {
	// Changed is signalled when Next has something.
	Changed() <-chan struct{}

	// Next is up to n prefixes, as they stand now; none: nothing has changed.
	// Synced says that, with these, all was told once. Reset says that so much
	// has changed since the last call that all follows anew, and what does not
	// come again before the next synced is gone.
	Next(n int) (states []RouteState, synced, reset bool)

	Close()
}

// StationState is the state of a station that is told what peers say (BMP, RFC
// 7854).
type StationState struct {
	Address   string // host:port
	Connected bool
	Since     time.Time // of Connected
	// Messages and Octets that the station was sent, over all Connections.
	Messages, Octets uint64
	Connections      int
	LastError        string // why the last connection ended, or was not made
}
