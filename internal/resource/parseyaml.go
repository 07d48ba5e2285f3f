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
			return documents, &syntaxError{msg: strings.TrimPrefix(err.Error(), "yaml: ")}
		}
		c := yamlConverter{}
		t, err := c.convert(&node, 0)
		if err != nil {
			return documents, err
		}
		if t.shape == shapeNull {
			t = nil
		}
		documents = append(documents, t)
	}
}

// yamlConverter turns YAML's nodes into a tree, and counts them, because
// aliases can make few bytes into many values.
type yamlConverter struct {
	values int
}

func (c *yamlConverter) convert(n *yaml.Node, depth int) (*tree, error) {
	c.values++
	if depth > maxDepth || c.values > maxValues {
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
	return scalar(t, n)
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
		if seen[key.Value] {
			return nil, &syntaxError{key.Line, fmt.Sprintf("key %q is given twice", key.Value)}
		}
		seen[key.Value] = true
		value, err := c.convert(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		t.fields = append(t.fields, &field{key.Value, n.Content[i].Line, value})
	}
	return t, nil
}

// scalar reads numbers as JSON does: YAML's octal, hexadecimal and underscored
// ones are traps (010 is 8), and infinities are no numbers of an API.
func scalar(t *tree, n *yaml.Node) (*tree, error) {
	t.text = n.Value
	switch tag := n.ShortTag(); tag {
	case "!!null":
		t.shape, t.text = shapeNull, ""
	case "!!bool":
		t.shape, t.text = shapeBool, strings.ToLower(n.Value)
		if t.text != "true" && t.text != "false" {
			return nil, &syntaxError{n.Line, fmt.Sprintf("%q is neither true nor false", n.Value)}
		}
	case "!!int", "!!float":
		t.shape = shapeNumber
		if !json.Valid([]byte(n.Value)) {
			return nil, &syntaxError{n.Line, fmt.Sprintf(
				"%s is not a plain decimal number; if it is a text, quote it", n.Value)}
		}
	case "!!str", "!!timestamp":
		t.shape = shapeText
	default:
		return nil, &syntaxError{n.Line, fmt.Sprintf("values of type %s are not read", tag)}
	}
	return t, nil
}
