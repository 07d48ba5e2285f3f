package nftables

import (
	"maps"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// state is what should be, as far as rules depend on it: of sets only which
// lengths of prefixes they hold, not their members.
type state struct {
	settings  *policy.Settings
	sets      map[policy.SetID]*members
	policies  map[resource.ID]*policy.Policy
	pipelines map[string]*policy.Pipeline
	endpoints map[resource.EndpointID]*policy.Endpoint
	hosts     map[string]*policy.HostEndpoint

	// What follows from it.
	byInterface map[string]map[resource.EndpointID]*policy.Endpoint
	usersOfSet  map[policy.SetID]map[resource.ID]struct{} // policies
	refs        map[policyKey]map[string]struct{}         // pipelines
	tiers       map[string]*sharedTier                    // by name of their chain
	gone        map[policy.SetID][]kernelSet              // whose members may still be in these
	kernel      map[kernelSet]int                         // how many sets have members there, or may have
	spoofing    int                                       // endpoints that may send from more than their own
	v6          int                                       // members of IPv6, over all sets
}

// policyKey is a policy in one direction: a chain.
type policyKey struct {
	id        resource.ID
	direction policy.Direction
}

// members counts those of a set by family and length of prefix. Sets of kind
// Addresses and Networks always have whole addresses, of IPv6 as soon as any
// set has: so that rules need not change when the first member comes.
type members struct {
	kind   policy.SetKind
	count4 [33]int32
	count6 map[int]int32
}

func newState() *state {
	return &state{
		settings:    &policy.Settings{},
		sets:        map[policy.SetID]*members{},
		policies:    map[resource.ID]*policy.Policy{},
		pipelines:   map[string]*policy.Pipeline{},
		endpoints:   map[resource.EndpointID]*policy.Endpoint{},
		hosts:       map[string]*policy.HostEndpoint{},
		byInterface: map[string]map[resource.EndpointID]*policy.Endpoint{},
		gone:        map[policy.SetID][]kernelSet{},
		kernel:      map[kernelSet]int{},
		usersOfSet:  map[policy.SetID]map[resource.ID]struct{}{},
		refs:        map[policyKey]map[string]struct{}{},
		tiers:       map[string]*sharedTier{},
	}
}

// lengths are those of the prefixes that a set is asked for, longest first.
func (s *state) lengths(id policy.SetID, f *family) []int {
	m := s.sets[id]
	if m == nil || f == ipv6 && s.v6 == 0 {
		return nil
	}
	return m.lengths(f)
}

// lengths are those of which there are members, and that of an address.
func (m *members) lengths(f *family) []int {
	out := []int{f.bits}
	if m.kind != policy.Networks {
		return out
	}
	if f == ipv4 {
		for bits := 31; bits >= 0; bits-- {
			if m.count4[bits] > 0 {
				out = append(out, bits)
			}
		}
		return out
	}
	shorter := slices.Sorted(maps.Keys(m.count6))
	for _, bits := range slices.Backward(shorter) {
		if bits < f.bits && m.count6[bits] > 0 {
			out = append(out, bits)
		}
	}
	return out
}

// add counts a member, or one less.
func (m *members) add(member policy.Member, n int32) {
	bits := member.Prefix.Bits()
	if member.Prefix.Addr().Is4() {
		m.count4[bits] += n
		return
	}
	if m.count6 == nil {
		m.count6 = map[int]int32{}
	}
	m.count6[bits] += n
}

// isEmpty tells that there are no members; a set that is not there has none.
func (m *members) isEmpty() bool {
	if m == nil {
		return true
	}
	for _, n := range m.count4 {
		if n > 0 {
			return false
		}
	}
	return m.v6() == 0
}

func (m *members) v6() int {
	n := 0
	for _, count := range m.count6 {
		n += int(count)
	}
	return n
}

// setsOf calls f for every set that a policy asks.
func setsOf(p *policy.Policy, f func(policy.SetID)) {
	for _, rules := range [][]policy.Rule{p.Ingress, p.Egress} {
		for i := range rules {
			for _, side := range []*policy.Side{&rules[i].Source, &rules[i].Destination} {
				for _, ids := range [][]policy.SetID{side.Sets, side.NotSets, side.PortSets, side.NotPortSets} {
					for _, id := range ids {
						f(id)
					}
				}
			}
		}
	}
}

// refsOf calls f for every policy and profile that a pipeline goes through.
func refsOf(p *policy.Pipeline, f func(policyKey)) {
	for _, tier := range p.Tiers {
		for _, ref := range tier.Policies {
			f(policyKey{ref.ID, p.Direction})
		}
	}
	for _, id := range p.Profiles {
		f(policyKey{id, p.Direction})
	}
}

// put files value under two keys, and remove takes it away.
func put[K, L comparable](index map[K]map[L]struct{}, k K, l L) {
	if index[k] == nil {
		index[k] = map[L]struct{}{}
	}
	index[k][l] = struct{}{}
}

func remove[K, L comparable](index map[K]map[L]struct{}, k K, l L) {
	delete(index[k], l)
	if len(index[k]) == 0 {
		delete(index, k)
	}
}
