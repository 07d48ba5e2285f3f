package selector_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/selector"
)

func TestNeeds(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "[]",
		"!all()":                  "[[]]",
		"global()":                "[]",
		"!global()":               "[[{projectcalico.org/namespace []}]]",
		"has(a)":                  "[[{a []}]]",
		"!has(a)":                 "[]",
		`a == "b"`:                "[[{a [b]}]]",
		`a != "b"`:                "[]",
		`!a != "b"`:               "[[{a [b]}]]",
		`a contains "b"`:          "[[{a []}]]",
		`!a starts with "b"`:      "[]",
		`a in {"b", "c"}`:         "[[{a [b c]}]]",
		`a in {}`:                 "[[]]",
		`a not in {"b"}`:          "[]",
		`!a not in {"b"}`:         "[[{a [b]}]]",
		`has(a) && b == "c"`:      "[[{a []}] [{b [c]}]]",
		`has(a) && !has(b)`:       "[[{a []}]]",
		`has(a) || b == "c"`:      "[[{a []} {b [c]}]]",
		`has(a) || !has(b)`:       "[]",
		`!(a != "b" || b != "c")`: "[[{a [b]}] [{b [c]}]]",
		`!(a != "b" && b != "c")`: "[[{a [b]} {b [c]}]]",
		`has(a) && b == "c" || c in {} || d ends with "e"`: "[[{b [c]} {d []}]]",
	} {
		if got := fmt.Sprint(mustParse(t, text).Needs()); got != want {
			t.Errorf("%s needs %s, want %s", text, got, want)
		}
	}
}

// TestNeedsHold asks random selectors of random labels: what is matched has of
// each list one.
func TestNeedsHold(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 20_000 {
		s := mustParse(t, randomSelector(rng, 3))
		labels := make(map[string]string)
		for _, key := range []string{"a", "b", "c"} {
			if rng.IntN(3) > 0 {
				labels[key] = string("xyz"[rng.IntN(3)])
			}
		}
		if !s.Matches(labels) {
			continue
		}
		matched++
		for _, list := range s.Needs() {
			if !slices.ContainsFunc(list, func(n selector.Need) bool {
				value, ok := labels[n.Label]
				return ok && (n.Values == nil || slices.Contains(n.Values, value))
			}) {
				t.Fatalf("%s matches %v, which meets none of %v", s, labels, list)
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matches", matched)
	}
}

func randomSelector(rng *rand.Rand, depth int) string {
	label, value := string("abc"[rng.IntN(3)]), string("xyz"[rng.IntN(3)])
	if depth > 0 && rng.IntN(3) > 0 {
		left, right := randomSelector(rng, depth-1), randomSelector(rng, depth-1)
		return strings.Repeat("!", rng.IntN(2)) + "(" + left + []string{" && ", " || "}[rng.IntN(2)] + right + ")"
	}
	atoms := []string{
		"all()", "has(L)", "L == 'V'", "L != 'V'", "L contains 'V'", "L in {'V','x'}", "L not in {'V'}", "L in {}", "L starts with 'V'",
	}
	atom := strings.NewReplacer("L", label, "V", value).Replace(atoms[rng.IntN(len(atoms))])
	return strings.Repeat("!", rng.IntN(2)) + atom
}
