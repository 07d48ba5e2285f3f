package controller

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Each interface has a name of its own, that says which it is, and depends on
// nothing but the interface.
func TestNamesOfInterfaces(t *testing.T) {
	of := make(map[string]string)
	for _, c := range []struct{ link, want string }{
		{"eth0", "eth0"},
		{"eth0-7", "eth0-7"},
		{"eth0.7", "eth0.7"},
		{"eth0_7", "eth0-7-fccfe6ca8332dabc"},
		{"eth0:7", ""},
		{"ETH0.7", ""},
		{"ETH0", ""},
		{"eth0-", "eth0-"},
		{"eth0.", ""},
		{".eth0", ""},
		{"eth0..7", ""},
		{"eth0.-7", ""},
		{"\u00e9th0", ""},
		{"_", ""},
		{"__", ""},
	} {
		got := partOfName(c.link)
		if c.want != "" && got != c.want {
			t.Errorf("%q: %q, wanted %q", c.link, got, c.want)
		}
		if other, twice := of[got]; twice {
			t.Errorf("%q and %q: both %q", other, c.link, got)
		}
		of[got] = c.link
		if name := "node-template-" + got + resource.AutoHostEndpointSuffix; !resource.ValidHostEndpointName(name) {
			t.Errorf("%q: no object may be named %q", c.link, name)
		}
		if got != c.link && len(got) <= 15 {
			t.Errorf("%q: %q may be another interface", c.link, got)
		}
	}
}
