package nftables

import (
	"maps"
	"net/netip"
	"slices"

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

// memberChange is what becomes of the members of a set: with reset they are
// exactly add, in no order.
type memberChange struct {
	reset       bool
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

// renderMembers renders sets of members, one per family and length.
func (s *state) renderMembers(p *plan, d *dirty, units units) {
	ids := slices.Collect(maps.Keys(d.sets))
	if d.all {
		ids = slices.Collect(maps.Keys(s.sets))
		for id, change := range d.sets {
			if change.Gone {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		sets := map[string]*setType{}
		for _, f := range []*family{ipv4, ipv6} {
			for _, bits := range s.lengths(id, f) {
				name, t := s.setFor(id, f, bits)
				sets[name] = t
			}
		}
		units.sets(p, "members "+string(id), sets)
		change := d.sets[id]
		if change == nil || change.Gone {
			continue
		}
		for name := range sets {
			p.members[name] = &memberChange{reset: change.New}
		}
		s.members(p, id, change.Add, func(c *memberChange, e element) { c.add = append(c.add, e) })
		s.members(p, id, change.Remove, func(c *memberChange, e element) { c.remove = append(c.remove, e) })
	}
}

// setFor is the kernel's set for members of a family and length.
func (s *state) setFor(id policy.SetID, f *family, bits int) (string, *setType) {
	if s.sets[id].kind == policy.Ports {
		return memberPortSet(id, f), &f.ports
	}
	return memberSet(id, f, bits), &f.typ
}

// members files elements under the names of their sets. Those whose set is
// going go with it.
func (s *state) members(p *plan, id policy.SetID, list []policy.Member, file func(*memberChange, element)) {
	ports := s.sets[id].kind == policy.Ports
	var last *memberChange
	var lastBits int
	var last4 bool
	for _, m := range list {
		bits, is4 := m.Prefix.Bits(), m.Prefix.Addr().Is4()
		if last == nil || bits != lastBits || is4 != last4 {
			name, _ := s.setFor(id, familyOf(m.Prefix.Addr()), bits)
			last, lastBits, last4 = p.members[name], bits, is4
		}
		if last != nil {
			file(last, element{key: memberKey(m, ports)})
		}
	}
}

func memberKey(m policy.Member, ports bool) string {
	if ports {
		return portKey(m.Prefix.Addr(), m.Protocol, m.Port)
	}
	return addrKey(netip.Prefix.Masked(m.Prefix).Addr())
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
