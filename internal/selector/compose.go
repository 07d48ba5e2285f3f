package selector

import "slices"

// Selectors are also made of others, without a way through text: what a policy
// says is composed into the one expression that its engine evaluates. The
// canonical text of what is composed is that of the expression written out.

// And matches what all terms match; without terms, everything. all() adds
// nothing, and a term that stands there twice counts once.
func And(terms ...*Selector) *Selector {
	var nodes []node
	var seen []string
	hasGlobal := false
	for _, s := range terms {
		if _, ok := s.root.(all); ok || slices.Contains(seen, s.text) {
			continue
		}
		seen = append(seen, s.text)
		hasGlobal = hasGlobal || s.global
		if inner, ok := s.root.(and); ok {
			nodes = append(nodes, inner.terms...)
		} else {
			nodes = append(nodes, s.root)
		}
	}
	switch len(nodes) {
	case 0:
		return All()
	case 1:
		return newSelector(nodes[0], hasGlobal)
	}
	return newSelector(and{nodes}, hasGlobal)
}

// Not matches what s does not.
func Not(s *Selector) *Selector {
	if inner, ok := s.root.(not); ok {
		return newSelector(inner.of, s.global)
	}
	return newSelector(not{s.root}, s.global)
}

// Has matches what has the label. A label is as Parse takes it.
func Has(label string) *Selector { return newSelector(has{label}, false) }

// Equal matches what has the label with this value, which must not hold both
// quote signs: the language has no text for it.
func Equal(label, value string) *Selector {
	return newSelector(compare{label: label, value: value, op: equals}, false)
}

// In matches what has the label with one of the values, each as in Equal.
func In(label string, values ...string) *Selector {
	values = slices.Clone(values)
	slices.Sort(values)
	return newSelector(member{label: label, values: slices.Compact(values)}, false)
}

// WithPrefix returns s with the prefix before each of its labels.
func (s *Selector) WithPrefix(prefix string) *Selector {
	return newSelector(rewrite(s.root, func(n node) node {
		switch n := n.(type) {
		case has:
			n.label = prefix + n.label
			return n
		case compare:
			n.label = prefix + n.label
			return n
		case member:
			n.label = prefix + n.label
			return n
		}
		return n
	}), s.global)
}

// Replace returns s with other expressions in the place of its functions all()
// and global(); nil leaves the function.
func (s *Selector) Replace(forAll, forGlobal *Selector) *Selector {
	hasGlobal := s.global && forGlobal == nil
	root := rewrite(s.root, func(n node) node {
		switch n.(type) {
		case all:
			if forAll != nil {
				hasGlobal = hasGlobal || forAll.global
				return forAll.root
			}
		case global:
			if forGlobal != nil {
				hasGlobal = hasGlobal || forGlobal.global
				return forGlobal.root
			}
		}
		return n
	})
	return newSelector(root, hasGlobal)
}

// rewrite returns the tree with leaf applied to every node that has none below
// it. Trees nest at most as deep as a text that can be parsed.
func rewrite(n node, leaf func(node) node) node {
	switch n := n.(type) {
	case not:
		of := rewrite(n.of, leaf)
		if inner, ok := of.(not); ok {
			return inner.of
		}
		return not{of}
	case and:
		return and{rewriteAll(n.terms, leaf)}
	case or:
		return or{rewriteAll(n.terms, leaf)}
	}
	return leaf(n)
}

func rewriteAll(terms []node, leaf func(node) node) []node {
	list := make([]node, 0, len(terms))
	for _, term := range terms {
		list = append(list, rewrite(term, leaf))
	}
	return list
}
