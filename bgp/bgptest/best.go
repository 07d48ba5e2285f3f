package bgptest

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// Best is the paths that are equally best among paths to one prefix (RFC 4271
// §9.1.2.2, RFC 4456 §9): not stale, and if stale then not for long (RFC 9494
// §4.3), highest LOCAL_PREF, shortest AS_PATH, lowest ORIGIN, lowest MED among
// those of one neighbouring AS, external before internal, lowest cost of the way
// to the next hop. The first one is what a reflector sends on: of the lowest BGP
// identifier (or ORIGINATOR_ID), shortest CLUSTER_LIST, lowest peer address,
// lowest path identifier. It is written plainly: engines are compared with it.
//
// Paths that lead to the same next hop count once; two reflectors tell every
// route twice. paths is not changed.
func Best(paths []bgp.Path) []bgp.Path {
	if len(paths) == 0 {
		return nil
	}
	top := slices.MinFunc(paths, compareRank)
	left := slices.DeleteFunc(slices.Clone(paths), func(p bgp.Path) bool { return compareRank(p, top) > 0 })
	left = dropHigherMED(left)
	slices.SortFunc(left, compareOrder)

	best := left[:0]
	for _, p := range left {
		same := func(b bgp.Path) bool { return b.NextHop == p.NextHop }
		if p.Internal == left[0].Internal && p.Cost == left[0].Cost && !slices.ContainsFunc(best, same) {
			best = append(best, p)
		}
	}
	return slices.Clip(best)
}

// compareRank is negative if a beats b before MED is looked at.
func compareRank(a, b bgp.Path) int {
	return cmp.Or(
		cmp.Compare(age(a), age(b)),
		cmp.Compare(b.LocalPref, a.LocalPref),
		cmp.Compare(a.ASPathLen, b.ASPathLen),
		cmp.Compare(a.Origin, b.Origin),
	)
}

// age is higher the longer a path is stale. One that a peer tells as stale for
// long is no better than one that we keep ourselves.
func age(p bgp.Path) int {
	switch {
	case p.LongLived, slices.Contains(p.Communities, bgp.LongLivedStale):
		return 2
	case p.Stale:
		return 1
	}
	return 0
}

// dropHigherMED leaves of each neighbouring AS those of its lowest MED.
func dropHigherMED(paths []bgp.Path) []bgp.Path {
	lowest := make(map[uint32]uint32)
	for _, p := range paths {
		if med, ok := lowest[p.NeighbourAS()]; !ok || p.MED < med {
			lowest[p.NeighbourAS()] = p.MED
		}
	}
	return slices.DeleteFunc(paths, func(p bgp.Path) bool { return p.MED > lowest[p.NeighbourAS()] })
}

// compareOrder puts external paths first, then near ones, and then breaks all
// ties, always in the same way.
func compareOrder(a, b bgp.Path) int {
	return cmp.Or(
		compareBool(a.Internal, b.Internal),
		cmp.Compare(a.Cost, b.Cost),
		identifier(a).Compare(identifier(b)),
		cmp.Compare(len(a.ClusterList), len(b.ClusterList)),
		a.Peer.Compare(b.Peer),
		cmp.Compare(a.PathID, b.PathID),
	)
}

func identifier(p bgp.Path) netip.Addr {
	if p.OriginatorID.IsValid() {
		return p.OriginatorID
	}
	return p.PeerID
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
