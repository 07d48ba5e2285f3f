package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseJSON reads one JSON value after another.
func parseJSON(data []byte) ([]*tree, error) {
	p := jsonParser{data: data, decoder: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.decoder.UseNumber()
	var documents []*tree
	for {
		token, err := p.next()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return documents, err
		}
		t, err := p.value(token, 0)
		if err != nil {
			return documents, err
		}
		documents = append(documents, t)
	}
}

// jsonParser counts lines along the tokens of encoding/json, whose decoder
// would let the last of two equal keys win in silence.
type jsonParser struct {
	data    []byte
	decoder *json.Decoder
	pos     int // up to which lines are counted
	line    int
}

func (p *jsonParser) next() (json.Token, error) {
	token, err := p.decoder.Token()
	if errors.Is(err, io.EOF) {
		return nil, err
	}
	if pos := min(int(p.decoder.InputOffset()), len(p.data)); pos > p.pos {
		p.line += bytes.Count(p.data[p.pos:pos], []byte("\n"))
		p.pos = pos
	}
	if err != nil {
		return nil, &syntaxError{p.line, err.Error()}
	}
	return token, nil
}

// inner is next inside a value, where the end of the input is an error.
func (p *jsonParser) inner() (json.Token, error) {
	token, err := p.next()
	if errors.Is(err, io.EOF) {
		return nil, &syntaxError{p.line, "unexpected end of JSON"}
	}
	return token, err
}

func (p *jsonParser) value(token json.Token, depth int) (*tree, error) {
	t := &tree{line: p.line}
	if depth > maxDepth {
		return nil, &syntaxError{p.line, "the document is nested too deep"}
	}
	switch v := token.(type) {
	case nil:
	case bool:
		t.shape, t.text = shapeBool, fmt.Sprint(v)
	case json.Number:
		t.shape, t.text = shapeNumber, v.String()
	case string:
		t.shape, t.text = shapeText, v
	case json.Delim:
		if v == '[' {
			return t, p.list(t, depth)
		}
		return t, p.object(t, depth)
	}
	return t, nil
}

func (p *jsonParser) list(t *tree, depth int) error {
	t.shape = shapeList
	for {
		token, err := p.inner()
		if err != nil || token == json.Delim(']') {
			return err
		}
		item, err := p.value(token, depth+1)
		if err != nil {
			return err
		}
		t.items = append(t.items, item)
	}
}

func (p *jsonParser) object(t *tree, depth int) error {
	t.shape = shapeObject
	seen := make(map[string]bool)
	for {
		token, err := p.inner()
		if err != nil || token == json.Delim('}') {
			return err
		}
		key, line := token.(string), p.line
		if token, err = p.inner(); err != nil {
			return err
		}
		value, err := p.value(token, depth+1)
		if err != nil {
			return err
		}
		t.fields = append(t.fields, &field{key, line, value, seen[key]})
		seen[key] = true
	}
}
