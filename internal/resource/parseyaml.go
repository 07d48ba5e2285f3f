package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads the documents of a YAML stream; an empty document is nil.
func parseYAML(data []byte) ([]*tree, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var documents []*tree
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return documents, yamlError(err)
		}
		c := yamlConverter{limit: valuesIn(data)}
		t, err := c.convert(&node, 0)
		if err != nil {
			t = bad(err)
		}
		if t.shape == shapeNull {
			t = nil
		}
		documents = append(documents, t)
	}
}

// yamlError takes the line out of the library's message.
func yamlError(err error) error {
	s := &syntaxError{msg: strings.TrimPrefix(err.Error(), "yaml: ")}
	if line, rest, ok := strings.Cut(s.msg, ": "); ok {
		if n, err := fmt.Sscanf(line, "line %d", &s.line); n == 1 && err == nil {
			s.msg = rest
		}
	}
	return s
}

// yamlConverter turns YAML's nodes into a tree, and counts them, because
// aliases can make few bytes into many values.
type yamlConverter struct {
	values, limit int
}

func (c *yamlConverter) convert(n *yaml.Node, depth int) (*tree, error) {
	c.values++
	if depth > maxDepth || c.values > c.limit {
		return nil, &syntaxError{n.Line, "the document is nested too deep or has too many values"}
	}
	t := &tree{line: n.Line}
	switch n.Kind {
	case 0: // an empty document
		return t, nil
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return t, nil
		}
		return c.convert(n.Content[0], depth)
	case yaml.AliasNode:
		return c.convert(n.Alias, depth+1)
	case yaml.SequenceNode:
		return c.list(t, n, depth)
	case yaml.MappingNode:
		return c.object(t, n, depth)
	}
	return scalar(t, n), nil
}

func (c *yamlConverter) list(t *tree, n *yaml.Node, depth int) (*tree, error) {
	t.shape = shapeList
	for _, content := range n.Content {
		item, err := c.convert(content, depth+1)
		if err != nil {
			return nil, err
		}
		t.items = append(t.items, item)
	}
	return t, nil
}

func (c *yamlConverter) object(t *tree, n *yaml.Node, depth int) (*tree, error) {
	t.shape = shapeObject
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, &syntaxError{key.Line, "a key must be a text"}
		}
		if key.ShortTag() == "!!merge" {
			return nil, &syntaxError{key.Line, "merge keys (<<) are not read; write the fields out"}
		}
		value, err := c.convert(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		t.fields = append(t.fields, &field{key.Value, n.Content[i].Line, value, seen[key.Value]})
		seen[key.Value] = true
	}
	return t, nil
}

// scalar reads numbers as JSON does: YAML's octal, hexadecimal and underscored
// ones are traps (010 is 8), and infinities are no numbers of an API.
func scalar(t *tree, n *yaml.Node) *tree {
	t.text = n.Value
	switch tag := n.ShortTag(); tag {
	case "!!null":
		t.shape, t.text = shapeNull, ""
	case "!!bool":
		t.shape, t.text = shapeBool, strings.ToLower(n.Value)
		if t.text != "true" && t.text != "false" {
			t.shape, t.text = shapeBad, fmt.Sprintf("%q is neither true nor false", n.Value)
		}
	case "!!int", "!!float":
		t.shape = shapeNumber
		if !json.Valid([]byte(n.Value)) {
			t.shape = shapeBad
			t.text = n.Value + " is not a plain decimal number; if it is a text, quote it"
		}
	case "!!str", "!!timestamp":
		t.shape = shapeText
	default:
		t.shape, t.text = shapeBad, fmt.Sprintf("values of type %s are not read", tag)
	}
	return t
}
