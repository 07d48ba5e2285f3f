package bgp

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Grouping says which nodes reflect for which. It is a function of what is
// stored, the same on every node, and not changed once made.
//
// A host of several groups belongs to the one that rendezvous hashing places it
// in, so that another group takes 1/n of the hosts and moves no other. Groups
// without a member take none: their hosts stay as they are.
type Grouping struct {
	groups  map[string]*resource.ReflectorGroup
	members map[string][]string // group → its reflectors, sorted
	in      map[string][]string // reflector → its groups, sorted
	host    map[string]string   // host → its group
	above   map[string]string   // reflector → the group whose client it is, as a host of it
	plain   map[string]bool     // nodes that declare no cluster id: hosts, elected or not
}

// NewGrouping places nodes in groups. Memberships say whom the controller has
// elected.
func NewGrouping(groups []*resource.ReflectorGroup, elected []*resource.ReflectorMembership, nodes []*resource.Node) *Grouping {
	g := &Grouping{
		groups: make(map[string]*resource.ReflectorGroup), members: make(map[string][]string),
		in: make(map[string][]string), host: make(map[string]string), above: make(map[string]string),
		plain: make(map[string]bool),
	}
	for _, group := range groups {
		g.groups[group.Name] = group
		for _, n := range nodes {
			if reflects(group, elected, n) {
				g.members[group.Name] = append(g.members[group.Name], n.Name)
				g.in[n.Name] = append(g.in[n.Name], group.Name)
			}
		}
		slices.Sort(g.members[group.Name])
	}
	for _, in := range g.in {
		slices.Sort(in)
	}
	for _, n := range nodes {
		g.plain[n.Name] = !n.RouteReflectorClusterID.IsValid()
		if name := g.place(n, groups); name != "" {
			g.host[n.Name] = name
		}
	}
	g.stack(nodes)
	return g
}

// stack finds the dedicated reflectors that are clients of others (RFC 4456
// §7): hosts of a group, and not of one that they reflect for. Groups that are
// above each other have nobody at their top: they are side by side.
func (g *Grouping) stack(nodes []*resource.Node) {
	for _, n := range nodes {
		up := g.host[n.Name]
		own := slices.ContainsFunc(g.in[n.Name], func(name string) bool { return hosts(g.groups[name], n) })
		if up != "" && len(g.in[n.Name]) > 0 && !own && !g.plain[n.Name] {
			g.above[n.Name] = up
		}
	}
	circular := make(map[string]bool)
	for r, up := range g.above {
		circular[r] = slices.ContainsFunc(g.in[r], func(name string) bool { return g.reaches(up, name, make(map[string]bool)) })
	}
	maps.DeleteFunc(g.above, func(r, _ string) bool { return circular[r] })
}

// reaches reports whether a group is another one, or below it.
func (g *Grouping) reaches(group, top string, seen map[string]bool) bool {
	if group == top || seen[group] {
		return group == top
	}
	seen[group] = true
	return slices.ContainsFunc(g.members[group], func(r string) bool {
		return g.above[r] != "" && g.reaches(g.above[r], top, seen)
	})
}

// reflects reports whether n is a member of the group.
func reflects(group *resource.ReflectorGroup, elected []*resource.ReflectorMembership, n *resource.Node) bool {
	if group.Election == nil {
		return group.MemberSelector != nil && group.MemberSelector.Matches(n.Labels)
	}
	for _, m := range elected {
		if m.Name == group.Name {
			return slices.ContainsFunc(m.Members, func(m resource.ReflectorMember) bool { return m.Node == n.Name })
		}
	}
	return false
}

// place is the group of a host; empty: none.
func (g *Grouping) place(n *resource.Node, groups []*resource.ReflectorGroup) string {
	var best string
	var most uint64
	for _, group := range groups {
		if len(g.members[group.Name]) == 0 || !hosts(group, n) {
			continue
		}
		w := Rendezvous(n.Name, group.Name)
		if best == "" || w > most || w == most && group.Name < best {
			best, most = group.Name, w
		}
	}
	return best
}

// hosts reports whether a group chooses n as a host.
func hosts(group *resource.ReflectorGroup, n *resource.Node) bool {
	if group.NodeSelector == nil {
		return !n.RouteReflectorClusterID.IsValid()
	}
	return group.NodeSelector.Matches(n.Labels)
}

// Rendezvous is the weight of a place for an item: whoever knows the names
// alone finds the same place of the greatest weight, and another place takes
// its share of the items and moves no other. FNV-1a by itself barely mixes the
// last bytes, in which names differ.
func Rendezvous(item, place string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(item)) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(place))
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // the finalizer of SplitMix64
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Members is the reflectors of a group, in order of name.
func (g *Grouping) Members(group string) []string { return g.members[group] }

// GroupsOf is the groups that a node reflects for, in order of name.
func (g *Grouping) GroupsOf(node string) []string { return g.in[node] }

// HostOf is the group that a node is a host of; empty: none.
func (g *Grouping) HostOf(node string) string { return g.host[node] }

// Hosts is the hosts of a group, in order of name.
func (g *Grouping) Hosts(group string) []string {
	var all []string
	for host, in := range g.host {
		if in == group {
			all = append(all, host)
		}
	}
	slices.Sort(all)
	return all
}

// Covered reports whether groups bring a node everything that covered nodes
// have, so that it needs no mesh with them.
func (g *Grouping) Covered(node string) bool { return g.host[node] != "" || len(g.in[node]) > 0 }

// relation is what another node is to one, through groups.
type relation uint8

const (
	unrelated relation = iota
	nonClient          // both reflect, for different groups, and neither is below another
	client             // we reflect for the other
	reflector          // the other reflects for us
)

// between is what other is to self, and the group behind it. Members of one
// group have nothing from each other that they do not have from their clients;
// but those that are hosts, too, have routes of their own, which each needs. A
// reflector below a group has from it all that other reflectors know.
func (g *Grouping) between(self, other string) (relation, *resource.ReflectorGroup) {
	ours, theirs := g.in[self], g.in[other]
	switch {
	case slices.Contains(ours, g.above[other]):
		return client, g.groups[g.above[other]]
	case slices.Contains(theirs, g.above[self]):
		return reflector, g.groups[g.above[self]]
	case len(ours) > 0 && len(theirs) > 0:
		shared := slices.ContainsFunc(ours, func(name string) bool { return slices.Contains(theirs, name) })
		hosts := g.plain[self] && g.plain[other] || slices.Contains(theirs, g.host[self]) || slices.Contains(ours, g.host[other])
		below := g.above[self] != "" || g.above[other] != ""
		if shared && !hosts || !shared && below {
			return unrelated, nil
		}
		return nonClient, g.groups[ours[0]]
	case g.host[other] != "" && slices.Contains(ours, g.host[other]):
		return client, g.groups[g.host[other]]
	case g.host[self] != "" && slices.Contains(theirs, g.host[self]):
		return reflector, g.groups[g.host[self]]
	}
	return unrelated, nil
}

// ClusterID is the cluster id of a node (RFC 4456 §7); invalid: it does not
// reflect. What the Node declares counts before the group.
func (g *Grouping) ClusterID(n *resource.Node) netip.Addr {
	if n.RouteReflectorClusterID.IsValid() {
		return n.RouteReflectorClusterID
	}
	in := g.in[n.Name]
	if len(in) == 0 {
		return netip.Addr{}
	}
	if id := g.groups[in[0]].ClusterID; id.IsValid() {
		return id
	}
	return RouterID(n.Name, n.IPv4)
}

// RouterID is the BGP identifier of a node: its IPv4 address, else a hash of
// its name (FNV-1a). A cluster id would not do, which reflectors may share. The
// hash is never zero, and outside class E and multicast, which some routers
// refuse.
func RouterID(name string, ipv4 netip.Prefix) netip.Addr {
	if ipv4.IsValid() {
		return ipv4.Addr()
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	sum := h.Sum32()
	return netip.AddrFrom4([4]byte{byte(1 + sum>>24%223), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// grouped adds the sessions that groups ask for, in the families in which both
// ends have an address.
func (b *builder) grouped() {
	for _, n := range b.nodes {
		r, group := b.grouping.between(b.self.Name, n.Name)
		if r == unrelated {
			continue
		}
		like := &resource.BGPPeer{Meta: group.Meta, Settings: group.Settings}
		if r == reflector { // what may be reflected is for reflectors to say
			like.Settings.Filters, like.Settings.NextHopMode = nil, nil
			like.Settings.MaxPrefixes, like.Settings.ReflectForeign = nil, nil
		}
		for _, t := range b.transports(like, Reflection, n, families[:]) {
			s := b.session(like, Reflection, t.over, address(n, t.over), b.port(n.Name), b.as(n))
			s.Name = fmt.Sprintf("group/%s/%s/%s", group.Name, n.Name, t.over)
			s.Families = t.families
			b.toPeerNode(&s, n, Reflection)
			s.Origin = ""
			s.ReflectorClient = r == client && s.Internal()
			b.add(s)
		}
	}
}

// checkGroups tells what keeps the node's groups from working.
func (b *builder) checkGroups() {
	in := b.grouping.in[b.self.Name]
	ids := make(map[netip.Addr]bool)
	for _, name := range in {
		if id := b.grouping.groups[name].ClusterID; id.IsValid() {
			ids[id] = true
		}
	}
	own := b.clusterID
	if delete(ids, own); len(ids) > 0 {
		other := slices.SortedFunc(maps.Keys(ids), netip.Addr.Compare)[0]
		b.problems = append(b.problems, Problem{Detail: fmt.Sprintf(
			"node %s reflects with cluster id %s, and a group asks for %s", b.self.Name, own, other)})
	}
	for _, name := range in {
		for _, member := range b.grouping.members[name] {
			i, found := slices.BinarySearchFunc(b.nodes, member, func(n *resource.Node, name string) int { return cmp.Compare(n.Name, name) })
			if found && b.as(b.nodes[i]) != b.as(b.self) {
				b.problems = append(b.problems, Problem{Detail: fmt.Sprintf(
					"ReflectorGroup %s: members %s and %s are of different AS", name, b.self.Name, member)})
			}
		}
	}
}
