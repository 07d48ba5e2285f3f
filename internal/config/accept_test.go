package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAccept(t *testing.T) {
	cfg, err := Parse("f", []byte("node: {name: n}\nbgp:\n  accept: [10.9.0.0/24, \"2001:db8::/64\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("2001:db8::/64")}
	if diff := cmp.Diff(want, cfg.BGP.Accept, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("accept (-want +got):\n%s", diff)
	}
	_, err = Parse("f", []byte("node: {name: n}\nbgp:\n  accept: [10.9.0.1/24, ten, 10.0.0.0/8, 10.0.0.0/8]\n"))
	for _, part := range []string{
		"bgp.accept[0]: 10.9.0.1/24 has bits beyond its length: is it 10.9.0.0/24?",
		`bgp.accept[1]: "ten" is not a prefix`,
		"bgp.accept[3]: 10.0.0.0/8 stands here twice",
	} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v lacks %q", err, part)
		}
	}
}
