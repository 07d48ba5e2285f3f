package engine

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// treatment is all that decides which bytes a peer gets. Peers that have it in
// common are a group.
type treatment struct {
	family  bgp.Family
	role    role
	localAS uint32
	local   netip.Addr // next hop of our own routes
	cluster netip.Addr // valid: we reflect
	form    wire.Form
	// longLived: they know what long-lived stale paths are (RFC 9494).
	longLived bool
	as        bgp.Role // ours towards external peers
	paths     int      // as bgp.Session.AddPathSend
	policy    *exportPolicy
}

// group is peers that get the same bytes, with the log of them.
type group struct {
	treatment
	id      int         // see bgp.GroupState
	from    [roles]bool // whose paths it gets
	may     [roles]bool // whose it gets if a filter says so
	learns  bool        // it may get paths of others
	several bool        // paths of a route, each with an identifier (RFC 7911)
	example bgp.Session // one of its kind, for filters
	members []*member
	state   sparse[held, routeID]
	more    map[routeID][]sent // instead, if several
	log     log
	buckets buckets
	touched []touched // changed since the last flush

	total  int    // paths held
	byPeer []int  // of them, given by a peer
	told   uint64 // since, when last asked
	walks  uint64 // ever begun by members
}

// touched is a path of a route.
type touched struct {
	i  routeID
	id uint32
}

// held is the state of one path in a group.
type held struct {
	choice
	changed uint64 // entry of the log behind which no other is about it
}

func newGroup(t treatment) *group {
	g := &group{treatment: t, log: log{base: 1, end: 1}}
	if g.several = t.form.AddPath.Has(t.family); g.several {
		g.more = make(map[routeID][]sent)
	}
	g.buckets.init(t.form)
	g.prepare()
	return g
}

// prepare works out what follows from the treatment.
func (g *group) prepare() {
	g.example = exampleOf(g.role, g.cluster)
	filtered := g.policy != nil && len(g.policy.filters.Filters) > 0
	for from := range roles {
		example := exampleOf(from, g.cluster)
		example.Peer = netip.AddrFrom4([4]byte{1}) // another than that of g.example
		g.from[from] = bgp.ExportPolicy{}.Reflects(example, g.example)
		g.may[from] = filtered && (g.from[from] || from == external || g.role == external)
	}
	g.learns = g.from != [roles]bool{} || g.may != [roles]bool{}
}

// exampleOf is a session of the kind of r.
func exampleOf(r role, cluster netip.Addr) bgp.Session {
	s := bgp.Session{LocalAS: 1, PeerAS: 1, ClusterID: cluster, ReflectorClient: r == client}
	if r == external {
		s.PeerAS = 2
	}
	return s
}

// reflects reports whether g gets anything but our own routes.
func (g *group) reflects() bool { return g.from != [roles]bool{} }

// reaches reports whether communities let a path go to g (RFC 1997).
func (g *group) reaches(s scope) bool {
	return s == anywhere || s == withinAS && g.role != external
}

// takes reports whether members of g may have a path with these attributes at
// all.
func (g *group) takes(set *attributeSet) bool {
	if g.role != external {
		return g.reaches(set.scope)
	}
	unknown := set.old && !g.longLived // RFC 9494 §4.3
	leak := set.otc != 0 && upwards(g.as)
	return g.reaches(set.scope) && !unknown && !leak
}

// attributes is what members of g get for a choice.
func (g *group) attributes(r *rib, c choice) []byte {
	raw := r.sets.sets[c.set].raw
	if r.sets.sets[c.set].old && !g.longLived {
		raw = wire.AppendLastResort(nil, raw) // to internal ones only; see takes
	}
	var hop wire.NextHop
	if g.isNextHop(r, c) {
		hop.Addr = g.local
	}
	switch {
	case g.role == external:
		return wire.AppendExternal(nil, raw, wire.External{AS: g.localAS, NextHop: hop, KeepMED: c.peer == 0, OnlyToCustomer: g.otc()})
	case c.peer == 0 || r.sources[c.peer].role == external:
		return wire.AppendInternal(nil, raw, bgp.DefaultLocalPref, hop)
	}
	raw = wire.AppendReflected(nil, raw, r.sources[c.peer].routerID, g.cluster)
	if hop.Addr.IsValid() {
		raw = wire.AppendInternal(nil, raw, bgp.DefaultLocalPref, hop)
	}
	return raw
}

// isNextHop reports whether members are told that packets go to us: unless told
// otherwise for what is ours, and for what a host lets through to external peers
// (RFC 4271 §5.1.3). A reflector forwards nothing and leaves what it has.
func (g *group) isNextHop(r *rib, c choice) bool {
	own := c.peer == 0
	switch g.hopMode() {
	case bgp.NextHopSelf:
		return true
	case bgp.NextHopAuto:
		if !own && g.role == external && !g.cluster.IsValid() {
			return true
		}
	}
	return own && !r.sets.sets[c.set].path.NextHop.IsValid()
}

func (g *group) hopMode() bgp.NextHopMode {
	if g.policy == nil {
		return bgp.NextHopAuto
	}
	return g.policy.nextHop
}

// set changes what the state of a path is. The reference to the new set becomes
// that of the state.
func (g *group) set(r *rib, h *held, c choice) {
	if h.set != 0 {
		g.count(h.peer, -1)
		r.sets.release(h.set)
	}
	h.choice = c
	if c.set != 0 {
		g.count(c.peer, 1)
	}
}

func (g *group) count(from peerID, n int) {
	g.total += n
	for int(from) >= len(g.byPeer) {
		g.byPeer = append(g.byPeer, 0)
	}
	g.byPeer[from] += n
}

// advertised is how many routes a member holds that has read the whole log.
func (g *group) advertised(m peerID) int {
	if int(m) >= len(g.byPeer) {
		return g.total
	}
	return g.total - g.byPeer[m]
}

// groupOf is the group of a treatment, made if there is none.
func (r *rib) groupOf(t treatment) *group {
	for _, g := range r.groups {
		if g.treatment == t {
			return g
		}
	}
	g := newGroup(t)
	g.id = r.groupID()
	for i := range routeID(r.routes.records.len()) {
		if r.routes.records.at(i).key.family != t.family {
			continue
		}
		if g.several {
			for _, s := range r.chooseAll(g, &picks{i: i}) {
				g.set(r, g.place(i, s.id), s.choice)
			}
		} else if c := r.choose(g, &picks{i: i}); c.set != 0 {
			g.set(r, g.place(i, 0), c)
		}
	}
	r.groups = append(r.groups, g)
	return g
}

// join makes m a member of the group of t. It gets nothing before it walks.
func (r *rib) join(t treatment, m *member) {
	r.pack() // what is old news must not come twice
	g := r.groupOf(t)
	m.group = g
	m.cursor = g.log.end
	g.members = append(g.members, m)
}

// leave ends the membership of m, and the group with the last one.
func (r *rib) leave(m *member) {
	g := m.group
	if g == nil {
		return
	}
	m.group, m.walk = nil, nil
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	if len(g.members) > 0 {
		return
	}
	g.releaseAll(r)
	r.groups = slices.DeleteFunc(r.groups, func(o *group) bool { return o == g })
}
