package agent

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/store"
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

// TestAddressThatComesLate: a host without an address is registered, and known by
// the one that comes, where the API left it open; who calls it learns where.
func TestAddressThatComesLate(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		id := identity1()
		id.Configured = NodeFields{}
		r.start(func(o *Options) { o.Identity = id })
		n := r.own()
		if own := n.GetSpec().GetBgp(); own.GetIpv4Address() != "" || own.GetIpv6Address() != "" {
			t.Fatalf("addresses from nowhere: %v", own)
		}
		n.Spec = &vrouterv1.NodeSpec{Bgp: &vrouterv1.NodeBGPSpec{Ipv6Address: proto.String("2001:db8::77/64")}}
		r.put(n)
		id.Detected = NodeFields{IPv4: pfx("192.0.2.1/24")}
		id.APIAddress = "192.0.2.1:7179"
		r.agent.SetIdentity(id)
		r.pass(0)
		if own := r.own().Spec.Bgp; own.GetIpv4Address() != "192.0.2.1/24" || own.GetIpv6Address() != "2001:db8::77/64" {
			t.Errorf("addresses %v", own)
		}
		live := func(want Live) {
			t.Helper()
			kv, _, err := r.store.Get(t.Context(), store.LiveKey(RoleAgent, "host1"))
			var got Live
			_ = json.Unmarshal(kv.Value, &got)
			if got.Version = ""; got != want {
				t.Errorf("live key %+v, want %+v; %v", got, want, err)
			}
		}
		late := Live{APIAddress: "192.0.2.1:7179", HostID: "id-1", BootID: "boot-1"}
		live(late)
		r.wantNotReady()
		r.put(nodeObject("host2", "192.0.2.2/24"))
		if n := len(r.speaker.Peers()); n != 1 {
			t.Errorf("%d sessions with the late address", n)
		}
		st, err := r.agent.Status(t.Context())
		if want := bgp.RouterID("host1", netip.Prefix{}).String(); err != nil || st.RouterId != want {
			t.Errorf("router id %s is shown, BGP was started with %s; %v", st.RouterId, want, err)
		}
		r.client.Disconnect()
		r.pass(time.Minute)
		live(Live{}) // the lease has ended
		r.client.Reconnect()
		r.pass(time.Minute)
		live(late)
	})
}

// TestAddressThatComesWhileLocked: it is stored once the datastore is unlocked; until
// then the status says why not.
func TestAddressThatComesWhileLocked(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		id := identity1()
		id.Configured = NodeFields{}
		r.start(func(o *Options) { o.Identity = id })
		cluster := &vrouterv1.ClusterInformation{Metadata: named("default")}
		r.read(cluster)
		cluster.Spec.DatastoreReady = proto.Bool(false)
		cluster.Spec.DatastoreLock = &vrouterv1.DatastoreLock{By: proto.String("alice@host9"), Reason: proto.String("new etcd")}
		r.put(cluster)
		id.Detected = NodeFields{IPv4: pfx("192.0.2.1/24")}
		r.agent.SetIdentity(id)
		r.pass(time.Minute)
		if got := r.own().GetSpec().GetBgp().GetIpv4Address(); got != "" {
			t.Errorf("written while locked: %s", got)
		}
		told := func() string {
			t.Helper()
			st, err := r.agent.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(st.Problems, "\n")
		}
		for _, said := range []string{"the datastore is locked by alice@host9 (new etcd)", "vrouterctl datastore unlock"} {
			if !strings.Contains(told(), said) {
				t.Errorf("the status does not say %q: %s", said, told())
			}
		}
		cluster.Spec.DatastoreReady, cluster.Spec.DatastoreLock = proto.Bool(true), nil
		r.put(cluster)
		r.pass(time.Minute)
		if strings.Contains(told(), "locked") {
			t.Errorf("unlocked: %s", told())
		}
		if got := r.own().GetSpec().GetBgp().GetIpv4Address(); got != "192.0.2.1/24" {
			t.Errorf("address %q once unlocked", got)
		}
	})
}

// TestDetectedBesideTheNodes: where the API gave the Node an address of the host's
// own choice, the one that was detected is not in use, and status says so.
func TestDetectedBesideTheNodes(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		id := identity1()
		id.Configured, id.Detected = NodeFields{}, NodeFields{IPv4: pfx("192.0.2.9/24"), IPv6: pfx("2001:db8::1/64")}
		r.put(nodeObject("host1", "192.0.2.1/24")) // which the host has
		r.start(func(o *Options) {
			o.Identity = id
			o.Detections = func() []Detection {
				return []Detection{
					{Family: "IPv4", Address: id.Detected.IPv4, Reason: "first"}, {Family: "IPv6", Address: id.Detected.IPv6, Reason: "first"},
				}
			}
		})
		st, err := r.agent.Status(t.Context())
		if err != nil || len(st.Detections) != 2 {
			t.Fatalf("%v, %v", st, err)
		}
		if got := st.Detections[0].Reason; got != "first; the Node has 192.0.2.1/24, which stays" {
			t.Errorf("IPv4: %s", got)
		}
		if got := st.Detections[1].Reason; got != "first" {
			t.Errorf("IPv6: %s", got)
		}
	})
}
