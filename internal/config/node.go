package config

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

func (c *checker) node(raw *rawNode) Node {
	n := Node{
		Name:     c.nodeName("node.name", raw.Name),
		ASNumber: c.asNumber("node.asNumber", raw.ASNumber),
		Labels:   raw.Labels,
	}
	n.IPv4, n.IPv4Detection = c.nodeAddress("node.ipv4Address", raw.IPv4Address, true)
	n.IPv6, n.IPv6Detection = c.nodeAddress("node.ipv6Address", raw.IPv6Address, false)
	// Who states one address has said what the host is known by.
	if raw.IPv4Address == nil && !n.IPv6.IsValid() {
		n.IPv4Detection.Method = FirstFound
	}
	if raw.IPv6Address == nil && !n.IPv4.IsValid() {
		n.IPv6Detection.Method = FirstFound
	}
	for _, key := range slices.Sorted(maps.Keys(raw.Labels)) {
		c.refused(join("node.labels", key), resource.CheckLabel(key, raw.Labels[key]))
	}
	if raw.RouteReflectorClusterID != nil {
		id, err := resource.ParseClusterID(*raw.RouteReflectorClusterID)
		c.refused("node.routeReflectorClusterID", err)
		n.RouteReflectorClusterID = id
	}
	return n
}

func (c *checker) nodeName(path string, raw *string) string {
	if raw != nil {
		c.refused(path, resource.CheckName(*raw))
		return *raw
	}
	host, err := os.Hostname()
	if err != nil {
		c.problem(path, "is needed, because the host's name is unknown: %v", err)
		return ""
	}
	name := strings.ToLower(host)
	if err := resource.CheckName(name); err != nil {
		c.problem(path, "is needed, because the host's name will not do: %v", err)
	}
	return name
}

// nodeAddress returns a host's address with the length of its subnet, or how
// it is found.
func (c *checker) nodeAddress(path string, raw *string, v4 bool) (netip.Prefix, Detection) {
	if raw == nil {
		return netip.Prefix{}, Detection{}
	}
	if d, is, err := parseDetection(*raw, v4); is {
		c.refused(path, err)
		return netip.Prefix{}, d
	}
	p, err := resource.ParseNodeAddress(*raw, v4)
	c.refused(path, err)
	return p, Detection{}
}
