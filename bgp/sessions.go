package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Input is what decides which sessions a node has.
type Input struct {
	Node           string // the node asked about
	Nodes          []*resource.Node
	Configurations []*resource.BGPConfiguration // "default" and "node.NAME"
	Peers          []*resource.BGPPeer
	// ConfigPeers come from the configuration file of the node, hold for it
	// alone, win over all others, and must have a PeerIP.
	ConfigPeers []*resource.BGPPeer
	// Groups of reflectors, and whom the controller has elected for them.
	Groups      []*resource.ReflectorGroup
	Memberships []*resource.ReflectorMembership
	Timers      Timers
}

// Timers are those of every session of a node; zero values are the defaults of
// Session.
type Timers struct {
	Hold, ConnectRetry time.Duration
}

// Problem says why something that was asked for is not among the sessions.
type Problem struct {
	Origin string // the BGPPeer concerned; empty: the mesh or the node itself
	Detail string
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.Origin == "" {
		return p.Detail
	}
	return fmt.Sprintf("BGPPeer %s: %s", p.Origin, p.Detail)
}

// Sessions is the sessions that a node has, in order of name, and what keeps
// others from being there. The semantics are Calico's: a mesh among all nodes
// that are not reflectors; BGPPeers for all nodes, for one, or for those that
// match; the way back of a session among nodes by itself. Two sessions with
// one address and port are one: the configuration file wins, then a BGPPeer for
// all nodes, one for some, the way back of one, a group, and at last the mesh; among
// BGPPeers of one kind the first by name.
func Sessions(in Input) ([]Session, []Problem) {
	b := newBuilder(in)
	if b.self == nil {
		return nil, []Problem{{Detail: fmt.Sprintf("node %s is not known", in.Node)}}
	}
	for _, p := range sortedPeers(in.ConfigPeers) {
		b.toAddress(p, Config)
	}
	for _, p := range b.peers {
		if isGlobal(p) {
			b.forward(p, Global)
		}
	}
	for _, p := range b.peers {
		if !isGlobal(p) && selects(p, b.self) {
			b.forward(p, Node)
		}
	}
	for _, p := range b.peers {
		b.reverse(p)
	}
	b.grouped()
	b.checkGroups()
	b.mesh()

	slices.SortFunc(b.sessions, func(x, y Session) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), x.Peer.Compare(y.Peer))
	})
	return b.sessions, b.problems
}

// builder collects the sessions of one node; earlier ones win.
type builder struct {
	timers    Timers
	self      *resource.Node
	nodes     []*resource.Node // others, by name
	peers     []*resource.BGPPeer
	config    map[string]*resource.BGPConfiguration // by name
	byAddr    map[netip.Addr]*resource.Node         // others, by address
	grouping  *Grouping
	clusterID netip.Addr // ours; invalid: we do not reflect
	sessions  []Session
	taken     map[netip.AddrPort]Session
	problems  []Problem
}

func newBuilder(in Input) *builder {
	b := &builder{
		timers: in.Timers,
		peers:  sortedPeers(in.Peers),
		config: make(map[string]*resource.BGPConfiguration),
		byAddr: make(map[netip.Addr]*resource.Node),
		taken:  make(map[netip.AddrPort]Session),
	}
	for _, c := range in.Configurations {
		b.config[c.Name] = c
	}
	for _, n := range in.Nodes {
		if n.Name == in.Node {
			b.self = n
			continue
		}
		b.nodes = append(b.nodes, n)
	}
	slices.SortFunc(b.nodes, func(x, y *resource.Node) int { return cmp.Compare(x.Name, y.Name) })
	for _, n := range slices.Backward(b.nodes) { // of two with one address, the first by name
		for _, f := range families {
			if a := address(n, f); a.IsValid() {
				b.byAddr[a] = n
			}
		}
	}
	b.grouping = NewGrouping(in.Groups, in.Memberships, in.Nodes)
	if b.self != nil {
		b.clusterID = b.grouping.ClusterID(b.self)
	}
	return b
}

func sortedPeers(peers []*resource.BGPPeer) []*resource.BGPPeer {
	return slices.SortedFunc(slices.Values(peers), func(x, y *resource.BGPPeer) int { return cmp.Compare(x.Name, y.Name) })
}

// defaultMultihop is Calico's: external peers may be anywhere.
const defaultMultihop = 255

var families = [...]Family{IPv4Unicast, IPv6Unicast}

// forward adds the sessions that p asks for with the node at the near end.
func (b *builder) forward(p *resource.BGPPeer, kind Kind) {
	if p.PeerSelector == nil {
		b.toAddress(p, kind)
		return
	}
	for _, n := range b.nodes {
		if p.PeerSelector.Matches(n.Labels) {
			b.toNode(p, n, kind, families[:]...)
		}
	}
}

// reverse adds the sessions back to the nodes that have one with ours by p.
func (b *builder) reverse(p *resource.BGPPeer) {
	if p.ReverseManual {
		return
	}
	carried := families[:]
	switch {
	case p.PeerSelector != nil:
		if !p.PeerSelector.Matches(b.self.Labels) {
			return
		}
	case !b.isSelf(p):
		return
	default:
		carried = []Family{FamilyOf(p.PeerIP)}
	}
	for _, n := range b.nodes {
		if selects(p, n) {
			b.toNode(p, n, Node, carried...)
		}
	}
}

// isSelf reports whether the address, port and AS that p names are ours.
func (b *builder) isSelf(p *resource.BGPPeer) bool {
	port := b.port(b.self.Name)
	return p.PeerIP == address(b.self, FamilyOf(p.PeerIP)) && p.ASNumber == b.as(b.self) &&
		(p.PeerPort == 0 || p.PeerPort == port)
}

// toAddress adds the session with the address that p names.
func (b *builder) toAddress(p *resource.BGPPeer, kind Kind) {
	family := FamilyOf(p.PeerIP)
	local := address(b.self, family)
	switch {
	case !p.PeerIP.IsValid():
		b.problem(p, "it names no address")
		return
	case p.PeerIP.Zone() != "":
		b.problem(p, fmt.Sprintf("%s: sessions between link-local addresses are not supported", p.PeerIP))
		return
	case p.PeerIP == local:
		return // ourselves: a BGPPeer for all nodes may name one of them
	case !local.IsValid():
		if kind != Global {
			b.problem(p, fmt.Sprintf("node %s has no %s address", b.self.Name, family))
		}
		return
	}
	s := b.session(p, kind, family, p.PeerIP, p.PeerPort, p.ASNumber)
	if n := b.byAddr[p.PeerIP]; n != nil {
		s.PeerNode = n.Name
		s.ReflectorClient = s.ReflectorClient && b.grouping.ClusterID(n) != b.clusterID
		s.Passive = kind == Global && passive(s)
	}
	b.add(s)
}

// toNode adds the sessions with n in those of the families in which both ends
// have an address.
func (b *builder) toNode(p *resource.BGPPeer, n *resource.Node, kind Kind, carried ...Family) {
	for _, f := range carried {
		peer := address(n, f)
		if !peer.IsValid() || !address(b.self, f).IsValid() {
			continue
		}
		s := b.session(p, kind, f, peer, b.port(n.Name), b.as(n))
		s.PeerNode = n.Name
		s.ReflectorClient = s.ReflectorClient && b.grouping.ClusterID(n) != b.clusterID
		s.Passive = kind == Global && passive(s)
		b.add(s)
	}
}

// mesh adds the sessions with all other nodes.
func (b *builder) mesh() {
	c := b.config[resource.DefaultName]
	if c != nil && !c.NodeToNodeMesh || b.self.RouteReflectorClusterID.IsValid() {
		return
	}
	for _, n := range b.nodes {
		if n.RouteReflectorClusterID.IsValid() || b.grouping.Covered(n.Name) && b.grouping.Covered(b.self.Name) {
			continue
		}
		for _, f := range families {
			peer := address(n, f)
			if !peer.IsValid() || !address(b.self, f).IsValid() {
				continue
			}
			s := b.session(nil, Mesh, f, peer, b.port(n.Name), b.as(n))
			s.Name = fmt.Sprintf("mesh/%s/%s", n.Name, f)
			s.PeerNode = n.Name
			s.ReflectorClient = false
			s.Passive = passive(s)
			b.add(s)
		}
	}
}

// session is what all kinds of session have in common. It is with a client of
// ours if it is internal and we are a reflector, unless the peer turns out to
// be a reflector of the same cluster.
func (b *builder) session(p *resource.BGPPeer, kind Kind, f Family, peer netip.Addr, port uint16, as uint32) Session {
	if port == 0 {
		port = DefaultPort
	}
	s := Session{
		Kind:         kind,
		Peer:         peer,
		PeerPort:     port,
		Local:        address(b.self, f),
		LocalAS:      b.as(b.self),
		PeerAS:       as,
		ClusterID:    b.clusterID,
		Hold:         b.timers.Hold,
		ConnectRetry: b.timers.ConnectRetry,
	}
	s.ReflectorClient = s.Internal() && s.ClusterID.IsValid()
	if !s.Internal() {
		s.Multihop = defaultMultihop
	}
	if p == nil {
		return s
	}
	s.Name = fmt.Sprintf("peer/%s/%s", p.Name, peer)
	if port != DefaultPort {
		s.Name = fmt.Sprintf("peer/%s/%s", p.Name, s.Endpoint())
	}
	s.Origin = p.Name
	if k := p.Settings.KeepaliveTime; k != nil {
		s.Keepalive = *k
		s.Hold = max(cmp.Or(s.Hold, DefaultHold), 3**k) // RFC 4271 §4.4
	}
	return s
}

func (b *builder) add(s Session) {
	if winner, ok := b.taken[s.Endpoint()]; ok {
		if s.Origin != "" && s.Origin != winner.Origin {
			b.problems = append(b.problems, Problem{s.Origin, fmt.Sprintf("shadowed at %s by %s", s.Endpoint(), winner.Name)})
		}
		return
	}
	b.taken[s.Endpoint()] = s
	b.sessions = append(b.sessions, s)
}

func (b *builder) problem(p *resource.BGPPeer, detail string) {
	b.problems = append(b.problems, Problem{p.Name, detail})
}

// as is the AS of n: its own, else that of the default configuration.
func (b *builder) as(n *resource.Node) uint32 {
	c := b.config[resource.DefaultName]
	switch {
	case n.ASNumber != 0:
		return n.ASNumber
	case c != nil && c.ASNumber != 0:
		return c.ASNumber
	}
	return resource.DefaultASNumber
}

// port is where the node of that name listens.
func (b *builder) port(node string) uint16 {
	for _, name := range []string{"node." + node, resource.DefaultName} {
		if c := b.config[name]; c != nil && c.ListenPort != 0 {
			return c.ListenPort
		}
	}
	return DefaultPort
}

// passive makes one end of a session between nodes wait: the one whose peer
// has the greater address, as text, because Calico compares them so.
func passive(s Session) bool { return s.Peer.String() > s.Local.String() }

// isGlobal reports whether p holds for every node.
func isGlobal(p *resource.BGPPeer) bool { return p.Node == "" && p.NodeSelector == nil }

// selects reports whether p asks for sessions of n.
func selects(p *resource.BGPPeer, n *resource.Node) bool {
	if p.NodeSelector != nil {
		return p.NodeSelector.Matches(n.Labels)
	}
	return p.Node == "" || p.Node == n.Name
}

func address(n *resource.Node, f Family) netip.Addr {
	if f == IPv6Unicast {
		return n.IPv6.Addr()
	}
	return n.IPv4.Addr()
}
