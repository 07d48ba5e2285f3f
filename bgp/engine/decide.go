package engine

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// role is what a peer is to a reflector (RFC 4456 §4).
type role uint8

const (
	client role = iota
	nonClient
	external
	roles
)

func roleOf(s bgp.Session) role {
	switch {
	case !s.Internal():
		return external
	case s.ReflectorClient:
		return client
	}
	return nonClient
}

// accepts reports whether p may be used for route rec.
func accepts(rec *route, p *path) bool {
	if p.refusal != 0 {
		return false
	}
	switch rec.standing {
	case kept, exported:
		return true
	case outside:
		return p.flags&admitted != 0
	}
	return false
}

// path is p as others see it.
func (r *rib) path(prefix netip.Prefix, p *path) bgp.Path {
	s := r.sources[p.peer]
	out := r.sets.sets[p.set].path
	out.Prefix = prefix
	out.Peer, out.PeerAS, out.PeerID, out.Internal = s.want.Peer, s.want.PeerAS, s.routerID, s.want.Internal()
	if out.NextHop.IsLinkLocalUnicast() { // it means nothing without the link
		out.NextHop = out.NextHop.WithZone(s.want.Peer.Zone())
	}
	out.PathID, out.Stale, out.LongLived = p.id, p.stale(), p.flags&longLived != 0 || r.sets.sets[p.set].old
	out.Cost = r.cost(p)
	out.Discard = p.flags&discard != 0
	return out
}

// choice is what a group is to be sent of a route. Set zero: nothing.
type choice struct {
	set  setID
	peer peerID // who gave it and does not get it; zero: ourselves
}

// choose is what g gets of route i, given the first of the best paths.
func (r *rib) choose(g *group, i routeID, first pathID) choice {
	rec := r.routes.records.at(i)
	switch {
	case rec.standing != exported:
		return choice{}
	case rec.own != 0:
		return choice{set: rec.own}
	case first == 0:
		return choice{}
	}
	p := r.paths.records.at(first)
	if !g.from[r.sources[p.peer].role] || !g.takes(&r.sets.sets[p.set]) {
		return choice{}
	}
	return choice{set: p.set, peer: p.peer}
}
