package bgp

import (
	"net/netip"
)

// Verdict is what filters say of a path.
type Verdict uint8

// The verdicts. NoMatch leaves it to what holds without filters.
const (
	NoMatch Verdict = iota
	Accepted
	Rejected
)

// Filter is a BGPFilter, ready for use and never changed: its rules for import
// and for export, each in order.
type Filter struct {
	Name           string
	Import, Export []*FilterRule
}

// FilterRule matches paths of one family for which all its criteria hold. A
// zero criterion always holds.
type FilterRule struct {
	Family Family

	Prefix      netip.Prefix // with MinLength and MaxLength: those it holds; see Match
	Match       PrefixMatch
	MinLength   uint8 // of In and NotIn; as written, or the prefix's own
	MaxLength   uint8
	RemotePeers bool        // learned from a peer, not ours
	Interface   string      // of the route to the next hop, a glob
	PeerType    PeerType    // of the peer that the path goes to or comes from
	Communities []Community // all are there
	Large       []LargeCommunity
	ASPath      []uint32 // the AS_PATH begins with it
	Priority    uint32   // of the route, as route metrics go; HasPriority
	HasPriority bool

	Reject bool
	Change *Operations // of what is accepted; nil: none
}

// PrefixMatch says how FilterRule.Prefix is compared.
type PrefixMatch uint8

// The ways of comparing.
const (
	Equal PrefixMatch = iota + 1
	NotEqual
	In
	NotIn
)

// PeerType is the type of a peer.
type PeerType uint8

// The types.
const (
	AnyPeer PeerType = iota
	InternalPeer
	ExternalPeer
)

// Operations is what an accepting rule does to a path. It is made once for a
// rule, so that its address tells it apart.
type Operations struct {
	AddCommunities []Community
	AddLarge       []LargeCommunity
	Prepend        []uint32 // nearest first
	Priority       uint32
	HasPriority    bool
}
