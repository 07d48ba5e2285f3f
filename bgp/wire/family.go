package wire

import (
	"fmt"
	"strings"

	"github.com/projectvrouter/vrouter/bgp"
)

// FamilyCode is an address family as IANA numbers it (RFC 4760 §3).
type FamilyCode struct {
	AFI  uint16
	SAFI uint8
}

const (
	afiIPv4     = 1
	afiIPv6     = 2
	safiUnicast = 1
)

// CodeOf is the code of f.
func CodeOf(f bgp.Family) FamilyCode {
	switch f {
	case bgp.IPv4Unicast:
		return FamilyCode{AFI: afiIPv4, SAFI: safiUnicast}
	case bgp.IPv6Unicast:
		return FamilyCode{AFI: afiIPv6, SAFI: safiUnicast}
	}
	return FamilyCode{}
}

// Family is the family that c names; zero: none that is spoken here.
func (c FamilyCode) Family() bgp.Family {
	switch c {
	case FamilyCode{AFI: afiIPv4, SAFI: safiUnicast}:
		return bgp.IPv4Unicast
	case FamilyCode{AFI: afiIPv6, SAFI: safiUnicast}:
		return bgp.IPv6Unicast
	}
	return 0
}

// String is the numbers, as "afi 25 safi 70".
func (c FamilyCode) String() string { return fmt.Sprintf("afi %d safi %d", c.AFI, c.SAFI) }

// Families is a set of families.
type Families uint8

// FamiliesOf is the set of f.
func FamiliesOf(f ...bgp.Family) Families {
	var s Families
	for _, one := range f {
		s = s.With(one)
	}
	return s
}

// Has reports whether f is in s; the zero Family never is.
func (s Families) Has(f bgp.Family) bool { return f != 0 && s&(1<<f) != 0 }

// With is s and f.
func (s Families) With(f bgp.Family) Families {
	if f == 0 {
		return s
	}
	return s | 1<<f
}

// All is the families of s, IPv4 first.
func (s Families) All() []bgp.Family {
	var all []bgp.Family
	for _, f := range [...]bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		if s.Has(f) {
			all = append(all, f)
		}
	}
	return all
}

// String is the names, as "ipv4,ipv6".
func (s Families) String() string {
	var names []string
	for _, f := range s.All() {
		names = append(names, f.String())
	}
	return strings.Join(names, ",")
}
