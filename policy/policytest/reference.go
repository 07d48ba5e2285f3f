package policytest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// Reference judges packets by what is stored, as plainly as the semantics can be
// written down: it asks every selector of every object for every packet, and
// shares nothing with the resolver. It is the oracle of resolver and dataplanes.
type Reference struct {
	// Interfaces are those of the hosts, for expected addresses.
	Interfaces map[string][]netip.Addr

	tiers      map[string]*resource.Tier
	policies   []*resource.Policy
	profiles   map[string]*resource.Profile
	workloads  []*resource.WorkloadEndpoint
	hosts      []*resource.HostEndpoint
	sets       []*resource.NetworkSet
	namespaces map[string]map[string]string
	accounts   map[resource.ID]map[string]string
	services   map[resource.ServiceRef]*resource.Service
	nodes      []*resource.Node
	bgpPeers   []*resource.BGPPeer
	bgp        []*resource.BGPConfiguration
	pools      []*resource.IPPool
	agents     map[string]resource.AgentSettings // by name
}

// NewReference returns the reference over objects, each the only one of its ID,
// and over those that are always there.
func NewReference(objects ...resource.Object) *Reference {
	r := &Reference{
		tiers: make(map[string]*resource.Tier), profiles: make(map[string]*resource.Profile),
		namespaces: make(map[string]map[string]string), accounts: make(map[resource.ID]map[string]string),
		services: make(map[resource.ServiceRef]*resource.Service), agents: make(map[string]resource.AgentSettings),
	}
	for _, kind := range []resource.Kind{resource.KindTier, resource.KindProfile} {
		for _, raw := range resource.BuiltIn(kind) {
			if object, err := resource.Check(raw); err == nil {
				r.add(object)
			}
		}
	}
	for _, object := range objects {
		r.add(object)
	}
	return r
}

func (r *Reference) add(object resource.Object) {
	switch o := object.(type) {
	case *resource.Tier:
		r.tiers[o.Name] = o
	case *resource.Policy:
		r.policies = append(r.policies, o)
	case *resource.Profile:
		r.profiles[o.Name] = o
	case *resource.WorkloadEndpoint:
		r.workloads = append(r.workloads, o)
	case *resource.HostEndpoint:
		r.hosts = append(r.hosts, o)
	case *resource.NetworkSet:
		r.sets = append(r.sets, o)
	case *resource.Namespace:
		r.namespaces[o.Name] = o.Labels
	case *resource.ServiceAccount:
		r.accounts[o.ID] = o.Labels
	case *resource.Service:
		r.services[resource.ServiceRef{Namespace: o.Namespace, Name: o.Name}] = o
	case *resource.Node:
		r.nodes = append(r.nodes, o)
	case *resource.BGPPeer:
		r.bgpPeers = append(r.bgpPeers, o)
	case *resource.BGPConfiguration:
		r.bgp = append(r.bgp, o)
	case *resource.IPPool:
		r.pools = append(r.pools, o)
	case *resource.AgentConfiguration:
		r.agents[o.Name] = o.Settings
	}
}

// subject is an endpoint as policies see it.
type subject struct {
	labels   map[string]string
	profiles []string
	isHost   bool
}

func (r *Reference) workload(w *resource.WorkloadEndpoint) subject {
	s := subject{labels: make(map[string]string), profiles: w.Profiles}
	maps.Copy(s.labels, resource.NamespaceLabels(w.Namespace, r.namespaces[w.Namespace]))
	if w.ServiceAccount != "" {
		id := resource.ID{Kind: resource.KindServiceAccount, Namespace: w.Namespace, Name: w.ServiceAccount}
		maps.Copy(s.labels, resource.ServiceAccountLabels(w.ServiceAccount, r.accounts[id]))
	}
	r.inherit(s.labels, w.Profiles)
	maps.Copy(s.labels, resource.EndpointLabels(w))
	if profile := r.agent(w.Node).DefaultProfile; len(s.profiles) == 0 && profile != nil {
		s.profiles = []string{*profile}
	}
	return s
}

func (r *Reference) host(h *resource.HostEndpoint) subject {
	s := subject{labels: make(map[string]string), profiles: h.Profiles, isHost: true}
	r.inherit(s.labels, h.Profiles)
	maps.Copy(s.labels, h.Labels)
	return s
}

// inherit adds the labels of profiles; of several with a label the first wins.
func (r *Reference) inherit(labels map[string]string, profiles []string) {
	for _, name := range slices.Backward(profiles) {
		if p := r.profiles[name]; p != nil {
			maps.Copy(labels, p.LabelsToApply)
		}
	}
}

// point is where a policy is evaluated.
type point uint8

const (
	normal point = iota
	forward
	untracked
	preDNAT
)

// applies tells whether a policy is evaluated at a point.
func applies(p *resource.Policy, at point, isHost bool) bool {
	switch {
	case p.DoNotTrack:
		return at == untracked && isHost
	case p.PreDNAT:
		return at == preDNAT && isHost
	case at == forward:
		return p.ApplyOnForward
	}
	return at == normal
}

// decide returns what the policies of a point do: Allow, Deny, or Pass where the
// packet goes on as if there were none.
func (r *Reference) decide(s subject, at point, d policy.Direction, packet policy.Packet) policy.Action {
	for _, tier := range r.tiersInOrder() {
		enforced := r.enforced(tier, s, at, d)
		if len(enforced) == 0 {
			continue
		}
		switch action := r.first(enforced, d, packet); {
		case action == policy.Allow, action == policy.Deny:
			return action
		case action == policy.Pass, at == untracked, at == preDNAT:
		case tier.DefaultAction == policy.Deny:
			return policy.Deny
		}
	}
	if at != normal {
		return policy.Pass
	}
	var profiles []ruler
	for _, name := range s.profiles {
		if p := r.profiles[name]; p != nil {
			profiles = append(profiles, p)
		}
	}
	if r.first(profiles, d, packet) == policy.Allow {
		return policy.Allow
	}
	return policy.Deny
}

func (r *Reference) tiersInOrder() []*resource.Tier {
	return slices.SortedFunc(maps.Values(r.tiers), func(a, b *resource.Tier) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name))
	})
}

// enforced returns the policies of a tier that select the subject for the
// direction, in order.
func (r *Reference) enforced(tier *resource.Tier, s subject, at point, d policy.Direction) []ruler {
	var list []*resource.Policy
	for _, p := range r.policies {
		if p.Staged == "" && p.Tier == tier.Name && p.Decides(d) && applies(p, at, s.isHost) && p.Selector.Matches(s.labels) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *resource.Policy) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind))
	})
	rulers := make([]ruler, len(list))
	for i, p := range list {
		rulers[i] = p
	}
	return rulers
}

// ruler is a policy or a profile.
type ruler interface {
	Rules(policy.Direction) []resource.Rule
}

// first returns the action of the first rule that decides; zero if none does.
func (r *Reference) first(list []ruler, d policy.Direction, packet policy.Packet) policy.Action {
	for _, p := range list {
		for _, rule := range p.Rules(d) {
			if rule.Action != policy.Log && r.matches(&rule, packet) {
				return rule.Action
			}
		}
	}
	return 0
}
