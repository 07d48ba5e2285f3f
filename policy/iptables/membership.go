package iptables

import "github.com/projectvrouter/vrouter/policy"

// membership counts the members of a set by family.
type membership struct {
	kind  policy.SetKind
	count [2]int
}

func (m *membership) add(list []policy.Member, n int) {
	for _, member := range list {
		m.count[familyOf(member.Prefix.Addr()).index] += n
	}
}

// has tells whether a set has members of a family.
func (s *state) has(f *family, id policy.SetID) bool {
	m := s.sets[id]
	return m != nil && m.count[f.index] > 0
}

// inUse tells whether rules are written for a family whatever their sets hold.
// It is one of which there are pools; without any, IPv4.
func (s *state) inUse(f *family) bool {
	return s.has(f, policy.PoolSet) || f == ipv4 && !s.has(ipv6, policy.PoolSet)
}

// asks tells whether rules ask for a set in a family. What is empty in a family
// that is not in use has neither rules nor a set there, so that a change of a
// rule is one program where a host has one family; and in one that is in use a
// first member writes no rule.
func (s *state) asks(f *family, id policy.SetID) bool {
	return s.sets[id] != nil && (isFixed(id) || s.inUse(f) || s.has(f, id))
}

// isFixed tells whether it is one of the sets that no policy names: they are
// always there.
func isFixed(id policy.SetID) bool {
	switch id {
	case policy.PoolSet, policy.MasqueradeSet, policy.NodeSet, policy.PeerSet:
		return true
	}
	return false
}

// setsOf calls f for every set that a policy asks.
func setsOf(p *policy.Policy, f func(policy.SetID)) {
	for _, rules := range [][]policy.Rule{p.Ingress, p.Egress} {
		for i := range rules {
			for _, e := range ends() {
				side := e.side(&rules[i])
				for _, ids := range [][]policy.SetID{side.Sets, side.NotSets, side.PortSets, side.NotPortSets} {
					for _, id := range ids {
						f(id)
					}
				}
			}
		}
	}
}
