package policy

import (
	"iter"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
)

// index brings items and selectors together: whatever changes, it asks only
// selectors and items that can have to do with it. What has the same labels
// from the same places is one class, and a selector is asked once per class.
//
// Each selector is registered under conditions that all it matches meet (see
// [selector.Selector.Needs]): labels with a value, or keys of labels.
type index struct {
	keys       map[string]*labelKey
	parents    map[resource.ID]*parent
	classes    map[classID]*class
	selections map[string]*selection // by canonical text
	free       []*selection          // those that may match whatever labels
	serial     uint32                // of the next selection
	round      uint64                // of match: marks selections that were asked

	// Of the class that is being looked for, to be used again for the next one.
	own  []string // keys of its own labels
	text []byte

	// moved is told that an item is now of another class; nil is none.
	moved func(it *item, from, to *class)
}

// labelKey is a label without its value.
type labelKey struct {
	name   string
	values map[string]*label
	count  int          // classes that have it
	needed []*selection // that match only what has it
}

// label is a label with its value.
type label struct {
	roll
	key    *labelKey
	value  string
	needed []*selection // that match only what has it, or one of some others
}

// selection is a selector in use.
type selection struct {
	selector *selector.Selector
	serial   uint32 // classes hold theirs in this order
	asked    uint64 // the round in which it was
	where    []selector.Need
	isFree   bool

	policies  []*policyEntry // that choose their endpoints by it
	addresses *liveSet       // what matches, for rules; nil: none asks
	ports     []*liveSet     // named ports of what matches
}

func newIndex(moved func(it *item, from, to *class)) *index {
	return &index{
		keys: make(map[string]*labelKey), parents: make(map[resource.ID]*parent),
		classes: make(map[classID]*class), selections: make(map[string]*selection), moved: moved,
	}
}

// selection returns that of a selector, made if it is new, and then matched
// with all classes.
func (x *index) selection(sel *selector.Selector) *selection {
	if s, ok := x.selections[sel.String()]; ok {
		return s
	}
	s := &selection{selector: sel, serial: x.serial}
	x.serial++
	x.selections[sel.String()] = s
	x.register(s)
	for c := range x.candidates(s) {
		if sel.MatchesLabels(c) {
			c.matched = append(c.matched, s) // its serial is the highest
		}
	}
	return s
}

// dropIfUnused forgets a selection that nothing uses any more. It may be
// forgotten already.
func (x *index) dropIfUnused(s *selection) {
	isUsed := len(s.policies) > 0 || s.addresses != nil || len(s.ports) > 0
	if isUsed || x.selections[s.selector.String()] != s {
		return
	}
	for c := range x.candidates(s) {
		if i, ok := c.find(s); ok {
			c.matched = slices.Delete(c.matched, i, i+1)
		}
	}
	x.unregister(s)
	delete(x.selections, s.selector.String())
}

// matching returns the classes that a selection matches.
func (x *index) matching(s *selection) iter.Seq[*class] {
	return func(yield func(*class) bool) {
		for c := range x.candidates(s) {
			if c.has(s) && !yield(c) {
				return
			}
		}
	}
}

// candidates returns the classes that a selection can match, each once.
func (x *index) candidates(s *selection) iter.Seq[*class] {
	return func(yield func(*class) bool) {
		if s.isFree {
			for _, c := range x.classes {
				if !yield(c) {
					return
				}
			}
			return
		}
		for i, need := range s.where {
			for _, l := range x.labels(need) {
				for _, c := range l.classes {
					// With several needs a class may meet an earlier one, too.
					if !c.meetsAny(s.where[:i]) && !yield(c) {
						return
					}
				}
			}
		}
	}
}

// labels returns the labels that meet a need, as far as there are any.
func (x *index) labels(need selector.Need) []*label {
	key := x.keys[need.Label]
	if key == nil {
		return nil
	}
	var list []*label
	if need.Values == nil {
		for _, l := range key.values {
			list = append(list, l)
		}
		return list
	}
	for _, value := range need.Values {
		if l := key.values[value]; l != nil {
			list = append(list, l)
		}
	}
	return list
}

// register chooses what a selection is found by: of its needs that which the
// fewest classes meet, or else, the one that the fewest selections have.
func (x *index) register(s *selection) {
	lists := s.selector.Needs()
	if s.isFree = len(lists) == 0; s.isFree {
		x.free = append(x.free, s)
		return
	}
	s.where = slices.MinFunc(lists, func(a, b []selector.Need) int {
		aClasses, aSelections := x.load(a)
		bClasses, bSelections := x.load(b)
		if aClasses != bClasses {
			return aClasses - bClasses
		}
		return aSelections - bSelections
	})
	for _, need := range s.where {
		key := x.key(need.Label)
		if need.Values == nil {
			key.needed = append(key.needed, s)
		}
		for _, value := range need.Values {
			l := key.label(value)
			l.needed = append(l.needed, s)
		}
	}
}

func (x *index) load(needs []selector.Need) (classes, selections int) {
	for _, need := range needs {
		key := x.keys[need.Label]
		switch {
		case key == nil:
			continue
		case need.Values == nil:
			classes += key.count
			selections += len(key.needed)
			continue
		}
		for _, value := range need.Values {
			if l := key.values[value]; l != nil {
				classes += len(l.classes)
				selections += len(l.needed)
			}
		}
	}
	return classes, selections
}

func (x *index) unregister(s *selection) {
	if s.isFree {
		x.free = without(x.free, s)
		return
	}
	for _, need := range s.where {
		key := x.keys[need.Label]
		if need.Values == nil {
			key.needed = without(key.needed, s)
		}
		for _, value := range need.Values {
			l := key.values[value]
			l.needed = without(l.needed, s)
			x.forgetLabel(l)
		}
		x.forgetKey(key)
	}
}

// match asks the selections that can match a class, and sets which do.
func (x *index) match(c *class) {
	x.round++
	ask := func(list []*selection) {
		for _, s := range list {
			if s.asked == x.round {
				continue
			}
			s.asked = x.round
			if s.selector.MatchesLabels(c) {
				c.matched = append(c.matched, s)
			}
		}
	}
	ask(x.free)
	for _, l := range c.labels {
		ask(l.needed)
		ask(l.key.needed)
	}
	slices.SortFunc(c.matched, compareSelections)
	c.matched = slices.Clip(c.matched)
}

func compareSelections(a, b *selection) int { return int(a.serial) - int(b.serial) }

func (x *index) key(name string) *labelKey {
	key := x.keys[name]
	if key == nil {
		key = &labelKey{name: strings.Clone(name), values: make(map[string]*label)}
		x.keys[key.name] = key
	}
	return key
}

func (k *labelKey) label(value string) *label {
	l := k.values[value]
	if l == nil {
		l = &label{key: k, value: strings.Clone(value)}
		k.values[l.value] = l
	}
	return l
}

func (x *index) forgetLabel(l *label) {
	if len(l.classes)+len(l.needed) == 0 {
		delete(l.key.values, l.value)
		x.forgetKey(l.key)
	}
}

func (x *index) forgetKey(key *labelKey) {
	if len(key.values)+len(key.needed) == 0 {
		delete(x.keys, key.name)
	}
}

// without removes s from a list in any order.
func without[T comparable](list []T, s T) []T {
	i := slices.Index(list, s)
	last := len(list) - 1
	list[i] = list[last]
	clear(list[last:])
	return list[:last]
}
