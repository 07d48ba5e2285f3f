package patch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// Operation is one step of a JSON Patch (RFC 6902 §4).
type Operation struct {
	op    string
	path  pointer
	from  pointer // of move and copy
	value any     // of add, replace and test
}

// Parse reads a JSON Patch from its tree, a list of operations. Members that
// an operation does not define are ignored (RFC 6902 §4).
func Parse(tree any) ([]Operation, error) {
	list, ok := tree.([]any)
	if !ok {
		return nil, errors.New("a JSON patch is a list of operations")
	}
	operations := make([]Operation, 0, len(list))
	for i, item := range list {
		operation, err := parseOperation(item)
		if err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		operations = append(operations, operation)
	}
	return operations, nil
}

func parseOperation(item any) (Operation, error) {
	members, ok := item.(map[string]any)
	if !ok {
		return Operation{}, errors.New("not an object")
	}
	var o Operation
	var err error
	if o.op, err = text(members, "op"); err != nil {
		return o, err
	}
	if o.path, err = pointerOf(members, "path"); err != nil {
		return o, err
	}
	switch o.op {
	case "remove":
	case "move", "copy":
		o.from, err = pointerOf(members, "from")
	case "add", "replace", "test":
		if o.value, ok = members["value"]; !ok {
			err = fmt.Errorf("%s needs a value", o.op)
		}
	default:
		err = fmt.Errorf("unknown op %q (add, remove, replace, move, copy, test)", o.op)
	}
	return o, err
}

func text(members map[string]any, name string) (string, error) {
	value, ok := members[name].(string)
	if !ok {
		return "", fmt.Errorf("needs %q as a string", name)
	}
	return value, nil
}

func pointerOf(members map[string]any, name string) (pointer, error) {
	value, err := text(members, name)
	if err != nil {
		return nil, err
	}
	return parsePointer(value)
}

// Apply returns doc after all operations, or the error of the first that
// cannot be done; doc itself is never changed.
func Apply(doc any, operations []Operation) (any, error) {
	for i, o := range operations {
		var err error
		if doc, err = o.apply(doc); err != nil {
			return nil, fmt.Errorf("operation %d (%s %s): %w", i, o.op, o.path, err)
		}
	}
	return doc, nil
}

func (o Operation) apply(doc any) (any, error) {
	switch o.op {
	case "add":
		return put(doc, o.path, 0, o.value, insert)
	case "remove":
		return put(doc, o.path, 0, nil, remove)
	case "replace":
		return put(doc, o.path, 0, o.value, replace)
	case "move":
		return o.move(doc)
	case "copy":
		value, err := o.from.get(doc)
		if err != nil {
			return nil, err
		}
		return put(doc, o.path, 0, value, insert)
	default: // test
		value, err := o.path.get(doc)
		if err != nil {
			return nil, err
		}
		if !equal(value, o.value) {
			return nil, fmt.Errorf("the value is %s, not %s", short(value), short(o.value))
		}
		return doc, nil
	}
}

// move is a remove and an add (RFC 6902 §4.4).
func (o Operation) move(doc any) (any, error) {
	value, err := o.from.get(doc)
	if err != nil {
		return nil, err
	}
	if o.path.within(o.from) {
		if len(o.path) == len(o.from) {
			return doc, nil
		}
		return nil, fmt.Errorf("%s cannot be moved into itself", o.from)
	}
	if doc, err = put(doc, o.from, 0, nil, remove); err != nil {
		return nil, err
	}
	return put(doc, o.path, 0, value, insert)
}

// edit is what is done at the end of a pointer.
type edit int

const (
	insert edit = iota
	remove
	replace
)

// put returns node with the edit made at path[depth:], copying what lies on
// the way.
func put(node any, path pointer, depth int, value any, e edit) (any, error) {
	if depth == len(path) { // the whole document
		if e == remove {
			return nil, errors.New("the whole document cannot be removed")
		}
		return value, nil
	}
	switch node := node.(type) {
	case map[string]any:
		return putMember(node, path, depth, value, e)
	case []any:
		return putItem(node, path, depth, value, e)
	}
	return nil, fmt.Errorf("%q is neither an object nor a list", path[:depth])
}

func putMember(node map[string]any, path pointer, depth int, value any, e edit) (any, error) {
	name, last := path[depth], depth == len(path)-1
	child, ok := node[name]
	if !ok && (!last || e != insert) {
		return nil, fmt.Errorf("%s does not exist", path[:depth+1])
	}
	node = maps.Clone(node)
	if last && e == remove {
		delete(node, name)
		return node, nil
	}
	if !last {
		var err error
		if value, err = put(child, path, depth+1, value, e); err != nil {
			return nil, err
		}
	}
	node[name] = value
	return node, nil
}

func putItem(node []any, path pointer, depth int, value any, e edit) (any, error) {
	token, last := path[depth], depth == len(path)-1
	end := len(node) - 1
	if last && e == insert {
		end = len(node)
		if token == "-" { // past the last item (RFC 6902 §4.1)
			return append(slices.Clone(node), value), nil
		}
	}
	at, err := index(token, end)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path[:depth+1], err)
	}
	node = slices.Clone(node)
	switch {
	case !last:
		if value, err = put(node[at], path, depth+1, value, e); err != nil {
			return nil, err
		}
		node[at] = value
	case e == insert:
		node = slices.Insert(node, at, value)
	case e == remove:
		node = slices.Delete(node, at, at+1)
	default:
		node[at] = value
	}
	return node, nil
}

// equal compares as RFC 6902 §4.6 says: numbers by value, objects without
// regard to order.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(string(a), string(b))
	}
	return a == b
}

// sameNumber compares decimal texts by value. A huge exponent is compared as
// text, because its value would fill the memory.
func sameNumber(a, b string) bool {
	const longest = 64
	if a == b || len(a) > longest || len(b) > longest {
		return a == b
	}
	x, _, errX := big.ParseFloat(a, 10, 256, big.ToNearestEven)
	y, _, errY := big.ParseFloat(b, 10, 256, big.ToNearestEven)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// short renders a value for a message.
func short(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "?"
	}
	const longest = 80
	line := []rune(string(bytes.TrimSpace(b.Bytes())))
	if len(line) > longest {
		line = append(line[:longest], '…')
	}
	return string(line)
}
