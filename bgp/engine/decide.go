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
