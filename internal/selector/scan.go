package selector

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxLabel is how many characters a label name may have.
const maxLabel = 512

// Error is why a text is no expression.
type Error struct {
	Column int    // where, in characters from 1
	Msg    string // what was expected, and what was found
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("column %d: %s", e.Column, e.Msg)
}

// kind is what a token is. Words are not told apart here: whether `in` is an
// operator or a label depends on where it stands, which the parser knows.
type kind int

const (
	end    kind = iota // of the text
	word               // a label, an operator's word or a function's name
	quoted             // a string; text is without its quotes
	sign               // ( ) { } , ! == != && ||
	bad                // what can begin no token; text says what is wrong
)

// token is one token of the text, which begins at byte pos and ends before
// byte after.
type token struct {
	kind       kind
	text       string
	pos, after int
}

// is tells whether the token is the sign s.
func (t token) is(s string) bool { return t.kind == sign && t.text == s }

// scan returns the token that begins at or behind byte pos, over blanks:
// space and tab, nothing else.
func scan(text string, pos int) token {
	for pos < len(text) && (text[pos] == ' ' || text[pos] == '\t') {
		pos++
	}
	rest := text[pos:]
	found := func(k kind, s string, size int) token {
		return token{kind: k, text: s, pos: pos, after: pos + size}
	}
	if rest == "" {
		return found(end, "", 0)
	}
	if n := wordLen(rest); n > 0 {
		return found(word, rest[:n], n)
	}
	switch c := rest[0]; c {
	case '(', ')', '{', '}', ',':
		return found(sign, rest[:1], 1)
	case '"', '\'':
		n := strings.IndexByte(rest[1:], c)
		if n < 0 {
			return found(bad, "a string without its closing quote", len(rest))
		}
		return found(quoted, rest[1:1+n], n+2)
	case '!', '=', '&', '|':
		for _, s := range [...]string{"!=", "==", "&&", "||", "!"} {
			if strings.HasPrefix(rest, s) {
				return found(sign, s, len(s))
			}
		}
		return found(bad, fmt.Sprintf("a single %q", rest[:1]), 1)
	}
	r, size := utf8.DecodeRuneInString(rest)
	return found(bad, fmt.Sprintf("%q", string(r)), size)
}

// wordLen returns how many characters of a label s begins with.
func wordLen(s string) int {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '/', c == '-':
		default:
			return i
		}
	}
	return len(s)
}

// found describes a token for an error. A long word or string is cut.
func (t token) found() string {
	const most = 40
	s := t.text
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	switch t.kind {
	case end:
		return "the end"
	case bad:
		return t.text
	case quoted:
		return fmt.Sprintf("the string %q", s)
	default:
		return fmt.Sprintf("%q", s)
	}
}
