package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// liveSet is a set that rules use. Its members follow from what a selector
// matches, or are a list that is given.
//
// The members of a selector's set are kept nowhere but in items and classes;
// what is kept is the difference to what was told. A set of addresses that
// comes to have networks, or has none any more, gives way to another one with
// another ID, so that sets of addresses can be rendered as such.
type liveSet struct {
	id     SetID
	kind   SetKind
	origin string
	users  map[*policyEntry]struct{}
	fixed  bool // it is there without users

	isTold bool
	delta  map[Member]bool // since it was told: true is added, false removed

	selection *selection // nil: a list
	protocol  uint8      // of kind Ports
	port      string
	networks  int // members that are no addresses, for each item that has them

	list []Member // sorted
}

// selectionSet makes the set of what a selection matches.
func selectionSet(x *index, s *selection) *liveSet {
	set := &liveSet{selection: s, origin: s.selector.String(), users: make(map[*policyEntry]struct{})}
	for c := range x.matching(s) {
		for _, it := range c.items {
			set.count(it.prefixes, 1)
		}
	}
	set.kind = set.fitting()
	set.id = SetID("a" + s.selector.ID())
	if set.kind == Networks {
		set.id = SetID("n" + s.selector.ID())
	}
	return set
}

// portSet makes the set of the ports of a name of what a selection matches.
func portSet(s *selection, protocol uint8, port string) *liveSet {
	return &liveSet{
		id:   SetID("p" + digest(appendText(append([]byte(s.selector.ID()), protocol), port))),
		kind: Ports, origin: fmt.Sprintf("port %s/%d of %s", port, protocol, s.selector),
		selection: s, protocol: protocol, port: port, users: make(map[*policyEntry]struct{}),
	}
}

// count notes networks that begin (1) or cease (-1) to be of an item that
// matches.
func (s *liveSet) count(prefixes []netip.Prefix, n int) {
	for _, p := range prefixes {
		if !p.IsSingleIP() {
			s.networks += n
		}
	}
}

// fitting returns the kind that the set should be of.
func (s *liveSet) fitting() SetKind {
	switch {
	case s.selection == nil || s.port != "":
		return s.kind
	case s.networks > 0:
		return Networks
	}
	return Addresses
}

// change notes that m is now a member, or is none any more.
func (s *liveSet) change(m Member, added bool) {
	if !s.isTold {
		return // it will be told whole
	}
	if before, ok := s.delta[m]; ok && before != added {
		delete(s.delta, m)
		return
	}
	if s.delta == nil {
		s.delta = make(map[Member]bool)
	}
	s.delta[m] = added
}

// setList says what the members of a list are: sorted, each once.
func (s *liveSet) setList(list []Member) {
	old := s.list
	s.list = list
	for len(old) > 0 || len(list) > 0 {
		switch order := compareHeads(old, list); {
		case order < 0:
			s.change(old[0], false)
			old = old[1:]
		case order > 0:
			s.change(list[0], true)
			list = list[1:]
		default:
			old, list = old[1:], list[1:]
		}
	}
}

func compareHeads(a, b []Member) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compareMembers(a[0], b[0])
}

// tell returns what has become of the set since this was last asked; nil if
// nothing has. With whole it is told from the start.
func (s *liveSet) tell(x *index, whole bool) *SetChange {
	if whole || !s.isTold {
		s.isTold, s.delta = true, nil
		return &SetChange{Kind: s.kind, Origin: s.origin, New: true, Add: s.members(x)}
	}
	if len(s.delta) == 0 {
		return nil
	}
	c := &SetChange{Kind: s.kind, Origin: s.origin}
	for m, added := range s.delta {
		if added {
			c.Add = append(c.Add, m)
		} else {
			c.Remove = append(c.Remove, m)
		}
	}
	s.delta = nil
	slices.SortFunc(c.Add, compareMembers)
	slices.SortFunc(c.Remove, compareMembers)
	return c
}

// members returns all of them in order.
func (s *liveSet) members(x *index) []Member {
	if s.selection == nil {
		return s.list
	}
	var list []Member
	for c := range x.matching(s.selection) {
		for _, it := range c.items {
			s.of(it, it.prefixes, func(m Member) { list = append(list, m) })
		}
	}
	return sorted(list)
}

// of calls f with what an item that matches puts into the set for some of its
// prefixes, each once.
func (s *liveSet) of(it *item, prefixes []netip.Prefix, f func(Member)) {
	for _, p := range prefixes {
		if s.kind != Ports {
			f(Member{Prefix: p})
			continue
		}
		for _, port := range it.ports {
			if port.Name == s.port && port.Protocol == s.protocol {
				f(Member{Prefix: p, Protocol: port.Protocol, Port: port.Port})
			}
		}
	}
}

// has tells whether an item that matches puts m into the set. It has the prefix.
func (s *liveSet) has(it *item, m Member) bool {
	if s.kind != Ports {
		return true
	}
	for _, port := range it.ports {
		if port.Name == s.port && port.Protocol == s.protocol && port.Port == m.Port {
			return true
		}
	}
	return false
}

func compareMembers(a, b Member) int {
	return cmp.Or(
		a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

// digest is 26 characters of 0-9 and a-v made of a text.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	enc := base32.HexEncoding.WithPadding(base32.NoPadding)
	return strings.ToLower(enc.EncodeToString(sum[:16]))
}
