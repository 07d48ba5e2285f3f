package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// State is what updates add up to: all that a host enforces. It has no lock,
// and its zero value is the state before the first update.
type State struct {
	Settings      Settings
	Sets          map[SetID]*Set
	Policies      map[resource.ID]*Policy
	Pipelines     map[string]*Pipeline
	Endpoints     map[resource.EndpointID]*Endpoint
	HostEndpoints map[string]*HostEndpoint
}

// Apply adds an update. It refuses one that does not follow from the state:
// such a one is a bug of who made it, and part of it may have been applied.
func (s *State) Apply(u *Update) error {
	if u.Settings != nil {
		s.Settings = *u.Settings
	}
	if s.Sets == nil {
		s.Sets = make(map[SetID]*Set)
	}
	var errs []error
	for id, change := range u.Sets {
		if err := s.applySet(id, change); err != nil {
			errs = append(errs, fmt.Errorf("set %s (%s): %w", id, change.Origin, err))
		}
	}
	errs = append(errs,
		apply("policy", &s.Policies, u.Policies), apply("pipeline", &s.Pipelines, u.Pipelines),
		apply("endpoint", &s.Endpoints, u.Endpoints), apply("host endpoint", &s.HostEndpoints, u.HostEndpoints))
	return errors.Join(errs...)
}

func apply[K comparable, V any](noun string, have *map[K]*V, news map[K]*V) error {
	if *have == nil {
		*have = make(map[K]*V)
	}
	var errs []error
	for key, value := range news {
		if value != nil {
			(*have)[key] = value
			continue
		}
		if _, ok := (*have)[key]; !ok {
			errs = append(errs, fmt.Errorf("%s %v is gone, and was never there", noun, key))
		}
		delete(*have, key)
	}
	return errors.Join(errs...)
}

func (s *State) applySet(id SetID, c *SetChange) error {
	set := s.Sets[id]
	switch {
	case c.Gone && set == nil:
		return errors.New("gone, and was never there")
	case c.Gone:
		delete(s.Sets, id)
		return nil
	case c.New:
		set = newSet(c.Kind, c.Origin)
		s.Sets[id] = set
	case set == nil:
		return errors.New("changed, and was never there")
	case set.Kind != c.Kind:
		return fmt.Errorf("its kind was %s and is now %s", set.Kind, c.Kind)
	}
	for _, m := range c.Remove {
		if !set.remove(m) {
			return fmt.Errorf("%s is removed, and was no member", m)
		}
	}
	for _, m := range c.Add {
		if err := set.add(m); err != nil {
			return err
		}
	}
	return nil
}

// Check tells what in the state refers to what is not there, or is there
// although nothing refers to it.
func (s *State) Check() error {
	c := check{sets: map[SetID]bool{}, policies: map[resource.ID]bool{}, pipelines: map[string]bool{}}
	for _, fixed := range []SetID{PoolSet, MasqueradeSet, NodeSet, PeerSet} {
		c.sets[fixed] = true
	}
	for _, e := range s.Endpoints {
		c.pipeline(s, e.Ingress, Ingress, Deny)
		c.pipeline(s, e.Egress, Egress, Deny)
	}
	for _, h := range s.HostEndpoints {
		c.pair(s, h.Normal, Deny)
		for _, pair := range []Pair{h.Forward, h.Untracked, {Ingress: h.PreDNAT}} {
			c.optional(s, pair)
		}
	}
	for id := range c.policies {
		if p := s.Policies[id]; p != nil {
			c.rules(p)
		} else {
			c.errs = append(c.errs, fmt.Errorf("policy %s is not there", id))
		}
	}
	for id := range c.sets {
		if s.Sets[id] == nil {
			c.errs = append(c.errs, fmt.Errorf("set %s is not there", id))
		}
	}
	c.left("policy", len(s.Policies), len(c.policies))
	c.left("set", len(s.Sets), len(c.sets))
	c.left("pipeline", len(s.Pipelines), len(c.pipelines))
	return errors.Join(c.errs...)
}

// check collects what is referred to.
type check struct {
	sets      map[SetID]bool
	policies  map[resource.ID]bool
	pipelines map[string]bool
	errs      []error
}

func (c *check) left(noun string, have, referred int) {
	if have > referred {
		c.errs = append(c.errs, fmt.Errorf("%d of %d are referred to: %s", referred, have, noun))
	}
}

func (c *check) pair(s *State, p Pair, end Action) {
	c.pipeline(s, p.Ingress, Ingress, end)
	c.pipeline(s, p.Egress, Egress, end)
}

func (c *check) optional(s *State, p Pair) {
	if p.Ingress != "" {
		c.pipeline(s, p.Ingress, Ingress, 0)
	}
	if p.Egress != "" {
		c.pipeline(s, p.Egress, Egress, 0)
	}
}

func (c *check) pipeline(s *State, id string, d Direction, end Action) {
	p := s.Pipelines[id]
	if c.pipelines[id] = true; p == nil {
		c.errs = append(c.errs, fmt.Errorf("pipeline %q is not there", id))
		return
	}
	if p.ID != id || p.Direction != d || end != 0 && p.End != end {
		c.errs = append(c.errs, fmt.Errorf("pipeline %s is %s of %s with end %s, wanted %s with %s", id, p.Direction, p.ID, p.End, d, end))
	}
	for _, t := range p.Tiers {
		for _, ref := range t.Policies {
			c.policies[ref.ID] = true
			if policy := s.Policies[ref.ID]; policy != nil && policy.Staged != ref.Staged {
				c.errs = append(c.errs, fmt.Errorf("policy %s: staged here and not there", ref.ID))
			}
		}
	}
	for _, profile := range p.Profiles {
		c.policies[profile] = true
	}
}

func (c *check) rules(p *Policy) {
	for _, r := range slices.Concat(p.Ingress, p.Egress) {
		for _, side := range []*Side{&r.Source, &r.Destination} {
			for _, id := range slices.Concat(side.Sets, side.NotSets, side.PortSets, side.NotPortSets) {
				c.sets[id] = true
			}
		}
	}
}

// Set is a set with its members.
type Set struct {
	Kind   SetKind
	Origin string

	members map[Member]struct{}
	lengths [2]map[int]int // of IPv4 and IPv6: members by length of their prefix
}

func newSet(kind SetKind, origin string) *Set {
	return &Set{
		Kind: kind, Origin: origin, members: make(map[Member]struct{}),
		lengths: [2]map[int]int{make(map[int]int), make(map[int]int)},
	}
}

// Len is how many members the set has.
func (s *Set) Len() int { return len(s.members) }

// Members returns the members in the order of their text.
func (s *Set) Members() []Member {
	return slices.SortedFunc(maps.Keys(s.members), func(a, b Member) int {
		return strings.Compare(a.String(), b.String())
	})
}

// Contains tells whether an address is a member, or inside one.
func (s *Set) Contains(a netip.Addr) bool {
	for bits := range s.lengths[family(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if _, ok := s.members[Member{Prefix: p}]; ok {
			return true
		}
	}
	return false
}

// ContainsPort tells whether an address with that port is a member.
func (s *Set) ContainsPort(a netip.Addr, protocol uint8, port uint16) bool {
	_, ok := s.members[Member{Prefix: netip.PrefixFrom(a, a.BitLen()), Protocol: protocol, Port: port}]
	return ok
}

func (s *Set) add(m Member) error {
	_, twice := s.members[m]
	switch {
	case m.Prefix != m.Prefix.Masked() || !m.Prefix.IsValid():
		return fmt.Errorf("%s is no network", m)
	case s.Kind != Networks && !m.Prefix.IsSingleIP():
		return fmt.Errorf("%s is in a set of %s", m, s.Kind)
	case (s.Kind == Ports) != (m.Protocol != 0):
		return fmt.Errorf("%s is in a set of %s", m, s.Kind)
	case twice:
		return fmt.Errorf("%s is added, and is a member", m)
	}
	s.members[m] = struct{}{}
	s.lengths[family(m.Prefix.Addr())][m.Prefix.Bits()]++
	return nil
}

func (s *Set) remove(m Member) bool {
	if _, ok := s.members[m]; !ok {
		return false
	}
	delete(s.members, m)
	lengths := s.lengths[family(m.Prefix.Addr())]
	if lengths[m.Prefix.Bits()]--; lengths[m.Prefix.Bits()] == 0 {
		delete(lengths, m.Prefix.Bits())
	}
	return true
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
