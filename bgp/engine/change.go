package engine

import (
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// change is an operation on a set of attributes.
type change struct {
	from setID
	by   *bgp.Operations
}

// maxChanges is how many changes a set remembers before it looks which of them
// are forgotten.
const maxChanges = 16

// change is the set that o makes of the set from; nil leaves it. The reference
// to from is given for one to the result. Zero: what o makes of it is nothing
// that can be told, which would be a fault of ours, and concerns these paths
// alone.
func (s *attributeStore) change(from setID, o *bgp.Operations) setID {
	if o == nil || from == 0 {
		return from
	}
	c := change{from, o}
	to, known := s.changed[c]
	if known {
		s.retain(to)
	} else {
		attrs, err := wire.ParseAttributes(s.sets[from].raw)
		if err == nil {
			apply(&attrs, o)
			to, err = s.intern(attrs.Append(nil))
		}
		if err != nil {
			s.release(from)
			return 0
		}
		s.changed[c] = to
		s.remember(from, c)
		s.remember(to, c)
	}
	s.release(from)
	return to
}

func (s *attributeStore) remember(id setID, c change) {
	set := &s.sets[id]
	if len(set.changes) >= maxChanges {
		set.changes = slices.DeleteFunc(set.changes, func(c change) bool { _, ok := s.changed[c]; return !ok })
	}
	set.changes = append(set.changes, c)
}

// forgetChanges forgets what operations made, some of which are in no use any
// longer.
func (s *attributeStore) forgetChanges() {
	clear(s.changed)
	for n := range s.sets {
		s.sets[n].changes = nil
	}
}

// apply is bgp.Operations.Apply on attributes as they are sent.
func apply(a *wire.Attributes, o *bgp.Operations) {
	a.Communities = bgp.Union(a.Communities, o.AddCommunities)
	a.Large = bgp.Union(a.Large, o.AddLarge)
	if len(o.Prepend) > 0 {
		first := wire.Segment{Type: wire.ASSequence, AS: slices.Clone(o.Prepend)}
		if len(a.ASPath) > 0 && a.ASPath[0].Type == wire.ASSequence {
			first.AS = append(first.AS, a.ASPath[0].AS...)
			a.ASPath = a.ASPath[1:]
		}
		a.ASPath = append(wire.ASPath{first}, a.ASPath...)
	}
	if o.HasPriority {
		a.LocalPref, a.HasLocalPref = bgp.PriorityOf(o.Priority), true
	}
}
