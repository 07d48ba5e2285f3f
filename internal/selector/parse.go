package selector

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxDepth is how deep parentheses may nest. A text that a resource may hold
// (MaxLength) cannot reach it, and a goroutine's stack holds it easily.
const maxDepth = 1000

// parser reads one text, by recursive descent over the levels of the language,
// loosest first: ||, &&, any number of !, atom. Only parentheses recurse.
type parser struct {
	text   string
	tok    token // the next one
	depth  int   // of parentheses
	global bool  // global() was seen
}

func (p *parser) parse() (node, error) {
	p.next(0)
	if p.tok.kind == end {
		return all{}, nil
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.expected(`"&&", "||" or the end`)
	}
	return n, nil
}

func (p *parser) or() (node, error) {
	terms, err := p.terms("||", p.and)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return or{terms}, nil
}

func (p *parser) and() (node, error) {
	terms, err := p.terms("&&", p.unary)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return and{terms}, nil
}

// terms reads one term or more, joined by the sign between.
func (p *parser) terms(between string, term func() (node, error)) ([]node, error) {
	var terms []node
	for {
		n, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, n)
		if !p.tok.is(between) {
			return terms, nil
		}
		p.skip()
	}
}

// unary reads an atom and the negations before it, of which pairs are
// dropped, also those with parentheses between.
func (p *parser) unary() (node, error) {
	negate := false
	for p.tok.is("!") {
		negate = !negate
		p.skip()
	}
	n, err := p.atom()
	if err != nil || !negate {
		return n, err
	}
	if inner, ok := n.(not); ok {
		return inner.of, nil
	}
	return not{n}, nil
}

func (p *parser) atom() (node, error) {
	switch {
	case p.tok.is("("):
		return p.parenthesis()
	case p.tok.kind != word:
		return nil, p.expected("a label, a function or \"(\"")
	case p.tok.after < len(p.text) && p.text[p.tok.after] == '(':
		return p.function()
	}
	return p.comparison()
}

func (p *parser) parenthesis() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.tok.pos, fmt.Sprintf("parentheses nest deeper than %d", maxDepth))
	}
	p.skip()
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.tok.is(")") {
		return nil, p.expected(`"&&", "||" or ")"`)
	}
	p.depth--
	p.skip()
	return n, nil
}

// function reads all(), global() or has(LABEL). The parenthesis follows the
// name at once; with a blank between, the name is a label.
func (p *parser) function() (node, error) {
	var n node
	name := p.tok
	p.skip()
	p.skip()
	switch name.text {
	case "all":
		n = all{}
	case "global":
		n, p.global = global{}, true
	case "has":
		label, err := p.label()
		if err != nil {
			return nil, err
		}
		n = has{label}
	default:
		return nil, p.fail(name.pos, fmt.Sprintf("%s is no function: there are all(), global() and has(label)", name.found()))
	}
	if !p.tok.is(")") {
		return nil, p.expected(`")"`)
	}
	p.skip()
	return n, nil
}

func (p *parser) label() (string, error) {
	t := p.tok
	if t.kind != word {
		return "", p.expected("a label")
	}
	if len(t.text) > maxLabel {
		return "", p.fail(t.pos, fmt.Sprintf("a label has at most %d characters, this one %d", maxLabel, len(t.text)))
	}
	p.skip()
	return t.text, nil
}

// comparison reads a label, an operator and what the operator takes.
func (p *parser) comparison() (node, error) {
	label, err := p.label()
	if err != nil {
		return nil, err
	}
	switch {
	case p.tok.is("=="):
		return p.compare(label, equals)
	case p.tok.is("!="):
		return p.compare(label, differs)
	case p.tok.kind != word:
		return nil, p.expectedOperator(label)
	}
	switch op := p.tok.text; op {
	case "contains":
		return p.compare(label, contains)
	case "startswith":
		return p.compare(label, startsWith)
	case "endswith":
		return p.compare(label, endsWith)
	case "in":
		return p.member(label, false)
	case "notin":
		return p.member(label, true)
	case "starts", "ends", "not":
		return p.twoWords(label, op)
	}
	return nil, p.expectedOperator(label)
}

// twoWords reads an operator of two words, at its first one.
func (p *parser) twoWords(label, firstWord string) (node, error) {
	second := "with"
	if firstWord == "not" {
		second = "in"
	}
	p.skip()
	if p.tok.kind != word || p.tok.text != second {
		return nil, p.expected(fmt.Sprintf("%q after %q", second, firstWord))
	}
	switch firstWord {
	case "starts":
		return p.compare(label, startsWith)
	case "ends":
		return p.compare(label, endsWith)
	default:
		return p.member(label, true)
	}
}

// compare reads the string behind an operator, at the operator's last token.
func (p *parser) compare(label string, op operator) (node, error) {
	p.skip()
	if p.tok.kind != quoted {
		return nil, p.expected("a quoted string")
	}
	n := compare{label: label, value: p.tok.text, op: op}
	p.skip()
	return n, nil
}

// member reads the set behind an operator, at the operator's last token.
func (p *parser) member(label string, negated bool) (node, error) {
	p.skip()
	if !p.tok.is("{") {
		return nil, p.expected(`"{"`)
	}
	p.skip()
	var values []string
	for p.tok.kind == quoted {
		values = append(values, p.tok.text)
		p.skip()
		if p.tok.is("}") {
			break
		}
		if !p.tok.is(",") {
			return nil, p.expected(`"," or "}"`)
		}
		p.skip()
	}
	if !p.tok.is("}") {
		return nil, p.expected(`a quoted string or "}"`)
	}
	p.skip()
	slices.Sort(values)
	return member{label: label, values: slices.Compact(values), not: negated}, nil
}

// skip moves on to the next token.
func (p *parser) skip() { p.next(p.tok.after) }

func (p *parser) next(pos int) { p.tok = scan(p.text, pos) }

func (p *parser) expected(what string) error {
	return p.fail(p.tok.pos, fmt.Sprintf("expected %s, found %s", what, p.tok.found()))
}

func (p *parser) expectedOperator(label string) error {
	what := "an operator (==, !=, in, not in, contains, starts with, ends with)"
	if p.tok.is("(") && (label == "all" || label == "global" || label == "has") {
		what += fmt.Sprintf(" or %s( without a blank", label)
	}
	return p.expected(what)
}

// fail returns an Error at byte pos. The column is counted only here, so that
// it costs a pass over the text once.
func (p *parser) fail(pos int, msg string) error {
	return &Error{Column: utf8.RuneCountInString(p.text[:pos]) + 1, Msg: msg}
}

func first(terms []node) node {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}
