package bgp

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// defaultMultihop is Calico's: external peers may be anywhere.
const defaultMultihop = 255

// inherit is the settings of several levels, the nearest first: of each setting
// the first that says something. Hops are one setting, whether they are stated
// as multihop or as TTL security. Of hold and keepalive time the nearer stands,
// and the other gives way so far that three keepalives fit (RFC 4271 §4.4).
func inherit(levels []*resource.SessionSettings) resource.SessionSettings {
	var s resource.SessionSettings
	for _, l := range levels {
		if s.Multihop == nil && s.TTLSecurity == nil {
			s.Multihop, s.TTLSecurity = l.Multihop, l.TTLSecurity
		}
		inheritTimers(&s, l)
		first(&s.Filters, l.Filters)
		first(&s.Password, l.Password)
		first(&s.SourceAddress, l.SourceAddress)
		first(&s.LocalASNumber, l.LocalASNumber)
		first(&s.AllowedLocalAS, l.AllowedLocalAS)
		first(&s.NextHopMode, l.NextHopMode)
		first(&s.ConnectRetry, l.ConnectRetry)
		first(&s.RestartTime, l.RestartTime)
		first(&s.LongLived, l.LongLived)
		first(&s.AddPathSend, l.AddPathSend)
		first(&s.AddPathReceive, l.AddPathReceive)
		first(&s.MaxPrefixes, l.MaxPrefixes)
		first(&s.Families, l.Families)
		first(&s.ExtendedNextHop, l.ExtendedNextHop)
		first(&s.Role, l.Role)
		first(&s.StrictRole, l.StrictRole)
		first(&s.AnyFirstAS, l.AnyFirstAS)
		first(&s.Blackhole, l.Blackhole)
		first(&s.ReflectForeign, l.ReflectForeign)
	}
	return s
}

func inheritTimers(s, l *resource.SessionSettings) {
	if s.HoldTime == nil && l.HoldTime != nil {
		hold := *l.HoldTime
		if s.KeepaliveTime != nil {
			hold = max(hold, 3**s.KeepaliveTime)
		}
		s.HoldTime = &hold
	}
	if s.KeepaliveTime == nil && l.KeepaliveTime != nil {
		keepalive := *l.KeepaliveTime
		if s.HoldTime != nil {
			keepalive = min(keepalive, *s.HoldTime/3)
		}
		s.KeepaliveTime = &keepalive
	}
}

// first fills a setting that is not given yet.
func first[T any](to **T, from *T) {
	if *to == nil {
		*to = from
	}
}

// value is a setting, or its zero value where nothing is said.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// settings is what holds at node n for the sessions of p, or without p for the
// mesh, and why there can be none.
func (b *builder) settings(p *resource.BGPPeer, kind Kind, n *resource.Node) (s resource.SessionSettings, refused string) {
	var levels []*resource.SessionSettings
	if p != nil {
		levels = append(levels, &p.Settings)
	}
	if p != nil && p.Group != "" {
		group := b.groups[p.Group]
		if group == nil {
			return s, fmt.Sprintf("BGPPeerGroup %s is not there: no session", p.Group)
		}
		levels = append(levels, &group.Settings)
	}
	cluster := b.config[resource.DefaultName]
	if kind == Mesh && cluster != nil {
		mesh := &resource.SessionSettings{Password: cluster.MeshPassword}
		if cluster.MeshRestartTime != 0 {
			mesh.RestartTime = &cluster.MeshRestartTime
		}
		levels = append(levels, mesh)
	}
	if kind != Config {
		for _, c := range []*resource.BGPConfiguration{b.config["node."+n.Name], cluster} {
			if c != nil {
				levels = append(levels, &c.Sessions)
			}
		}
	}
	return inherit(append(levels, &b.in.Defaults)), ""
}

// session is what all kinds of session have in common: with the peer at that
// address, or in a range when there is none, over family f.
func (b *builder) session(p *resource.BGPPeer, kind Kind, f Family, peer netip.Addr, port uint16, as uint32) draft {
	if port == 0 {
		port = DefaultPort
	}
	set, refused := b.settings(p, kind, b.self)
	s := draft{refused: refused, set: set, over: f, own: address(b.self, f), Session: Session{
		Kind: kind, Peer: peer, PeerPort: port,
		ClusterID:       b.clusterID,
		Families:        familiesOf(set.Families),
		ExtendedNextHop: value(set.ExtendedNextHop),
		Hold:            value(set.HoldTime),
		Keepalive:       value(set.KeepaliveTime),
		ConnectRetry:    value(set.ConnectRetry),
		RestartTime:     value(set.RestartTime),
		LongLived:       value(set.LongLived),
		AddPathSend:     value(set.AddPathSend),
		AddPathReceive:  value(set.AddPathReceive),
	}}
	switch {
	case set.HoldTime != nil && s.Hold == 0:
		s.Hold = -1 // none, as asked for
	case s.Keepalive != 0 && s.Hold == 0:
		s.Hold = max(DefaultHold, 3*s.Keepalive)
	}
	switch {
	case p == nil:
		s.Name = "mesh"
	case s.Endpoint().Port() != DefaultPort:
		s.Name = fmt.Sprintf("peer/%s/%s", p.Name, s.Endpoint())
	default:
		s.Name = fmt.Sprintf("peer/%s/%s", p.Name, peer)
	}
	if p != nil {
		s.Origin, s.Shutdown, s.ShutdownMessage = p.Name, p.Shutdown, p.ShutdownMessage
	}
	localAS := b.as(b.self)
	if set.LocalASNumber != nil {
		localAS = *set.LocalASNumber
	}
	b.setAS(&s, localAS, as)
	b.setSource(&s)
	b.setNextHops(&s)
	if s.refused == "" {
		s.Password, s.refused = b.password(set.Password)
	}
	s.Policy = b.policy(s.Origin, set)
	return s
}

// setAS states both ends' AS, and what depends on whether the session is
// internal. It is with a client of ours if it is internal and we are a
// reflector, unless the peer turns out to be a reflector of the same cluster.
func (b *builder) setAS(s *draft, local, peer uint32) {
	s.LocalAS, s.PeerAS = local, peer
	s.ReflectorClient = s.Internal() && s.ClusterID.IsValid()
	s.Multihop, s.Role, s.StrictRole = 0, RoleNone, false
	s.TTLSecurity = value(s.set.TTLSecurity)
	if s.Internal() {
		return
	}
	s.Role, s.StrictRole = roleOf(value(s.set.Role)), value(s.set.StrictRole)
	switch {
	case s.TTLSecurity > 0:
	case s.set.Multihop != nil:
		s.Multihop = *s.set.Multihop
	default:
		s.Multihop = defaultMultihop
	}
}

// setSource states what the session is dialled from: the address of the node
// unless the settings say otherwise. Who connects from a range may come to any
// address of ours.
func (b *builder) setSource(s *draft) {
	source := value(s.set.SourceAddress)
	switch {
	case s.refused != "" || source.None:
	case source.Addr.IsValid():
		s.Local = source.Addr
		if FamilyOf(source.Addr) != s.over {
			s.refused = fmt.Sprintf("source address %s is no %s address", source.Addr, s.over)
		}
	case !s.Peer.IsValid():
	case s.own.IsValid():
		s.Local = s.own
	case s.Kind == Global:
		s.refused = quiet // it is for those that have such an address
	default:
		s.refused = fmt.Sprintf("node %s has no %s address", b.self.Name, s.over)
	}
}

// setNextHops states the next hops of families other than that of the
// connection, whose address will do for its own. IPv4 goes with an IPv6 next
// hop where that is asked for.
func (b *builder) setNextHops(s *draft) {
	s.NextHop4, s.NextHop6 = netip.Addr{}, netip.Addr{}
	if s.over == IPv6Unicast && s.Families.Has(IPv4Unicast) && !s.ExtendedNextHop {
		s.NextHop4 = address(b.self, IPv4Unicast)
	}
	if s.over == IPv4Unicast && s.Families.Has(IPv6Unicast) {
		s.NextHop6 = address(b.self, IPv6Unicast)
	}
}

// transport is a connection between two nodes: the family of its addresses,
// and those that it carries; zero: the same one.
type transport struct {
	over     Family
	families Families
}

// transports is the connections that p, or the mesh, asks for with n, of those
// in usable: one for each family in which both ends have an address, or where
// both ends' settings name the families one for all of them.
func (b *builder) transports(p *resource.BGPPeer, kind Kind, n *resource.Node, usable []Family) []transport {
	ours, _ := b.settings(p, kind, b.self)
	theirs, _ := b.settings(p, kind, n)
	our, their := familiesOf(ours.Families), familiesOf(theirs.Families)
	var all []transport
	for _, f := range usable {
		if address(b.self, f).IsValid() && address(n, f).IsValid() {
			all = append(all, transport{over: f})
		}
	}
	both := our != 0 && their != 0
	var carried []transport
	for _, t := range all {
		if (our == 0 || our.Has(t.over)) && (their == 0 || their.Has(t.over)) {
			carried = append(carried, t)
		}
	}
	switch {
	case !both:
		return carried
	case our&their == 0 || len(all) == 0:
		return nil
	case len(carried) == 0: // carried over the other family
		carried = all
	}
	return []transport{{carried[0].over, our & their}}
}

// localAS is the AS of n in a session of p, or of none.
func (b *builder) localAS(p *resource.BGPPeer, n *resource.Node) uint32 {
	if s, _ := b.settings(p, Node, n); s.LocalASNumber != nil {
		return *s.LocalASNumber
	}
	return b.as(n)
}

// policy is what sessions with these settings let through; nil: what all do.
func (b *builder) policy(origin string, set resource.SessionSettings) *Policy {
	limit := value(set.MaxPrefixes)
	p := &Policy{Options: Options{
		AllowOwnAS: value(set.AllowedLocalAS), AnyFirstAS: value(set.AnyFirstAS),
		NextHop: nextHopMode(value(set.NextHopMode)),
		MaxPrefix: MaxPrefix{
			Limit: limit.Limit, Warning: limit.Warning, Restart: limit.RestartTime, WarnOnly: limit.WarnOnly,
		},
		Blackhole: value(set.Blackhole), ReflectForeign: value(set.ReflectForeign),
	}}
	for _, name := range value(set.Filters) {
		f, ok := b.filters.get(name)
		if !ok {
			b.note(origin, fmt.Sprintf("BGPFilter %s is not there: what reaches it is rejected", name))
		}
		p.Filters = append(p.Filters, f)
	}
	if p.Equal(nil) {
		return nil
	}
	for _, known := range b.policies {
		if known.Equal(p) {
			return known
		}
	}
	b.policies = append(b.policies, p)
	return p
}

func nextHopMode(m resource.NextHopMode) NextHopMode {
	switch m {
	case resource.NextHopSelf:
		return NextHopSelf
	case resource.NextHopKeep:
		return NextHopKeep
	}
	return NextHopAuto
}

// familiesOf is the set that a setting names; zero: it names none.
func familiesOf(names *[]string) Families {
	var s Families
	for _, name := range value(names) {
		switch name {
		case "IPv4":
			s = s.With(IPv4Unicast)
		case "IPv6":
			s = s.With(IPv6Unicast)
		}
	}
	return s
}

// roleOf is a role by its name in the API.
func roleOf(name string) Role {
	switch name {
	case "Provider":
		return RoleProvider
	case "RouteServer":
		return RoleRouteServer
	case "RouteServerClient":
		return RoleRouteServerClient
	case "Customer":
		return RoleCustomer
	case "Peer":
		return RolePeer
	}
	return RoleNone
}

// opposite is the role at the other end of a session (RFC 9234 §4.2).
func opposite(r Role) Role {
	for _, o := range []Role{RoleProvider, RoleRouteServer, RoleRouteServerClient, RoleCustomer, RolePeer} {
		if r.Fits(o) {
			return o
		}
	}
	return RoleNone
}
