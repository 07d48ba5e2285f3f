package resource

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// TestChecked: what the engines see of good objects.
func TestChecked(t *testing.T) {
	meta := func(kind Kind, name string) Meta { return Meta{ID: ID{Kind: kind, Name: name}} }
	sel := func(text string) *selector.Selector {
		s, err := selector.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, test := range []struct {
		name, spec string
		want       Object
	}{
		{"n", "", &Node{Meta: meta(KindNode, "n")}},
		{"n", "bgp: {asNumber: '1.1', ipv4Address: 10.0.0.1, ipv6Address: 'fd00::1/64', routeReflectorClusterID: 1.0.0.1}", &Node{
			Meta: meta(KindNode, "n"), ASNumber: 65537, IPv4: netip.MustParsePrefix("10.0.0.1/32"),
			IPv6: netip.MustParsePrefix("fd00::1/64"), RouteReflectorClusterID: netip.MustParseAddr("1.0.0.1"),
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}}},
		{"n", "addresses: [{address: 10.0.0.1/24}, {address: 10.0.0.1}, {address: 'fd00::2'}]\ninterfaces: [{name: eth0, addresses: [10.0.0.1/24]}, {name: eth1}]", &Node{
			Meta:       meta(KindNode, "n"),
			Addresses:  []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::2")},
			Interfaces: []NodeInterface{{Name: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, {Name: "eth1"}}}},
		{"n", "bgp: {ipv4Address: 10.0.0.0/31}", &Node{Meta: meta(KindNode, "n"), IPv4: netip.MustParsePrefix("10.0.0.0/31"),
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.0")}}},
		{"p", "cidr: 10.0.0.0/28\ndisabled: true\ndisableBGPExport: true", &IPPool{
			Meta: meta(KindIPPool, "p"), CIDR: netip.MustParsePrefix("10.0.0.0/28"), BlockSize: 26, IPIPMode: EncapNever,
			VXLANMode: EncapNever, Disabled: true, DisableBGPExport: true, NodeSelector: selector.All(), NamespaceSelector: selector.All(),
			Uses: []Use{UseWorkload, UseTunnel}, Advertise: AdvertiseEndpoints}},
		{"p", "cidr: 10.0.0.0/20\nallowedUses: [LoadBalancer]\nassignmentMode: Manual\nadvertise: Blocks\nnamespaceSelector: has(a)", &IPPool{
			Meta: meta(KindIPPool, "p"), CIDR: netip.MustParsePrefix("10.0.0.0/20"), BlockSize: 26, IPIPMode: EncapNever,
			VXLANMode: EncapNever, NodeSelector: selector.All(), NamespaceSelector: sel("has(a)"), Uses: []Use{UseLoadBalancer},
			Manual: true, Advertise: AdvertiseBlocks}},
		{"r", "reservedCIDRs: [10.0.0.1, 'fd00::/126']", &IPReservation{Meta: meta(KindIPReservation, "r"),
			CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/126")}}},
		{"default", "", &IPAMConfiguration{Meta: meta(KindIPAMConfiguration, "default")}},
		{"default", "strictAffinity: true\nautoAllocateBlocks: false\nmaxBlocksPerHost: 3\nipCooldownSeconds: 5\nforeignCIDRs: [10.96.0.0/12]",
			&IPAMConfiguration{Meta: meta(KindIPAMConfiguration, "default"), StrictAffinity: true, NoAutoAllocate: true, MaxBlocksPerHost: 3,
				Cooldown: 5 * time.Second, Foreign: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}},
		{"n", "", &Namespace{Meta: meta(KindNamespace, "n")}},
		{"p", "cidr: 'fd00::/122'\nnodeSelector: has(a)", &IPPool{
			Meta: meta(KindIPPool, "p"), CIDR: netip.MustParsePrefix("fd00::/122"), BlockSize: 122, IPIPMode: EncapNever,
			VXLANMode: EncapNever, NodeSelector: sel("has(a)"), NamespaceSelector: selector.All(),
			Uses: []Use{UseWorkload, UseTunnel}, Advertise: AdvertiseEndpoints}},
		{"default", "", &BGPConfiguration{Meta: meta(KindBGPConfiguration, "default"), NodeToNodeMesh: true}},
		{"default", "nodeToNodeMeshEnabled: false\nasNumber: 1\nlistenPort: 1179\nlogSeverityScreen: Fatal", &BGPConfiguration{
			Meta: meta(KindBGPConfiguration, "default"), ASNumber: 1, ListenPort: 1179, LogLevel: "error"}},
		{"node.a.b", "logSeverityScreen: WARNING", &BGPConfiguration{
			Meta: meta(KindBGPConfiguration, "node.a.b"), NodeToNodeMesh: true, LogLevel: "warn"}},
		{"b", "peerIP: '[fd00::1]:1179'\nasNumber: 1\nnode: n\nkeepaliveTime: 1m", &BGPPeer{
			Meta: meta(KindBGPPeer, "b"), Node: "n", PeerIP: netip.MustParseAddr("fd00::1"), PeerPort: 1179, ASNumber: 1,
			Settings: SessionSettings{KeepaliveTime: new(time.Minute)}}},
		{"b", "nodeSelector: has(a)\npeerSelector: has(b)\nreversePeering: Manual", &BGPPeer{
			Meta: meta(KindBGPPeer, "b"), NodeSelector: sel("has(a)"), PeerSelector: sel("has(b)"), ReverseManual: true}},
		{"default", "datastoreReady: false\nclusterGUID: x", &ClusterInformation{Meta: meta(KindClusterInformation, "default")}},
	} {
		kind := test.want.Metadata().Kind
		got, problems := check(t, object(kind, test.name, test.spec))
		if problems != "" {
			t.Errorf("%s {%s}: %s", kind, test.spec, problems)
			continue
		}
		text := cmp.Transformer("text", func(s *selector.Selector) string {
			if s == nil {
				return ""
			}
			return s.String()
		})
		ips := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
		if diff := cmp.Diff(test.want, got, text, ips); diff != "" {
			t.Errorf("%s {%s} (-want +got):\n%s", kind, test.spec, diff)
		}
	}
}

// TestCheckedEndpoint: the checked form does not change with the raw one.
func TestCheckedEndpoint(t *testing.T) {
	m, err := FromJSON([]byte(`{"apiVersion": "vrouter/v1", "kind": "WorkloadEndpoint", "metadata":
		{"namespace": "ns", "labels": {"a": "b"}, "resourceVersion": "9"}, "spec": {"node": "n", "orchestrator": "o", "workload": "w",
		"endpoint": "e", "interfaceName": "i", "interfaceType": "physical", "ipNetworks": ["fd00::1", "10.0.0.1/32"],
		"profiles": ["p"], "mac": "02-00-5E-10-00-01", "serviceAccountName": "sa",
		"ports": [{"name": "http", "protocol": "tcp", "port": 80}, {"port": 53, "hostPort": 53, "protocol": "17"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	MetadataOf(m.Message).Generation = proto.Int32(4)
	got, err := Check(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	MetadataOf(m.Message).Labels["a"] = "changed"
	want := &WorkloadEndpoint{
		Meta: Meta{ID: ID{KindWorkloadEndpoint, "ns", "o/w/e"}, Labels: map[string]string{"a": "b"}, Revision: 9},
		Node: "n", Endpoint: EndpointID{"ns", "o", "w", "e"}, Interface: "i", InterfaceType: InterfacePhysical,
		Addresses: []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.1")},
		Profiles:  []string{"p"}, MAC: "02:00:5e:10:00:01", Generation: 4, ServiceAccount: "sa",
		Ports: []EndpointPort{{Name: "http", Protocol: 6, Port: 80}, {Protocol: 17, Port: 53}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLists: a list that was rendered reads back as its items.
func TestLists(t *testing.T) {
	node, err := FromJSON([]byte(object(KindNode, "n", "")))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := FromJSON([]byte(object(KindIPPool, "p", "cidr: 10.0.0.0/8")))
	if err != nil {
		t.Fatal(err)
	}
	for kind, msgs := range map[string][]proto.Message{
		"kind: List\n":     {node.Message, pool.Message, node.Message},
		"kind: NodeList\n": {node.Message, node.Message},
	} {
		yaml, err := ListToYAML(msgs)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(yaml), kind) {
			t.Errorf("no %q in:\n%s", kind, yaml)
		}
		json, err := ListToJSON(msgs)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{yaml, json} {
			manifests, err := ReadManifests("l", text)
			if err != nil || len(manifests) != len(msgs) {
				t.Fatalf("%d manifests, %v:\n%s", len(manifests), err, text)
			}
			for i, m := range manifests {
				if !proto.Equal(m.Message, msgs[i]) {
					t.Errorf("item %d is %v, was %v", i, m.Message, msgs[i])
				}
			}
		}
	}
	if empty, err := ListToYAML(nil); err != nil || string(empty) != "apiVersion: projectcalico.org/v3\nitems: []\nkind: List\n" {
		t.Errorf("%s, %v", empty, err)
	}
}
