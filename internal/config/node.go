package config

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/selector"
)

func (c *checker) node(raw *rawNode) Node {
	n := Node{
		Name:     c.nodeName("node.name", raw.Name),
		IPv4:     c.nodeAddress("node.ipv4Address", raw.IPv4Address, true),
		IPv6:     c.nodeAddress("node.ipv6Address", raw.IPv6Address, false),
		ASNumber: c.asNumber("node.asNumber", raw.ASNumber),
		Labels:   raw.Labels,
	}
	for _, key := range slices.Sorted(maps.Keys(raw.Labels)) {
		// What a selector can ask for is what a label may be called.
		if _, err := selector.Parse("has(" + key + ")"); err != nil {
			c.problem(join("node.labels", key), "is not the name of a label: letters, digits and _ . / - only, at most 512")
		}
	}
	if raw.RouteReflectorClusterID != nil {
		id, err := netip.ParseAddr(*raw.RouteReflectorClusterID)
		if err != nil || !id.Is4() || id.IsUnspecified() {
			c.problem("node.routeReflectorClusterID", "%q is not a cluster id, which looks like an IPv4 address", *raw.RouteReflectorClusterID)
		}
		n.RouteReflectorClusterID = id
	}
	return n
}

func (c *checker) nodeName(path string, raw *string) string {
	if raw != nil {
		name := text(raw, "")
		if !subdomain(name) {
			c.problem(path, "%q is not a DNS subdomain in lower case", name)
		}
		return name
	}
	host, err := os.Hostname()
	name := strings.ToLower(host)
	switch {
	case err != nil:
		c.problem(path, "is needed, because the host's name is unknown: %v", err)
	case !subdomain(name):
		c.problem(path, "is needed, because the host's name %q is not a DNS subdomain", name)
	}
	return name
}

// nodeAddress returns a host's address with the length of its subnet.
func (c *checker) nodeAddress(path string, raw *string, v4 bool) netip.Prefix {
	if raw == nil {
		return netip.Prefix{}
	}
	p, err := parseAddressPrefix(*raw)
	if err != nil {
		c.problem(path, "%q is not an address, with or without the length of its subnet", *raw)
		return netip.Prefix{}
	}
	if why := unfitForNode(p, v4); why != "" {
		c.problem(path, "%s %s", *raw, why)
		return netip.Prefix{}
	}
	return p
}

// parseAddressPrefix reads ADDRESS or ADDRESS/LENGTH and keeps the host bits.
func parseAddressPrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a.Zone() != "" {
		return netip.Prefix{}, errors.New("a node's address has no zone")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// unfitForNode says why other hosts cannot reach a host by p; empty when they
// can.
func unfitForNode(p netip.Prefix, v4 bool) string {
	a := p.Addr()
	switch {
	case v4 && !a.Is4():
		return "is not an IPv4 address"
	case !v4 && (a.Is4() || a.Is4In6()):
		return "is not an IPv6 address"
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address"
	case p.Bits() == 0:
		return "has a subnet of length 0"
	case v4 && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return "is a reserved address"
	}
	// The ends of a subnet, unless it has only two addresses (RFC 3021, 6164).
	if a.BitLen()-p.Bits() < 2 {
		return ""
	}
	if a == p.Masked().Addr() {
		return "is the subnet itself, not a host in it"
	}
	if next := a.Next(); v4 && !p.Contains(next) {
		return "is the broadcast address of its subnet"
	}
	return ""
}
