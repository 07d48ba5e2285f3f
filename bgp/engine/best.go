package engine

import (
	"cmp"
	"net/netip"
	"slices"
)

// best is the paths of route i that are equally best, as bgptest.Best has it, at
// most as many as are wanted. It is valid until the next call: for most routes
// it allocates nothing.
func (r *rib) best(i routeID) []pathID {
	left := r.rank(r.candidates(i, false))
	if len(left) < 2 {
		return left
	}
	best := left[:0]
	top := r.paths.records.at(left[0])
	for _, at := range left {
		if r.maxPaths > 0 && len(best) == r.maxPaths {
			break
		}
		p := r.paths.records.at(at)
		same := func(b pathID) bool { return r.pathSet(b).path.NextHop == r.sets.sets[p.set].path.NextHop }
		if r.compareNear(p, top) == 0 && !slices.ContainsFunc(best, same) {
			best = append(best, at)
		}
	}
	return best
}

// first is the path of route i that is sent on; zero: none. Foreign: those from
// outside the pools count, too.
func (r *rib) first(i routeID, foreign bool) pathID {
	if left := r.rank(r.candidates(i, foreign)); len(left) > 0 {
		return left[0]
	}
	return 0
}

// candidates are the paths of route i that can be used.
func (r *rib) candidates(i routeID, foreign bool) []pathID {
	rec := r.routes.records.at(i)
	ids := r.scratch[:0]
	for at := rec.first; at != 0; {
		p := r.paths.records.at(at)
		if (accepts(rec, p) || foreign && p.refusal == 0 && rec.standing == outside) && r.reached(p) {
			ids = append(ids, at)
		}
		at = p.next
	}
	r.scratch = ids
	return ids
}

// reached reports whether there is a way to the next hop of p.
func (r *rib) reached(p *path) bool {
	h := r.sets.sets[p.set].hop
	return h == nil || h.reached
}

// rank leaves of ids those that nothing is better than before the way to them is
// looked at, and puts them in order.
func (r *rib) rank(ids []pathID) []pathID {
	if len(ids) < 2 {
		return ids
	}
	top := r.paths.records.at(ids[0])
	for _, at := range ids[1:] {
		if p := r.paths.records.at(at); r.compareRank(p, top) < 0 {
			top = p
		}
	}
	ids = slices.DeleteFunc(ids, func(at pathID) bool { return r.compareRank(r.paths.records.at(at), top) > 0 })
	ids = r.dropHigherMED(ids)
	if len(ids) > 1 {
		slices.SortFunc(ids, r.compareOrder)
	}
	return ids
}

func (r *rib) pathSet(at pathID) *attributeSet { return &r.sets.sets[r.paths.records.at(at).set] }

func (r *rib) compareRank(a, b *path) int {
	if a.set == b.set && a.flags == b.flags {
		return 0
	}
	x, y := &r.sets.sets[a.set], &r.sets.sets[b.set]
	return cmp.Or(
		cmp.Compare(r.age(a), r.age(b)),
		cmp.Compare(y.path.LocalPref, x.path.LocalPref),
		cmp.Compare(x.path.ASPathLen, y.path.ASPathLen),
		cmp.Compare(x.path.Origin, y.path.Origin),
	)
}

// age is higher the longer p is stale.
func (r *rib) age(p *path) int {
	switch {
	case p.flags&longLived != 0, r.sets.sets[p.set].old:
		return 2
	case p.stale():
		return 1
	}
	return 0
}

// dropHigherMED leaves of each neighbouring AS those of its lowest MED. Mostly
// all have the same.
func (r *rib) dropHigherMED(ids []pathID) []pathID {
	first := r.pathSet(ids[0]).path.MED
	if !slices.ContainsFunc(ids, func(at pathID) bool { return r.pathSet(at).path.MED != first }) {
		return ids
	}
	lowest := make(map[uint32]uint32)
	for _, at := range ids {
		p := &r.pathSet(at).path
		if med, ok := lowest[p.NeighbourAS()]; !ok || p.MED < med {
			lowest[p.NeighbourAS()] = p.MED
		}
	}
	return slices.DeleteFunc(ids, func(at pathID) bool {
		p := &r.pathSet(at).path
		return p.MED > lowest[p.NeighbourAS()]
	})
}

// compareNear puts external paths before internal ones, and near next hops
// before far ones.
func (r *rib) compareNear(a, b *path) int {
	x, y := r.sources[a.peer], r.sources[b.peer]
	if (x.role == external) != (y.role == external) {
		if x.role == external {
			return -1
		}
		return 1
	}
	return cmp.Compare(r.cost(a), r.cost(b))
}

func (r *rib) cost(p *path) uint32 {
	if h := r.sets.sets[p.set].hop; h != nil {
		return h.cost
	}
	return 0
}

// compareOrder breaks all ties.
func (r *rib) compareOrder(m, n pathID) int {
	a, b := r.paths.records.at(m), r.paths.records.at(n)
	if c := r.compareNear(a, b); c != 0 {
		return c
	}
	x, y := &r.sets.sets[a.set], &r.sets.sets[b.set]
	return cmp.Or(
		r.identifier(a).Compare(r.identifier(b)),
		cmp.Compare(len(x.path.ClusterList), len(y.path.ClusterList)),
		r.sources[a.peer].want.Peer.Compare(r.sources[b.peer].want.Peer),
		cmp.Compare(a.id, b.id),
	)
}

// identifier is who brought p into the AS.
func (r *rib) identifier(p *path) netip.Addr {
	if id := r.sets.sets[p.set].path.OriginatorID; id.IsValid() {
		return id
	}
	return r.sources[p.peer].routerID
}
