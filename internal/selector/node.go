package selector

import (
	"slices"
	"strings"
)

// A node is one expression of the tree. Nodes are immutable.
type node interface {
	matches(Labels) bool
	render(*strings.Builder)
}

type (
	// all matches everything.
	all struct{}

	// global matches objects without a namespace.
	global struct{}

	// has matches objects with the label, whatever its value.
	has struct{ label string }

	// compare is a label, an operator and one string.
	compare struct {
		label, value string
		op           operator
	}

	// member is a label that is in a set, or is not in it.
	member struct {
		label  string
		values []string // sorted, no duplicates
		not    bool
	}

	// not negates a node that is itself no negation.
	not struct{ of node }

	// and holds two terms or more, and so does or.
	and struct{ terms []node }
	or  struct{ terms []node }
)

// An operator takes a label on its left and a string on its right.
type operator int

const (
	equals operator = iota
	differs
	contains
	startsWith
	endsWith
)

// String returns the operator as the canonical text has it.
func (o operator) String() string {
	return [...]string{"==", "!=", "contains", "starts with", "ends with"}[o]
}

// namespaceLabel is on every object that lives in a namespace, and on no other.
const namespaceLabel = "projectcalico.org/namespace"

func (all) matches(Labels) bool { return true }

func (global) matches(l Labels) bool {
	_, ok := l.Get(namespaceLabel)
	return !ok
}

func (n has) matches(l Labels) bool {
	_, ok := l.Get(n.label)
	return ok
}

func (n compare) matches(l Labels) bool {
	value, ok := l.Get(n.label)
	if !ok {
		return n.op == differs
	}
	switch n.op {
	case equals:
		return value == n.value
	case differs:
		return value != n.value
	case contains:
		return strings.Contains(value, n.value)
	case startsWith:
		return strings.HasPrefix(value, n.value)
	default:
		return strings.HasSuffix(value, n.value)
	}
}

func (n member) matches(l Labels) bool {
	value, ok := l.Get(n.label)
	if ok {
		_, ok = slices.BinarySearch(n.values, value)
	}
	return ok != n.not
}

func (n not) matches(l Labels) bool { return !n.of.matches(l) }

func (n and) matches(l Labels) bool {
	for _, term := range n.terms {
		if !term.matches(l) {
			return false
		}
	}
	return true
}

func (n or) matches(l Labels) bool {
	for _, term := range n.terms {
		if term.matches(l) {
			return true
		}
	}
	return false
}

func (all) render(b *strings.Builder)    { b.WriteString("all()") }
func (global) render(b *strings.Builder) { b.WriteString("global()") }

func (n has) render(b *strings.Builder) {
	b.WriteString("has(")
	b.WriteString(n.label)
	b.WriteByte(')')
}

func (n compare) render(b *strings.Builder) {
	b.WriteString(n.label)
	b.WriteByte(' ')
	b.WriteString(n.op.String())
	b.WriteByte(' ')
	quote(b, n.value)
}

func (n member) render(b *strings.Builder) {
	b.WriteString(n.label)
	if n.not {
		b.WriteString(" not")
	}
	b.WriteString(" in {")
	for i, value := range n.values {
		if i > 0 {
			b.WriteString(", ")
		}
		quote(b, value)
	}
	b.WriteByte('}')
}

// Parentheses stand only where the levels need them, so that the canonical
// text never nests deeper than the text it came from and can always be parsed.

func (n not) render(b *strings.Builder) {
	b.WriteByte('!')
	switch n.of.(type) {
	case and, or:
		group(b, n.of)
	default:
		n.of.render(b)
	}
}

func (n and) render(b *strings.Builder) {
	for i, term := range n.terms {
		if i > 0 {
			b.WriteString(" && ")
		}
		if _, ok := term.(or); ok {
			group(b, term)
		} else {
			term.render(b)
		}
	}
}

func (n or) render(b *strings.Builder) {
	for i, term := range n.terms {
		if i > 0 {
			b.WriteString(" || ")
		}
		term.render(b)
	}
}

func group(b *strings.Builder, n node) {
	b.WriteByte('(')
	n.render(b)
	b.WriteByte(')')
}

// quote writes a string with the quote sign that it does not hold. The
// language has no escapes, so no parsed string holds both.
func quote(b *strings.Builder, s string) {
	sign := byte('"')
	if strings.Contains(s, `"`) {
		sign = '\''
	}
	b.WriteByte(sign)
	b.WriteString(s)
	b.WriteByte(sign)
}
