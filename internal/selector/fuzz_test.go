package selector_test

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// FuzzParse asks that the canonical text is a fixed point with the verdicts of
// the text that it came from, and that errors point into the text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "all()", "!global()", "has(a)", `a == "b" && (c != 'd' || !has(e))`,
		`a in {"x", 'y',}`, "a not in {}", "a notin {'\"'}", "a contains 'b' || a startswith 'c' && a ends with ''",
		"has (x)", "a ==", "((((", "!!!!", "a == 'b' || (a == 'c' && (b == 'd' || c == 'e'))", "in in {'in'}",
	} {
		f.Add(seed)
	}
	objects := []map[string]string{
		nil,
		labels,
		{"a": "b", "b": "d", "c": "", "e": "x", "in": "in"},
		{"a": "cab", "c": "d"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := selector.Parse(text)
		if err != nil {
			var e *selector.Error
			if !errors.As(err, &e) || e.Column < 1 || e.Column > utf8.RuneCountInString(text)+1 || e.Msg == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		again, err := selector.Parse(s.String())
		if err != nil {
			t.Fatalf("%q is rendered %q: %v", text, s, err)
		}
		if again.String() != s.String() || again.ID() != s.ID() || again.HasGlobal() != s.HasGlobal() {
			t.Fatalf("%q is rendered %q, then %q", text, s, again)
		}
		for _, object := range objects {
			if s.Matches(object) != again.Matches(object) {
				t.Fatalf("%q and %q differ on %v", text, again, object)
			}
		}
	})
}
