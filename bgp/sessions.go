package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Input is what decides which sessions a node has.
type Input struct {
	Node           string // the node asked about
	Nodes          []*resource.Node
	Configurations []*resource.BGPConfiguration // "default" and "node.NAME"
	Peers          []*resource.BGPPeer
	PeerGroups     []*resource.BGPPeerGroup
	// Groups of reflectors, and whom the controller has elected for them.
	Groups      []*resource.ReflectorGroup
	Memberships []*resource.ReflectorMembership
	Filters     []*resource.BGPFilter
	Secrets     []*resource.Secret

	// ConfigPeers come from the configuration file of the node, hold for it
	// alone, win over all others, and must have a PeerIP. Their settings are
	// their own and Defaults, so that nothing that the store tells resets them.
	ConfigPeers []*resource.BGPPeer
	// Defaults are the settings of the configuration file, which count last.
	Defaults resource.SessionSettings
	// File is the content of a file in the host's directory of secrets; nil:
	// the host has none. fs.ErrNotExist: there is no such file.
	File func(name string) ([]byte, error)
	// Compiled keeps the filters from one call to the next, so that what has
	// not changed stays the same object; nil: nothing is kept.
	Compiled *FilterCache
}

// Problem says why something that was asked for is not among the sessions, or
// not as it was asked for.
type Problem struct {
	Origin string // the BGPPeer concerned; empty: the mesh or the node itself
	Detail string
	// Refused are the ends of sessions that must not be for it, however they
	// were before.
	Refused []netip.AddrPort
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
// match; the way back of a session among nodes by itself, with the same
// settings. Two sessions with one address and port are one: the configuration
// file wins, then a BGPPeer for all nodes, one for some, the way back of one,
// a group, and at last the mesh; among BGPPeers of one kind the first by name.
//
// What cannot be had as it was asked for fails closed. A session whose group
// or password is missing is not made, nor does a lesser one take its place. A
// filter that is missing rejects all that reaches it, both ways; the session
// stays up, so that nothing is reset when the filter is there.
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
	in        Input
	self      *resource.Node
	nodes     []*resource.Node // others, by name
	peers     []*resource.BGPPeer
	config    map[string]*resource.BGPConfiguration // by name
	groups    map[string]*resource.BGPPeerGroup     // by name
	secrets   map[string]*resource.Secret           // by name
	byAddr    map[netip.Addr]*resource.Node         // others, by address
	grouping  *Grouping
	clusterID netip.Addr // ours; invalid: we do not reflect
	filters   *FilterCache
	policies  []*Policy // of the sessions, each once
	sessions  []Session
	taken     map[netip.AddrPort]taken
	ranges    map[netip.Prefix]taken
	problems  []Problem
}

// taken says who has an address and port, or a range.
type taken struct{ name, origin string }

// draft is a session before it is added.
type draft struct {
	Session
	set     resource.SessionSettings
	over    Family     // of the connection
	own     netip.Addr // the node's address of that family; invalid: none
	refused string     // why it is not made; empty: it is
}

func newBuilder(in Input) *builder {
	b := &builder{
		in:      in,
		peers:   sortedPeers(in.Peers),
		config:  make(map[string]*resource.BGPConfiguration),
		groups:  make(map[string]*resource.BGPPeerGroup),
		secrets: make(map[string]*resource.Secret),
		byAddr:  make(map[netip.Addr]*resource.Node),
		taken:   make(map[netip.AddrPort]taken),
		ranges:  make(map[netip.Prefix]taken),
		filters: in.Compiled,
	}
	if b.filters == nil {
		b.filters = &FilterCache{}
	}
	b.filters.compile(in.Filters)
	for _, c := range in.Configurations {
		b.config[c.Name] = c
	}
	for _, g := range in.PeerGroups {
		b.groups[g.Name] = g
	}
	for _, s := range in.Secrets {
		b.secrets[s.Name] = s
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

var families = [...]Family{IPv4Unicast, IPv6Unicast}

// forward adds the sessions that p asks for with the node at the near end.
func (b *builder) forward(p *resource.BGPPeer, kind Kind) {
	switch {
	case p.PeerRange.IsValid():
		b.toRange(p, kind)
	case p.PeerSelector == nil:
		b.toAddress(p, kind)
	default:
		for _, n := range b.nodes {
			if p.PeerSelector.Matches(n.Labels) {
				b.toNode(p, n, kind, families[:]...)
			}
		}
	}
}

// reverse adds the sessions back to the nodes that have one with ours by p.
func (b *builder) reverse(p *resource.BGPPeer) {
	if p.ReverseManual || p.PeerRange.IsValid() {
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
			b.back(p, n, carried...)
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
	switch {
	case !p.PeerIP.IsValid():
		b.problem(p, "it names no address")
		return
	case p.PeerIP.Zone() != "":
		b.problem(p, fmt.Sprintf("%s: sessions between link-local addresses are not supported", p.PeerIP))
		return
	case p.PeerIP == address(b.self, FamilyOf(p.PeerIP)):
		return // ourselves: a BGPPeer for all nodes may name one of them
	}
	port, n := p.PeerPort, b.byAddr[p.PeerIP]
	if port == 0 && n != nil && b.as(n) == p.ASNumber {
		port = b.port(n.Name)
	}
	s := b.session(p, kind, FamilyOf(p.PeerIP), p.PeerIP, port, p.ASNumber)
	if n != nil {
		s.PeerNode = n.Name
		s.ReflectorClient = s.ReflectorClient && b.grouping.ClusterID(n) != b.clusterID
		s.Passive = kind == Global && passive(s)
	}
	b.add(s)
}

// toRange adds the session for whoever connects from the range of p.
func (b *builder) toRange(p *resource.BGPPeer, kind Kind) {
	s := b.session(p, kind, FamilyOf(p.PeerRange.Addr()), netip.Addr{}, 0, p.ASNumber)
	s.Name = "peer/" + p.Name
	s.Range, s.RangeLimit, s.Passive, s.PeerPort = p.PeerRange, p.RangeLimit, true, 0
	b.add(s)
}

// toNode adds the sessions that p asks for with n, or without p the mesh, in
// those of the families in which both ends have an address.
func (b *builder) toNode(p *resource.BGPPeer, n *resource.Node, kind Kind, carried ...Family) {
	// The other end is our way back, unless p asks for a session of its own.
	var theirs *resource.BGPPeer
	if p != nil && p.PeerSelector != nil && selects(p, n) && p.PeerSelector.Matches(b.self.Labels) {
		theirs = p
	}
	for _, t := range b.transports(p, kind, n, carried) {
		s := b.session(p, kind, t.over, address(n, t.over), b.port(n.Name), b.localAS(theirs, n))
		if p == nil {
			s.Name = fmt.Sprintf("mesh/%s/%s", n.Name, t.over)
		}
		s.Families = t.families
		b.toPeerNode(&s, n, kind)
		b.add(s)
	}
}

// back adds the way back of the sessions that p asks n to have with us. It has
// the settings of p, but for those that tell the two ends apart.
func (b *builder) back(p *resource.BGPPeer, n *resource.Node, carried ...Family) {
	for _, t := range b.transports(p, Node, n, carried) {
		s := b.session(p, Node, t.over, address(n, t.over), b.port(n.Name), b.localAS(p, n))
		b.setAS(&s, b.localAS(nil, b.self), s.PeerAS)
		s.Role = opposite(s.Role)
		s.Families = t.families
		b.toPeerNode(&s, n, Node)
		b.add(s)
	}
}

func (b *builder) toPeerNode(s *draft, n *resource.Node, kind Kind) {
	s.PeerNode = n.Name
	s.ReflectorClient = s.Kind != Mesh && s.ReflectorClient && b.grouping.ClusterID(n) != b.clusterID
	s.Passive = kind != Node && passive(*s)
	b.setNextHops(s)
}

// mesh adds the sessions with all other nodes.
func (b *builder) mesh() {
	c := b.config[resource.DefaultName]
	if c != nil && !c.NodeToNodeMesh || b.self.RouteReflectorClusterID.IsValid() {
		return
	}
	for _, n := range b.nodes {
		grouped := b.grouping.Covered(n.Name) && b.grouping.Covered(b.self.Name)
		if !n.RouteReflectorClusterID.IsValid() && !grouped {
			b.toNode(nil, n, Mesh, families[:]...)
		}
	}
}

func (b *builder) add(s draft) {
	if s.refused == quiet {
		return
	}
	owner := taken{s.Name, s.Origin}
	at := fmt.Sprint(s.Endpoint())
	winner, twice := b.taken[s.Endpoint()]
	if s.Range.IsValid() {
		at = s.Range.String()
		winner, twice = b.ranges[s.Range]
	}
	switch {
	case twice:
		if s.Origin != "" && s.Origin != winner.origin {
			b.note(s.Origin, fmt.Sprintf("shadowed at %s by %s", at, winner.name))
		}
		return
	case s.Range.IsValid():
		b.ranges[s.Range] = owner
	default:
		b.taken[s.Endpoint()] = owner
	}
	if s.refused != "" {
		p := b.note(s.Origin, s.refused)
		p.Refused = append(p.Refused, s.Endpoint())
		return
	}
	b.sessions = append(b.sessions, s.Session)
}

// quiet refuses a session of which nobody needs to hear.
const quiet = "-"

func (b *builder) problem(p *resource.BGPPeer, detail string) { b.note(p.Name, detail) }

// note notes a problem, once.
func (b *builder) note(origin, detail string) *Problem {
	for i := range b.problems {
		if p := &b.problems[i]; p.Origin == origin && p.Detail == detail {
			return p
		}
	}
	b.problems = append(b.problems, Problem{Origin: origin, Detail: detail})
	return &b.problems[len(b.problems)-1]
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
func passive(s draft) bool { return s.own.IsValid() && s.Peer.String() > s.own.String() }

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
