package policy

import (
	"fmt"
	"net/netip"
)

// SetID identifies a set by its content's origin, on every host and in every
// version: at most 27 characters of 0-9 and a-v, so that four are left of the
// 31 of an ipset's name.
type SetID string

// The sets that are there without a rule that asks for them.
const (
	PoolSet       SetID = "pools"      // all IPPools: what natOutgoing spares
	MasqueradeSet SetID = "masquerade" // IPPools with natOutgoing, not disabled
	NodeSet       SetID = "nodes"      // addresses of all Nodes: BGP, BFD, tunnels
	PeerSet       SetID = "peers"      // other BGP peers and dynamic ranges: BGP, BFD
)

// SetKind says what the members of a set are.
type SetKind uint8

// The kinds of sets. A set is of kind Networks when it may hold prefixes
// shorter than an address; it keeps its kind for as long as it lives.
const (
	Addresses SetKind = iota + 1
	Networks
	Ports
)

// String names the kind.
func (k SetKind) String() string {
	switch k {
	case Addresses:
		return "addresses"
	case Networks:
		return "networks"
	case Ports:
		return "ports"
	}
	return fmt.Sprintf("SetKind(%d)", uint8(k))
}

// Member is an element of a set, of either family. Prefixes are masked; members
// of a set may overlap.
type Member struct {
	Prefix   netip.Prefix // of the length of an address but in sets of kind Networks
	Protocol uint8        // of sets of kind Ports, as Port
	Port     uint16
}

// String renders PREFIX, or ADDRESS,PROTOCOL:PORT.
func (m Member) String() string {
	if m.Protocol == 0 {
		return m.Prefix.String()
	}
	return fmt.Sprintf("%s,%d:%d", m.Prefix.Addr(), m.Protocol, m.Port)
}

// SetChange is what becomes of a set.
type SetChange struct {
	Kind   SetKind
	Origin string // for people: the selector, the named port, the service
	// New: the set begins to be, or is told again from the start, with exactly
	// Add. Gone: it ends to be. Neither: Add was not a member before, Remove was.
	New, Gone   bool
	Add, Remove []Member
}
