package bgp

import (
	"cmp"
	"net/netip"
	"slices"
)

// Best is the paths that are equally best among paths to one prefix (RFC 4271
// §9.1.2.2, RFC 4456 §9): not stale, and if stale then not for long (RFC 9494
// §4.3), highest LOCAL_PREF, shortest AS_PATH, lowest ORIGIN, lowest MED among
// those of one neighbouring AS, external before internal, lowest cost of the way
// to the next hop. The first one is what a reflector sends on: of the lowest BGP
// identifier (or ORIGINATOR_ID), shortest CLUSTER_LIST, lowest peer address,
// lowest path identifier.
//
// Paths that lead to the same next hop count once; two reflectors tell every
// route twice. paths is not changed.
func Best(paths []Path) []Path {
	if len(paths) == 0 {
		return nil
	}
	top := slices.MinFunc(paths, compareRank)
	left := slices.DeleteFunc(slices.Clone(paths), func(p Path) bool { return compareRank(p, top) > 0 })
	left = dropHigherMED(left)
	slices.SortFunc(left, compareOrder)

	best := left[:0]
	for _, p := range left {
		same := func(b Path) bool { return b.NextHop == p.NextHop }
		if p.Internal == left[0].Internal && p.Cost == left[0].Cost && !slices.ContainsFunc(best, same) {
			best = append(best, p)
		}
	}
	return slices.Clip(best)
}

// compareRank is negative if a beats b before MED is looked at.
func compareRank(a, b Path) int {
	return cmp.Or(
		cmp.Compare(a.age(), b.age()),
		cmp.Compare(b.LocalPref, a.LocalPref),
		cmp.Compare(a.ASPathLen, b.ASPathLen),
		cmp.Compare(a.Origin, b.Origin),
	)
}

// age is higher the longer a path is stale. One that a peer tells as stale for
// long is no better than one that we keep ourselves.
func (p Path) age() int {
	switch {
	case p.LongLived, slices.Contains(p.Communities, LongLivedStale):
		return 2
	case p.Stale:
		return 1
	}
	return 0
}

// dropHigherMED leaves of each neighbouring AS those of its lowest MED.
func dropHigherMED(paths []Path) []Path {
	lowest := make(map[uint32]uint32)
	for _, p := range paths {
		if med, ok := lowest[p.NeighbourAS()]; !ok || p.MED < med {
			lowest[p.NeighbourAS()] = p.MED
		}
	}
	return slices.DeleteFunc(paths, func(p Path) bool { return p.MED > lowest[p.NeighbourAS()] })
}

// compareOrder puts external paths first, then near ones, and then breaks all
// ties, always in the same way.
func compareOrder(a, b Path) int {
	return cmp.Or(
		compareBool(a.Internal, b.Internal),
		cmp.Compare(a.Cost, b.Cost),
		a.identifier().Compare(b.identifier()),
		cmp.Compare(len(a.ClusterList), len(b.ClusterList)),
		a.Peer.Compare(b.Peer),
		cmp.Compare(a.PathID, b.PathID),
	)
}

func (p Path) identifier() netip.Addr {
	if p.OriginatorID.IsValid() {
		return p.OriginatorID
	}
	return p.PeerID
}

// NeighbourAS is the AS next to us on the way; zero within our own.
func (p *Path) NeighbourAS() uint32 {
	if len(p.ASPath) == 0 {
		return 0
	}
	return p.ASPath[0]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// ComparePrefix orders prefixes by family, address and length.
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
