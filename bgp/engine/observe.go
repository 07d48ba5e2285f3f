package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Events of the state machine (RFC 4271 §8.1) that end a session without a
// NOTIFICATION.
const (
	eventManualStop         = 2
	eventTCPConnectionFails = 18
)

// monitored is what an Observer is told of a connection.
type monitored struct {
	*bgp.Connection
	form      wire.Form // of what is written for it
	twoByteAS bool      // what the peer sends has short AS numbers
}

// Observe lets o hear all sessions, with post also what the import policy makes
// of what they tell. It is called before Start, once.
func (e *Engine) Observe(o bgp.Observer, post bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rib.observer, e.rib.observePost = o, post
}

// Connections calls f with the sessions that are up, in the order in which they
// came up, while the Observer is told nothing.
func (e *Engine) Connections(f func([]*bgp.Connection)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*bgp.Connection
	for _, p := range e.peers {
		if p.monitored != nil {
			list = append(list, p.monitored.Connection)
		}
	}
	slices.SortFunc(list, func(a, b *bgp.Connection) int { return cmp.Compare(a.ID, b.ID) })
	f(list)
}

// toldAtOnce is how many routes Told looks at before others get the lock.
const toldAtOnce = 4096

// Told yields what connections up to the id upTo have told, as UPDATEs, and
// returns the place to go on from; zero: that was all. It begins at zero.
// Meanwhile the Observer is told what changes. With post it is what passed the
// import policy.
func (e *Engine) Told(from uint32, upTo uint64, post bool, yield func(*bgp.Connection, bgp.MonitoredUpdate)) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rib
	var found toldUpdates
	end := min(int(from)+toldAtOnce, r.routes.records.len())
	for i := routeID(from); int(i) < end; i++ {
		rec := r.routes.records.at(i)
		for at := rec.first; at != 0; at = r.paths.records.at(at).next {
			p := r.paths.records.at(at)
			m := r.sources[p.peer].monitored
			if m == nil || m.ID > upTo || p.stale() || post && !accepts(rec, p) {
				continue
			}
			set := p.set
			if !post {
				set = r.original(at)
			}
			found.add(m, set, rec.key.prefix(), p.id)
		}
	}
	found.write(r, post, yield)
	if end == r.routes.records.len() {
		return 0
	}
	return uint32(end)
}

// original is the attributes of a path as the peer told them.
func (r *rib) original(at pathID) setID {
	p := r.paths.records.at(at)
	if p.flags&altered != 0 {
		return r.originals[at]
	}
	return p.set
}

// toldUpdates gathers paths by what goes into one UPDATE; set zero is a
// withdrawal.
type toldUpdates struct {
	list []toldUpdate
	find map[toldKey]int
}

type toldKey struct {
	id     uint64
	family bgp.Family
	set    setID
}

type toldUpdate struct {
	*monitored
	toldKey
	prefixes []netip.Prefix
	ids      []uint32
}

func (t *toldUpdates) add(m *monitored, set setID, prefix netip.Prefix, id uint32) {
	k := toldKey{m.ID, bgp.FamilyOf(prefix.Addr()), set}
	n, ok := t.find[k]
	if !ok {
		if t.find == nil {
			t.find = make(map[toldKey]int)
		}
		n = len(t.list)
		t.find[k] = n
		t.list = append(t.list, toldUpdate{monitored: m, toldKey: k})
	}
	t.list[n].prefixes = append(t.list[n].prefixes, prefix)
	t.list[n].ids = append(t.list[n].ids, id)
}

// write yields the UPDATEs, a message each.
func (t *toldUpdates) write(r *rib, post bool, yield func(*bgp.Connection, bgp.MonitoredUpdate)) {
	for _, u := range t.list {
		all := func(f func(netip.Prefix, uint32) bool) {
			for i, p := range u.prefixes {
				if !f(p, u.ids[i]) {
					return
				}
			}
		}
		var b []byte
		if u.set == 0 {
			b = wire.AppendWithdrawals(nil, u.form, u.family, all)
		} else {
			var err error
			if b, err = wire.AppendAnnouncements(nil, u.form, u.family, r.sets.sets[u.set].raw, all); err != nil {
				continue // they fit when the peer sent them; a filter made them longer
			}
		}
		eachMessage(b, func(m []byte) { yield(u.Connection, bgp.MonitoredUpdate{Message: m, Post: post}) })
	}
}

// eachMessage calls f with each message of b.
func eachMessage(b []byte, f func([]byte)) {
	for len(b) >= wire.HeaderLen {
		n := int(binary.BigEndian.Uint16(b[16:]))
		f(b[:n])
		b = b[n:]
	}
}

// observeUpLocked tells the Observer of a new connection.
func (p *peer) observeUpLocked(n session.Negotiated) {
	r := p.engine.rib
	if r.observer == nil {
		return
	}
	r.connections++
	p.monitored = &monitored{
		Connection: &bgp.Connection{
			ID: r.connections, Session: p.want, Up: time.Now(), Local: n.Local, Remote: n.Remote, RouterID: n.RouterID,
			PeerAS: n.PeerAS, Families: n.Families, SentOpen: n.SentOpen, ReceivedOpen: n.ReceivedOpen,
		},
		form:      wire.Form{ExtendedNextHop: true, AddPath: n.AddPathReceive, Max: n.Form().Max},
		twoByteAS: !n.FourByteAS,
	}
	for _, c := range p.channels {
		c.source.monitored = p.monitored
	}
	r.observer.PeerUp(p.monitored.Connection)
}

// observeDownLocked tells the Observer that the connection has ended, if it has
// not been told.
func (p *peer) observeDownLocked(why bgp.PeerDown) {
	m := p.monitored
	if m == nil {
		return
	}
	p.monitored = nil
	for _, c := range p.channels {
		c.source.monitored = nil
	}
	p.engine.rib.observer.PeerDown(m.Connection, why)
}

// downOf is the reason of an end in the words of RFC 7854 §4.9.
func downOf(why session.Reason) bgp.PeerDown {
	switch {
	case why.Received != nil:
		return bgp.PeerDown{Reason: bgp.DownRemoteNotification, Notification: wire.AppendNotification(nil, why.Received)}
	case why.Sent != nil:
		return bgp.PeerDown{Reason: bgp.DownLocalNotification, Notification: wire.AppendNotification(nil, why.Sent)}
	case why.TimedOut():
		return bgp.PeerDown{Reason: bgp.DownLocal, Event: eventTCPConnectionFails}
	case why.Err != nil, why.Returned:
		return bgp.PeerDown{Reason: bgp.DownRemote}
	}
	return bgp.PeerDown{Reason: bgp.DownLocal, Event: eventManualStop}
}

// downByUs is the reason of an end that is ours and not the transport's.
func (p *peer) downByUs() bgp.PeerDown {
	if p.removed {
		return bgp.PeerDown{Reason: bgp.DownDeconfigured}
	}
	return bgp.PeerDown{Reason: bgp.DownLocal, Event: eventManualStop}
}

// observeUpdateLocked tells the Observer of an UPDATE that was taken. What was
// malformed is told as what was made of it (RFC 7606).
func (p *peer) observeUpdateLocked(body []byte, v wire.Verdict) {
	r, m := p.engine.rib, p.monitored
	if m == nil {
		return
	}
	if v.Action == wire.OK {
		u := bgp.MonitoredUpdate{Message: wire.AppendMessage(nil, wire.TypeUpdate, body), TwoByteAS: m.twoByteAS}
		r.observer.Heard(m.Connection, u)
	} else {
		p.observeParsedLocked(m)
	}
	if !r.observePost {
		return
	}
	var found toldUpdates
	for _, n := range p.update.Withdrawn {
		for prefix, id := range n.All() {
			found.add(m, 0, prefix, id)
		}
	}
	for _, a := range p.update.Announced {
		source := p.channel(a.NLRI.Family()).source
		for prefix, id := range a.NLRI.All() {
			found.add(m, r.acceptedSet(source.id, prefix, id), prefix, id)
		}
	}
	found.write(r, true, r.observer.Heard)
	if f := p.update.EndOfRIB; f != 0 {
		r.observer.Heard(m.Connection, bgp.MonitoredUpdate{Message: wire.AppendEndOfRIB(nil, f), Post: true})
	}
}

// observeParsedLocked tells what was understood of an UPDATE.
func (p *peer) observeParsedLocked(m *monitored) {
	o := p.engine.rib.observer
	heard := func(b []byte) {
		eachMessage(b, func(one []byte) { o.Heard(m.Connection, bgp.MonitoredUpdate{Message: one}) })
	}
	for _, n := range p.update.Withdrawn {
		heard(wire.AppendWithdrawals(nil, m.form, n.Family(), n.All()))
	}
	for _, a := range p.update.Announced {
		if b, err := wire.AppendAnnouncements(nil, m.form, a.NLRI.Family(), bytes.Clone(a.Attributes), a.NLRI.All()); err == nil {
			heard(b)
		}
	}
}

// acceptedSet is the attributes that the import policy left of a path; zero: it
// refuses it, or there is none.
func (r *rib) acceptedSet(peer peerID, prefix netip.Prefix, id uint32) setID {
	i := r.routes.find(keyOf(prefix))
	if i == 0 {
		return 0
	}
	rec := r.routes.records.at(i)
	for at := rec.first; at != 0; at = r.paths.records.at(at).next {
		if p := r.paths.records.at(at); p.peer == peer && p.id == id && accepts(rec, p) {
			return p.set
		}
	}
	return 0
}

// observePolicy tells the Observer what a changed policy makes of the paths of
// route i.
func (r *rib) observePolicy(i routeID) {
	if r.observer == nil || !r.observePost {
		return
	}
	rec := r.routes.records.at(i)
	var found toldUpdates
	for at := rec.first; at != 0; at = r.paths.records.at(at).next {
		p := r.paths.records.at(at)
		m := r.sources[p.peer].monitored
		if m == nil || p.stale() {
			continue
		}
		set := p.set
		if !accepts(rec, p) {
			set = 0
		}
		found.add(m, set, rec.key.prefix(), p.id)
	}
	found.write(r, true, r.observer.Heard)
}
