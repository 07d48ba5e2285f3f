package patch

import (
	"fmt"
	"strconv"
	"strings"
)

// pointer is a parsed JSON Pointer (RFC 6901); empty means the whole document.
type pointer []string

// parsePointer reads a pointer. A "~" that is followed by neither 0 nor 1 is
// refused (RFC 6901 §3).
func parsePointer(text string) (pointer, error) {
	if text == "" {
		return pointer{}, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("pointer %q does not begin with /", text)
	}
	tokens := strings.Split(text[1:], "/")
	for i, token := range tokens {
		plain := strings.NewReplacer("~0", "", "~1", "").Replace(token)
		if strings.Contains(plain, "~") {
			return nil, fmt.Errorf("pointer %q has a ~ that is neither ~0 nor ~1", text)
		}
		// In this order, so that ~01 becomes ~1 and not / (RFC 6901 §4).
		token = strings.ReplaceAll(token, "~1", "/")
		tokens[i] = strings.ReplaceAll(token, "~0", "~")
	}
	return tokens, nil
}

// String renders the pointer as it is written.
func (p pointer) String() string {
	var b strings.Builder
	for _, token := range p {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

// within tells whether p is q or lies below it.
func (p pointer) within(q pointer) bool {
	if len(p) < len(q) {
		return false
	}
	for i := range q {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// get returns what p points at.
func (p pointer) get(doc any) (any, error) {
	for i, token := range p {
		switch node := doc.(type) {
		case map[string]any:
			value, ok := node[token]
			if !ok {
				return nil, fmt.Errorf("%s does not exist", p[:i+1])
			}
			doc = value
		case []any:
			at, err := index(token, len(node)-1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p[:i+1], err)
			}
			doc = node[at]
		default:
			return nil, fmt.Errorf("%s is neither an object nor a list", p[:i])
		}
	}
	return doc, nil
}

// index reads a list index from 0 to last, without sign or leading zeros
// (RFC 6901 §4).
func index(token string, last int) (int, error) {
	at, err := strconv.ParseUint(token, 10, 31)
	if err != nil || strconv.FormatUint(at, 10) != token {
		return 0, fmt.Errorf("%q is not the index of a list", token)
	}
	if int(at) > last {
		return 0, fmt.Errorf("index %s is beyond the end of the list", token)
	}
	return int(at), nil
}
