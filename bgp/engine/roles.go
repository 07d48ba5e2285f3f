package engine

import (
	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// onlyToCustomer is the attributes that the peer of s told, with OTC set where
// that is upon the receiver: what comes from a provider, a route server or a
// lateral peer goes to customers only (RFC 9234 §5, rule 3 of ingress).
func onlyToCustomer(s bgp.Session, raw []byte) []byte {
	if s.Internal() || !upwards(s.Role) {
		return raw
	}
	return wire.AppendOnlyToCustomer(nil, raw, s.PeerAS)
}

// leaks reports whether what the peer of s told with this OTC has been told to
// others than customers (RFC 9234 §5, rules 1 and 2 of ingress).
func leaks(s bgp.Session, otc uint32) bool {
	if s.Internal() || otc == 0 {
		return false
	}
	switch s.Role {
	case bgp.RoleProvider, bgp.RoleRouteServer:
		return true
	case bgp.RolePeer:
		return otc != s.PeerAS
	}
	return false
}

// upwards reports whether one of our role talks to somebody who is no customer
// of ours: a provider, a route server, a lateral peer.
func upwards(r bgp.Role) bool {
	return r == bgp.RoleCustomer || r == bgp.RoleRouteServerClient || r == bgp.RolePeer
}

// otc is the OTC that is set towards members of g, unless there is one; zero:
// none (RFC 9234 §5, rule 1 of egress).
func (g *group) otc() uint32 {
	switch g.as {
	case bgp.RoleProvider, bgp.RoleRouteServer, bgp.RolePeer:
		return g.localAS
	}
	return 0
}
