package config_test

import (
	"fmt"
	"testing"

	"github.com/projectvrouter/vrouter/internal/config"
)

// TestDetectionMethods gives what the file says of both addresses, and what
// follows for each family.
func TestDetectionMethods(t *testing.T) {
	for _, test := range []struct{ ipv4, ipv6, want string }{
		{"", "", "first-found first-found"},
		{"192.0.2.1/24", "", "192.0.2.1/24 -"},
		{"", "2001:db8::1/64", "- 2001:db8::1/64"},
		{"192.0.2.1/24", "first-found", "192.0.2.1/24 first-found"},
		{"none", "", "- first-found"},
		{"none", "none", "- -"},
		{"can-reach=192.0.2.9", "", "can-reach 192.0.2.9 first-found"},
		{"can-reach=tor-1.example.net", "can-reach=2001:db8::9", "can-reach tor-1.example.net can-reach 2001:db8::9"},
		{"interface=^eth[0-9]$,ens", "none", "interface [^eth[0-9]$ ens] -"},
		{"interface=eth[0-9]{1,2}, ens ,[],a](x|y,z)", "interface=a\\,b,[^],]", "interface [eth[0-9]{1,2} ens [],a](x|y,z)] interface [a\\,b [^],]]"},
		{"cidr=10.0.0.0/8, 192.0.2.1/32", "none", "cidr [10.0.0.0/8 192.0.2.1/32] -"},
		{"skip-interface=^mgmt=", "none", "skip-interface [^mgmt=] -"},
		{"cidr=10.0.0.0/8,192.0.2.1/32", "cidr=fd00::/8", "cidr [10.0.0.0/8 192.0.2.1/32] cidr [fd00::/8]"},
	} {
		text := "node:\n  name: n\n"
		if test.ipv4 != "" {
			text += fmt.Sprintf("  ipv4Address: %q\n", test.ipv4)
		}
		if test.ipv6 != "" {
			text += fmt.Sprintf("  ipv6Address: %q\n", test.ipv6)
		}
		cfg, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		n := cfg.Node
		if given := test.ipv4 != "" && !n.IPv4.IsValid() && test.ipv4 != "none"; n.IPv4Detection.Given != given {
			t.Errorf("%q: given is %t", test.ipv4, n.IPv4Detection.Given)
		}
		v4, v6 := describeDetection(n.IPv4Detection), describeDetection(n.IPv6Detection)
		if n.IPv4.IsValid() {
			v4 = n.IPv4.String()
		}
		if n.IPv6.IsValid() {
			v6 = n.IPv6.String()
		}
		if got := v4 + " " + v6; got != test.want {
			t.Errorf("%q and %q: got %s, want %s", test.ipv4, test.ipv6, got, test.want)
		}
	}
}

func describeDetection(d config.Detection) string {
	switch {
	case d.Method == config.NoDetection:
		return "-"
	case d.Destination != "":
		return string(d.Method) + " " + d.Destination
	case d.Interfaces != nil:
		return fmt.Sprint(d.Method, " ", d.Interfaces)
	case d.CIDRs != nil:
		return fmt.Sprint(d.Method, " ", d.CIDRs)
	}
	return string(d.Method)
}
