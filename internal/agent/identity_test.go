package agent

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// A reflector without a cluster id would reflect nothing.
func TestClusterIDOfReflector(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fd00::1/64")
	stated := netip.MustParseAddr("244.0.0.1")
	hashed := bgp.RouterID("rr", netip.Prefix{}).String()
	for name, test := range map[string]struct {
		id     Identity
		stored string
		want   string
	}{
		"address stated":   {Identity{Role: RoleReflector, Configured: NodeFields{IPv4: v4}}, "", "192.0.2.1"},
		"address found":    {Identity{Role: RoleReflector, Detected: NodeFields{IPv4: v4}}, "", "192.0.2.1"},
		"IPv6 only":        {Identity{Role: RoleReflector, Configured: NodeFields{IPv6: v6}}, "", hashed},
		"given by the API": {Identity{Role: RoleReflector, Configured: NodeFields{IPv4: v4}}, "244.0.0.9", "244.0.0.9"},
		"stated": {
			Identity{Role: RoleReflector, Configured: NodeFields{IPv4: v4, ClusterID: stated}}, "244.0.0.9", "244.0.0.1",
		},
		"agent": {Identity{Role: RoleAgent, Configured: NodeFields{IPv4: v4}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.id.Name = "rr"
			node := &vrouterv1.Node{Spec: &vrouterv1.NodeSpec{Bgp: &vrouterv1.NodeBGPSpec{}}}
			if test.stored != "" {
				node.Spec.Bgp.RouteReflectorClusterId = proto.String(test.stored)
			}
			test.id.withClusterID().fill(node)
			if got := node.Spec.Bgp.GetRouteReflectorClusterId(); got != test.want {
				t.Errorf("cluster id %q, want %q", got, test.want)
			}
		})
	}
}

// Reflectors share a cluster id, but must not share a router id (RFC 6286).
func TestRouterID(t *testing.T) {
	if got := bgp.RouterID("n1", netip.MustParsePrefix("192.0.2.1/24")); got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("router id %s", got)
	}
	if a, b := bgp.RouterID("n1", netip.Prefix{}), bgp.RouterID("n2", netip.Prefix{}); a == b || a != bgp.RouterID("n1", netip.Prefix{}) {
		t.Errorf("router ids %s and %s", a, b)
	}
}
