// Package selector is the label-selector language that Calico's resources use:
// expressions such as `role == "web" && !has(quarantine)` over the labels of
// an object. An expression is parsed once into an immutable Selector, which
// any number of goroutines may then ask.
//
// It keeps three things true. A missing label makes ==, in, contains, starts
// with and ends with false, and != and not in true. Two expressions with the
// same canonical text have the same identity, on every host and in every
// version, so that the sets made from them are shared. And no text, however
// hostile, costs more than time and memory linear in its length.
//
// It does not know what an object's labels are (inherited ones, namespace
// prefixes), nor where global() has a meaning, nor how long a text may be:
// these belong to the resources, which ask HasGlobal and use MaxLength.
package selector

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// MaxLength is how many characters an expression may have in a resource, as
// in Calico. Parse itself has no limit.
const MaxLength = 1024

// Labels is what an object shows of its labels.
type Labels interface {
	// Get returns the value of label key, and whether the object has it.
	Get(key string) (value string, ok bool)
}

// Map is a plain map as Labels; nil has no labels.
type Map map[string]string

// Get implements Labels.
func (m Map) Get(key string) (string, bool) {
	value, ok := m[key]
	return value, ok
}

// Selector is a parsed expression. It is immutable; its zero value is not
// valid, All or Parse make one.
type Selector struct {
	root   node
	text   string
	id     string
	global bool
}

// All returns the selector that matches everything: all(), or the empty text.
func All() *Selector {
	return newSelector(all{}, false)
}

// Parse reads an expression. The empty text means all(). The error is an
// *Error that names the column.
func Parse(text string) (*Selector, error) {
	p := parser{text: text}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	return newSelector(root, p.global), nil
}

func newSelector(root node, global bool) *Selector {
	var b strings.Builder
	root.render(&b)
	s := &Selector{root: root, text: b.String(), global: global}
	s.id = identity(s.text)
	return s
}

// Matches tells whether an object with these labels is selected.
func (s *Selector) Matches(labels map[string]string) bool {
	return s.root.matches(Map(labels))
}

// MatchesLabels is Matches for labels that are not a plain map.
func (s *Selector) MatchesLabels(labels Labels) bool {
	return s.root.matches(labels)
}

// String returns the canonical text: operators spaced, set members sorted and
// without duplicates, strings in double quotes (single ones around a string
// that holds a double quote), no redundant parentheses or negations. Parsing
// it gives an equal selector.
func (s *Selector) String() string { return s.text }

// ID returns the identity of the canonical text: 26 characters of 0-9 and a-v,
// which leaves room for a prefix in the 31 characters of an ipset's name. It
// is the first 128 bits of a SHA-256, so that nobody can make two selectors
// that share a set.
func (s *Selector) ID() string { return s.id }

// HasGlobal tells whether the expression uses global(), which has a meaning
// in a rule's namespaceSelector only.
func (s *Selector) HasGlobal() bool { return s.global }

func identity(text string) string {
	sum := sha256.Sum256([]byte(text))
	enc := base32.HexEncoding.WithPadding(base32.NoPadding)
	return strings.ToLower(enc.EncodeToString(sum[:16]))
}
