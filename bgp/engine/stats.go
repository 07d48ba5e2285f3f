package engine

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// peerStats is what is counted of a session.
type peerStats struct {
	malformed [wire.SessionReset + 1]atomic.Uint64 // UPDATEs, by action
	loops     map[bgp.Refusal]uint64               // guarded by Engine.mu
}

// refused counts n prefixes that came with attributes refused for why.
func (s *peerStats) refused(why bgp.Refusal, n int) {
	switch why {
	case bgp.OwnAS, bgp.OwnOriginator, bgp.OwnCluster:
		if s.loops == nil {
			s.loops = make(map[bgp.Refusal]uint64, 3)
		}
		s.loops[why] += uint64(n)
	}
}

// Statistics implements bgp.Speaker.
func (e *Engine) Statistics() bgp.Statistics {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := bgp.Statistics{Table: e.rib.tableState()}
	s.Table.Own = len(e.own)
	for _, g := range e.rib.groups {
		s.Groups = append(s.Groups, g.stateIn(e.rib))
	}
	slices.SortFunc(s.Groups, func(a, b bgp.GroupState) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

func (r *rib) tableState() bgp.TableState {
	t := bgp.TableState{Routes: r.routes.len()}
	for _, s := range r.sources {
		if s != nil {
			t.Paths += s.received
			t.Octets += cap(s.routes) * int(unsafe.Sizeof(routeID(0)))
		}
	}
	for i := range r.sets.sets {
		if set := &r.sets.sets[i]; set.refs > 0 {
			t.AttributeSets++
			t.Octets += 2 * len(set.raw) // once more as the key that finds it
		}
	}
	t.Octets += r.routes.records.octets() + r.paths.records.octets() + cap(r.routes.slots)*int(unsafe.Sizeof(slot{})) +
		cap(r.sets.sets)*int(unsafe.Sizeof(attributeSet{}))
	return t
}

func (s *slab[T, ID]) octets() int {
	var one [chunkSize]T
	return len(s.chunks) * int(unsafe.Sizeof(one))
}

func (g *group) stateIn(r *rib) bgp.GroupState {
	st := bgp.GroupState{
		ID: g.id, Family: g.family, Kind: g.role.kind(), LocalAS: g.localAS, NextHop: g.local, ClusterID: g.cluster,
		Routes: g.total, Walks: g.walks, LogEntries: len(g.log.entries), LogOctets: g.log.octets,
		Messages: g.log.messages, Octets: g.log.written, StateOctets: g.state.octets(),
	}
	for _, m := range g.members {
		w := r.sources[m.peer].want
		st.Members = append(st.Members, bgp.GroupMember{Name: w.Name, Peer: w.Peer, MemberState: m.state()})
	}
	slices.SortFunc(st.Members, func(a, b bgp.GroupMember) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Peer.Compare(b.Peer))
	})
	return st
}

// state is how far m, which is of a group, has got.
func (m *member) state() bgp.MemberState {
	l := &m.group.log
	st := bgp.MemberState{Group: m.group.id, Family: m.group.family, Waiting: m.waiting}
	at := m.cursor
	if w := m.walk; w != nil {
		st.Walking, st.Walked, at = true, int(w.next)-1, w.until
	}
	if m.waiting {
		return st
	}
	if at < l.base { // it will walk
		st.Walking, at = true, l.base
	}
	if at < l.end {
		st.LagEntries, st.LagOctets = int(l.end-at), l.written-l.at(at).before
	}
	return st
}

// groupID is the least that no group has: labels of metrics stay few.
func (r *rib) groupID() int {
	id := 1
	for slices.ContainsFunc(r.groups, func(g *group) bool { return g.id == id }) {
		id++
	}
	return id
}

func (r role) kind() bgp.PeerKind {
	switch r {
	case client:
		return bgp.Client
	case nonClient:
		return bgp.NonClient
	}
	return bgp.External
}

// statsLocked is what was counted of p.
func (p *peer) statsLocked(status session.Status) bgp.PeerStats {
	st := bgp.PeerStats{
		In: traffic(status.In), Out: traffic(status.Out), Refused: make(map[bgp.Refusal]int),
		Loops:               maps.Clone(p.stats.loops),
		TreatedAsWithdraw:   p.stats.malformed[wire.TreatAsWithdraw].Load(),
		AttributesDiscarded: p.stats.malformed[wire.AttributeDiscard].Load(),
		SessionResets:       p.stats.malformed[wire.SessionReset].Load(),
	}
	for _, c := range p.channels {
		c.source.addRefused(st.Refused, p.engine.rib.refusals)
		st.Walks += c.source.walks
		if c.member != nil && c.member.group != nil {
			st.Members = append(st.Members, c.member.state())
		}
	}
	return st
}

// addRefused adds how many of the paths of s are not used, by reason.
func (s *source) addRefused(by map[bgp.Refusal]int, reasons []bgp.Refusal) {
	outside := s.received - s.accepted
	for n, count := range s.refused {
		if count > 0 {
			by[reasons[n]] += count
			outside -= count
		}
	}
	if outside > 0 {
		by[bgp.NotInPool] += outside
	}
}

func traffic(c session.Counters) bgp.Traffic {
	return bgp.Traffic{
		Opens: c.Opens, Updates: c.Updates, Keepalives: c.Keepalives,
		Notifications: c.Notifications, Refreshes: c.Refreshes, Octets: c.Octets,
	}
}
