package resource

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// object makes a manifest of a kind from the lines of its spec.
func object(kind Kind, name, spec string) string {
	return "apiVersion: projectcalico.org/v3\nkind: " + string(kind) +
		"\nmetadata: {name: " + name + "}\nspec: {" + strings.ReplaceAll(spec, "\n", ", ") + "}\n"
}

// check reads one manifest and checks it, once as it is and once canonical:
// both must agree. What is wrong comes back one line a problem.
func check(t *testing.T, manifest string) (Object, string) {
	t.Helper()
	m, err := FromJSON([]byte(manifest))
	if err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	raw := proto.Clone(m.Message)
	Canonicalize(m.Message)
	object, err := Check(m.Message)
	if _, rawErr := Check(raw); problemLines(rawErr) != problemLines(err) {
		t.Errorf("canonical: %v\nas it came: %v", err, rawErr)
	}
	return object, problemLines(err)
}

func problemLines(err error) string {
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		return ""
	}
	var b strings.Builder
	for _, p := range invalid.Problems {
		b.WriteString(p.String())
		if p.Unsupported {
			b.WriteString(" (unsupported)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

type badSpec struct {
	name string // of the object; empty: x
	spec string
	want string // a part of each problem, a line each
}

func testBad(t *testing.T, kind Kind, tests []badSpec) {
	t.Helper()
	for _, test := range tests {
		name := test.name
		if name == "" {
			name = "x"
		}
		_, got := check(t, object(kind, name, test.spec))
		want := strings.Split(strings.TrimSpace(test.want), "\n")
		lines := strings.Split(strings.TrimSpace(got), "\n")
		ok := len(want) == len(lines)
		for i := 0; ok && i < len(want); i++ {
			ok = strings.HasPrefix(lines[i], strings.TrimSpace(want[i]))
		}
		if !ok {
			t.Errorf("%s %s {%s}\ngot:\n%swant:\n%s", kind, name, test.spec, got, test.want)
		}
	}
}

func TestBadNode(t *testing.T) {
	testBad(t, KindNode, []badSpec{
		{"Node", "", `metadata.name: "Node" is not a DNS name`},
		{"-a", "", `metadata.name: "-a" is not a DNS name`},
		{"a..b", "", `metadata.name: "a..b" is not a DNS name`},
		{strings.Repeat("a", 254), "", `metadata.name: 254 bytes long, at most 253`},
		{"", "bgp: {ipv4Address: fd00::1/64}", "spec.bgp.ipv4Address: fd00::1 is not an IPv4 address"},
		{"", "bgp: {ipv6Address: 10.0.0.1/24}", "spec.bgp.ipv6Address: 10.0.0.1 is not an IPv6 address"},
		{"", "bgp: {ipv6Address: '::ffff:10.0.0.1'}", `spec.bgp.ipv6Address: "::ffff:10.0.0.1" is an IPv4 address mapped`},
		{"", "bgp: {ipv6Address: 'fe80::1%eth0'}", `spec.bgp.ipv6Address: "fe80::1%eth0" has a zone`},
		{"", "bgp: {ipv6Address: 'fe80::1/64'}", `spec.bgp.ipv6Address: fe80::1 is not a unicast address: it is link-local`},
		{"", "bgp: {ipv4Address: 10.0.0.256}", `spec.bgp.ipv4Address: "10.0.0.256" is not an IP address`},
		{"", "bgp: {ipv4Address: 10.0.0.1/33}", `spec.bgp.ipv4Address: "10.0.0.1/33" is not an address with prefix length`},
		{"", "bgp: {ipv4Address: 10.0.0.0/24}", `spec.bgp.ipv4Address: 10.0.0.0/24 is the subnet itself`},
		{"", "bgp: {ipv4Address: 10.0.0.255/24}", `spec.bgp.ipv4Address: 10.0.0.255/24 is the broadcast address of its subnet`},
		{"", "bgp: {ipv4Address: 10.0.0.1/0}", `spec.bgp.ipv4Address: 10.0.0.1/0: a prefix length of 0`},
		{"", "bgp: {ipv4Address: 224.0.0.1/24}", `spec.bgp.ipv4Address: 224.0.0.1 is not a unicast address: it is multicast`},
		{"", "bgp: {ipv4Address: 127.0.0.1/8}", `spec.bgp.ipv4Address: 127.0.0.1 is not a unicast address: it is loopback`},
		{"", "bgp: {routeReflectorClusterID: 0.0.0.0}", `spec.bgp.routeReflectorClusterID: 0.0.0.0 is not a cluster id`},
		{"", "bgp: {routeReflectorClusterID: '1'}", `spec.bgp.routeReflectorClusterID: "1" is not a cluster id`},
		{"", "bgp: {routeReflectorClusterID: 'fd00::1'}", `spec.bgp.routeReflectorClusterID: "fd00::1" is not a cluster id`},
		{"", "bgp: {ipv4IPIPTunnelAddr: 10.0.0.1}", "spec.bgp.ipv4IPIPTunnelAddr: not supported yet (unsupported)"},
		{"", "wireguard: {interfaceIPv4Address: 10.0.0.1}", "spec.wireguard: not supported yet (unsupported)"},
		{"", "ipv4VXLANTunnelAddr: 10.0.0.1\nipv6VXLANTunnelAddr: fd00::1\nvxlanTunnelMACAddr: a\nvxlanTunnelMACAddrV6: b", `
			spec.ipv4VXLANTunnelAddr: not supported yet (unsupported)
			spec.ipv6VXLANTunnelAddr: not supported yet (unsupported)
			spec.vxlanTunnelMACAddr: not supported yet (unsupported)
			spec.vxlanTunnelMACAddrV6: not supported yet (unsupported)`},
		{"", "addresses: [{address: 10.0.0.1}, {address: x, type: Y}]\ninterfaces: [{name: a/b, addresses: [10.0.0.1, y]}]", `
			spec.addresses[1].address: "x" is not an IP address
			spec.addresses[1].type: "Y" is none of CalicoNodeIP, InternalIP, ExternalIP
			spec.interfaces[0].name: "a/b" holds '/'
			spec.interfaces[0].addresses[1]: "y" is not an IP address`},
		{"", "bgp: {asNumber: 0, ipv4Address: a, routeReflectorClusterID: b}", `
			spec.bgp.asNumber: 0 is not an AS number
			spec.bgp.ipv4Address: "a" is not an IP address
			spec.bgp.routeReflectorClusterID: "b" is not a cluster id`},
	})
}

func TestBadAddressManagement(t *testing.T) {
	testBad(t, KindIPReservation, []badSpec{
		{"", "reservedCIDRs: [10.0.0.1/24, x]", `
			spec.reservedCIDRs[0]: 10.0.0.1/24 has bits set beyond its prefix length; the range is 10.0.0.0/24
			spec.reservedCIDRs[1]: `},
	})
	testBad(t, KindIPAMConfiguration, []badSpec{
		{"", "strictAffinity: true", `metadata.name: "x", but there is one IPAMConfiguration, named "default"`},
		{"default", "foreignCIDRs: [fd00::1/64]", "spec.foreignCIDRs[0]: fd00::1/64 has bits set"},
	})
}

// TestIPAMNames: what address management makes is found by its name.
func TestIPAMNames(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/26", "fd00::/122", "2001:db8:1:2:3:4:5:0/116", "::ff00:0/104"} {
		want := netip.MustParsePrefix(cidr)
		for _, name := range []string{BlockName(want), cidr} {
			if got, err := ParseBlockName(name); err != nil || got != want {
				t.Errorf("%s is read as %s, %v", name, got, err)
			}
		}
		for _, node := range []string{"host1", "host-1.rack-2.example", "virtual:load-balancer"} {
			for _, name := range []string{AffinityName(node, want), node + "/" + cidr} {
				if n, got, err := ParseAffinityName(name); err != nil || got != want || n != node {
					t.Errorf("%s is read as %s %s, %v", name, n, got, err)
				}
			}
		}
	}
	for _, bad := range []string{"", "10-0-0-0", "x", "10-0-0-1-26", ".10-0-0-0-26"} {
		if cidr, err := ParseBlockName(bad); err == nil {
			t.Errorf("%q is read as block %s", bad, cidr)
		}
		if node, cidr, err := ParseAffinityName(bad); err == nil {
			t.Errorf("%q is read as affinity %s %s", bad, node, cidr)
		}
	}
}

func TestBadIPPool(t *testing.T) {
	const pool = "cidr: 10.65.0.0/16\n"
	testBad(t, KindIPPool, []badSpec{
		{"", "", "spec.cidr: a range such as 192.168.0.0/16 is needed"},
		{"", "cidr: 10.65.0.1/16", "spec.cidr: 10.65.0.1/16 has bits set beyond its prefix length; the range is 10.65.0.0/16"},
		{"", "cidr: 10.65.0.0", `spec.cidr: "10.65.0.0" has no prefix length`},
		{"", "cidr: 10.65/16", `spec.cidr: "10.65/16" is not an address with prefix length`},
		{"", "cidr: '::ffff:10.0.0.0/112'", `spec.cidr: "::ffff:10.0.0.0/112" is an IPv4 address mapped`},
		{"", "cidr: 0.0.0.0/0\nblockSize: 26", `
			spec.cidr: 0.0.0.0/0 overlaps 0.0.0.0/8
			spec.cidr: 0.0.0.0/0 overlaps 127.0.0.0/8
			spec.cidr: 0.0.0.0/0 overlaps 169.254.0.0/16
			spec.cidr: 0.0.0.0/0 overlaps 224.0.0.0/4`},
		{"", "cidr: 'fe80::/64'", "spec.cidr: fe80::/64 overlaps fe80::/10 (link-local)"},
		{"", pool + "blockSize: 19", "spec.blockSize: 19 is not between 20 and 32"},
		{"", pool + "blockSize: 33", "spec.blockSize: 33 is not between 20 and 32"},
		{"", pool + "blockSize: 0", "spec.blockSize: 0 is not between 20 and 32"},
		{"", "cidr: 'fd00::/48'\nblockSize: 115", "spec.blockSize: 115 is not between 116 and 128"},
		{"", "cidr: 'fd00::/48'\nblockSize: 26", "spec.blockSize: 26 is not between 116 and 128"},
		{"", "cidr: 10.65.0.0/28", "spec.blockSize: a block of /26 does not fit into the pool 10.65.0.0/28"},
		{"", pool + "ipipMode: Always", "spec.ipipMode: not supported yet, only Never is (unsupported)"},
		{"", pool + "vxlanMode: CrossSubnet", "spec.vxlanMode: not supported yet, only Never is (unsupported)"},
		{"", pool + "vxlanMode: always", `spec.vxlanMode: "always" is none of Never, Always, CrossSubnet`},
		{"", pool + "ipipMode: Always\nvxlanMode: Always", `
			spec.ipipMode: not supported yet, only Never is (unsupported)
			spec.vxlanMode: not supported yet, only Never is (unsupported)
			spec.vxlanMode: a pool is encapsulated in IP-in-IP or in VXLAN, not in both`},
		{"", "cidr: 'fd00::/48'\nipipMode: CrossSubnet", `
			spec.ipipMode: not supported yet, only Never is (unsupported)
			spec.ipipMode: IP-in-IP does not carry IPv6`},
		{"", pool + "allowedUses: [Workload, Workload]", `spec.allowedUses[1]: "Workload" is listed twice`},
		{"", pool + "allowedUses: [Tunnel, work]", `spec.allowedUses[1]: "work" is none of Workload, Tunnel, LoadBalancer`},
		{"", pool + "allowedUses: [a, b, c, d]", `spec.allowedUses: 4 uses`},
		{"", pool + "assignmentMode: manual", `spec.assignmentMode: "manual" is none of Automatic, Manual`},
		{"", pool + "advertise: blocks", `spec.advertise: "blocks" is none of Endpoints, Blocks, Both`},
		{"", pool + "nodeSelector: global()", "spec.nodeSelector: global() has no meaning here"},
		{"", pool + "nodeSelector: rack ==", "spec.nodeSelector: column 8:"},
		{"", pool + "nodeSelector: '" + strings.Repeat("a", 1025) + "'", "spec.nodeSelector: 1025 characters long"},
		{"", pool + "namespaceSelector: global()", "spec.namespaceSelector: global() has no meaning here"},
	})
}

func TestBadBGPConfiguration(t *testing.T) {
	testBad(t, KindBGPConfiguration, []badSpec{
		{"x", "", `metadata.name: "x" is neither "default" nor node.NAME`},
		{"node.", "", `metadata.name: "node." is not a DNS name
			metadata.name: must not be empty`},
		{"node.a", "nodeToNodeMeshEnabled: true\nasNumber: 1\nserviceClusterIPs: [{cidr: 10.0.0.0/8}]", `
			spec.nodeToNodeMeshEnabled: may be set in the BGPConfiguration "default" only
			spec.asNumber: may be set in the BGPConfiguration "default" only
			spec.serviceClusterIPs: may be set in the BGPConfiguration "default" only`},
		{"default", "listenPort: 0", "spec.listenPort: 0 is not a port"},
		{"default", "listenPort: 65536", "spec.listenPort: 65536 is not a port"},
		{"default", "logSeverityScreen: warn", `spec.logSeverityScreen: "warn" is none of Trace, Debug, Info`},
		{"default", "asNumber: 23456", "spec.asNumber: 23456 is reserved as AS_TRANS"},
		{"default", `serviceLoadBalancerIPs: [{cidr: 10.0.0.0/8}]
			serviceExternalIPs: [{cidr: 10.0.0.0/8}]
			bindMode: NodeIP
			ignoredInterfaces: [eth0]
			localWorkloadPeeringIPV4: 10.0.0.1
			localWorkloadPeeringIPV6: 'fd00::1'
			serviceLoadBalancerAggregation: Disabled
			programClusterRoutes: Disabled
			ipv4NormalRoutePriority: 1
			ipv6ElevatedRoutePriority: 513`, `
			spec.serviceLoadBalancerIPs: not supported yet (unsupported)
			spec.serviceExternalIPs: not supported yet (unsupported)
			spec.bindMode: not supported yet, only None is (unsupported)
			spec.ignoredInterfaces: not supported yet (unsupported)
			spec.localWorkloadPeeringIPV4: not supported yet (unsupported)
			spec.localWorkloadPeeringIPV6: not supported yet (unsupported)
			spec.serviceLoadBalancerAggregation: not supported yet, only Enabled is (unsupported)
			spec.programClusterRoutes: not supported yet, only Enabled is (unsupported)
			spec.ipv4NormalRoutePriority: not supported yet, only 1024 is (unsupported)
			spec.ipv6ElevatedRoutePriority: not supported yet, only 512 is (unsupported)`},
	})
}

func TestBadBGPPeer(t *testing.T) {
	const peer = "peerIP: 192.0.2.1\nasNumber: 64512\n"
	testBad(t, KindBGPPeer, []badSpec{
		{"", "", "spec.peerIP: an address, a spec.peerRange or a spec.peerSelector is needed"},
		{"", peer + "node: a\nnodeSelector: all()", "spec.nodeSelector: must be empty when spec.node is given"},
		{"", peer + "node: A", `spec.node: "A" is not a DNS name`},
		{"", peer + "peerSelector: all()", "spec.peerSelector: must be empty when spec.peerIP is given"},
		{"", "peerSelector: all()\nasNumber: 1", "spec.asNumber: must be empty when spec.peerSelector is given"},
		{"", "peerIP: 192.0.2.1", "spec.asNumber: the AS of 192.0.2.1 is needed"},
		{"", "asNumber: 1\npeerIP: 192.0.2.1:0", "spec.peerIP: port 0 is not a port"},
		{"", "asNumber: 1\npeerIP: 192.0.2.1:65536", `spec.peerIP: "192.0.2.1:65536" is not of the form`},
		{"", "asNumber: 1\npeerIP: '[192.0.2.1]'", `spec.peerIP: "[192.0.2.1]" is not of the form`},
		{"", "asNumber: 1\npeerIP: '[fd00::1]'", `spec.peerIP: "[fd00::1]" is not of the form`},
		{"", "asNumber: 1\npeerIP: 192.0.2.1/24", `spec.peerIP: "192.0.2.1/24" is not an IP address`},
		{"", "asNumber: 1\npeerIP: tor-1.example.com", `spec.peerIP: "tor-1.example.com" is not an IP address`},
		{"", "asNumber: 1\npeerIP: 'fe80::1%eth0'", `spec.peerIP: "fe80::1%eth0" has a zone`},
		{"", "asNumber: 1\npeerIP: '[ff02::1]:179'", `spec.peerIP: ff02::1 is not a unicast address`},
		{"", peer + "nodeSelector: has(", "spec.nodeSelector: column 5"},
		{"", "peerSelector: global()", "spec.peerSelector: global() has no meaning here"},
		{"", peer + "reversePeering: auto", `spec.reversePeering: "auto" is none of Auto, Manual`},
		{"", peer + "keepaliveTime: '30'", `spec.keepaliveTime: "30" is not a duration such as "30s"`},
		{"", peer + "keepaliveTime: 1500ms", "spec.keepaliveTime: 1.5s is not a whole number of seconds"},
		{"", peer + "keepaliveTime: 6h4m6s", "spec.keepaliveTime: 6h4m6s is not between 1s and 6h4m5s"},
		{"", peer + "keepaliveTime: -1s", "spec.keepaliveTime: -1s is not between"},
		{"", peer + "sourceAddress: Any", `spec.sourceAddress: "Any" is none of UseNodeIP, None`},
		{"", "localWorkloadSelector: all()\nasNumber: 1", "spec.localWorkloadSelector: not supported yet (unsupported)"},
		{"", peer + "reachableBy: 10.0.0.1", "spec.reachableBy: not supported yet (unsupported)"},
	})
}

func TestBadClusterInformation(t *testing.T) {
	testBad(t, KindClusterInformation, []badSpec{
		{"x", "", `metadata.name: "x", but there is one`},
		{"default", "datastoreLock: {by: me}", "spec.datastoreLock: is set only while datastoreReady is false"},
		{"default", "datastoreReady: false\ndatastoreLock: {since: yesterday}", "spec.datastoreLock.since: \"yesterday\" is not a time"},
	})
}

func TestBadWorkloadEndpoint(t *testing.T) {
	const id = "node: n\norchestrator: o\nworkload: w\nendpoint: e\n"
	const link = id + "interfaceName: i\n"
	const whole = link + "ipNetworks: [10.0.0.1]\n"
	tests := []badSpec{
		{"''", "", `
			spec.orchestrator: must not be empty
			spec.workload: must not be empty
			spec.endpoint: must not be empty
			spec.node: must not be empty
			spec.interfaceName: must not be empty`},
		{"n-o-w-f", whole, `metadata.name: "n-o-w-f" is not what the spec makes of it; leave it out, or write "n-o-w-e"`},
		{"''", id + "ipNetworks: [10.0.0.1]\ninterfaceName: sixteen-bytes-16", `
			spec.interfaceName: "sixteen-bytes-16" is 16 bytes long, the kernel takes at most 15`},
		{"''", id + "ipNetworks: [10.0.0.1]\ninterfaceName: a/b", `spec.interfaceName: "a/b" holds '/'`},
		{"''", id + "ipNetworks: [10.0.0.1]\ninterfaceName: 'a b'", `spec.interfaceName: "a b" holds ' '`},
		{"''", id + "ipNetworks: [10.0.0.1]\ninterfaceName: 'a:b'", `spec.interfaceName: "a:b" holds ':'`},
		{"''", id + "ipNetworks: [10.0.0.1]\ninterfaceName: ..", `spec.interfaceName: ".." is not the name`},
		{"''", whole + "interfaceType: bridge", `spec.interfaceType: "bridge" is none of veth, tap, physical`},
		{"''", link + "ipNetworks: [10.0.0.1/24, 10.0.0.1, 10.0.0.1/32, 'fd00::1', 'FD00::1', 'ff02::1', x, '::1', 'fe80::1', 255.255.255.255]", `
			spec.ipNetworks[0]: 10.0.0.1/24 is a range; an endpoint has single addresses, /32
			spec.ipNetworks[2]: 10.0.0.1 is listed twice
			spec.ipNetworks[4]: fd00::1 is listed twice
			spec.ipNetworks[5]: ff02::1 is not a unicast address: it is multicast
			spec.ipNetworks[6]: "x" is not an IP address
			spec.ipNetworks[7]: ::1 is not a unicast address: it is loopback
			spec.ipNetworks[8]: fe80::1 is not a unicast address: it is link-local
			spec.ipNetworks[9]: 255.255.255.255 is not a unicast address: it is the broadcast address`},
		{"''", link + "ipNetworks: [" + strings.Repeat("x,", 61) + "]", "spec.ipNetworks: 61 addresses, at most 60"},
		{"''", whole + "mac: x", `spec.mac: "x" is not a MAC address`},
		{"''", whole + "mac: '01:00:5e:00:00:01'", `spec.mac: "01:00:5e:00:00:01" is a group address`},
		{"''", whole + "mac: '00:00:00:00:00:00'", `spec.mac: "00:00:00:00:00:00" is no address`},
		{"''", whole + "mac: '02:00:5e:00:53:00:00:01'", `spec.mac: "02:00:5e:00:53:00:00:01" is not a MAC address`},
		{"''", whole + "profiles: [a, b/c]", `spec.profiles[1]: "b/c" is not a name`},
		{"''", whole + "ports: [{name: a, port: 80, protocol: TCP}, {name: '', port: 0}, {name: b, port: 1, protocol: 0, hostPort: 65536, hostIP: x}]", `
			spec.ports[1].name: "" is not a name
			spec.ports[1].port: 0 is not a port
			spec.ports[1].protocol: TCP, UDP, SCTP, or a number is needed
			spec.ports[2].protocol: 0 is not a protocol
			spec.ports[2].hostPort: 65536 is not a port
			spec.ports[2].hostIP: "x" is not an IP address`},
		{"''", whole + "ipNATs: [{internalIP: 10.0.0.1}]\nipv4Gateway: a\nipv6Gateway: b", `
			spec.ipNATs: not supported yet (unsupported)
			spec.ipv4Gateway: not supported yet (unsupported)
			spec.ipv6Gateway: not supported yet (unsupported)`},
		{"''", strings.Replace(whole, "workload: w", "workload: -w", 1), `spec.workload: "-w" begins or ends with a dash`},
		{"''", strings.Replace(whole, "endpoint: e", "endpoint: 'e e'", 1), `spec.endpoint: "e e" holds a blank`},
		{"''", strings.Replace(whole, "node: n", "node: N", 1), `spec.node: "N" is not a DNS name`},
		{"'', namespace: a.b", whole, `metadata.namespace: "a.b" is not a DNS label`},
		{"'', namespace: " + strings.Repeat("a", 64), whole, `metadata.namespace: 64 bytes long, at most 63`},
	}
	testBad(t, KindWorkloadEndpoint, tests)
}

func TestBadMetadata(t *testing.T) {
	_, got := check(t, `{"apiVersion": "vrouter/v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x",
		"resourceVersion": "x", "labels": {"a": "b", "/a": "b", "A_/a": "b", "c": "d/e", "-": "", "f": "`+strings.Repeat("f", 64)+`"},
		"annotations": {"": "any / text", "a": "`+strings.Repeat("a", 256<<10)+`"}}}`)
	want := `metadata.namespace: a Node has no namespace
metadata.labels[-]: key: "-" is not a label: letters, digits, '-', '_' and '.', with a letter or digit at both ends
metadata.labels[/a]: key: prefix: must not be empty
metadata.labels[A_/a]: key: prefix: "A_" is not a DNS name: lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part
metadata.labels[c]: "d/e" is not a label: letters, digits, '-', '_' and '.', with a letter or digit at both ends
metadata.labels[f]: 64 bytes long, at most 63 are allowed
metadata.annotations[]: key: the name must not be empty
metadata.annotations: 262155 bytes together, at most 262144 are allowed
metadata.resourceVersion: "x" is not a resource version
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWrongType(t *testing.T) {
	_, err := Check(&vrouterv1.Node{
		ApiVersion: proto.String("v2"), Kind: proto.String("IPPool"),
		Metadata: &vrouterv1.Metadata{Name: proto.String("n")},
	})
	want := "apiVersion: \"v2\" is none of projectcalico.org/v3, vrouter/v1\nkind: \"IPPool\", but the object is a Node\n"
	if diff := cmp.Diff(want, problemLines(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Check(&vrouterv1.Metadata{}); err == nil {
		t.Error("a message that is no object was accepted")
	}
}

// TestManyProblems: an answer stays small however much is wrong.
func TestManyProblems(t *testing.T) {
	labels := make(map[string]string)
	for i := range 1000 {
		labels[strings.Repeat("-", i+1)] = ""
	}
	_, err := Check(&vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String("n"), Labels: labels}})
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	if n := len(invalid.Problems); n != maxProblems+1 {
		t.Errorf("%d problems told", n)
	}
	if last := invalid.Problems[maxProblems].String(); last != "and 900 more problems" {
		t.Errorf("the last is %q", last)
	}
	if n := len(err.Error()); n > 100*(2*maxProblemBytes+10) {
		t.Errorf("%d bytes of error", n)
	}
}
