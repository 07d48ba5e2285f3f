package engine

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// source is who gives paths: a session, for as long as it is wanted.
type source struct {
	id       peerID
	serial   uint64 // ids are used again, serials never
	want     bgp.Session
	routerID netip.Addr // of the last connection
	role     role
	filters  bool // have rules for its paths
	walks    uint64
	// monitored is the connection, while it is up and somebody observes.
	monitored *monitored
	// routes has every route to which it gives a path, some perhaps twice, and
	// some to which it gives none any longer: what is of a peer is found
	// without a look at what is of others.
	routes []routeID
	counts
	refused []int // paths by index of rib.refusals
}

// counts of the paths of one source.
type counts struct {
	received, accepted int
	stale              int // whether accepted or not
}

// rib is all routes and who is to get them. Who holds Engine.mu owns it.
type rib struct {
	routes  routeTable
	paths   pathSlab
	sets    attributeStore
	sources []*source // by id; the first is none
	unused  []peerID
	serials uint64
	groups  []*group // in the order in which they came to be
	watches []*watch

	observer    bgp.Observer // nil: nobody observes
	observePost bool         // also what policy makes of it
	connections uint64       // ever observed

	pools   bgp.Pools
	policy  bgp.ImportPolicy // without pools
	origins Origins          // nil: not asked
	// originals has the attributes of altered paths as their peers told them.
	originals  map[pathID]setID
	lastResort *bgp.Operations // LOCAL_PREF 0
	refusals   []bgp.Refusal   // that a path has its own of, by index; the first is none

	exports    []*exportPolicy
	interfaces map[netip.Prefix]string // to which our own routes lead
	shutdown   *bgp.Operations         // GRACEFUL_SHUTDOWN, and LOCAL_PREF 0

	maxPaths int // that Drain tells of a route; zero: all that are equal
	scratch  []pathID
	wanted   []sent

	dirty []routeID // the groups are to look at
	news  []routeID // Drain is to look at
	dead  []routeID // wait to be freed, in the order in which they died
	freed uint64    // how many were, ever
	slow  patience  // with who holds that up
	told  map[routeID][]toldPath

	unsent []unsent // to be logged

	limits limits
}

// unsent is prefixes of one set of attributes that a group cannot be sent.
type unsent struct {
	group int
	first netip.Prefix
	n     int
	err   error
}

// maxUnsent bounds how many are logged at once.
const maxUnsent = 8

// limits are how much is done or kept at once.
type limits struct {
	log   int // octets of a log: a peer that lags farther walks the table
	batch int // octets that a writer takes
	step  int // routes that a walk looks at while others wait
	dead  int // routes that are kept for slow peers alone, beside half of all
}

// defaultLimits: a log of the size of a table of a million routes, since to
// read more of it costs more than to walk; batches that make a system call
// cheap for each octet, and of which a peer that does not read holds one; steps
// of a millisecond where each route has attributes of its own.
var defaultLimits = limits{log: 8 << 20, batch: 256 << 10, step: 1024, dead: 1 << 18}

func newRIB() *rib {
	return &rib{
		routes: newRouteTable(), sets: newAttributeStore(), sources: make([]*source, 1),
		told: make(map[routeID][]toldPath), limits: defaultLimits, refusals: make([]bgp.Refusal, 1),
		originals:  make(map[pathID]setID),
		interfaces: make(map[netip.Prefix]string),
		shutdown: &bgp.Operations{
			AddCommunities: []bgp.Community{bgp.GracefulShutdown}, Priority: bgp.PriorityOf(0), HasPriority: true,
		},
		lastResort: &bgp.Operations{Priority: bgp.PriorityOf(0), HasPriority: true},
	}
}

// addSource makes a source for a session.
func (r *rib) addSource(want bgp.Session) *source {
	r.serials++
	s := &source{serial: r.serials, want: want, role: roleOf(want), filters: importRules(want.Policy)}
	if n := len(r.unused); n > 0 {
		s.id, r.unused = r.unused[n-1], r.unused[:n-1]
		r.sources[s.id] = s
	} else {
		s.id = peerID(len(r.sources))
		r.sources = append(r.sources, s)
	}
	return s
}

// renumber gives s the BGP identifier of another router, whose paths are
// others even if they look the same.
func (r *rib) renumber(s *source, id netip.Addr) {
	r.serials++
	s.serial, s.routerID = r.serials, id
}

// removeSource removes s and all its paths. The groups forget it before its id
// is used again.
func (r *rib) removeSource(s *source) {
	r.drop(s.id, false)
	r.pack()
	r.sources[s.id] = nil
	r.unused = append(r.unused, s.id)
}

// route is the route of p, made if there is none.
func (r *rib) route(p netip.Prefix) routeID {
	i, made := r.routes.add(keyOf(p))
	if made {
		r.routes.records.at(i).standing = r.standing(p)
	}
	return i
}

func (r *rib) standing(p netip.Prefix) standing {
	switch held, export := r.pools.Holds(p); {
	case r.pools.Martian(p):
		return martian
	case !held:
		return outside
	case !export:
		return kept
	}
	return exported
}

// announce takes a path: it replaces what the peer told of p under the same id
// before. The caller keeps its reference to set; refusal is what judge said.
func (r *rib) announce(peer peerID, p netip.Prefix, id uint32, set setID, refusal uint8) {
	i := r.route(p)
	rec := r.routes.records.at(i)
	v := r.verdict(r.sources[peer], p, id, set, refusal)
	last := &rec.first
	for *last != 0 {
		old := r.paths.records.at(*last)
		if old.peer != peer || old.id != id {
			last = &old.next
			continue
		}
		r.count(rec, old, -1)
		fresh := old.flags&(stale|longLived) != 0
		old.flags &^= stale | longLived
		r.count(rec, old, +1)
		if r.assign(rec, *last, set, v) || fresh {
			r.mark(i)
			r.await(i, v.set)
		}
		return
	}
	*last = r.paths.add(path{set: v.set, peer: peer, id: id, refusal: v.refusal, flags: v.flags})
	r.keepOriginal(*last, set)
	r.count(rec, r.paths.records.at(*last), +1)
	r.gives(r.sources[peer], i)
	r.mark(i)
	r.await(i, v.set)
}

// assign gives the path at the verdict on the attributes told, whose reference
// it takes over, and reports whether it is another path now.
func (r *rib) assign(rec *route, at pathID, told setID, v verdict) bool {
	p := r.paths.records.at(at)
	was := *p
	r.count(rec, p, -1)
	old := p.set
	p.refusal, p.set, p.flags = v.refusal, v.set, p.flags&(stale|longLived|altered)|v.flags
	r.keepOriginal(at, told)
	r.sets.release(old)
	r.count(rec, p, +1)
	was.flags |= p.flags & altered
	now := *p
	now.flags |= was.flags & altered
	return now != was
}

// keepOriginal keeps what the peer told of path at, if that is not what is used.
func (r *rib) keepOriginal(at pathID, told setID) {
	p := r.paths.records.at(at)
	if p.set == told && p.flags&altered == 0 {
		return
	}
	before := r.originals[at]
	if p.flags &^= altered; p.set != told {
		p.flags |= altered
		r.originals[at] = told
		r.sets.retain(told)
	} else if before != 0 {
		delete(r.originals, at)
	}
	r.sets.release(before)
}

// await lets route i be looked at again when the way to the next hop of set is
// known.
func (r *rib) await(i routeID, set setID) {
	if h := r.sets.sets[set].hop; h != nil && h.fresh {
		r.sets.hops.waiting = append(r.sets.hops.waiting, i)
	}
}

// count adds p, of route rec, to what its source has, n times. Whoever changes
// what is counted takes it away before and adds it again.
func (r *rib) count(rec *route, p *path, n int) {
	s := r.sources[p.peer]
	c := &s.counts
	c.received += n
	if accepts(rec, p) {
		c.accepted += n
	}
	if p.stale() {
		c.stale += n
	}
	if p.refusal != 0 {
		for int(p.refusal) >= len(s.refused) {
			s.refused = append(s.refused, 0)
		}
		s.refused[p.refusal] += n
	}
}

// gives notes that s gives another path, which is counted, to route i.
func (r *rib) gives(s *source, i routeID) {
	if s.routes = append(s.routes, i); len(s.routes) < 2*s.received+64 {
		return
	}
	slices.Sort(s.routes)
	s.routes = slices.DeleteFunc(slices.Compact(s.routes), func(i routeID) bool {
		at := r.routes.records.at(i).first
		for ; at != 0; at = r.paths.records.at(at).next {
			if r.paths.records.at(at).peer == s.id {
				return false
			}
		}
		return true
	})
}

// withdraw removes what the peer told of p under id.
func (r *rib) withdraw(peer peerID, p netip.Prefix, id uint32) {
	if i := r.routes.find(keyOf(p)); i != 0 {
		r.remove(i, func(o *path) bool { return o.peer == peer && o.id == id })
	}
}

// remove removes the paths of route i for which which says true.
func (r *rib) remove(i routeID, which func(*path) bool) {
	rec := r.routes.records.at(i)
	last := &rec.first
	for at := *last; at != 0; at = *last {
		p := r.paths.records.at(at)
		if !which(p) {
			last = &p.next
			continue
		}
		*last = p.next
		r.count(rec, p, -1)
		if p.flags&altered != 0 {
			r.sets.release(r.originals[at])
			delete(r.originals, at)
		}
		r.sets.release(p.set)
		r.paths.remove(at)
		r.mark(i)
	}
}

// drop removes all paths of a peer, or those that are stale.
func (r *rib) drop(peer peerID, staleOnly bool) {
	s := r.sources[peer]
	if s.received == 0 || staleOnly && s.stale == 0 {
		return
	}
	which := func(p *path) bool { return p.peer == peer && (p.stale() || !staleOnly) }
	for _, i := range s.routes {
		r.remove(i, which)
	}
	if s.received == 0 {
		s.routes = nil
	}
}

// retire marks the paths of a peer as stale, and is how many they are.
func (r *rib) retire(peer peerID) int { return r.outdate(peer, stale) }

// outdate gives paths of a peer the flags add, and is how many of its paths are
// stale. They are looked at again where there are others: those that are not
// stale are better.
func (r *rib) outdate(peer peerID, add flags) int {
	s := r.sources[peer]
	for _, i := range s.routes {
		rec := r.routes.records.at(i)
		for at := rec.first; at != 0; at = r.paths.records.at(at).next {
			p := r.paths.records.at(at)
			if p.peer != peer || p.flags&add == add {
				continue
			}
			r.count(rec, p, -1)
			p.flags |= add
			r.note(i)
			r.count(rec, p, +1)
			if r.paths.records.at(rec.first).next != 0 {
				r.mark(i)
			}
		}
	}
	return s.stale
}

func (r *rib) eachPath(f func(routeID, *path)) {
	for i := range routeID(r.routes.records.len()) {
		for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
			f(i, r.paths.records.at(at))
		}
	}
}

// originate says that we have a route to p with the attributes set, whose
// reference it takes over; zero: that we have none.
func (r *rib) originate(p netip.Prefix, set setID) {
	i := r.routes.find(keyOf(p))
	if i == 0 {
		if set == 0 {
			return
		}
		i = r.route(p)
	}
	rec := r.routes.records.at(i)
	old := rec.own
	rec.own = set
	r.sets.release(old)
	if old != set {
		r.mark(i)
	}
}

// leadsTo notes the interface that our own route to p leads to, for filters.
func (r *rib) leadsTo(p netip.Prefix, name string) {
	if r.interfaces[p] == name {
		return
	}
	if r.interfaces[p] = name; name == "" {
		delete(r.interfaces, p)
	}
	if i := r.routes.find(keyOf(p)); i != 0 {
		r.mark(i)
	}
}

// mark says that route i may be another now.
func (r *rib) mark(i routeID) {
	r.note(i)
	rec := r.routes.records.at(i)
	if rec.marks&markDirty == 0 {
		rec.marks |= markDirty
		r.dirty = append(r.dirty, i)
	}
	if rec.marks&markNews == 0 {
		rec.marks |= markNews
		if len(r.news) > 2*r.routes.records.len() {
			r.compactNews()
		}
		r.news = append(r.news, i)
	}
}

// markSource says that every route to which s gives a path may be another now.
func (r *rib) markSource(s *source) {
	for _, i := range s.routes {
		for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
			if r.paths.records.at(at).peer == s.id {
				r.mark(i)
				break
			}
		}
	}
}

// markAll says that every route may be another now.
func (r *rib) markAll() {
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).key.family != 0 {
			r.mark(i)
		}
	}
}

// setPools changes the pools; false: they are the same.
func (r *rib) setPools(pools bgp.Pools) bool {
	if r.pools.Equal(pools) {
		return false
	}
	r.pools = pools
	for i := range routeID(r.routes.records.len()) {
		rec := r.routes.records.at(i)
		if rec.key.family == 0 {
			continue
		}
		if s := r.standing(rec.key.prefix()); s != rec.standing {
			r.countAll(rec, -1)
			rec.standing = s
			r.countAll(rec, +1)
			r.mark(i)
			r.observePolicy(i)
		}
	}
	return true
}

func (r *rib) countAll(rec *route, n int) {
	for at := rec.first; at != 0; at = r.paths.records.at(at).next {
		r.count(rec, r.paths.records.at(at), n)
	}
}

// free frees the routes at the head of dead that are still without path and
// whose end every member of every group has been told.
func (r *rib) free() {
	if len(r.dead) == 0 {
		return
	}
	for _, g := range r.groups {
		g.told = g.since()
	}
	n := 0
	for _, i := range r.dead {
		rec := r.routes.records.at(i)
		if rec.first == 0 && rec.own == 0 {
			if rec.marks&markDirty != 0 || len(r.told[i]) > 0 || !r.forgotten(i) {
				break
			}
			for _, g := range r.groups {
				delete(g.more, i)
			}
			r.routes.remove(i)
			r.freed++
		} else {
			rec.marks &^= markDead
		}
		n++
	}
	r.dead = r.dead[n:]
	if len(r.dead) == 0 {
		r.dead = nil
	}
}

// forgotten reports whether no member of a group holds the route i.
func (r *rib) forgotten(i routeID) bool {
	for _, g := range r.groups {
		if g.family == r.routes.records.at(i).key.family && g.changedSince(i, g.told) {
			return false
		}
	}
	return true
}
