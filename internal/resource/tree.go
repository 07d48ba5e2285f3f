package resource

import (
	"errors"
	"fmt"
	"strings"
)

// shape is what a value of a manifest is.
type shape int

const (
	shapeNull shape = iota
	shapeBool
	shapeNumber
	shapeText
	shapeList
	shapeObject
	shapeBad // what no field can hold; the text says why
)

// String names the shape as a reader of an error knows it.
func (s shape) String() string {
	return [...]string{"null", "true or false", "a number", "a text", "a list", "an object", "nothing readable"}[s]
}

// tree is a value of a manifest, YAML or JSON, with the line that it stands on.
type tree struct {
	shape  shape
	line   int
	text   string   // of a text; the literal of a number; "true" or "false"
	items  []*tree  // of a list
	fields []*field // of an object, in the manifest's order
}

// field is a key of an object, and its value.
type field struct {
	key   string
	line  int
	value *tree
	again bool // the object has the key before
}

// The bounds of a document: what is beyond them is an attack, not a manifest.
const (
	maxDepth  = 100
	maxValues = 1 << 20
)

// valuesIn is how many values a document may have that is part of a text: more
// than a long list has, and not what aliases could make of it.
func valuesIn(data []byte) int { return max(maxValues, len(data)/4) }

// get returns the value of a key, nil if it is absent or null.
func (t *tree) get(key string) *tree {
	if value, ok := t.field(key); ok && value.shape != shapeNull {
		return value
	}
	return nil
}

// field returns the value of a key, which may be null.
func (t *tree) field(key string) (*tree, bool) {
	for _, f := range t.fields {
		if f.key == key {
			return f.value, true
		}
	}
	return nil, false
}

// textAt returns the text at a key; empty if there is none.
func (t *tree) textAt(key string) string {
	if v := t.get(key); v != nil && v.shape == shapeText {
		return v.text
	}
	return ""
}

// textOr returns the text at a key, or what else it is if nothing is there.
func (t *tree) textOr(key, absent string) string {
	if t.get(key) == nil {
		return absent
	}
	return t.textAt(key)
}

// found says what stands there, for an error.
func (t *tree) found() string {
	switch t.shape {
	case shapeText:
		const most = 40
		if len(t.text) > most {
			return fmt.Sprintf("the text %q…", strings.ToValidUTF8(t.text[:most], ""))
		}
		return fmt.Sprintf("the text %q", t.text)
	case shapeNumber:
		return "the number " + t.text
	case shapeBool:
		return t.text
	}
	return t.shape.String()
}

// bad stands for a document that could not be read.
func bad(err error) *tree {
	t := &tree{shape: shapeBad, text: err.Error()}
	var s *syntaxError
	if errors.As(err, &s) {
		t.line, t.text = s.line, s.msg
	}
	return t
}

// syntaxError is why a document could not be read at all.
type syntaxError struct {
	line int // zero: unknown
	msg  string
}

// Error implements error.
func (e *syntaxError) Error() string {
	if e.line == 0 {
		return e.msg
	}
	return fmt.Sprintf("line %d: %s", e.line, e.msg)
}
