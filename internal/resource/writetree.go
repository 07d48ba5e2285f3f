package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

func renderJSON(t *tree) ([]byte, error) {
	var compact, out bytes.Buffer
	if err := t.writeJSON(&compact); err != nil {
		return nil, fmt.Errorf("render as JSON: %w", err)
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("render as JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func (t *tree) writeJSON(b *bytes.Buffer) error {
	switch t.shape {
	case shapeNull:
		b.WriteString("null")
	case shapeBool, shapeNumber:
		b.WriteString(t.text)
	case shapeText:
		return writeText(b, t.text)
	case shapeList:
		b.WriteByte('[')
		for i, item := range t.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case shapeObject:
		b.WriteByte('{')
		for i, f := range t.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeText(b, f.key); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := f.value.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	}
	return nil
}

// writeText keeps '&', '<' and '>' as they are: selectors are full of them.
func writeText(b *bytes.Buffer, text string) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the newline of Encode
	return nil
}

func renderYAML(t *tree) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(t.yaml()); err != nil {
		return nil, fmt.Errorf("render as YAML: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("render as YAML: %w", err)
	}
	return b.Bytes(), nil
}

func (t *tree) yaml() *yaml.Node {
	switch t.shape {
	case shapeNull:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case shapeBool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: t.text}
	case shapeNumber:
		tag := "!!int"
		if _, err := strconv.ParseInt(t.text, 10, 64); err != nil {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.text}
	case shapeText:
		return yamlText(t.text)
	case shapeList:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range t.items {
			n.Content = append(n.Content, item.yaml())
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range t.fields {
		n.Content = append(n.Content, yamlText(f.key), f.value.yaml())
	}
	return n
}

// yamlText quotes what another reader of YAML, one of version 1.1 among them,
// could take for something else than this text.
func yamlText(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case plainYAML(s): // the library quotes what it would itself misread
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }),
		strings.Contains(s, "'") && !strings.ContainsAny(s, `"\`):
		n.Style = yaml.DoubleQuotedStyle
	default:
		n.Style = yaml.SingleQuotedStyle
	}
	return n
}

// plainYAML tells whether a text can do without quotes: words, addresses,
// prefixes, all(). 1:20 cannot, a number of base 60; nor can yes, a boolean.
func plainYAML(s string) bool {
	if s == "" || s[0] == '-' || slices.Contains(yaml11Booleans(), strings.ToLower(s)) {
		return false
	}
	letter := false
	for i := range len(s) {
		c := s[i]
		switch {
		case lower(c) || upper(c):
			letter = true
		case digit(c), c == '.', c == '-', c == '/', c == '_', c == '(', c == ')':
		case c == ':' && i > 0 && i < len(s)-1: // in MAC and IPv6 addresses
		default:
			return false
		}
	}
	return letter || strings.Count(s, ".") > 1
}

func yaml11Booleans() []string {
	return []string{"y", "yes", "n", "no", "on", "off", "true", "false"}
}
