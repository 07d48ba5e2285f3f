package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The states of a reflector, as a group's status names them.
const (
	stateDead    = "Dead"
	stateJoining = "Joining" // lives, and does not serve all hosts yet
	stateServing = "Serving"
	stateLeaving = "Leaving"
)

// Limits of an election.
type Limits struct {
	// HoldOff is for how long a reflector may be without its lease before it is
	// replaced: a restart is no death.
	HoldOff time.Duration
	// Retire is how long one that was replaced stays, at most, while those that
	// stay do not serve all hosts.
	Retire time.Duration
}

// memory is what a leader remembers of how long something has been so. A new
// leader begins anew, and so do the times after the store was away: then nobody
// could renew his lease.
type memory struct {
	dead    map[string]time.Time // member → since when it has no lease
	leaving map[string]time.Time // group → since when somebody is leaving it
}

func newMemory() *memory {
	return &memory{dead: make(map[string]time.Time), leaving: make(map[string]time.Time)}
}

// decision is what shall be stored of a group.
type decision struct {
	members []resource.ReflectorMember // of a group with an election, in order of nodes
	status  *vrouterv1.ReflectorGroupStatus
}

// plan decides on every group, and returns in what time something changes by
// itself; zero: nothing does. It is a function of the world and of what is
// remembered.
func plan(w *world, m *memory, limits Limits, now time.Time) (map[string]decision, time.Duration) {
	p := planner{world: w, memory: m, limits: limits, now: now, memberships: maps.Clone(w.memberships)}
	p.remember()
	names := slices.Sorted(maps.Keys(w.groups))
	decisions := make(map[string]decision)
	for _, name := range names {
		if w.groups[name].Election != nil {
			p.elect(w.groups[name])
		}
	}
	p.grouping = bgp.NewGrouping(
		slices.Collect(maps.Values(w.groups)), slices.Collect(maps.Values(p.memberships)), slices.Collect(maps.Values(w.nodes)))
	for _, name := range names {
		if w.groups[name].Election != nil {
			p.retire(name)
		}
	}
	for _, name := range names {
		decisions[name] = decision{members: p.membersOf(name), status: p.status(name)}
	}
	return decisions, p.next
}

// planner is one plan in the making.
type planner struct {
	*world
	*memory
	limits      Limits
	now         time.Time
	memberships map[string]*resource.ReflectorMembership // as they shall be
	grouping    *bgp.Grouping
	next        time.Duration
}

// in asks for another plan after d.
func (p *planner) in(d time.Duration) {
	if p.next == 0 || d < p.next {
		p.next = d
	}
}

// remember notes which members have lost their lease, and forgets the others.
func (p *planner) remember() {
	members := make(map[string]bool)
	for _, m := range p.memberships {
		for _, member := range m.Members {
			members[member.Node] = true
		}
	}
	for node := range p.dead {
		if _, live := p.live[node]; live || !members[node] {
			delete(p.dead, node)
		}
	}
	for node := range members {
		if _, live := p.live[node]; !live && p.dead[node].IsZero() {
			p.dead[node] = p.now
		}
	}
}

// usable reports whether a node may reflect: its daemon lives, or has not been
// away for longer than a restart takes, and nobody drains it.
func (p *planner) usable(node string) bool {
	n := p.nodes[node]
	if n == nil || n.Drain != nil {
		return false
	}
	if _, live := p.live[node]; live {
		return true
	}
	since, member := p.dead[node]
	if !member {
		return false
	}
	left := p.limits.HoldOff - p.now.Sub(since)
	if left > 0 {
		p.in(left)
	}
	return left > 0
}

// elect makes the members of a group those that are chosen, and those that
// leave. Where nobody may be elected all stay as they are.
func (p *planner) elect(group *resource.ReflectorGroup) {
	was := p.membersOf(group.Name)
	var candidates []Candidate
	for _, name := range slices.Sorted(maps.Keys(p.nodes)) {
		if n := p.nodes[name]; group.Election.Candidates.Matches(n.Labels) && p.usable(name) {
			candidates = append(candidates, Candidate{
				Node: name, Topology: n.Labels[group.Election.TopologyKey], Busy: p.busy(group.Name, name),
			})
		}
	}
	var present []string
	for _, m := range was {
		if !m.Leaving {
			present = append(present, m.Node)
		}
	}
	chosen := Choose(group.Name, group.Election.Count, candidates, present)
	if len(chosen) == 0 {
		return
	}
	var next []resource.ReflectorMember
	for _, node := range chosen {
		next = append(next, resource.ReflectorMember{Node: node})
	}
	for _, m := range was {
		// Without its Node nobody has a session with it.
		if p.nodes[m.Node] != nil && !slices.Contains(chosen, m.Node) {
			next = append(next, resource.ReflectorMember{Node: m.Node, Leaving: true})
		}
	}
	p.setMembers(group.Name, next)
}

// busy reports whether a node reflects for another group.
func (p *planner) busy(group, node string) bool {
	for name := range p.memberships {
		if name != group && slices.ContainsFunc(p.membersOf(name), func(m resource.ReflectorMember) bool {
			return m.Node == node && !m.Leaving
		}) {
			return true
		}
	}
	return false
}

// retire drops those that leave once those that stay serve all hosts, or the
// limit has run out.
func (p *planner) retire(group string) {
	var stay []resource.ReflectorMember
	ready := true
	for _, m := range p.membersOf(group) {
		if m.Leaving {
			continue
		}
		stay = append(stay, m)
		ready = ready && p.serves(group, m.Node)
	}
	if len(stay) == len(p.membersOf(group)) {
		delete(p.leaving, group)
		return
	}
	since, ok := p.leaving[group]
	if !ok {
		since = p.now
		p.leaving[group] = since
	}
	left := p.limits.Retire - p.now.Sub(since)
	if !ready && left > 0 {
		p.in(left)
		return
	}
	delete(p.leaving, group)
	p.setMembers(group, stay)
}

// serves reports whether a reflector has all that live of the group's hosts.
func (p *planner) serves(group, node string) bool {
	if _, live := p.live[node]; !live {
		return false
	}
	served := p.served(node)
	for _, host := range p.hosts(group) {
		if host != node && !slices.Contains(served, host) {
			return false
		}
	}
	return true
}

// hosts is those of the group that live and are not drained.
func (p *planner) hosts(group string) []string {
	return slices.DeleteFunc(p.grouping.Hosts(group), func(host string) bool {
		_, live := p.live[host]
		return !live || p.nodes[host].Drain != nil
	})
}

func (p *planner) membersOf(group string) []resource.ReflectorMember {
	if m := p.memberships[group]; m != nil {
		return m.Members
	}
	return nil
}

func (p *planner) setMembers(group string, members []resource.ReflectorMember) {
	slices.SortFunc(members, func(a, b resource.ReflectorMember) int { return cmp.Compare(a.Node, b.Node) })
	p.memberships[group] = &resource.ReflectorMembership{
		Meta:    resource.Meta{ID: resource.ID{Kind: resource.KindReflectorMembership, Name: group}},
		Members: members,
	}
}

// status is what there is to say of a group.
func (p *planner) status(name string) *vrouterv1.ReflectorGroupStatus {
	group := p.groups[name]
	hosts := p.hosts(name)
	s := &vrouterv1.ReflectorGroupStatus{Hosts: proto.Int32(int32(len(p.grouping.Hosts(name))))}
	leaving := make(map[string]bool)
	for _, m := range p.membersOf(name) {
		leaving[m.Node] = group.Election != nil && m.Leaving
	}
	racks := make(map[string]bool)
	stay := 0
	for _, node := range p.grouping.Members(name) {
		served := 0
		for _, host := range p.served(node) {
			if slices.Contains(hosts, host) {
				served++
			}
		}
		m := &vrouterv1.ReflectorMemberStatus{
			Node: proto.String(node), State: proto.String(p.state(name, node, leaving[node])), Hosts: proto.Int32(int32(served)),
		}
		if group.Election != nil {
			m.Topology = proto.String(p.nodes[node].Labels[group.Election.TopologyKey])
		}
		s.Members = append(s.Members, m)
		if !leaving[node] {
			stay++
			racks[m.GetTopology()] = true
		}
	}
	switch e := group.Election; {
	case stay == 0:
		s.Problems = append(s.Problems, "there is no reflector: its hosts stay in the mesh")
	case e != nil && stay < e.Count:
		s.Problems = append(s.Problems, fmt.Sprintf("%d of %d reflectors: there are too few candidates", stay, e.Count))
	case e != nil && e.TopologyKey != "" && stay > 1 && len(racks) == 1:
		s.Problems = append(s.Problems, fmt.Sprintf("all reflectors have the same %s", e.TopologyKey))
	}
	return s
}

func (p *planner) state(group, node string, leaving bool) string {
	_, live := p.live[node]
	switch {
	case !live:
		return stateDead
	case leaving:
		return stateLeaving
	case p.serves(group, node):
		return stateServing
	}
	return stateJoining
}
