package selector_test

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/selector"
)

func parse(t *testing.T, text string) *selector.Selector {
	t.Helper()
	s, err := selector.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s
}

// TestCompose: what is composed is what its text says, and shares its identity.
func TestCompose(t *testing.T) {
	for _, test := range []struct {
		got  *selector.Selector
		want string
	}{
		{selector.And(), "all()"},
		{selector.And(parse(t, ""), parse(t, "all()")), "all()"},
		{selector.And(parse(t, "has(a)"), parse(t, "all()")), "has(a)"},
		{selector.And(parse(t, "has(a)"), parse(t, " has( a )")), "has(a)"},
		{selector.And(parse(t, "has(a) || has(b)"), parse(t, "has(c) && has(d)")), "(has(a) || has(b)) && has(c) && has(d)"},
		{selector.And(parse(t, "global()"), parse(t, "!has(a)")), "global() && !has(a)"},
		{selector.Not(parse(t, "!has(a)")), "has(a)"},
		{selector.Not(parse(t, "has(a) && has(b)")), "!(has(a) && has(b))"},
		{selector.Equal("a", `say "x"`), `a == 'say "x"'`},
		{selector.In("a", "c", "b", "c"), `a in {"b", "c"}`},
		{selector.In("a"), `a in {}`},
		{parse(t, `a == "b" && !(has(c) || d not in {"e"}) || all()`).WithPrefix("p."),
			`p.a == "b" && !(has(p.c) || p.d not in {"e"}) || all()`},
		{parse(t, "!all() || has(a)").Replace(selector.Has("n"), nil), "!has(n) || has(a)"},
		{parse(t, "!all()").Replace(parse(t, "!has(n)"), nil), "has(n)"},
		{parse(t, "has(x) && all()").Replace(parse(t, "has(a) || has(b)"), nil), "has(x) && (has(a) || has(b))"},
		{parse(t, "global()").Replace(selector.Has("n"), selector.Not(selector.Has("n"))), "!has(n)"},
		{parse(t, "!global()").Replace(nil, nil), "!global()"},
	} {
		want := parse(t, test.want)
		if test.got.String() != test.want || test.got.ID() != want.ID() || test.got.HasGlobal() != want.HasGlobal() {
			t.Errorf("%s (global %t), wanted %s", test.got, test.got.HasGlobal(), want)
		}
		for _, object := range []map[string]string{nil, labels, {"a": "b"}, {"n": "x", "has": "y"}, {"p.c": ""}} {
			if test.got.Matches(object) != want.Matches(object) {
				t.Errorf("%s and its text differ on %v", test.got, object)
			}
		}
	}
}

// TestComposeKeeps: what a selector is made of stays as it was.
func TestComposeKeeps(t *testing.T) {
	s := parse(t, "has(a) && !has(b)")
	selector.And(s, parse(t, "has(c)"), parse(t, "has(d)"))
	selector.And(s, parse(t, "has(e)"))
	s.WithPrefix("x.")
	if s.String() != "has(a) && !has(b)" || !s.Matches(map[string]string{"a": ""}) {
		t.Errorf("it is now %s", s)
	}
}
