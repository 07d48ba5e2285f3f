package nftables

import (
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// dirty is what has to be rendered anew.
type dirty struct {
	all        bool // every rule
	shape      bool // which of the kernel's sets there are
	base       bool // baseChains and what host endpoints need
	policies   map[policyKey]struct{}
	pipelines  map[string]struct{}
	tiers      map[string]struct{} // by name of their chain
	interfaces map[string]struct{} // with an endpoint before or after
	sets       map[policy.SetID]*policy.SetChange
}

// merge takes in what u says and tells what depends on it.
func (s *state) merge(u *policy.Update) *dirty {
	d := &dirty{
		policies: map[policyKey]struct{}{}, pipelines: map[string]struct{}{}, tiers: map[string]struct{}{},
		interfaces: map[string]struct{}{}, sets: u.Sets,
	}
	if u.Settings != nil {
		s.settings = u.Settings
		d.all = true
	}
	s.mergeSets(u, d)
	for id, p := range u.Policies {
		s.mergePolicy(id, p, d)
	}
	for id, p := range u.Pipelines {
		s.mergePipeline(id, p, d)
	}
	for id, e := range u.Endpoints {
		s.mergeEndpoint(id, e, d)
	}
	for iface, h := range u.HostEndpoints {
		d.base = true
		if h == nil {
			delete(s.hosts, iface)
		} else {
			s.hosts[iface] = h
		}
	}
	return d
}

// mergeSets counts members, and finds the rules that ask for lengths of
// prefixes that have come or gone.
func (s *state) mergeSets(u *policy.Update, d *dirty) {
	hadIPv6 := s.v6 > 0
	for id, change := range u.Sets {
		before4, before6, hadNone := s.lengths(id, ipv4), s.lengths(id, ipv6), s.sets[id].isEmpty()
		d.shape = s.count(id, change) || d.shape
		if hadNone != s.sets[id].isEmpty() && id == policy.MasqueradeSet {
			d.base = true
		}
		if same(before4, s.lengths(id, ipv4)) && same(before6, s.lengths(id, ipv6)) {
			continue
		}
		for user := range s.usersOfSet[id] {
			d.policies[policyKey{user, policy.Ingress}] = struct{}{}
			d.policies[policyKey{user, policy.Egress}] = struct{}{}
		}
		switch id {
		case policy.PoolSet, policy.MasqueradeSet, policy.NodeSet, policy.PeerSet:
			d.base = true
		}
	}
	d.all = d.all || hadIPv6 != (s.v6 > 0)
}

// count takes over how many members a set has, and tells whether other sets of
// the kernel are needed than before.
func (s *state) count(id policy.SetID, change *policy.SetChange) (shape bool) {
	m := s.sets[id]
	var before []kernelSet
	if m != nil {
		before = m.setsFor(id)
		s.v6 -= m.v6()
	}
	if m != nil && (change.New || change.Gone) {
		s.gone[id] = append(s.gone[id], before...)
		delete(s.sets, id)
		m = nil
	}
	if m == nil && !change.Gone {
		m = &members{kind: change.Kind}
		s.sets[id] = m
	}
	if m != nil {
		for _, member := range change.Add {
			m.add(member, 1)
		}
		for _, member := range change.Remove {
			m.add(member, -1)
		}
		s.v6 += m.v6()
		for _, k := range m.setsFor(id) {
			s.kernel[k]++
			shape = shape || s.kernel[k] == 1
		}
	}
	for _, k := range before {
		if s.kernel[k]--; s.kernel[k] == 0 {
			delete(s.kernel, k)
			shape = true
		}
	}
	return shape
}

func same(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (s *state) mergePolicy(id resource.ID, p *policy.Policy, d *dirty) {
	before := [2]bool{s.passes(id, policy.Ingress), s.passes(id, policy.Egress)}
	if old := s.policies[id]; old != nil {
		setsOf(old, func(set policy.SetID) { remove(s.usersOfSet, set, id) })
	}
	if p == nil {
		delete(s.policies, id)
	} else {
		s.policies[id] = p
		setsOf(p, func(set policy.SetID) { put(s.usersOfSet, set, id) })
	}
	for _, direction := range []policy.Direction{policy.Ingress, policy.Egress} {
		key := policyKey{id, direction}
		d.policies[key] = struct{}{}
		if before[direction] == s.passes(id, direction) {
			continue
		}
		for pipeline := range s.refs[key] {
			d.pipelines[pipeline] = struct{}{}
			sharedTiers(s.pipelines[pipeline], func(name string, _ *policy.Tier) { d.tiers[name] = struct{}{} })
		}
	}
}

func (s *state) mergePipeline(id string, p *policy.Pipeline, d *dirty) {
	d.pipelines[id] = struct{}{}
	if old := s.pipelines[id]; old != nil {
		s.leaveTiers(old, d)
		refsOf(old, func(key policyKey) {
			remove(s.refs, key, id)
			d.policies[key] = struct{}{}
		})
	}
	if p == nil {
		delete(s.pipelines, id)
		return
	}
	s.pipelines[id] = p
	s.useTiers(p, d)
	refsOf(p, func(key policyKey) {
		if len(s.refs[key]) == 0 {
			d.policies[key] = struct{}{}
		}
		put(s.refs, key, id)
	})
}

func (s *state) mergeEndpoint(id resource.EndpointID, e *policy.Endpoint, d *dirty) {
	spoofed := s.spoofing > 0
	if old := s.endpoints[id]; old != nil {
		d.interfaces[old.Interface] = struct{}{}
		delete(s.byInterface[old.Interface], id)
		if len(s.byInterface[old.Interface]) == 0 {
			delete(s.byInterface, old.Interface)
		}
		if len(old.Spoofs) > 0 {
			s.spoofing--
		}
	}
	delete(s.endpoints, id)
	if e != nil {
		s.endpoints[id] = e
		d.interfaces[e.Interface] = struct{}{}
		if s.byInterface[e.Interface] == nil {
			s.byInterface[e.Interface] = map[resource.EndpointID]*policy.Endpoint{}
		}
		s.byInterface[e.Interface][id] = e
		if len(e.Spoofs) > 0 {
			s.spoofing++
		}
	}
	d.base = d.base || spoofed != (s.spoofing > 0)
}
