package resource

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestBadSessionSettings(t *testing.T) {
	testBad(t, KindBGPPeerGroup, []badSpec{
		{"", "filters: [A, a, a, '']", `
			spec.filters[0]: "A" is not a DNS name
			spec.filters[3]: must not be empty`},
		{"", "password: {secretKeyRef: {name: A, key: a b}}", `
			spec.password.secretKeyRef.name: "A" is not a DNS name
			spec.password.secretKeyRef.key: "a b" is not a key`},
		{"", "password: {secretKeyRef: {optional: true}}", `
			spec.password.secretKeyRef.name: must not be empty
			spec.password.secretKeyRef.key: must not be empty`},
		{"", "password: {file: ../shadow}", `spec.password.file: "../shadow" is not the name of a file in the directory of secrets`},
		{"", "password: {file: ..}", `spec.password.file: ".." is not the name`},
		{"", "password: {file: 'a b'}", `spec.password.file: "a b" holds a blank`},
		{"", "password: {file: " + strings.Repeat("a", 256) + "}", "spec.password.file: 256 bytes long, at most 255"},
		{"", "password: {file: a, secretKeyRef: {name: a, key: b}}", `
			spec.password.file: must be empty when spec.password.secretKeyRef is given`},
		{"", "sourceAddress: useNodeIP", `spec.sourceAddress: "useNodeIP" is none of UseNodeIP, None and no IP address`},
		{"", "sourceAddress: 127.0.0.1", "spec.sourceAddress: 127.0.0.1 is not a unicast address: it is loopback"},
		{"", "localASNumber: 0\nnumAllowedLocalASNumbers: -1\nnextHopMode: self", `
			spec.numAllowedLocalASNumbers: -1 is not between 0 and 255
			spec.nextHopMode: "self" is none of Auto, Self, Keep
			spec.localASNumber: 0 is not an AS number`},
		{"", "ttlSecurity: 255\nmultihop: 256", `
			spec.ttlSecurity: 255 is not between 0 and 254
			spec.multihop: 256 is not between 1 and 255
			spec.multihop: must be empty when spec.ttlSecurity is given`},
		{"", "ttlSecurity: 0\nmultihop: 0", "spec.multihop: 0 is not between 1 and 255"},
		{"", "holdTime: 2s", "spec.holdTime: 2s is neither 0s nor at least 3s"},
		{"", "holdTime: 65536s\nkeepaliveTime: 6h4m5s", "spec.holdTime: 18h12m16s is not between 0s and 18h12m15s"},
		{"", "holdTime: 0s\nkeepaliveTime: 1s", "spec.keepaliveTime: there are no keepalives with a hold time of 0s"},
		{"", "holdTime: 10s\nkeepaliveTime: 4s", "spec.keepaliveTime: 4s is more than a third of the hold time of 10s"},
		{"", "connectRetryTime: 0s\nmaxRestartTime: 4096s\nlongLivedRestartTime: 16777216s", `
			spec.connectRetryTime: 0s is not between 1s and
			spec.maxRestartTime: 1h8m16s is not between 1s and 1h8m15s
			spec.longLivedRestartTime: 4660h20m16s is not between 0s and 4660h20m15s`},
		{"", "addPath: {send: best}", `spec.addPath.send: "best" is neither "Best", nor "All", nor a number from 1 to 255`},
		{"", "addPath: {send: 0}", "spec.addPath.send: 0 is neither"},
		{"", "addPath: {send: '0'}", `spec.addPath.send: "0" is neither`},
		{"", "addPath: {send: 256}", "spec.addPath.send: 256 is neither"},
		{"", "addPath: {send: 1.5}", "spec.addPath.send: 1.5 is neither"},
		{"", "maxPrefixes: {warnOnly: true}", "spec.maxPrefixes.limit: is needed"},
		{"", "maxPrefixes: {limit: 0, warnOnly: true}", "spec.maxPrefixes.limit: 0 is no limit"},
		{"", "maxPrefixes: {limit: 2147483648, warningPercent: 101, restartTime: 25h}", `
			spec.maxPrefixes.limit: 2147483648 is not between
			spec.maxPrefixes.warningPercent: 101 is not between 1 and 100
			spec.maxPrefixes.restartTime: 25h0m0s is not between 1s and 24h0m0s`},
		{"", "maxPrefixes: {limit: 1, restartTime: 1m, warnOnly: true}", `
			spec.maxPrefixes.restartTime: must be empty when spec.maxPrefixes.warnOnly is given`},
		{"", "families: [IPv4, ipv6, IPv4]", `
			spec.families[1]: "ipv6" is none of IPv4, IPv6
			spec.families[2]: "IPv4" is listed twice`},
		{"", "role: RS", `spec.role: "RS" is none of Provider, RouteServer, RouteServerClient, Customer, Peer, None`},
		{"", "role: None\nstrictRole: true", "spec.strictRole: goes with a role only"},
	})
}

func TestBadDynamicAndDown(t *testing.T) {
	const peer = "peerIP: 192.0.2.1\nasNumber: 64512\n"
	testBad(t, KindBGPPeer, []badSpec{
		{"", peer + "peerRange: 192.0.2.0/24", "spec.peerRange: must be empty when spec.peerIP or spec.peerSelector is given"},
		{"", "peerSelector: all()\npeerRange: 192.0.2.0/24", "spec.peerRange: must be empty when"},
		{"", "peerRange: 192.0.2.0/24", `spec.asNumber: the AS of the routers in 192.0.2.0/24 is needed, or "external"`},
		{"", "asNumber: external\npeerRange: 192.0.2.0", `spec.peerRange: "192.0.2.0" has no prefix length`},
		{"", "asNumber: external\npeerRange: 192.0.2.1/24", "spec.peerRange: 192.0.2.1/24 has bits set beyond its prefix length"},
		{"", "asNumber: external\npeerRange: x/24", `spec.peerRange: "x/24" is not an address with prefix length`},
		{"", "asNumber: External\npeerRange: 192.0.2.0/24\nrangeLimit: 0", `
			spec.asNumber: "External" is not an AS number
			spec.rangeLimit: 0 is not between 1 and 65536`},
		{"", peer + "rangeLimit: 1", "spec.rangeLimit: goes with spec.peerRange only"},
		{"", peer + "peerGroup: A", `spec.peerGroup: "A" is not a DNS name`},
		{"", peer + "shutdownMessage: gone", "spec.shutdownMessage: goes with spec.shutdown only"},
		{"", peer + "shutdown: false\nshutdownMessage: gone", "spec.shutdownMessage: goes with spec.shutdown only"},
		{"", peer + "shutdown: true\nshutdownMessage: " + strings.Repeat("ü", 128), "spec.shutdownMessage: 256 octets long, at most 255"},
		{"", peer + "keepOriginalNextHop: true\nnextHopMode: Auto", "spec.keepOriginalNextHop: must be empty when spec.nextHopMode is given"},
		{"", peer + "sourceAddress: 'fd00::1'", "spec.sourceAddress: fd00::1 and 192.0.2.1 are of two families"},
		{"", peer + "sourceAddress: 192.0.2.1", "spec.sourceAddress: 192.0.2.1 is the address of the peer"},
		{"", "asNumber: 1\npeerRange: 'fd00::/64'\nsourceAddress: 192.0.2.1", "spec.sourceAddress: 192.0.2.1 and fd00:: are of two families"},
	})
}

func TestBadDefaultsOfSessions(t *testing.T) {
	testBad(t, KindBGPConfiguration, []badSpec{
		{"default", "sessionDefaults: {password: {file: a}, localASNumber: 1, role: Peer, strictRole: true, holdTime: 1s}", `
			spec.sessionDefaults.password: may be set in a BGPPeer or BGPPeerGroup only
			spec.sessionDefaults.localASNumber: may be set
			spec.sessionDefaults.role: may be set
			spec.sessionDefaults.strictRole: may be set
			spec.sessionDefaults.holdTime: 1s is neither`},
		{"default", "maxPaths: 0", "spec.maxPaths: 0 is not between 1 and 256"},
		{"default", "nodeToNodeMeshEnabled: false\nnodeMeshPassword: {file: a}\nnodeMeshMaxRestartTime: 1s", `
			spec.nodeMeshPassword: must be empty when spec.nodeToNodeMeshEnabled is false
			spec.nodeMeshMaxRestartTime: must be empty when spec.nodeToNodeMeshEnabled is false`},
		{"default", "communities: [{name: a, value: '1:65536'}, {name: a, value: a}, {value: '1:2:3:4'}]", `
			spec.communities[0].value: "1:65536" is not a community: 65536 is more than 65535
			spec.communities[1].name: "a" is listed twice
			spec.communities[1].value: "a" is not a community: AA:NN, AA:NN:NN, or a well-known name
			spec.communities[2].name: "" is not a name
			spec.communities[2].value: "1:2:3:4" is not a community`},
		{"default", "prefixAdvertisements: [{cidr: 10.0.0.1/8, communities: [b, '1:01']}, {}]", `
			spec.prefixAdvertisements[0].cidr: 10.0.0.1/8 has bits set
			spec.prefixAdvertisements[0].communities[0]: "b" is not a community
			spec.prefixAdvertisements[0].communities[1]: "1:01" is not a community: "01" is not a decimal number
			spec.prefixAdvertisements[1].cidr: "" is not an IP address`},
		{"node.a", "nodeMeshPassword: {file: a}", `spec.nodeMeshPassword: may be set in the BGPConfiguration "default" only`},
	})
}

// TestBadBGPFilter has every rule of Calico's schema, each on both families
// where it differs.
func TestBadBGPFilter(t *testing.T) {
	accept := func(rest string) string { return "exportV4: [{action: Accept, " + rest + "}]" }
	testBad(t, KindBGPFilter, []badSpec{
		{"", "exportV4: [{}, {action: accept}]", `
			spec.exportV4[0].action: "" is none of Accept, Reject
			spec.exportV4[1].action: "accept" is none of Accept, Reject`},
		{"", accept("cidr: 10.0.0.0/8"), "spec.exportV4[0].matchOperator: is needed with a cidr"},
		{"", accept("matchOperator: In"), "spec.exportV4[0].cidr: is needed with a matchOperator"},
		{"", accept("matchOperator: in, cidr: 10.0.0.0/8"), `spec.exportV4[0].matchOperator: "in" is none of Equal, NotEqual, In, NotIn`},
		{"", accept("prefixLength: {min: 16}"), "spec.exportV4[0].prefixLength: goes with a cidr only"},
		{"", accept("matchOperator: Equal, cidr: 10.0.0.0/8, prefixLength: {min: 16}"), "spec.exportV4[0].prefixLength: goes with In and NotIn only"},
		{"", accept("matchOperator: In, cidr: 10.0.0.0/8, prefixLength: {min: -1, max: 33}"), `
			spec.exportV4[0].prefixLength.min: -1 is not between 0 and 32
			spec.exportV4[0].prefixLength.max: 33 is not between 0 and 32`},
		{"", accept("matchOperator: In, cidr: 10.0.0.0/8, prefixLength: {max: 7}"), `
			spec.exportV4[0].prefixLength.max: 7 is less than 8: nothing in 10.0.0.0/8 is so short`},
		{"", accept("matchOperator: In, cidr: 10.0.0.0/8, prefixLength: {min: 24, max: 16}"), "spec.exportV4[0].prefixLength.max: 16 is less than 24"},
		{"", accept("matchOperator: In, cidr: 'fd00::/8'"), "spec.exportV4[0].cidr: fd00::/8 is not IPv4"},
		{"", accept("matchOperator: In, cidr: 10.0.0.1/8"), "spec.exportV4[0].cidr: 10.0.0.1/8 has bits set"},
		{"", "importV6: [{action: Reject, matchOperator: In, cidr: 10.0.0.0/8, prefixLength: {max: 129}}]", `
			spec.importV6[0].cidr: 10.0.0.0/8 is not IPv6
			spec.importV6[0].prefixLength.max: 129 is not between 0 and 128`},
		{"", "importV6: [{action: Reject, matchOperator: In, cidr: 10.0.0.1}]", "spec.importV6[0].cidr: 10.0.0.1/32 is not IPv6"},
		{"", accept("source: Peers, interface: 'eth[0-9]', peerType: ebgp"), `
			spec.exportV4[0].source: "Peers" is not RemotePeers
			spec.exportV4[0].interface: "eth[0-9]" is not a pattern
			spec.exportV4[0].peerType: "ebgp" is none of eBGP, iBGP`},
		{"", accept("interface: sixteen-bytes-16"), `spec.exportV4[0].interface: "sixteen-bytes-16" is not a pattern`},
		{"", accept("communities: {values: ['1:2', '1:3']}"), "spec.exportV4[0].communities.values: 2 values, exactly one is needed"},
		{"", accept("communities: {values: ['65536:0']}"), `spec.exportV4[0].communities.values[0]: "65536:0" is not a community`},
		{"", accept("communities: {values: ['0:4294967296:0']}"), `spec.exportV4[0].communities.values[0]: "0:4294967296:0" is not a community`},
		{"", accept("asPathPrefix: [1, 1.5, x]"), `
			spec.exportV4[0].asPathPrefix[1]: 1.5 is not a whole number
			spec.exportV4[0].asPathPrefix[2]: "x" is not an AS number`},
		{"", accept("priority: 0"), "spec.exportV4[0].priority: 0 is not between 1 and 2147483646"},
		{"", accept("priority: 2147483647"), "spec.exportV4[0].priority: 2147483647 is not between"},
		{"", "importV4: [{action: Reject, operations: [{setPriority: {value: 1}}]}]", "spec.importV4[0].operations: go with the action Accept only"},
		{"", accept("operations: [{}, {setPriority: {value: 1}, addCommunity: {value: '1:1'}}]"), `
			spec.exportV4[0].operations[0]: 0 of addCommunity, prependASPath, setPriority, exactly one is needed
			spec.exportV4[0].operations[1]: 2 of addCommunity`},
		{"", accept("operations: [{setPriority: {value: 0}}, {addCommunity: {value: 1-1}}, {prependASPath: {prefix: [23456]}}]"), `
			spec.exportV4[0].operations[0].setPriority.value: 0 is not between 1 and
			spec.exportV4[0].operations[1].addCommunity.value: "1-1" is not a community
			spec.exportV4[0].operations[2].prependASPath.prefix[0]: 23456 is reserved as AS_TRANS`},
		{"", accept("operations: [{prependASPath: {prefix: [" + strings.Repeat("1, ", 11) + "]}}]"), `
			spec.exportV4[0].operations[0].prependASPath.prefix: 11 AS numbers, 1 to 10 are needed`},
		{"", accept("operations: [" + strings.Repeat("{setPriority: {value: 1}}, ", 11) + "]"), `
			spec.exportV4[0].operations: 11 operations, at most 10 are allowed`},
	})
}

func TestBadSecret(t *testing.T) {
	testBad(t, KindSecret, []badSpec{
		{"", "", "spec.stringData: a value is needed"},
		{"", "data: {}", "spec.stringData: a value is needed"},
		{"", "stringData: {a b: c, ..: d, '': e}", `
			spec.data[]: key: must not be empty
			spec.data[..]: key: ".." is not a key
			spec.data[a b]: key: "a b" is not a key`},
		{"", "data: {a: '?', b: '', c: '(hidden)'}\nstringData: {d: ''}", `
			spec.data[a]: is not base64
			spec.data[b]: must not be empty
			spec.data[c]: (hidden) is shown in place of a value; writing a Secret needs all its values
			spec.data[d]: must not be empty`},
		{"", "stringData: {a: " + strings.Repeat("x", 16<<10) + ", b: c}", "spec: 16385 bytes of values together, at most 16384 are allowed"},
	})
}

// TestSettingsOf: a BGPPeer can say all that a BGPPeerGroup can, and in the
// same words.
func TestSettingsOf(t *testing.T) {
	spec := &vrouterv1.BGPPeerSpec{}
	peer, settings := spec.ProtoReflect(), (&vrouterv1.BGPSessionSettings{}).ProtoReflect()
	fields := settings.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		same := peer.Descriptor().Fields().ByName(f.Name())
		if same == nil || same.Kind() != f.Kind() || same.Message() != f.Message() || same.JSONName() != f.JSONName() ||
			same.Cardinality() != f.Cardinality() {
			t.Fatalf("%s is not a field of a BGPPeer", f.Name())
		}
		setSomething(peer, same)
		setSomething(settings, f)
	}
	if got := settingsOf(spec); !proto.Equal(got, settings.Interface()) {
		t.Errorf("of the settings %v\nthese are taken over: %v", settings, got)
	}
}

// setSomething sets a field to what differs from no value.
func setSomething(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		m.Mutable(f).List().Append(protoreflect.ValueOfString("x"))
	case f.Message() != nil:
		m.Mutable(f)
	default:
		m.Set(f, m.NewField(f))
	}
}

// TestCheckedBGP: what the engine sees of filters, groups and what is inherited.
func TestCheckedBGP(t *testing.T) {
	meta := func(kind Kind, name string) Meta { return Meta{ID: ID{Kind: kind, Name: name}} }
	for _, test := range []struct {
		spec string
		want Object
	}{
		{`filters: [b, a]
			password: {secretKeyRef: {name: s, key: k, optional: true}}
			sourceAddress: 'fd00::1'
			localASNumber: '1.1'
			numAllowedLocalASNumbers: 2
			nextHopMode: Self
			ttlSecurity: 1
			holdTime: 9s
			keepaliveTime: 3s
			connectRetryTime: 4s
			maxRestartTime: 5s
			longLivedRestartTime: 6s
			addPath: {send: All, receive: false}
			maxPrefixes: {limit: 7, warningPercent: 8, restartTime: 10s}
			families: [IPv6, IPv4]
			extendedNextHop: true
			role: RouteServer
			strictRole: true
			acceptAnyFirstAS: true
			honourBlackhole: false
			reflectForeign: true`, &BGPPeerGroup{Meta: meta(KindBGPPeerGroup, "x"), Settings: SessionSettings{
			Filters: new([]string{"b", "a"}), Password: &SecretRef{Name: "s", Key: "k", Optional: true},
			SourceAddress: &SourceAddress{Addr: netip.MustParseAddr("fd00::1")}, LocalASNumber: new(uint32(65537)),
			AllowedLocalAS: new(2), NextHopMode: new(NextHopSelf), TTLSecurity: new(uint8(1)),
			HoldTime: new(9 * time.Second), KeepaliveTime: new(3 * time.Second), ConnectRetry: new(4 * time.Second),
			RestartTime: new(5 * time.Second), LongLived: new(6 * time.Second), AddPathSend: new(-1), AddPathReceive: new(false),
			MaxPrefixes: &MaxPrefixes{Limit: 7, Warning: 8, RestartTime: 10 * time.Second}, Families: new([]string{"IPv6", "IPv4"}),
			ExtendedNextHop: new(true), Role: new("RouteServer"), StrictRole: new(true), AnyFirstAS: new(true),
			Blackhole: new(false), ReflectForeign: new(true)}}},
		{`filters: []
			password: {file: f}
			sourceAddress: UseNodeIP
			multihop: 1
			ttlSecurity: 0
			holdTime: 0s
			longLivedRestartTime: 0s
			addPath: {send: '2'}
			maxPrefixes: {limit: 0}
			role: None`, &BGPPeerGroup{Meta: meta(KindBGPPeerGroup, "x"), Settings: SessionSettings{
			Filters: new([]string{}), Password: &SecretRef{File: "f"}, SourceAddress: &SourceAddress{}, Multihop: new(uint8(1)),
			TTLSecurity: new(uint8(0)), HoldTime: new(time.Duration(0)), LongLived: new(time.Duration(0)), AddPathSend: new(2),
			MaxPrefixes: &MaxPrefixes{}, Role: new("")}}},
		{"sourceAddress: None\naddPath: {send: Best}\nfamilies: []", &BGPPeerGroup{Meta: meta(KindBGPPeerGroup, "x"), Settings: SessionSettings{
			SourceAddress: &SourceAddress{None: true}, AddPathSend: new(1)}}},
		{"peerRange: 10.0.0.0/8\nrangeLimit: 3\nasNumber: external\npeerGroup: g", &BGPPeer{Meta: meta(KindBGPPeer, "x"),
			PeerRange: netip.MustParsePrefix("10.0.0.0/8"), RangeLimit: 3, AnyExternalAS: true, Group: "g"}},
		{"peerIP: 10.0.0.1\nasNumber: 1\nkeepOriginalNextHop: true\nshutdown: true\nshutdownMessage: moved", &BGPPeer{Meta: meta(KindBGPPeer, "x"),
			PeerIP: netip.MustParseAddr("10.0.0.1"), ASNumber: 1, Shutdown: true, ShutdownMessage: "moved",
			Settings: SessionSettings{NextHopMode: new(NextHopKeep)}}},
		{`nodeMeshPassword: {file: f}
			nodeMeshMaxRestartTime: 1m
			maxPaths: 4
			sessionDefaults: {holdTime: 3s}
			communities: [{name: a, value: '1:2'}, {name: no-export, value: '1:2:3'}]
			prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [a, no-export, '3:4', blackhole]}, {cidr: 'fd00::/8'}]`,
			&BGPConfiguration{Meta: meta(KindBGPConfiguration, "default"), NodeToNodeMesh: true, MeshPassword: &SecretRef{File: "f"},
				MeshRestartTime: time.Minute, MaxPaths: 4, Sessions: SessionSettings{HoldTime: new(3 * time.Second)},
				Communities: []PrefixCommunities{
					{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Standard: []uint32{1<<16 | 2, 3<<16 | 4, 0xffff029a}, Large: [][3]uint32{{1, 2, 3}}},
					{Prefix: netip.MustParsePrefix("fd00::/8")}}}},
		{`importV4: [{action: Accept, matchOperator: NotIn, cidr: 10.0.0.0/8, prefixLength: {min: 9}}]
			importV6: [{action: Reject, source: RemotePeers, interface: 'eth*', peerType: iBGP}]
			exportV4: [{action: Reject}]
			exportV6: [{action: Accept, communities: {values: ['1:2:3']}, asPathPrefix: [23456], priority: 4, operations: [
			{prependASPath: {prefix: [1, 2]}}, {addCommunity: {value: no-export}}, {prependASPath: {prefix: [3]}},
			{setPriority: {value: 5}}, {addCommunity: {value: no-export}}, {setPriority: {value: 6}}]}]`,
			&BGPFilter{Meta: meta(KindBGPFilter, "x"),
				ImportV4: []FilterRule{{Accept: true, MatchOperator: "NotIn", Prefix: netip.MustParsePrefix("10.0.0.0/8"), MinLength: new(9)}},
				ImportV6: []FilterRule{{RemotePeers: true, Interface: "eth*", PeerType: "iBGP"}},
				ExportV4: []FilterRule{{}},
				ExportV6: []FilterRule{{Accept: true, Communities: []CommunityValue{{Large: true, Value: [3]uint32{1, 2, 3}}},
					ASPath: []uint32{23456}, Priority: new(4), Prepend: []uint32{3, 1, 2}, SetPriority: new(6),
					AddCommunities: []CommunityValue{{Value: [3]uint32{0xffffff01}}}}}}},
		{"stringData: {a: b}\ndata: {a: x, c: ZA==}", &Secret{Meta: meta(KindSecret, "x"),
			Data: map[string]SecretValue{"a": SecretValue("b"), "c": SecretValue("d")}}},
	} {
		id := test.want.Metadata().ID
		spec := strings.ReplaceAll(strings.ReplaceAll(test.spec, "[\n", "["), ",\n", " ,")
		got, problems := check(t, object(id.Kind, id.Name, spec))
		if problems != "" {
			t.Errorf("%s {%s}: %s", id.Kind, test.spec, problems)
			continue
		}
		ips := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
		if diff := cmp.Diff(test.want, got, ips); diff != "" {
			t.Errorf("%s {%s} (-want +got):\n%s", id.Kind, test.spec, diff)
		}
	}
}

// TestSecretDoesNotPrint: whoever prints or logs a checked Secret tells nothing.
func TestSecretDoesNotPrint(t *testing.T) {
	s := Secret{Data: map[string]SecretValue{"a": SecretValue("the value")}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "the value") {
			t.Errorf("%s: %s", format, text)
		}
	}
}
