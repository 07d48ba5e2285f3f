package iptables

import (
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// dirty is what has to be rendered anew.
type dirty struct {
	all       bool // every rule
	allSets   bool // also those of which nothing was said
	base      bool // baseChains
	trees     bool // which interface leads where
	policies  map[policyKey]struct{}
	pipelines map[string]struct{}
}

// merge takes in what u says and tells which rules depend on it.
func (s *state) merge(u *policy.Update) *dirty {
	d := &dirty{policies: map[policyKey]struct{}{}, pipelines: map[string]struct{}{}}
	if u.Settings != nil {
		s.settings = u.Settings
		d.all = true
	}
	for id, change := range u.Sets {
		s.mergeSet(id, change, d)
	}
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
		s.mergeHost(iface, h, d)
	}
	if u.Settings != nil {
		s.findOdd()
	}
	return d
}

// mergeSet takes note of a set, and finds the rules that ask for it by another
// name or in other families than before.
func (s *state) mergeSet(id policy.SetID, change *policy.SetChange, d *dirty) {
	type facts struct {
		kind   policy.SetKind
		asked  [2]bool
		inUse  [2]bool
		masked [2]bool
	}
	look := func() (now facts) {
		if m := s.sets[id]; m != nil {
			now.kind = m.kind
		}
		for i, f := range families() {
			now.asked[i], now.inUse[i] = s.asks(f, id), s.inUse(f)
			now.masked[i] = id == policy.MasqueradeSet && s.has(f, id)
		}
		return now
	}
	before := look()
	if change.New || change.Gone {
		delete(s.sets, id)
	}
	if !change.Gone {
		m := s.sets[id]
		if m == nil {
			m = &membership{kind: change.Kind}
			s.sets[id] = m
		}
		m.add(change.Add, 1)
		m.add(change.Remove, -1)
	}
	after := look()
	if before == after {
		return
	}
	d.base = d.base || isFixed(id)
	if before.inUse != after.inUse {
		d.all, d.allSets = true, true
	}
	for user := range s.usersOfSet[id] {
		d.policies[policyKey{user, policy.Ingress}] = struct{}{}
		d.policies[policyKey{user, policy.Egress}] = struct{}{}
	}
}

func (s *state) mergePolicy(id resource.ID, p *policy.Policy, d *dirty) {
	type abilities struct{ allow, pass bool }
	of := func(direction policy.Direction) abilities {
		return abilities{s.can(policy.Allow, id, direction), s.can(policy.Pass, id, direction)}
	}
	before := [2]abilities{of(policy.Ingress), of(policy.Egress)}
	if old := s.policies[id]; old != nil {
		setsOf(old, func(set policy.SetID) { remove(s.usersOfSet, set, id) })
	}
	if p == nil {
		delete(s.policies, id)
	} else {
		s.policies[id] = p
		setsOf(p, func(set policy.SetID) { put(s.usersOfSet, set, id) })
	}
	for i, direction := range []policy.Direction{policy.Ingress, policy.Egress} {
		key := policyKey{id, direction}
		d.policies[key] = struct{}{}
		if before[i] == of(direction) {
			continue
		}
		for pipeline := range s.refs[key] {
			d.pipelines[pipeline] = struct{}{}
		}
	}
}

func (s *state) mergePipeline(id string, p *policy.Pipeline, d *dirty) {
	d.pipelines[id] = struct{}{}
	if old := s.pipelines[id]; old != nil {
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
	refsOf(p, func(key policyKey) {
		d.policies[key] = struct{}{}
		put(s.refs, key, id)
	})
}

// uses says that a pipeline is used by more or by fewer: maybe in other tables
// than before.
func (s *state) uses(id string, n int, d *dirty) {
	if id == "" {
		return
	}
	before := s.usersOf[id]
	if s.usersOf[id] += n; s.usersOf[id] == 0 {
		delete(s.usersOf, id)
	}
	if (before > 0) != (s.usersOf[id] > 0) {
		s.moved(id, d)
	}
}

// moved says that the tables of a pipeline may have changed.
func (s *state) moved(id string, d *dirty) {
	d.pipelines[id] = struct{}{}
	if p := s.pipelines[id]; p != nil {
		refsOf(p, func(key policyKey) { d.policies[key] = struct{}{} })
	}
}

func (s *state) mergeEndpoint(id resource.EndpointID, e *policy.Endpoint, d *dirty) {
	old := s.endpoints[id]
	if old != nil && e != nil && old.Interface == e.Interface && old.Ingress == e.Ingress &&
		old.Egress == e.Egress && slices.Equal(old.Spoofs, e.Spoofs) {
		s.endpoints[id] = e
		return
	}
	d.trees = true
	if old != nil {
		remove(s.byInterface, old.Interface, id)
		delete(s.spoofing, id)
		delete(s.endpoints, id)
		d.base = s.noteOdd(old.Interface) || d.base || len(old.Spoofs) > 0
		s.uses(old.Ingress, -1, d)
		s.uses(old.Egress, -1, d)
	}
	if e == nil {
		return
	}
	s.endpoints[id] = e
	put(s.byInterface, e.Interface, id)
	if len(e.Spoofs) > 0 {
		s.spoofing[id] = struct{}{}
		d.base = true
	}
	d.base = s.noteOdd(e.Interface) || d.base
	s.uses(e.Ingress, 1, d)
	s.uses(e.Egress, 1, d)
}

// noteOdd remembers the interface of an endpoint that is not named like one,
// and tells whether that is news.
func (s *state) noteOdd(iface string) bool {
	_, before := s.odd[iface]
	odd := len(s.byInterface[iface]) > 0 && canMatch(iface) &&
		!slices.ContainsFunc(s.settings.WorkloadPrefixes, func(p string) bool { return strings.HasPrefix(iface, p) })
	if odd {
		s.odd[iface] = struct{}{}
	} else {
		delete(s.odd, iface)
	}
	return odd != before
}

// findOdd looks at all interfaces again when the prefixes have changed.
func (s *state) findOdd() {
	clear(s.odd)
	for iface := range s.byInterface {
		s.noteOdd(iface)
	}
}

func (s *state) mergeHost(iface string, h *policy.HostEndpoint, d *dirty) {
	d.base = true
	for _, of := range []*policy.HostEndpoint{s.hosts[iface], h} {
		if of == nil {
			continue
		}
		for _, p := range points() {
			s.moved(p.pipeline(of), d)
		}
	}
	if h == nil {
		delete(s.hosts, iface)
	} else {
		s.hosts[iface] = h
	}
}
