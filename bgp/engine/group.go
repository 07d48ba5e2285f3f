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
}

// group is peers that get the same bytes, with the log of them.
type group struct {
	treatment
	id      int         // see bgp.GroupState
	from    [roles]bool // whose paths it gets
	members []*member
	state   slab[held, routeID] // what a member holds that has read the whole log
	log     log
	buckets buckets
	touched []routeID // changed since the last flush

	total  int    // routes held
	byPeer []int  // of them, given by a peer
	told   uint64 // since, when last asked
	walks  uint64 // ever begun by members
}

// held is the state of one route in a group.
type held struct {
	choice
	changed uint64 // entry of the log behind which no other is about it
}

func newGroup(t treatment) *group {
	g := &group{treatment: t, log: log{base: 1, end: 1}}
	g.buckets.init(t.form)
	to := exampleOf(t.role, t.cluster)
	for from := range roles {
		example := exampleOf(from, t.cluster)
		example.Peer = netip.AddrFrom4([4]byte{1}) // another than to
		g.from[from] = bgp.ExportPolicy{}.Reflects(example, to)
	}
	return g
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
	if c.peer == 0 && !r.sets.sets[c.set].path.NextHop.IsValid() {
		hop.Addr = g.local
	}
	switch {
	case g.role == external:
		return wire.AppendExternal(nil, raw, wire.External{AS: g.localAS, NextHop: hop, KeepMED: c.peer == 0, OnlyToCustomer: g.otc()})
	case c.peer == 0 || r.sources[c.peer].role == external:
		return wire.AppendInternal(nil, raw, bgp.DefaultLocalPref, hop)
	}
	return wire.AppendReflected(nil, raw, r.sources[c.peer].routerID, g.cluster)
}

// at is the state of route i.
func (g *group) at(i routeID) *held {
	g.state.grow(int(i) + 1)
	return g.state.at(i)
}

// set changes what the state of a route is.
func (g *group) set(r *rib, h *held, c choice) {
	if h.set != 0 {
		g.count(h.peer, -1)
		r.sets.release(h.set)
	}
	h.choice = c
	if c.set != 0 {
		g.count(c.peer, 1)
		r.sets.retain(c.set)
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
		if c := r.choose(g, i, r.firstFor(g, i)); c.set != 0 {
			g.set(r, g.at(i), c)
		}
	}
	r.groups = append(r.groups, g)
	return g
}

// firstFor is first, if g has an interest in it.
func (r *rib) firstFor(g *group, i routeID) pathID {
	if !g.reflects() {
		return 0
	}
	return r.first(i, false)
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
	for i := range routeID(g.state.len()) {
		r.sets.release(g.state.at(i).set)
	}
	r.groups = slices.DeleteFunc(r.groups, func(o *group) bool { return o == g })
}
