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
		IPv4:     c.nodeAddress("node.ipv4Address", raw.IPv4Address, true),
		IPv6:     c.nodeAddress("node.ipv6Address", raw.IPv6Address, false),
		ASNumber: c.asNumber("node.asNumber", raw.ASNumber),
		Labels:   raw.Labels,
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

// nodeAddress returns a host's address with the length of its subnet.
func (c *checker) nodeAddress(path string, raw *string, v4 bool) netip.Prefix {
	if raw == nil {
		return netip.Prefix{}
	}
	p, err := resource.ParseNodeAddress(*raw, v4)
	c.refused(path, err)
	return p
}
