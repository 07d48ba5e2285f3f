package testenv

import "testing"

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"6.8.0", "6.9", true}, {"6.9.1-rc1", "6.9", false}, {"6.18.44-fc", "6.9", false}, {"5.15", "6.9", true}, {"7.0", "6.9", false}, {"", "6.9", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%q is older than %s: %t", c.a, c.b, got)
		}
	}
}
