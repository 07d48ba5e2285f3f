package bgp

import (
	"net/netip"
	"path"
	"slices"
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

	Prefix      netip.Prefix
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

// Apply is p as o changes it; a nil o leaves it. Communities that it has are not
// added again.
func (o *Operations) Apply(p Path) Path {
	if o == nil {
		return p
	}
	p.Communities = Union(p.Communities, o.AddCommunities)
	p.LargeCommunities = Union(p.LargeCommunities, o.AddLarge)
	if len(o.Prepend) > 0 {
		p.ASPath = slices.Concat(o.Prepend, p.ASPath)
		p.ASPathLen += len(o.Prepend)
	}
	if o.HasPriority {
		p.LocalPref = PriorityOf(o.Priority)
	}
	return p
}

// Union is list, which is left as it is, and those of more that it lacks.
func Union[T comparable](list, more []T) []T {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(slices.Clip(list), m)
		}
	}
	return list
}

// Import is what the filters of o say of a path that the peer of s told, and
// what is to be done to it if they accept it. Without a rule that matches it is
// NoMatch.
func (o *Policy) Import(p *Path, s *Session) (Verdict, *Operations) {
	return o.first(p, s, func(f *Filter) []*FilterRule { return f.Import })
}

// Export is what the filters of o say of a path, learned or ours, that is to go
// to the peer of s.
func (o *Policy) Export(p *Path, s *Session) (Verdict, *Operations) {
	return o.first(p, s, func(f *Filter) []*FilterRule { return f.Export })
}

func (o *Policy) first(p *Path, s *Session, rules func(*Filter) []*FilterRule) (Verdict, *Operations) {
	if o == nil {
		return NoMatch, nil
	}
	for _, f := range o.Filters {
		for _, r := range rules(f) {
			if !r.Matches(p, s) {
				continue
			}
			if r.Reject {
				return Rejected, nil
			}
			return Accepted, r.Change
		}
	}
	return NoMatch, nil
}

// Matches reports whether all criteria of r hold for p, which the peer of s
// told or is to be told.
func (r *FilterRule) Matches(p *Path, s *Session) bool {
	return r.Family == FamilyOf(p.Prefix.Addr()) && r.matchesPrefix(p.Prefix) &&
		(!r.RemotePeers || p.Peer.IsValid()) &&
		(r.Interface == "" || matchesGlob(r.Interface, p.Interface)) &&
		(r.PeerType == AnyPeer || (r.PeerType == InternalPeer) == s.Internal()) &&
		containsAll(p.Communities, r.Communities) && containsAll(p.LargeCommunities, r.Large) &&
		len(r.ASPath) <= len(p.ASPath) && slices.Equal(r.ASPath, p.ASPath[:len(r.ASPath)]) &&
		(!r.HasPriority || r.Priority == PriorityOf(p.LocalPref))
}

func (r *FilterRule) matchesPrefix(p netip.Prefix) bool {
	in := func() bool {
		return r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr()) &&
			int(r.MinLength) <= p.Bits() && p.Bits() <= int(r.MaxLength)
	}
	switch r.Match {
	case Equal:
		return p == r.Prefix
	case NotEqual:
		return p != r.Prefix
	case In:
		return in()
	case NotIn:
		return !in()
	}
	return true
}

// matchesGlob reports whether name fits a glob, in which * is any text. Names
// of interfaces have no slash, which path.Match does not let * hold.
func matchesGlob(glob, name string) bool {
	ok, err := path.Match(glob, name)
	return ok && err == nil
}

func containsAll[T comparable](list, wanted []T) bool {
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			return false
		}
	}
	return true
}

// highestPriority is what LOCAL_PREF and the priority of a route add up to in
// Calico, so that a lower priority, which is better, has a higher LOCAL_PREF.
const highestPriority = 1<<31 - 1

// PriorityOf is the priority of a route that a LOCAL_PREF stands for, and the
// LOCAL_PREF that stands for a priority.
func PriorityOf(localPref uint32) uint32 { return highestPriority - min(localPref, highestPriority) }
