package bgp

import (
	"net/netip"
	"slices"
)

// Pool is a prefix whose routes are ours to exchange.
type Pool struct {
	Prefix        netip.Prefix
	DisableExport bool // its routes are accepted and never sent
}

// Refusal says why a policy does not let a path pass.
type Refusal string

// The reasons of a Refusal.
const (
	NotInPool      Refusal = "outside the pools"
	ExportDisabled Refusal = "its pool is not exported"
	OwnNextHop     Refusal = "its next hop is our own address"
	NoSession      Refusal = "the session that gave it is gone"
	NoNextHop      Refusal = "it has no usable next hop"
	OwnAS          Refusal = "our own AS is in its AS path"
	OwnOriginator  Refusal = "we are its originator"
	RouteLeak      Refusal = "it was told to customers only (RFC 9234)"
	OwnCluster     Refusal = "our own cluster id is in its cluster list"
	NotFirstAS     Refusal = "its AS path does not begin with the peer's AS"
	Martian        Refusal = "nothing is routed to such a prefix"
	Filtered       Refusal = "a filter rejects it"
)

// Pools answers whether a prefix lies in a pool. The zero value has none.
type Pools struct {
	pools   map[netip.Prefix]bool // masked prefix → export
	lengths []int                 // that occur, longest first, both families
}

// NewPools is the set of the given pools.
func NewPools(pools []Pool) Pools {
	set := Pools{pools: make(map[netip.Prefix]bool, len(pools))}
	for _, p := range pools {
		masked := p.Prefix.Masked()
		export, twice := set.pools[masked]
		set.pools[masked] = !p.DisableExport && (!twice || export)
		if !slices.Contains(set.lengths, masked.Bits()) {
			set.lengths = append(set.lengths, masked.Bits())
		}
	}
	slices.Sort(set.lengths)
	slices.Reverse(set.lengths)
	return set
}

// Equal reports whether s and o hold the same pools.
func (s Pools) Equal(o Pools) bool {
	if len(s.pools) != len(o.pools) {
		return false
	}
	for p, export := range s.pools {
		if e, ok := o.pools[p]; !ok || e != export {
			return false
		}
	}
	return true
}

// Holds reports whether p lies in a pool, and whether the most specific such
// pool is exported.
func (s Pools) Holds(p netip.Prefix) (held, export bool) {
	for _, bits := range s.lengths {
		if bits > p.Bits() {
			continue
		}
		pool, err := p.Addr().Prefix(bits)
		if err != nil { // longer than the family has bits
			continue
		}
		if export, ok := s.pools[pool]; ok {
			return true, export
		}
	}
	return false, false
}

// All is the pools, in order of prefix.
func (s Pools) All() []Pool {
	all := make([]Pool, 0, len(s.pools))
	for p, export := range s.pools {
		all = append(all, Pool{Prefix: p, DisableExport: !export})
	}
	slices.SortFunc(all, func(a, b Pool) int { return ComparePrefix(a.Prefix, b.Prefix) })
	return all
}

// ImportPolicy decides what is accepted from peers.
type ImportPolicy struct {
	Pools    Pools
	ASN      uint32
	RouterID netip.Addr
	Own      map[netip.Addr]bool // addresses of ours that were used as Session.Local
}

// Import is p as it may be used, or the reason why it may not. A path that is
// refused takes the place of what the peer told before: the old path is gone.
//
// What a filter of the session accepts need not lie in a pool. GRACEFUL_SHUTDOWN
// of an external peer gives LOCAL_PREF 0, whatever a filter says (RFC 8326 §4.2).
func (i ImportPolicy) Import(s Session, p Path) (Path, Refusal) {
	p.Internal = s.Internal()
	if !p.Internal {
		// LOCAL_PREF of an external peer is ignored (RFC 4271 §5.1.5), as are
		// the attributes of reflection (RFC 4456 §8).
		p.LocalPref, p.OriginatorID, p.ClusterList = DefaultLocalPref, netip.Addr{}, nil
	}
	if why := i.Attributes(&s, &p); why != "" {
		return p, why
	}
	if i.Pools.Martian(p.Prefix) {
		return p, Martian
	}
	verdict, change := s.Policy.Import(&p, &s)
	if verdict == Rejected {
		return p, Filtered
	}
	p = change.Apply(p)
	if !p.Internal && slices.Contains(p.Communities, GracefulShutdown) {
		p.LocalPref = 0
	}
	p.Discard = s.options().Blackhole && slices.Contains(p.Communities, Blackhole)
	if held, _ := i.Pools.Holds(p.Prefix); !held && verdict != Accepted {
		return p, NotInPool
	}
	return p, ""
}

// Attributes is the reason why no path of s with the attributes of p may be
// used, to whatever prefix; empty: there is none.
func (i ImportPolicy) Attributes(s *Session, p *Path) Refusal {
	internal := s.Internal()
	switch o := s.options(); {
	case count(p.ASPath, i.ASN) > o.AllowOwnAS, s.LocalAS != 0 && count(p.ASPath, s.LocalAS) > o.AllowOwnAS:
		return OwnAS
	case !internal && !o.AnyFirstAS && p.NeighbourAS() != s.PeerAS && s.PeerAS != 0:
		return NotFirstAS
	case internal && p.OriginatorID.IsValid() && p.OriginatorID == i.RouterID:
		return OwnOriginator
	case internal && s.ClusterID.IsValid() && slices.Contains(p.ClusterList, s.ClusterID):
		return OwnCluster
	case !usable(p.NextHop):
		return NoNextHop
	case p.NextHop == s.Local, i.Own[p.NextHop]:
		return OwnNextHop
	}
	return ""
}

func count(list []uint32, n uint32) int {
	times := 0
	for _, each := range list {
		if each == n {
			times++
		}
	}
	return times
}

// usable reports whether a can be the next hop of anything (RFC 4271 §6.3).
// Whether it leads anywhere is for NextHops to say, that a loopback address is
// our own included.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast()
}

// ExportPolicy decides what is sent to peers.
type ExportPolicy struct {
	Pools Pools
}

// Own is the reason why a prefix of ours may not be sent; empty: it may.
func (e ExportPolicy) Own(p netip.Prefix) Refusal {
	held, export := e.Pools.Holds(p)
	switch {
	case !held:
		return NotInPool
	case !export:
		return ExportDisabled
	}
	return ""
}

// Learned reports whether a path to p learned over from may be sent over to.
func (e ExportPolicy) Learned(p netip.Prefix, from, to Session) bool {
	return e.Own(p) == "" && e.Reflects(from, to)
}

// Reflects reports whether what is learned over from may be sent over to, pools
// apart. A host sends none of it: it is no transit. A reflector, which is who
// has a cluster id, follows RFC 4456 §6 among internal peers, gives them what
// external peers told, and external peers what internal ones told; it is no
// transit between two external peers either. It never touches the next hop.
func (e ExportPolicy) Reflects(from, to Session) bool {
	if !to.ClusterID.IsValid() || from.Endpoint() == to.Endpoint() {
		return false
	}
	switch {
	case !from.Internal():
		return to.Internal()
	case !to.Internal():
		return true
	default:
		return from.ReflectorClient || to.ReflectorClient
	}
}
