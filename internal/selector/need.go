package selector

import "slices"

// Need is a condition on one label: that an object has it, with one of some
// values.
type Need struct {
	Label  string
	Values []string // nil: whatever the value
}

// Needs returns what is true of every object that s matches, for an index by
// label: of each list at least one need is met. Without a list, s may match an
// object whatever its labels; with an empty one, it matches none. It is not
// all that could be said.
func (s *Selector) Needs() [][]Need { return needs(s.root, false) }

// needs returns those of n, or of its negation. A negated label matches what
// lacks it, so that little is left to need.
func needs(n node, negated bool) [][]Need {
	switch n := n.(type) {
	case all:
		if negated {
			return nothing()
		}
	case global:
		if negated {
			return one(Need{Label: namespaceLabel})
		}
	case has:
		if !negated {
			return one(Need{Label: n.label})
		}
	case compare:
		return n.needs(negated)
	case member:
		if n.not == negated {
			if len(n.values) == 0 {
				return nothing()
			}
			return one(Need{Label: n.label, Values: n.values})
		}
	case not:
		return needs(n.of, !negated)
	case and:
		return every(n.terms, negated, !negated)
	case or:
		return every(n.terms, negated, negated)
	}
	return nil
}

func (n compare) needs(negated bool) [][]Need {
	switch {
	case n.op == differs && negated, n.op == equals && !negated:
		return one(Need{Label: n.label, Values: []string{n.value}})
	case n.op != equals && n.op != differs && !negated:
		return one(Need{Label: n.label})
	}
	return nil
}

// every returns the needs of terms that all hold together, or of which one
// does.
func every(terms []node, negated, together bool) [][]Need {
	var lists [][]Need
	if together {
		for _, term := range terms {
			lists = append(lists, needs(term, negated)...)
		}
		return lists
	}
	var either []Need
	for _, term := range terms {
		lists = needs(term, negated)
		if len(lists) == 0 {
			return nil
		}
		either = append(either, slices.MinFunc(lists, compareNeeds)...)
	}
	return [][]Need{either}
}

// compareNeeds orders lists by how little they let through, as far as that can
// be said without knowing the objects: nothing, then values before labels.
func compareNeeds(a, b []Need) int { return weight(a) - weight(b) }

func weight(list []Need) int {
	const anyValue = 1000 // a label usually has fewer values than this in one list
	w := 0
	for _, need := range list {
		if need.Values == nil {
			w += anyValue
		} else {
			w += len(need.Values)
		}
	}
	return w
}

func one(need Need) [][]Need { return [][]Need{{need}} }

func nothing() [][]Need { return [][]Need{{}} }
