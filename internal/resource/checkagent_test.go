package resource

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// agentSettings reads an AgentConfiguration and returns what it says, and what
// is wrong with it, whether or not it is built.
func agentSettings(t *testing.T, name, spec string) (AgentSettings, string) {
	t.Helper()
	m, err := FromJSON([]byte(object(KindAgentConfiguration, name, spec)))
	if err != nil {
		t.Fatalf("%v\n%s", err, spec)
	}
	Canonicalize(m.Message)
	checkSame(t, m.Message)
	var p problems
	c := p.agent(Meta{ID: ID{Name: name}}, m.Message.(*vrouterv1.AgentConfiguration).GetSpec())
	p.list = slices.DeleteFunc(p.list, func(q Problem) bool { return q.Unsupported })
	return c.Settings, problemLines(p.invalid())
}

func TestAgentSettings(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		spec string
		want AgentSettings
	}{
		{"", AgentSettings{}},
		{"defaultEndpointToHostAction: RETURN", AgentSettings{ToHost: new(ActionPass)}},
		{"defaultEndpointToHostAction: accept\nchainInsertMode: Append", AgentSettings{ToHost: new(ActionAllow)}},
		{"failsafeInboundHostPorts: []", AgentSettings{FailsafeInbound: &[]Failsafe{}}},
		{"failsafeOutboundHostPorts: [{port: 1}, {protocol: udp, port: 65535, net: 10.1.2.3/8}]", AgentSettings{FailsafeOutbound: &[]Failsafe{
			{Protocol: 6, Port: 1}, {Protocol: 17, Port: 65535, Net: netip.MustParsePrefix("10.0.0.0/8")}}}},
		{"iptablesFilterAllowAction: return\nnftablesMangleAllowAction: Accept\niptablesFilterDenyAction: Reject\nnftablesFilterDenyAction: reject",
			AgentSettings{Reject: &yes}},
		{"workloadSourceSpoofing: Any\nnatOutgoingExclusions: IPPoolsAndHostIPs", AgentSettings{Spoofing: &yes, NATSpareNodes: &yes}},
		{"natPortRange: '32768:65535'\nnatOutgoingAddress: 192.0.2.1\nnatOutgoingAddressIPv6: '2001:DB8::1'\niptablesNATOutgoingInterfaceFilter: eth+", AgentSettings{
			NATPorts: &Port{First: 32768, Last: 65535}, NATAddress: new(netip.MustParseAddr("192.0.2.1")),
			NATAddress6: new(netip.MustParseAddr("2001:db8::1")), NATInterface: new("eth+")}},
		{"interfacePrefix: 'cali,tap'\niptablesMarkMask: 4294901760\nremoveExternalRoutes: false", AgentSettings{
			InterfacePrefixes: &[]string{"cali", "tap"}, MarkMask: new(uint32(0xffff0000))}},
		{"defaultProfile: projectcalico-default-allow\ncutDeniedConnections: true\nacceptInForeignChains: false\nallowDNSFromWorkloads: true", AgentSettings{
			DefaultProfile: new(DefaultAllow), CutDenied: &yes, AcceptInForeignChains: &no, AllowDNS: &yes}},
		{"disableConntrackInvalidCheck: true\nallowVXLANPacketsFromWorkloads: true\nallowIPIPPacketsFromWorkloads: true\nallowDHCPFromWorkloads: true\nallowMetadataFromWorkloads: true",
			AgentSettings{KeepInvalid: &yes, AllowVXLAN: &yes, AllowIPIP: &yes, AllowDHCP: &yes, AllowMetadata: &yes}},
	} {
		got, problems := agentSettings(t, "default", test.spec)
		if problems != "" {
			t.Errorf("{%s}: %s", test.spec, problems)
		}
		ips := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
		if diff := cmp.Diff(test.want, got, ips); diff != "" {
			t.Errorf("{%s} (-want +got):\n%s", test.spec, diff)
		}
	}
}

// TestAgentSettingsOver: each setting is that of the node, else of the cluster.
func TestAgentSettingsOver(t *testing.T) {
	for i := range reflect.TypeFor[AgentSettings]().NumField() {
		var node, cluster, none AgentSettings
		field := func(s *AgentSettings) reflect.Value { return reflect.ValueOf(s).Elem().Field(i) }
		field(&node).Set(reflect.New(field(&node).Type().Elem()))
		field(&cluster).Set(reflect.New(field(&node).Type().Elem()))
		for _, test := range []struct{ over, under, want AgentSettings }{
			{node, cluster, node}, {node, none, node}, {none, cluster, cluster}, {none, none, none},
		} {
			if got := test.over.Over(test.under); got != test.want {
				t.Errorf("%s: %v", reflect.TypeFor[AgentSettings]().Field(i).Name, got)
			}
		}
	}
}

func TestBadAgentSettings(t *testing.T) {
	for _, test := range []struct{ name, spec, want string }{
		{"x", "", `metadata.name: "x" is neither "default" nor node.NAME`},
		{"default", "defaultEndpointToHostAction: Pass\nchainInsertMode: top\nworkloadSourceSpoofing: All\nnatOutgoingExclusions: None", `
			spec.defaultEndpointToHostAction: "Pass" is none of Drop, Return, Accept
			spec.chainInsertMode: "top" is neither Insert nor Append
			spec.workloadSourceSpoofing: "All" is neither Disabled nor Any
			spec.natOutgoingExclusions: "None" is neither IPPoolsOnly nor IPPoolsAndHostIPs`},
		{"default", "iptablesFilterAllowAction: Drop\niptablesFilterDenyAction: Drop\nnftablesFilterDenyAction: Reject", `
			spec.iptablesFilterAllowAction: "Drop" is neither Accept nor Return
			spec.nftablesFilterDenyAction: "Reject", but spec.iptablesFilterDenyAction is "Drop"`},
		{"default", "failsafeInboundHostPorts: [{}, {protocol: ICMP, port: 65536, net: x}, {protocol: '47', port: 1}]", `
			spec.failsafeInboundHostPorts[0].port: 0 is not a port
			spec.failsafeInboundHostPorts[1].protocol: "ICMP" is none of
			spec.failsafeInboundHostPorts[1].port: 65536 is not a port
			spec.failsafeInboundHostPorts[1].net: "x" is not an IP address
			spec.failsafeInboundHostPorts[2].protocol: "47" is none of TCP, UDP, SCTP`},
		{"default", "natPortRange: http\nnatOutgoingAddress: 'fd00::1'\nnatOutgoingAddressIPv6: 127.0.0.1\niptablesNATOutgoingInterfaceFilter: a/b", `
			spec.natPortRange: "http" is not a range of ports
			spec.natOutgoingAddress: fd00::1 is not an IPv4 address
			spec.natOutgoingAddressIPv6: 127.0.0.1 is not an IPv6 address
			spec.iptablesNATOutgoingInterfaceFilter: "a/b" holds '/'`},
		{"default", "interfacePrefix: 'a,,b'\niptablesMarkMask: 127\nnftablesMarkMask: 255\ndefaultProfile: 'a b'", `
			spec.interfacePrefix: must not be empty
			spec.iptablesMarkMask: 0x7f has fewer than 8 bits
			spec.nftablesMarkMask: 0xff, but spec.iptablesMarkMask is 0x7f
			spec.defaultProfile: "a b" is not a name`},
	} {
		_, got := agentSettings(t, test.name, test.spec)
		var want []string
		for line := range strings.SplitSeq(strings.TrimSpace(test.want), "\n") {
			want = append(want, strings.TrimSpace(line))
		}
		lines := strings.Split(strings.TrimSpace(got), "\n")
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("{%s}\ngot:\n%swant:\n%s", test.spec, got, test.want)
		}
	}
}

// TestUnbuiltAgentFields: what nothing does is refused, unless it asks for no
// more than is done, and every field that is listed is a field.
func TestUnbuiltAgentFields(t *testing.T) {
	fields := (&vrouterv1.AgentConfigurationSpec{}).ProtoReflect().Descriptor().Fields()
	for _, list := range []map[string][]string{unbuiltAgentFields(), foreignAgentFields()} {
		for name := range list {
			if fields.ByJSONName(name) == nil {
				t.Errorf("there is no field %s", name)
			}
		}
	}
	testBad(t, KindAgentConfiguration, []badSpec{
		{"default", "bpfEnabled: true\nbpfLogLevel: Debug\nvxlanMTU: 1400\nexternalNodesList: [10.0.0.1]\nwireguardEnabled: false\nkubeNodePortRanges: [1]", `
			spec.vxlanMTU: not supported yet (unsupported)
			spec.bpfEnabled: not supported yet, only false is (unsupported)
			spec.bpfLogLevel: not supported yet, only Off is (unsupported)
			spec.externalNodesList: not supported yet (unsupported)
			spec.kubeNodePortRanges: not supported yet (unsupported)`},
		{"default", "ipv6Support: false\nuseInternalDataplaneDriver: false\nchainInsertMode: Append\niptablesFilterAllowAction: Accept\nremoveExternalRoutes: true", `
			spec.chainInsertMode: not supported yet, only Insert is (unsupported)
			spec.iptablesFilterAllowAction: not supported yet, only Return is (unsupported)
			spec.removeExternalRoutes: not supported yet, only false is (unsupported)
			spec.useInternalDataplaneDriver: not supported yet, only true is (unsupported)
			spec.ipv6Support: not supported yet, only true is (unsupported)`},
		{"default", "serviceLoopPrevention: Reject\nnftablesMangleAllowAction: drop", `
			spec.nftablesMangleAllowAction: "drop" is neither Accept nor Return
			spec.serviceLoopPrevention: not supported yet, only Drop or Disabled is (unsupported)`},
	})
}
