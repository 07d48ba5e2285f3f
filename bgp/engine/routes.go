package engine

import (
	"math/rand/v2"

	"github.com/projectvrouter/vrouter/bgp"
)

// routeID and pathID are places in the table; zero is none.
type (
	routeID uint32
	pathID  uint32
	setID   uint32 // of attributes
	peerID  uint32 // zero: ourselves
)

// standing is what the pools say of a prefix.
type standing uint8

const (
	outside  standing = iota // in no pool
	martian                  // nothing is routed there
	kept                     // in a pool that is not exported
	exported                 // in a pool that is
)

// route is a prefix with all that is known of it.
type route struct {
	key      prefixKey
	first    pathID // of the chain of learned paths, in the order in which the peers first told
	own      setID  // what we originate
	standing standing
	marks    mark
}

// mark says in which lists a route is.
type mark uint8

const (
	markDirty mark = 1 << iota // to be looked at by the groups
	markNews                   // to be looked at by Drain
	markDead                   // waits to be freed
)

// path is what one peer told of one prefix.
type path struct {
	next    pathID
	set     setID
	peer    peerID
	id      uint32 // that the peer gave it (RFC 7911 §3); zero without add-path
	refusal uint8  // index of rib.refusals, pools apart
	flags   flags
}

// flags of a path.
type flags uint8

const (
	stale     flags = 1 << iota // of a session that is down, or not yet told again
	longLived                   // stale for longer than a restart (RFC 9494 §4.3)
	admitted                    // a filter lets it in from outside the pools
	discard                     // packets are to be dropped (RFC 7999)
	altered                     // set is not as the peer told it, which rib.originals has
)

func (p *path) stale() bool { return p.flags&stale != 0 }

// routeTable finds routes by prefix: an open-addressed hash of places.
type routeTable struct {
	seed    [2]uint64
	slots   []slot               // a power of two of them
	records slab[route, routeID] // the first is none
	n       int                  // how many
	// free is places by family: those of a chunk are of one, so that what is
	// kept for a family has none for the others.
	free [bgp.IPv6Unicast + 1][]routeID
}

// slot has some of the hash, so that a search seldom looks at a wrong record
// and growing at none.
type slot struct {
	hash uint32
	id   routeID // zero: empty
}

func newRouteTable() routeTable {
	t := routeTable{seed: [2]uint64{rand.Uint64(), rand.Uint64()}, slots: make([]slot, 64)}
	t.records.grow(1)
	return t
}

// len is how many routes there are.
func (t *routeTable) len() int { return t.n }

func (t *routeTable) hash(k prefixKey) uint32 { return uint32(k.hash(t.seed)) }

// search is where k is, or would be.
func (t *routeTable) search(k prefixKey, hash uint32) int {
	mask := len(t.slots) - 1
	at := int(hash) & mask
	for s := t.slots[at]; s.id != 0 && (s.hash != hash || t.records.at(s.id).key != k); s = t.slots[at] {
		at = (at + 1) & mask
	}
	return at
}

// find is the route of k; zero: there is none.
func (t *routeTable) find(k prefixKey) routeID { return t.slots[t.search(k, t.hash(k))].id }

// add is the route of k, and whether it was made now.
func (t *routeTable) add(k prefixKey) (i routeID, made bool) {
	hash := t.hash(k)
	at := t.search(k, hash)
	if i = t.slots[at].id; i != 0 {
		return i, false
	}
	if 4*(t.len()+1) > 3*len(t.slots) {
		t.grow()
		at = t.search(k, hash)
	}
	i = t.place(k.family)
	t.n++
	t.records.at(i).key = k
	t.slots[at] = slot{hash, i}
	return i, true
}

// place is a free place for a route of f.
func (t *routeTable) place(f bgp.Family) routeID {
	if len(t.free[f]) == 0 {
		from := t.records.len()
		t.records.grow(from/chunkSize*chunkSize + chunkSize)
		for i := t.records.len() - 1; i >= from; i-- {
			t.free[f] = append(t.free[f], routeID(i))
		}
	}
	last := len(t.free[f]) - 1
	i := t.free[f][last]
	t.free[f] = t.free[f][:last]
	return i
}

func (t *routeTable) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	mask := len(t.slots) - 1
	for _, s := range old {
		if s.id == 0 {
			continue
		}
		at := int(s.hash) & mask
		for t.slots[at].id != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = s
	}
}

// remove frees the route i and closes the gap in the hash.
func (t *routeTable) remove(i routeID) {
	mask := len(t.slots) - 1
	k := t.records.at(i).key
	gap := t.search(k, t.hash(k))
	for at := gap; ; {
		at = (at + 1) & mask
		if t.slots[at].id == 0 {
			break
		}
		home := int(t.slots[at].hash) & mask
		if (at-home)&mask >= (at-gap)&mask {
			t.slots[gap], gap = t.slots[at], at
		}
	}
	t.slots[gap] = slot{}
	*t.records.at(i) = route{}
	t.free[k.family] = append(t.free[k.family], i)
	t.n--
}

// pathSlab holds paths.
type pathSlab struct {
	records slab[path, pathID] // the first is none
	free    pathID             // chain by next
}

func (s *pathSlab) add(p path) pathID {
	i := s.free
	if i != 0 {
		s.free = s.records.at(i).next
	} else {
		s.records.grow(1)
		i = s.records.add()
	}
	*s.records.at(i) = p
	return i
}

func (s *pathSlab) remove(i pathID) {
	*s.records.at(i) = path{next: s.free}
	s.free = i
}
