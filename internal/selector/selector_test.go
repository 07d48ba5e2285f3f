package selector_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// labels of the one object that TestMatches asks about. It lives in a
// namespace and has no label "none".
var labels = map[string]string{
	"a":                           "b",
	"role":                        "web-frontend",
	"empty":                       "",
	"in":                          "x",
	"all":                         "x",
	"example.com/Tier_1.x-y":      "gold",
	"quote":                       `say "hi"`,
	"projectcalico.org/namespace": "default",
}

func TestMatches(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		// Empty text and functions.
		{"", true},
		{" \t", true},
		{"all()", true},
		{"all( \t)", true},
		{"!all()", false},
		{"global()", false},
		{"!global( )", true},
		{"has(a)", true},
		{"has( a\t)", true},
		{"has(none)", false},
		{"has(empty)", true},
		{"has(all)", true},

		// Every operator: label there and fitting, there and not, missing.
		{`a == "b"`, true},
		{`a == 'b'`, true},
		{`a=="b"`, true},
		{`a == "c"`, false},
		{`none == "b"`, false},
		{`none == ""`, false},
		{`empty == ""`, true},
		{`a != "b"`, false},
		{`a != "c"`, true},
		{`none != "b"`, true},
		{`none != ""`, true},
		{`a in {"b"}`, true},
		{`a in {"c", "b"}`, true},
		{`a in {"c", "b",}`, true},
		{`a in{'c','b'}`, true},
		{`a in {"c"}`, false},
		{`a in {}`, false},
		{`none in {"b"}`, false},
		{`none in {}`, false},
		{`a not in {"b"}`, false},
		{`a not  in {"c",}`, true},
		{`a notin {"b"}`, false},
		{`a notin {}`, true},
		{`none not in {"b"}`, true},
		{`none not in {}`, true},
		{`role contains "front"`, true},
		{`role contains ""`, true},
		{`role contains"back"`, false},
		{`none contains ""`, false},
		{`role starts with "web"`, true},
		{"role starts\twith 'end'", false},
		{`role startswith "web"`, true},
		{`none starts with ""`, false},
		{`role ends with "end"`, true},
		{`role endswith 'web'`, false},
		{`none ends with ""`, false},

		// Levels.
		{`!a == "b"`, false},
		{`!!a == "b"`, true},
		{`! ! ! has(a)`, false},
		{`!none == "b"`, true},
		{`has(none) && has(none) || has(a)`, true},
		{`has(a) || has(none) && has(none)`, true},
		{`(has(a) || has(none)) && has(none)`, false},
		{`!(has(a) && has(none))`, true},
		{`!has(a) || has(a)`, true},
		{`((has(a)))`, true},

		// Words are operators only where an operator stands.
		{`in in {"x"}`, true},
		{`all == "x"`, true},
		{`not != "x"`, true},
		{`has != "x"`, true},
		{`contains contains "x"`, false},
		{`example.com/Tier_1.x-y == "gold"`, true},
		{`quote == 'say "hi"'`, true},
		{"a == \"b\nc\"", false},
	}
	for _, tt := range tests {
		s, err := selector.Parse(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got := s.Matches(labels); got != tt.want {
			t.Errorf("%q matches: %v, want %v", tt.text, got, tt.want)
		}
		if got := s.MatchesLabels(selector.Map(labels)); got != tt.want {
			t.Errorf("%q matches as Labels: %v, want %v", tt.text, got, tt.want)
		}
	}
}

func TestNoLabels(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "global()": true, "has(a)": false, `a != "b"`: true, `a not in {"b"}`: true, `a in {"b"}`: false,
	} {
		if got := mustParse(t, text).Matches(nil); got != want {
			t.Errorf("%q of no labels: %v, want %v", text, got, want)
		}
	}
}

func TestString(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "all()"},
		{"  ", "all()"},
		{"all( )", "all()"},
		{"has(  a )", "has(a)"},
		{"a=='b'", `a == "b"`},
		{`a=='"'`, `a == '"'`},
		{`a == "it's"`, `a == "it's"`},
		{"a startswith 'b'", `a starts with "b"`},
		{"a endswith 'b'", `a ends with "b"`},
		{"a contains'b'", `a contains "b"`},
		{"a notin{'c','b','c',}", `a not in {"b", "c"}`},
		{"a in { }", "a in {}"},
		{"!!has(a)", "has(a)"},
		{"!(!(has(a)))", "has(a)"},
		{"! (a == 'b')", `!a == "b"`},
		{"((has(a)&&has(b))&&has(c))", "has(a) && has(b) && has(c)"},
		{"has(a)||(has(b)&&has(c))", "has(a) || has(b) && has(c)"},
		{"(has(a)||has(b))&&global()", "(has(a) || has(b)) && global()"},
		{"!(has(a)||has(b))", "!(has(a) || has(b))"},
	}
	for _, tt := range tests {
		s := mustParse(t, tt.text)
		if s.String() != tt.want {
			t.Errorf("%q is rendered %q, want %q", tt.text, s, tt.want)
		}
		if again := mustParse(t, s.String()); again.String() != s.String() || again.ID() != s.ID() {
			t.Errorf("%q is rendered %q, then %q", tt.text, s, again)
		}
	}
}

func TestID(t *testing.T) {
	a, b := mustParse(t, "x in {'b','a'}"), mustParse(t, ` x  in { "a", "b", "a" }`)
	if a.ID() != b.ID() {
		t.Errorf("%s and %s differ", a.ID(), b.ID())
	}
	if c := mustParse(t, "x not in {'b','a'}"); c.ID() == a.ID() {
		t.Errorf("%s and %s share %s", a, c, c.ID())
	}
	// Names of kernel objects are made of it: it must never change.
	const want = "4mk32j2lvph4b5eag2u1kukdm4"
	if got := selector.All().ID(); got != want {
		t.Errorf("the identity of all() is %s, want %s", got, want)
	}
}

func TestHasGlobal(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "global()": true, "has(a) || !(global() && has(b))": true, `global == "x"`: false,
	} {
		if got := mustParse(t, text).HasGlobal(); got != want {
			t.Errorf("HasGlobal of %q: %v", text, got)
		}
	}
}

func TestErrors(t *testing.T) {
	const operators = "expected an operator (==, !=, in, not in, contains, starts with, ends with)"
	tests := []struct {
		text   string
		column int
		msg    string // a part of it
	}{
		{`role == && has(x)`, 9, `expected a quoted string, found "&&"`},
		{`a = "b"`, 3, operators + `, found a single "="`},
		{`a & b`, 3, `found a single "&"`},
		{`a`, 2, operators + `, found the end`},
		{`a b`, 3, operators + `, found "b"`},
		{`a ==`, 5, "expected a quoted string, found the end"},
		{`a == b`, 6, `expected a quoted string, found "b"`},
		{`a == "b`, 6, "found a string without its closing quote"},
		{`a == 'b"`, 6, "found a string without its closing quote"},
		{`a in "b"`, 6, `expected "{", found the string "b"`},
		{`a in {"b"`, 10, `expected "," or "}", found the end`},
		{`a in {"b" "c"}`, 11, `expected "," or "}", found the string "c"`},
		{`a in {,}`, 7, `expected a quoted string or "}", found ","`},
		{`a in {"b",,}`, 11, `expected a quoted string or "}", found ","`},
		{`a in {b}`, 7, `expected a quoted string or "}", found "b"`},
		{`a not {"b"}`, 7, `expected "in" after "not", found "{"`},
		{`a starts "b"`, 10, `expected "with" after "starts"`},
		{`a ends in "b"`, 8, `expected "with" after "ends", found "in"`},
		{`a starts-with "b"`, 3, operators},
		{`a CONTAINS "b"`, 3, operators},
		{`has (x)`, 5, operators + ` or has( without a blank, found "("`},
		{`all ()`, 5, "or all( without a blank"},
		{`has()`, 5, `expected a label, found ")"`},
		{`has("a")`, 5, `expected a label, found the string "a"`},
		{`has(a b)`, 7, `expected ")", found "b"`},
		{`all(a)`, 5, `expected ")", found "a"`},
		{`any(a)`, 1, `"any" is no function`},
		{"has(a)\n", 7, `expected "&&", "||" or the end, found "\n"`},
		{"has(a) &&\nhas(b)", 10, `found "\n"`},
		{"has(a)\u00a0&& has(b)", 7, "found"},
		{`has(a) has(b)`, 8, `expected "&&", "||" or the end, found "has"`},
		{`has(a))`, 7, `expected "&&", "||" or the end, found ")"`},
		{`(has(a)`, 8, `expected "&&", "||" or ")", found the end`},
		{`()`, 2, `expected a label, a function or "(", found ")"`},
		{`!`, 2, "found the end"},
		{`has(a) &&`, 10, "found the end"},
		{`|| has(a)`, 1, `found "||"`},
		{`has(a) ! has(b)`, 8, `found "!"`},
		{`"a" == "b"`, 1, `found the string "a"`},
		{`a == "ü" && ö`, 13, `found "ö"`}, // characters, not bytes
		{`has(` + strings.Repeat("x", 513) + `)`, 5, "at most 512 characters, this one 513"},
		{strings.Repeat("x", 513) + ` == ""`, 1, "at most 512 characters"},
		{strings.Repeat("(", 5000), 1001, "nest deeper than 1000"},
		{"has(\xff)", 5, "expected a label"},
		{"has(a) && " + strings.Repeat("y", 5000), 11, "at most 512"},
	}
	for _, tt := range tests {
		_, err := selector.Parse(tt.text)
		var e *selector.Error
		if !errors.As(err, &e) {
			t.Errorf("%.60q: error %v", tt.text, err)
			continue
		}
		if e.Column != tt.column || !strings.Contains(e.Msg, tt.msg) {
			t.Errorf("%.60q:\n got %v\nwant column %d: %s", tt.text, e, tt.column, tt.msg)
		}
		if want := fmt.Sprintf("column %d: %s", e.Column, e.Msg); e.Error() != want {
			t.Errorf("Error() is %q, want %q", e.Error(), want)
		}
		if len(e.Msg) > 250 {
			t.Errorf("%.60q: the message is %d bytes long", tt.text, len(e.Msg))
		}
	}
}

// Long and deep texts: a quadratic parser or an unbounded recursion would
// show as a test that does not end or a process that dies.
func TestLarge(t *testing.T) {
	const n = 1 << 20
	for name, text := range map[string]string{
		"negations":   strings.Repeat("!", n) + "has(a)",
		"terms":       strings.Repeat("has(a)&&", n/8) + "has(a)",
		"set":         "a in {" + strings.Repeat("'b',", n/4) + "}",
		"parentheses": strings.Repeat("!(", 1000) + "has(a)" + strings.Repeat(")", 1000),
		"right heavy": strings.Repeat("has(a) && (", 1000) + strings.Repeat("has(a)&&", n/8) + "has(a)" + strings.Repeat(")", 1000),
		"string":      "a != '" + strings.Repeat("x", n) + "'",
		"blanks":      strings.Repeat(" ", n) + "has(a)",
	} {
		s := mustParse(t, text)
		if !s.Matches(labels) {
			t.Errorf("%s: no match", name)
		}
		mustParse(t, s.String())
	}
	for _, text := range []string{
		strings.Repeat("(", n), strings.Repeat("!(", n), strings.Repeat("'", n+1), strings.Repeat("(a", n),
	} {
		if _, err := selector.Parse(text); err == nil {
			t.Errorf("%.10q… is accepted", text)
		}
	}
}

func mustParse(t *testing.T, text string) *selector.Selector {
	t.Helper()
	s, err := selector.Parse(text)
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	return s
}
