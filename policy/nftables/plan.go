package nftables

import (
	"github.com/projectvrouter/vrouter/policy"
)

// plan is what the kernel should hold, of all or of a part. What is not
// mentioned stays.
type plan struct {
	chains   map[string]*chain              // nil: is to go
	sets     map[string]*setType            // nil: is to go
	elements map[string]map[string]*verdict // of sets about interfaces; nil: is to go
	members  map[string]*memberChange
}

// memberChange is what becomes of a kernel's set of members. Of the sets to
// reset, or of all, it shall hold exactly what is in add.
type memberChange struct {
	all         bool
	left        bool // by sets that are gone, of which nobody says what they had
	reset       map[setNumber]struct{}
	add, remove []element
}

func newPlan() *plan {
	return &plan{
		chains: map[string]*chain{}, sets: map[string]*setType{},
		elements: map[string]map[string]*verdict{}, members: map[string]*memberChange{},
	}
}

// fits tells whether what the kernel holds can become p: no set and no base
// chain has to change its kind.
func (p *plan) fits(h *held) bool {
	for name, c := range p.chains {
		if held := h.chains[name]; held != nil && !sameHook(c.base, held.base) {
			return false
		}
	}
	for name, t := range p.sets {
		if held := h.sets[name]; held != nil && !t.sameKind(held.typ) {
			return false
		}
	}
	return true
}

func sameHook(a, b *hook) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.typ == b.typ && a.number == b.number && a.priority == b.priority
}

// render makes the plan for what is dirty. The units remember which chains and
// sets each thing had, so that those it has no more can go.
func (s *state) render(d *dirty, units units) *plan {
	p := newPlan()
	if d.all {
		d.base = true
		for key := range s.refs {
			d.policies[key] = struct{}{}
		}
		for id := range s.pipelines {
			d.pipelines[id] = struct{}{}
		}
		for name := range s.tiers {
			d.tiers[name] = struct{}{}
		}
		for iface := range s.byInterface {
			d.interfaces[iface] = struct{}{}
		}
	}
	for key := range d.policies {
		var chains []*chain
		if len(s.refs[key]) > 0 {
			chains = s.policyChains(key)
		}
		units.chains(p, policyChain(key.id, key.direction), chains)
	}
	for id := range d.pipelines {
		var chains []*chain
		if pipeline := s.pipelines[id]; pipeline != nil {
			chains = s.pipelineChains(pipeline)
		}
		units.chains(p, pipelineChain(id), chains)
	}
	for name := range d.tiers {
		s.renderSharedTier(p, units, name)
	}
	if d.base {
		units.chains(p, "base", s.baseChains())
		s.renderHostSets(p, units)
	}
	for iface := range d.interfaces {
		s.renderInterface(p, units, iface)
	}
	s.renderMembers(p, d, units)
	return p
}

// renderInterface renders what the sets about workloads say of an interface.
func (s *state) renderInterface(p *plan, units units, iface string) {
	var chains []*chain
	said := s.interfaceElements(iface)
	if _, ok := said[spoofMap]; ok {
		e, _ := s.owner(iface)
		chains = append(chains, spoofs(e))
	}
	units.chains(p, spoofChain(iface), chains)
	for _, set := range []string{workloadSet, fromWorkloadMap, toWorkloadMap, spoofMap} {
		if v, ok := said[set]; ok {
			p.element(set, iface, &v)
		} else {
			p.element(set, iface, nil)
		}
	}
}

func (p *plan) element(set, iface string, v *verdict) {
	if p.elements[set] == nil {
		p.elements[set] = map[string]*verdict{}
	}
	p.elements[set][ifaceKey(iface)] = v
}

// renderHostSets renders the sets about interfaces, and what those of host
// endpoints hold.
func (s *state) renderHostSets(p *plan, units units) {
	sets := map[string]*setType{
		workloadSet: &ifaceType, fromWorkloadMap: &vmapType, toWorkloadMap: &vmapType,
	}
	if s.spoofing > 0 {
		sets[spoofMap] = &vmapType
	}
	for _, point := range points() {
		if !s.isUsed(point.vmap) {
			continue
		}
		sets[point.vmap] = &vmapType
		for iface := range units[hostUnit] {
			p.element(point.vmap, iface, nil)
		}
		for iface, v := range s.hostElements(point) {
			p.element(point.vmap, iface, &v)
		}
	}
	units[hostUnit] = map[string]struct{}{}
	for _, iface := range s.hostNames() {
		units[hostUnit][iface] = struct{}{}
	}
	units.sets(p, "base", sets)
}

// renderMembers renders the kernel's sets of members, and what becomes of what
// they hold.
func (s *state) renderMembers(p *plan, d *dirty, units units) {
	if d.all || d.shape {
		sets := map[string]*setType{}
		for k := range s.kernel {
			if k.f == ipv4 || s.v6 > 0 {
				sets[k.name()] = k.typ()
			}
		}
		units.sets(p, "members", sets)
		for name := range sets {
			p.change(name) // so that a read-back sees to all
		}
	}
	for id, change := range d.sets {
		m, left := s.sets[id], s.gone[id]
		if m != nil && change.New {
			delete(s.gone, id)
			if len(left) > 0 {
				left = append(left, m.setsFor(id)...)
			}
		}
		for _, k := range left {
			if s.kernel[k] == 0 {
				continue // it goes, with what was left
			}
			if c := p.change(k.name()); m == nil {
				c.left = true
			} else {
				c.reset[numberOf(id)] = struct{}{}
			}
		}
		if m == nil {
			continue
		}
		s.file(p, id, change.Add, func(c *memberChange, e element) { c.add = append(c.add, e) })
		s.file(p, id, change.Remove, func(c *memberChange, e element) { c.remove = append(c.remove, e) })
	}
}

func (p *plan) change(set string) *memberChange {
	c := p.members[set]
	if c == nil {
		c = &memberChange{reset: map[setNumber]struct{}{}}
		p.members[set] = c
	}
	return c
}

// file hands over members as elements, each with the change of the kernel's set
// it belongs in. Those whose set is to go need no care.
func (s *state) file(p *plan, id policy.SetID, list []policy.Member, to func(*memberChange, element)) {
	number, kind := numberOf(id), s.sets[id].kind
	var last kernelSet
	var change *memberChange
	for _, m := range list {
		k := setOf(number, kind, familyOf(m.Prefix.Addr()), m.Prefix.Bits())
		if k != last {
			last, change = k, nil
			if s.kernel[k] > 0 {
				change = p.change(k.name())
			}
		}
		if change != nil {
			to(change, element{key: memberKey(number, m, kind)})
		}
	}
}

// units remembers by the name of a thing the names of its chains or sets.
type units map[string]map[string]struct{}

// hostUnit is the interfaces with a host endpoint.
const hostUnit = "hosts"

func (u units) chains(p *plan, unit string, chains []*chain) {
	for name := range u[unit] {
		if _, said := p.chains[name]; !said {
			p.chains[name] = nil
		}
	}
	names := map[string]struct{}{}
	for _, c := range chains {
		p.chains[c.name] = c
		names[c.name] = struct{}{}
	}
	u.keep(unit, names)
}

func (u units) sets(p *plan, unit string, sets map[string]*setType) {
	unit = "sets of " + unit
	for name := range u[unit] {
		p.sets[name] = nil
	}
	names := map[string]struct{}{}
	for name, t := range sets {
		p.sets[name] = t
		names[name] = struct{}{}
	}
	u.keep(unit, names)
}

func (u units) keep(unit string, names map[string]struct{}) {
	if len(names) == 0 {
		delete(u, unit)
		return
	}
	u[unit] = names
}
