package resource

import (
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Bounds of groups, elections and drains.
const (
	defaultReflectors = 2
	mostReflectors    = 32             // every host has a session with each
	longestDrain      = 24 * time.Hour // who waits longer closes by hand
)

// DefaultShutdownAfter is how long a drained node keeps its sessions, unless
// its drain says otherwise.
const DefaultShutdownAfter = time.Minute

// shutdownNever is the ShutdownAfter of a drain that closes nothing.
const shutdownNever = "Never"

func (p *problems) reflectorGroup(meta Meta, spec *vrouterv1.ReflectorGroupSpec) *ReflectorGroup {
	g := &ReflectorGroup{Meta: meta, OriginCheck: OriginCheck(spec.GetOriginCheck())}
	if spec == nil {
		spec = &vrouterv1.ReflectorGroupSpec{}
	}
	g.NodeSelector = p.nodes("spec.nodeSelector", spec.NodeSelector)
	g.MemberSelector = p.nodes("spec.memberSelector", spec.MemberSelector)
	if spec.Election != nil {
		g.Election = p.election(spec.Election)
	}
	if (g.MemberSelector == nil) == (g.Election == nil) && !p.has("spec.memberSelector") {
		p.addf("spec.memberSelector", "one of it and spec.election is needed")
	}
	if spec.GetClusterId() != "" {
		id, err := ParseClusterID(spec.GetClusterId())
		p.err("spec.clusterID", err)
		g.ClusterID = id
	}
	switch g.OriginCheck {
	case "", OriginCheckOff, OriginCheckLog, OriginCheckEnforce:
	default:
		p.addf("spec.originCheck", "%q is none of %s, %s, %s", spec.GetOriginCheck(), OriginCheckOff, OriginCheckLog, OriginCheckEnforce)
	}
	p.groupSettings(spec, &g.Settings)
	return g
}

// groupSettings checks what the sessions of a group have in common.
func (p *problems) groupSettings(spec *vrouterv1.ReflectorGroupSpec, s *SessionSettings) {
	if text := spec.GetLongLivedRestartTime(); text != "" {
		s.LongLived = p.duration("spec.longLivedRestartTime", text, 0, maxLongLived)
	}
	for i, name := range spec.GetFilters() {
		p.err(index("spec.filters", i), checkSubdomain(name))
		if slices.Contains(spec.GetFilters()[:i], name) {
			p.addf(index("spec.filters", i), "%q is listed twice", name)
		}
	}
	if len(spec.GetFilters()) > 0 {
		s.Filters = new(slices.Clone(spec.GetFilters()))
	}
	if spec.ReflectForeign != nil {
		s.ReflectForeign = new(spec.GetReflectForeign())
	}
}

func (p *problems) election(raw *vrouterv1.ReflectorElection) *ReflectorElection {
	e := &ReflectorElection{Count: defaultReflectors, TopologyKey: raw.GetTopologyKey()}
	if raw.Count != nil {
		e.Count = int(raw.GetCount())
	}
	if e.Count < 1 || e.Count > mostReflectors {
		p.addf("spec.election.count", "%d is not between 1 and %d", e.Count, mostReflectors)
	}
	if raw.GetCandidateSelector() == "" {
		p.addf("spec.election.candidateSelector", "is needed: all() elects among all nodes")
	}
	e.Candidates = p.nodes("spec.election.candidateSelector", raw.CandidateSelector)
	if e.TopologyKey != "" {
		p.err("spec.election.topologyKey", checkLabelKey(e.TopologyKey))
	}
	return e
}

// nodes reads a selector of nodes; none gives nil.
func (p *problems) nodes(path string, text *string) *selector.Selector {
	s, err := parseSelector(text)
	p.err(path, err)
	return s
}

func (p *problems) membership(meta Meta, spec *vrouterv1.ReflectorMembershipSpec) *ReflectorMembership {
	m := &ReflectorMembership{Meta: meta}
	for i, raw := range spec.GetMembers() {
		at := join(index("spec.members", i), "node")
		p.err(at, checkSubdomain(raw.GetNode()))
		if slices.ContainsFunc(m.Members, func(o ReflectorMember) bool { return o.Node == raw.GetNode() }) {
			p.addf(at, "%q is listed twice", raw.GetNode())
		}
		m.Members = append(m.Members, ReflectorMember{Node: raw.GetNode(), Leaving: raw.GetLeaving()})
	}
	return m
}

// drain checks how a node is drained; nil: it is not.
func (p *problems) drain(raw *vrouterv1.NodeDrain) *NodeDrain {
	if raw == nil {
		return nil
	}
	d := &NodeDrain{Message: raw.GetMessage(), ShutdownAfter: DefaultShutdownAfter}
	p.err("spec.drain.message", checkShutdownMessage(d.Message))
	switch text := raw.GetShutdownAfter(); text {
	case "":
	case shutdownNever:
		d.Never = true
	default:
		after, err := parseDuration(text, 0, longestDrain)
		p.err("spec.drain.shutdownAfter", err)
		d.ShutdownAfter = after
	}
	return d
}
