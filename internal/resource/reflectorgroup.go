package resource

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// The kinds of reflection.
const (
	KindReflectorGroup      Kind = "ReflectorGroup"
	KindReflectorMembership Kind = "ReflectorMembership"
)

// ReflectorGroup is hosts and the reflectors that they all have sessions with
// (RFC 4456). Reflectors of different groups have sessions with each other.
type ReflectorGroup struct {
	Meta
	// NodeSelector chooses the hosts; nil: every node that declares no cluster
	// id of its own. Of several groups that choose a host one gets it.
	NodeSelector *selector.Selector
	// MemberSelector chooses the reflectors among all nodes; nil with Election.
	MemberSelector *selector.Selector
	Election       *ReflectorElection
	// ClusterID of all members; invalid: each has its own, which is its router
	// id unless its Node declares another.
	ClusterID   netip.Addr
	OriginCheck OriginCheck // empty: off
	// Settings of the sessions: the filters and ReflectForeign hold on the
	// reflectors, LongLived on both ends. Others are not given.
	Settings SessionSettings
}

// ReflectorElection has the controller choose the reflectors of a group.
type ReflectorElection struct {
	Count       int // how many; at least 1
	Candidates  *selector.Selector
	TopologyKey string // label whose values they are spread over; empty: none
}

// OriginCheck says what a reflector does with a route of somebody else's
// prefix.
type OriginCheck string

// The modes of the origin check.
const (
	OriginCheckOff     OriginCheck = "Off"
	OriginCheckLog     OriginCheck = "Log"     // counted and logged
	OriginCheckEnforce OriginCheck = "Enforce" // and not reflected
)

// ReflectorMembership names the elected reflectors of the group of its name.
// The controller alone writes it.
type ReflectorMembership struct {
	Meta
	Members []ReflectorMember // in order of nodes
}

// ReflectorMember is an elected reflector.
type ReflectorMember struct {
	Node string
	// Leaving: it has been replaced, and goes when those that stay serve all.
	Leaving bool
}

// NodeDrain has a node ask its peers to use other paths (RFC 8326), and then
// close its sessions.
type NodeDrain struct {
	Message       string // told to peers with the close (RFC 9003)
	ShutdownAfter time.Duration
	Never         bool // nothing is closed
}
