package bgp

import (
	"net/netip"
	"strings"
)

// Family is an address family that a session can carry (RFC 4760).
type Family uint8

// The families spoken. The zero Family is none.
const (
	IPv4Unicast Family = iota + 1
	IPv6Unicast
)

// FamilyOf is the family of an address; none for the zero address. An IPv4
// address mapped into IPv6 counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4(), a.Is4In6():
		return IPv4Unicast
	case a.Is6():
		return IPv6Unicast
	}
	return 0
}

// String is "ipv4" or "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4Unicast:
		return "ipv4"
	case IPv6Unicast:
		return "ipv6"
	}
	return "none"
}

// Families is a set of families.
type Families uint8

// FamiliesOf is the set of f.
func FamiliesOf(f ...Family) Families {
	var s Families
	for _, one := range f {
		s = s.With(one)
	}
	return s
}

// Has reports whether f is in s; the zero Family never is.
func (s Families) Has(f Family) bool { return f != 0 && s&(1<<f) != 0 }

// With is s and f.
func (s Families) With(f Family) Families {
	if f == 0 {
		return s
	}
	return s | 1<<f
}

// All is the families of s, IPv4 first.
func (s Families) All() []Family {
	var all []Family
	for _, f := range [...]Family{IPv4Unicast, IPv6Unicast} {
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
