package resource

import (
	"fmt"
	"net/netip"
)

// What a host's configuration file states of its Node is checked by the rules
// of the Node, here, so that nothing passes there that the store refuses.

// CheckName refuses what cannot be the name of an object: anything but a DNS
// subdomain (RFC 1123 §2.1) in lower case.
func CheckName(s string) error { return checkSubdomain(s) }

// CheckLabel refuses what Kubernetes does not take as a label.
func CheckLabel(key, value string) error {
	if err := checkLabelKey(key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	return checkLabelValue(value)
}

// ParseASNumber reads an AS number in plain or dotted notation (RFC 5396) and
// refuses those that no speaker may have.
func ParseASNumber(s string) (uint32, error) {
	as, err := parseASText(s)
	if err != nil {
		return 0, err
	}
	return usableAS(as)
}

// ParseNodeAddress reads an address of a node, which BGP sessions are made from
// and next hops point to, with the length of its subnet. A bare address is a
// subnet of its own, as in Calico.
func ParseNodeAddress(s string, v4 bool) (netip.Prefix, error) {
	prefix, err := parsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a, family, ends := prefix.Addr(), "IPv6", prefix.Bits() < 127 // RFC 6164
	if v4 {
		family, ends = "IPv4", prefix.Bits() < 31 // RFC 3021
	}
	switch {
	case a.Is4() != v4:
		return netip.Prefix{}, fmt.Errorf("%s is not an %s address", a, family)
	case prefix.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%s: a prefix length of 0 says nothing about the subnet", prefix)
	case ends && prefix == prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%s is the subnet itself, not the node's address in it", prefix)
	case v4 && ends && a == broadcast(prefix):
		return netip.Prefix{}, fmt.Errorf("%s is the broadcast address of its subnet", prefix)
	}
	if err := checkUnicast(a); err != nil {
		return netip.Prefix{}, err
	}
	return prefix, nil
}

// ParseClusterID reads the cluster id of a route reflector (RFC 4456 §7), in
// IPv4 notation.
func ParseClusterID(s string) (netip.Addr, error) {
	id, err := netip.ParseAddr(s)
	switch {
	case err != nil || !id.Is4():
		return netip.Addr{}, fmt.Errorf("%q is not a cluster id in IPv4 notation, such as 244.0.0.1", s)
	case id.IsUnspecified():
		return netip.Addr{}, fmt.Errorf("%s is not a cluster id", id)
	}
	return id, nil
}
