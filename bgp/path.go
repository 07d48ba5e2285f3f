package bgp

import (
	"cmp"
	"net/netip"
	"slices"
)

// DefaultLocalPref is the LOCAL_PREF of a path that carries none.
const DefaultLocalPref = 100

// Community is a standard community (RFC 1997), high half the AS.
type Community uint32

// LargeCommunity is a large community (RFC 8092).
type LargeCommunity struct{ Global, Local1, Local2 uint32 }

// Compare orders large communities by their numbers, the first one first.
func (l LargeCommunity) Compare(o LargeCommunity) int {
	return cmp.Or(cmp.Compare(l.Global, o.Global), cmp.Compare(l.Local1, o.Local1), cmp.Compare(l.Local2, o.Local2))
}

// Attributes go with a prefix that we originate. The zero value is a plain
// origination. It is not changed once handed over.
type Attributes struct {
	NextHop          netip.Addr // zero: the local address of each session
	LocalPref        uint32     // zero: DefaultLocalPref; not sent to external peers
	MED              uint32     // zero: none
	Communities      []Community
	LargeCommunities []LargeCommunity
	Interface        string // that the host forwards it to, for filters; not told
}

// Equal reports whether a and b say the same.
func (a Attributes) Equal(b Attributes) bool {
	return a.NextHop == b.NextHop && a.LocalPref == b.LocalPref && a.MED == b.MED && a.Interface == b.Interface &&
		slices.Equal(a.Communities, b.Communities) &&
		slices.Equal(a.LargeCommunities, b.LargeCommunities)
}

// Path is a as a path to p of our own.
func (a Attributes) Path(p netip.Prefix) Path {
	if a.LocalPref == 0 {
		a.LocalPref = DefaultLocalPref
	}
	return Path{
		Prefix: p, NextHop: a.NextHop, LocalPref: a.LocalPref, MED: a.MED,
		Communities: a.Communities, LargeCommunities: a.LargeCommunities, Interface: a.Interface,
	}
}

// Origin is the ORIGIN attribute (RFC 4271 §5.1.1); lower is better.
type Origin uint8

// The values of ORIGIN.
const (
	OriginIGP Origin = iota
	OriginEGP
	OriginIncomplete
)

// Path is a path to a prefix as a peer told it, after the import policy. It is
// not changed once handed over.
type Path struct {
	Prefix  netip.Prefix
	NextHop netip.Addr

	Peer     netip.Addr // the session's Peer
	PeerAS   uint32
	PeerID   netip.Addr // the peer's BGP identifier
	Internal bool       // learned over iBGP

	Origin Origin
	// ASPath has the AS numbers from the nearest to the origin. ASPathLen is
	// its length for path selection, where a set counts one (RFC 4271
	// §9.1.2.2).
	ASPath    []uint32
	ASPathLen int
	LocalPref uint32 // DefaultLocalPref for a path of an external peer, whatever it said
	MED       uint32

	Communities      []Community
	LargeCommunities []LargeCommunity

	OriginatorID netip.Addr // RFC 4456 §8; zero: none
	ClusterList  []netip.Addr

	// PathID tells several paths of one peer apart (RFC 7911); zero: it gave
	// one only.
	PathID uint32
	// Discard says that packets are to be dropped (BLACKHOLE, RFC 7999 §3.3).
	Discard bool
	// Interface that the host forwards it to, of our own routes.
	Interface string

	// Cost of the way to NextHop; lower is better (RFC 4271 §9.1.2.2 e).
	Cost uint32

	// Stale says that the session that gave the path is down, or has come
	// back and not yet given it again (RFC 4724 §4.2).
	Stale bool
	// LongLived says that it is stale for longer than a restart, and is worse
	// than any path that is not (RFC 9494 §4.3).
	LongLived bool
}

// Equal reports whether p and o are the same path from the same peer, Stale and
// Cost apart: a path that turns stale, or is farther, is still to be used as
// before.
func (p Path) Equal(o Path) bool {
	return p.Prefix == o.Prefix && p.NextHop == o.NextHop &&
		p.Peer == o.Peer && p.PeerAS == o.PeerAS && p.PeerID == o.PeerID && p.Internal == o.Internal &&
		p.Origin == o.Origin && p.ASPathLen == o.ASPathLen && slices.Equal(p.ASPath, o.ASPath) &&
		p.LocalPref == o.LocalPref && p.MED == o.MED &&
		slices.Equal(p.Communities, o.Communities) &&
		slices.Equal(p.LargeCommunities, o.LargeCommunities) &&
		p.PathID == o.PathID && p.Discard == o.Discard && p.OriginatorID == o.OriginatorID && slices.Equal(p.ClusterList, o.ClusterList)
}

// PathSet is what is known of a prefix: all learned paths that are equally
// best, in the order of Best. No path means that the prefix is gone.
type PathSet struct {
	Prefix netip.Prefix
	Paths  []Path
}

// NeighbourAS is the AS next to us on the way; zero within our own.
func (p *Path) NeighbourAS() uint32 {
	if len(p.ASPath) == 0 {
		return 0
	}
	return p.ASPath[0]
}

// ComparePrefix orders prefixes by family, address and length.
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
