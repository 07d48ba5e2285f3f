package bgp

import "net/netip"

// Traffic counts messages in one direction, over all connections of a session.
type Traffic struct {
	Opens, Updates, Keepalives, Notifications, Refreshes uint64
	Octets                                               uint64
}

// PeerStats is what was counted of a session since it was wanted. What a
// Speaker does not count is zero.
type PeerStats struct {
	In, Out Traffic

	// Refused is how many of the paths that the peer tells now are not used, by
	// reason. It is a gauge, not a count.
	Refused map[Refusal]int
	// Loops counts, by reason, prefixes that came with our own AS, router id or
	// cluster id in their attributes, each time they came.
	Loops map[Refusal]uint64

	// UPDATEs with an error, by what came of it (RFC 7606 §2): all that they
	// announced was withdrawn, an attribute was left out, or the session ended.
	TreatedAsWithdraw, AttributesDiscarded, SessionResets uint64

	// Walks counts how often the peer was sent the table rather than its
	// changes: when it came up, asked for a refresh, or was too far behind.
	Walks uint64
	// Members is the place of the session in the group of each family; none
	// while it is down.
	Members []MemberState
}

// MemberState is how far a peer has got with what its group is sent.
type MemberState struct {
	Group  int // GroupState.ID
	Family Family
	// Waiting says that it gets nothing before we know everything ourselves,
	// after a restart (RFC 4724 §4.1).
	Waiting bool
	// Walking says that it is being sent the table; Walked of Routes are done.
	Walking bool
	Walked  int
	// LagEntries and LagOctets are how much of the group's log is ahead of it.
	// One that walks is behind by the rest of the table, too.
	LagEntries int
	LagOctets  uint64
}

// GroupState is one update group: peers of one family that are sent the same
// bytes.
type GroupState struct {
	// ID tells groups apart that exist at the same time; it is used again when
	// the group is gone.
	ID        int
	Family    Family
	Kind      PeerKind
	LocalAS   uint32
	NextHop   netip.Addr // of our own routes
	ClusterID netip.Addr // zero: we do not reflect to it

	Members []GroupMember // in order of name
	Routes  int           // that a member holds which has read everything
	Walks   uint64        // begun by members

	// The log of UPDATEs that all members read: what is in it now, and all that
	// was ever written to it.
	LogEntries int
	LogOctets  int
	Messages   uint64
	Octets     uint64
	// StateOctets is the memory of what members are known to hold.
	StateOctets int
}

// GroupMember is a session in a group.
type GroupMember struct {
	Name string // of the session
	Peer netip.Addr
	MemberState
}

// PeerKind is what a peer is to a reflector (RFC 4456 §4), and to a host.
type PeerKind string

// The kinds of peer.
const (
	Client    PeerKind = "client"
	NonClient PeerKind = "non-client"
	External  PeerKind = "external"
)

// TableState is the size of a Speaker's table.
type TableState struct {
	Routes, Paths, Own int // prefixes, learned paths, prefixes of our own
	AttributeSets      int // distinct ones
	// Octets is the memory of routes, paths and attributes, without that of the
	// groups.
	Octets int
}

// Statistics is the state of a Speaker apart from that of its sessions.
type Statistics struct {
	Table  TableState
	Groups []GroupState // in order of ID
}

// Lag is how much the slowest member is behind the log, in octets.
func (g GroupState) Lag() uint64 {
	var most uint64
	for _, m := range g.Members {
		most = max(most, m.LagOctets)
	}
	return most
}

// Walking is how many members are being sent the table.
func (g GroupState) Walking() int {
	n := 0
	for _, m := range g.Members {
		if m.Walking {
			n++
		}
	}
	return n
}
