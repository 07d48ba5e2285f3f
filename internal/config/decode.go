package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The library's own strict decoder knows lines but no paths and stops
// understanding a struct at its first surprise, hence this walk of the node
// tree along the raw structs.

// scalar is a value of the file with its YAML type, read in the second step.
type scalar struct {
	text string
	tag  string // such as !!int
}

var scalarType = reflect.TypeFor[scalar]()

// decode reads data into raw, and notes each problem and each path's line.
func (c *checker) decode(data []byte, raw *file) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		c.syntax(err)
		return
	}
	if len(doc.Content) > 0 {
		c.value("", doc.Content[0], reflect.ValueOf(raw).Elem())
	}
	if err := dec.Decode(&more); err == nil {
		c.note("", more.Line, "a second document begins: the file is one")
	} else if !errors.Is(err, io.EOF) {
		c.syntax(err)
	}
}

// syntax notes an error of the library, whose line stands in its text.
func (c *checker) syntax(err error) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if at, rest, ok := strings.Cut(msg, ": "); ok {
		if n, err := strconv.Atoi(strings.TrimPrefix(at, "line ")); err == nil {
			line, msg = n, rest
		}
	}
	c.note("", line, "%s", msg)
}

// value reads n, which stands at path, into v.
func (c *checker) value(path string, n *yaml.Node, v reflect.Value) {
	if path != "" {
		c.lines[path] = n.Line
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		c.problem(path, "anchors and aliases are not supported")
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == scalarType:
		if c.want(path, n, yaml.ScalarNode, "a single value") {
			v.Set(reflect.ValueOf(scalar{text: n.Value, tag: n.ShortTag()}))
		}
	case v.Kind() == reflect.Struct:
		c.structure(path, n, v)
	case v.Kind() == reflect.Map:
		c.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		c.list(path, n, v)
	case v.Kind() == reflect.String:
		c.text(path, n, v)
	case v.Kind() == reflect.Bool:
		c.boolean(path, n, v)
	default:
		panic("config: a raw field of type " + v.Type().String())
	}
}

func (c *checker) structure(path string, n *yaml.Node, v reflect.Value) {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	c.pairs(path, n, func(key string, at string, value *yaml.Node) {
		if field, ok := fields[key]; ok {
			c.value(at, value, field)
			return
		}
		for name := range fields {
			if strings.EqualFold(name, key) {
				c.note(at, value.Line, "unknown field; it is spelled %s", name)
				return
			}
		}
		c.note(at, value.Line, "unknown field")
	})
}

func (c *checker) mapping(path string, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	c.pairs(path, n, func(key string, at string, value *yaml.Node) {
		elem := reflect.New(v.Type().Elem()).Elem()
		c.value(at, value, elem)
		v.SetMapIndex(reflect.ValueOf(key), elem)
	})
}

// pairs calls each for every key of the mapping n and its path; the first of
// equal keys holds, the others are problems.
func (c *checker) pairs(path string, n *yaml.Node, each func(key, at string, value *yaml.Node)) {
	if !c.want(path, n, yaml.MappingNode, "fields") {
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			c.note(path, key.Line, "expected the name of a field, found %s", describe(key))
			continue
		}
		at := join(path, key.Value)
		if line, ok := seen[key.Value]; ok {
			c.note(at, key.Line, "given twice, first in line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		each(key.Value, at, value)
	}
}

func (c *checker) list(path string, n *yaml.Node, v reflect.Value) {
	if !c.want(path, n, yaml.SequenceNode, "a list") {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, elem := range n.Content {
		c.value(index(path, i), elem, v.Index(i))
	}
}

func (c *checker) text(path string, n *yaml.Node, v reflect.Value) {
	if !c.want(path, n, yaml.ScalarNode, "text") {
		return
	}
	if n.ShortTag() != "!!str" {
		c.problem(path, "expected text, found %s: put it in quotes", describe(n))
		return
	}
	v.SetString(n.Value)
}

func (c *checker) boolean(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		c.problem(path, "expected true or false, found %s", describe(n))
		return
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
}

// want tells whether n is of kind, and notes a problem when it is not.
func (c *checker) want(path string, n *yaml.Node, kind yaml.Kind, what string) bool {
	if n.Kind == kind {
		return true
	}
	hint := ""
	if kind == yaml.ScalarNode && n.Style&yaml.FlowStyle != 0 {
		hint = ": put it in quotes" // [2001:db8::1]:179 looks like a list
	}
	c.problem(path, "expected %s, found %s%s", what, describe(n), hint)
	return false
}

// describe says what a node is, for errors.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	value := n.Value
	if len(value) > 40 {
		value = strings.ToValidUTF8(value[:40], "") + "…"
	}
	switch n.ShortTag() {
	case "!!str":
		return fmt.Sprintf("%q", value)
	case "!!int", "!!float":
		return "the number " + value
	case "!!timestamp":
		return "the date " + value
	case "!!bool", "!!null", "!!merge":
		return value
	default:
		return fmt.Sprintf("%s %q", n.ShortTag(), value)
	}
}

// join returns the path of a field; a key that is no plain word is quoted.
func join(path, key string) string {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	}) < 0
	switch {
	case !plain:
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
