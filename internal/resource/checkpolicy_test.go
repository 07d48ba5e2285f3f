package resource

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestBadPolicy(t *testing.T) {
	testBad(t, KindGlobalNetworkPolicy, []badSpec{
		{"", "doNotTrack: true\npreDNAT: true\napplyOnForward: true", "spec.preDNAT: cannot be together with spec.doNotTrack"},
		{"", "preDNAT: true\napplyOnForward: true\negress: [{action: Allow}]", "spec.egress: must be empty when spec.preDNAT is true"},
		{"", "preDNAT: true\napplyOnForward: true\ntypes: [Egress]", "spec.types[0]: must not be Egress when spec.preDNAT is true"},
		{"", "preDNAT: true", "spec.applyOnForward: must be true when spec.doNotTrack or spec.preDNAT is"},
		{"", "doNotTrack: true\napplyOnForward: false", "spec.applyOnForward: must be true"},
		{"", "types: [ingress, Egress, Egress]", `spec.types[0]: "ingress" is none of Ingress, Egress
			spec.types[2]: "Egress" is listed twice`},
		{"", "types: [ingress]", `spec.types[0]: "ingress" is none of Ingress, Egress`},
		{"", "types: [Egress, Egress]", `spec.types[1]: "Egress" is listed twice`},
		{"", "selector: global()\nnamespaceSelector: global()\nserviceAccountSelector: has(", `
			spec.selector: global() has no meaning here
			spec.serviceAccountSelector: column 5: expected a label, found the end
			spec.namespaceSelector: global() has no meaning here`},
		{"", "selector: '" + strings.Repeat("a", 1025) + "'", "spec.selector: 1025 characters long, at most 1024"},
		{"", "tier: a.b", `spec.tier: "a.b" is not a DNS label`},
		{"a.b", "", `metadata.name: "a.b" is the name of a policy in tier a, but spec.tier is default`},
		{"default.a", "tier: b", `metadata.name: "default.a" is the name of a policy in tier default, but spec.tier is b`},
		{"default.a.b.c", "tier: b", `metadata.name: "default.a.b.c" is the name of a policy in tier default`},
		{"knp.default.a", "tier: b", `metadata.name: "knp.default.a" is the name of a policy in tier default`},
		{"kcnp.kube-admin.a", "", `metadata.name: "kcnp.kube-admin.a" is the name of a policy in tier kube-admin`},
		{"kcnp.kube-baseline.a", "", `metadata.name: "kcnp.kube-baseline.a" is the name of a policy in tier kube-baseline`},
		{"Policy", "", `metadata.name: "Policy" is not a DNS name`},
		{"", "performanceHints: [AssumeNeededOnEveryNode, x, AssumeNeededOnEveryNode]", `
			spec.performanceHints[1]: "x" is not AssumeNeededOnEveryNode
			spec.performanceHints[2]: "AssumeNeededOnEveryNode" is listed twice`},
		{"", "ingress: [" + strings.Repeat("{action: Deny}, ", 1025) + "]", "spec.ingress: 1025 rules, at most 1024 are allowed"},
	})
	testBad(t, KindStagedGlobalNetworkPolicy, []badSpec{
		{"", "stagedAction: Learn", "spec.stagedAction: not supported yet, only Set or Delete is (unsupported)"},
		{"", "stagedAction: set", `spec.stagedAction: "set" is none of Set, Delete, Learn, Ignore`},
		{"security.a", "tier: security\nstagedAction: Delete\norder: 1\nselector: a\ningress: [{}]\ntypes: [X]", `
			spec.selector: column 2
			spec.order: must be empty when spec.stagedAction is Delete
			spec.selector: must be empty when spec.stagedAction is Delete
			spec.types: must be empty when spec.stagedAction is Delete
			spec.ingress: must be empty when spec.stagedAction is Delete`},
	})
	_, err := Check(&vrouterv1.NetworkPolicy{Metadata: &vrouterv1.Metadata{Name: proto.String("x")},
		Spec: &vrouterv1.NetworkPolicySpec{Order: proto.Float64(math.NaN())}})
	if got := problemLines(err); got != "spec.order: not a number\n" {
		t.Errorf("an order that is no number: %s", got)
	}
}

// TestBadRule: an ingress rule of a policy in a namespace, and what is wrong
// with it, each path below the rule.
func TestBadRule(t *testing.T) {
	many := func(n int, format string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(format, i>>8, i&0xff))
		}
		return strings.Join(list, ", ")
	}
	for _, test := range []struct{ rule, want string }{
		{"", ".action: one of Allow, Deny, Log, Pass is needed"},
		{"action: allow", `.action: "allow" is none of Allow, Deny, Log, Pass`},
		{"action: Allow, ipVersion: 5", ".ipVersion: 5 is neither 4 nor 6"},
		{"action: Allow, protocol: 0", ".protocol: 0 is not a protocol"},
		{"action: Allow, protocol: TCPP, notProtocol: 256", `
			.protocol: "TCPP" is none of TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number
			.notProtocol: 256 is not between 0 and 255`},
		{"action: Allow, ipVersion: 6, protocol: ICMP", ".ipVersion: 6, but protocol ICMP is of version 4"},
		{"action: Allow, ipVersion: 4, notProtocol: 58", ".ipVersion: 4, but notProtocol ICMPv6 is of version 6"},
		{"action: Allow, icmp: {type: 8}", ".icmp: needs protocol ICMP or ICMPv6"},
		{"action: Allow, protocol: TCP, notICMP: {type: 8}", ".notICMP: needs protocol ICMP or ICMPv6"},
		{"action: Allow, protocol: ICMP, icmp: {code: 1}", ".icmp.type: is needed with a code"},
		{"action: Allow, protocol: ICMP, icmp: {type: 255, code: 256}", `
			.icmp.type: 255 is not between 0 and 254
			.icmp.code: 256 is not between 0 and 255`},
		{"action: Allow, protocol: ICMPv6, icmp: {type: -1}", ".icmp.type: -1 is not between 0 and 254"},
		{"action: Allow, source: {ports: [80]}", ".source.ports: need protocol TCP, UDP or SCTP"},
		{"action: Allow, protocol: UDPLite, source: {notPorts: [80]}, destination: {ports: [a], notPorts: [b]}", `
			.source.notPorts: need protocol TCP, UDP or SCTP, not UDPLite
			.destination.ports: need protocol TCP, UDP or SCTP, not UDPLite
			.destination.notPorts: need protocol TCP, UDP or SCTP, not UDPLite`},
		{"action: Allow, protocol: 47, source: {ports: [80]}", ".source.ports: need protocol TCP, UDP or SCTP, not 47"},
		{"action: Allow, protocol: x, source: {ports: [80]}", ".protocol: "},
		{"action: Allow, protocol: TCP, source: {ports: [0, 65536, 80.5, '90:80', '1:2:3', 'a:b', ':', '', 'a b', '080']}", `
			.source.ports[0]: 0 is not a port
			.source.ports[1]: 65536 is not between 0 and 65535
			.source.ports[2]: 80.5 is not a whole number
			.source.ports[3]: range "90:80" ends before it begins
			.source.ports[4]: range "1:2:3": "2:3" is not a decimal number
			.source.ports[5]: range "a:b": "a" is not a decimal number
			.source.ports[6]: range ":": "" is not a decimal number
			.source.ports[7]: neither a number nor FIRST:LAST, and as a name: "" is not a name
			.source.ports[8]: neither a number nor FIRST:LAST, and as a name: "a b" is not a name
			.source.ports[9]: "080" is not a decimal number`},
		{"action: Allow, protocol: TCP, source: {ports: ['" + strings.Repeat("a", 129) + "']}", ".source.ports[0]: neither a number"},
		{"action: Allow, protocol: TCP, source: {ports: [" + many(51, "1%d%d") + "]}", ".source.ports: 51 ports, at most 50 are allowed"},
		{"action: Allow, source: {nets: [" + many(257, "10.0.%d.%d") + "]}", ".source.nets: 257 networks, at most 256 are allowed"},
		{"action: Allow, source: {nets: [10.0.0.1/24, x], notNets: ['fd00::/129']}", `
			.source.nets[0]: 10.0.0.1/24 has bits set beyond its prefix length; the range is 10.0.0.0/24
			.source.nets[1]: "x" is not an IP address
			.source.notNets[0]: "fd00::/129" is not an address`},
		{"action: Allow, ipVersion: 4, source: {nets: ['fd00::/64']}", ".source.nets: fd00::/64 is not of IP version 4, which the rule is for"},
		{"action: Allow, protocol: ICMPv6, icmp: {type: 128}, source: {notNets: [10.0.0.0/8]}", ".source.notNets: 10.0.0.0/8 is not of IP version 6"},
		{"action: Allow, source: {nets: ['fd00::/64']}, destination: {notNets: [10.0.0.0/8, 10.1.0.0/16]}",
			".destination.notNets: fd00::/64 and 10.0.0.0/8 are of different families"},
		{"action: Allow, source: {selector: global(), notSelector: 'a =='}", `
			.source.notSelector: column 5: expected a quoted string, found the end
			.source.selector: global() has no meaning here`},
		{"action: Allow, source: {namespaceSelector: '!global()'}", ".source.namespaceSelector: global() cannot be combined with anything"},
		{"action: Allow, source: {namespaceSelector: 'global() || has(a)'}", ".source.namespaceSelector: global() cannot be combined with anything"},
		{"action: Allow, source: {serviceAccounts: {names: [A], selector: '('}}", `
			.source.serviceAccounts.names[0]: "A" is not a DNS name
			.source.serviceAccounts.selector: column 2`},
		{"action: Allow, destination: {services: {name: a}}", ".destination.services: services can only be the source of an ingress rule"},
		{"action: Allow, source: {services: {namespace: a}}", ".source.services.name: must not be empty"},
		{"action: Allow, source: {services: {name: a}, selector: all(), notSelector: all(), namespaceSelector: all(), nets: [10.0.0.0/8], notNets: [10.1.0.0/16], serviceAccounts: {names: [b]}}", `
			.source.selector: cannot be together with services
			.source.notSelector: cannot be together with services
			.source.namespaceSelector: cannot be together with services
			.source.nets: cannot be together with services
			.source.notNets: cannot be together with services
			.source.serviceAccounts: cannot be together with services`},
		{"action: Allow, http: {methods: [GET]}", ".http: not supported yet (unsupported)"},
		{"action: Allow, http: {paths: [{prefix: /a}]}", ".http: not supported yet (unsupported)"},
		{"action: Allow, metadata: {annotations: {'/': b}}", ".metadata.annotations[/]: key: "},
	} {
		var want []string
		for line := range strings.SplitSeq(strings.TrimSpace(test.want), "\n") {
			want = append(want, "spec.ingress[0]"+strings.TrimSpace(line))
		}
		testBad(t, KindNetworkPolicy, []badSpec{{"", "ingress: [{" + test.rule + "}]", strings.Join(want, "\n")}})
	}
	testBad(t, KindGlobalNetworkPolicy, []badSpec{
		{"", "egress: [{action: Allow, source: {services: {name: a, namespace: b}}, destination: {services: {name: c}}}]", `
			spec.egress[0].destination.services.namespace: is needed
			spec.egress[0].source.services: services can only be the destination of an egress rule`},
		{"", "egress: [{action: Allow, protocol: TCP, destination: {services: {name: a, namespace: b}, ports: [1], notPorts: [2]}}]", `
			spec.egress[0].destination.ports: cannot be together with services, which have their own
			spec.egress[0].destination.notPorts: cannot be together with services, which have their own`},
	})
	testBad(t, KindProfile, []badSpec{
		{"", "egress: [{}]\nlabelsToApply: {'a b': c}", `
			spec.labelsToApply[a b]: key: "a b" is not a label
			spec.egress[0].action: one of Allow, Deny, Log, Pass is needed`},
	})
}

func TestBadTier(t *testing.T) {
	testBad(t, KindTier, []badSpec{
		{"a.b", "", `metadata.name: "a.b" is not a DNS label`},
		{strings.Repeat("a", 64), "", "metadata.name: 64 bytes long, at most 63"},
		{"", "defaultAction: Allow", `spec.defaultAction: "Allow" is none of Deny, Pass`},
		{"default", "defaultAction: Pass", "spec.defaultAction: the default action of tier default is always Deny"},
		{"default", "order: 1", "spec.order: the order of tier default is always 1000000"},
		{"kube-admin", "defaultAction: Deny\norder: 1001", `
			spec.order: the order of tier kube-admin is always 1000
			spec.defaultAction: the default action of tier kube-admin is always Pass`},
		{"kube-baseline", "order: 0", "spec.order: the order of tier kube-baseline is always 10000000"},
	})
}

func TestBadEndpointsAndSets(t *testing.T) {
	testBad(t, KindHostEndpoint, []badSpec{
		{"", "", `
			spec.node: must not be empty
			spec.interfaceName: a name, "*" or spec.expectedIPs is needed`},
		{"", "node: n\ninterfaceName: eth*0/1", `spec.interfaceName: "eth*0/1" holds '/'`},
		{"", "node: n\nexpectedIPs: [10.0.0.0/8, 10.0.0.1, 10.0.0.1]", `
			spec.expectedIPs[0]: "10.0.0.0/8" is not an IP address
			spec.expectedIPs[2]: 10.0.0.1 is listed twice`},
		{"", "node: n\ninterfaceName: '*'\nprofiles: ['']\nports: [{port: 1, protocol: ICMP}, {name: b, port: 65536}]", `
			spec.profiles[0]: "" is not a name
			spec.ports[0].name: "" is not a name
			spec.ports[0].protocol: "ICMP" is none of TCP, UDP, SCTP, or a number
			spec.ports[1].port: 65536 is not a port
			spec.ports[1].protocol: TCP, UDP, SCTP, or a number is needed`},
		{"x, labels: {projectcalico.org/namespace: a}", "node: n\ninterfaceName: '*'",
			"metadata.labels[projectcalico.org/namespace]: is not for a HostEndpoint to have"},
	})
	testBad(t, KindGlobalNetworkSet, []badSpec{
		{"x, labels: {projectcalico.org/namespace: a}", "nets: [a, '::ffff:10.0.0.0/104']", `
			metadata.labels[projectcalico.org/namespace]: is not for a GlobalNetworkSet to have
			spec.nets[0]: "a" is not an IP address
			spec.nets[1]: "::ffff:10.0.0.0/104" is an IPv4 address mapped`},
	})
	testBad(t, KindService, []badSpec{
		{"", "addresses: [x]\nports: [{port: 0}, {name: a, port: 1, targetPort: 65536, protocol: 47}, {name: a, port: 2}]\nbackends: [{node: A, ports: [{}]}]", `
			spec.addresses[0]: "x" is not an IP address
			spec.ports[0].name: "" is not a name
			spec.ports[0].port: 0 is not a port
			spec.ports[1].protocol: 47 has no ports
			spec.ports[1].targetPort: 65536 is not a port
			spec.ports[2].name: "a" is listed twice
			spec.backends[0].address: "" is not an IP address
			spec.backends[0].node: "A" is not a DNS name
			spec.backends[0].ports[0].port: 0 is not a port
			spec.backends[0].ports[0].protocol: TCP, UDP, SCTP, or a number is needed`},
	})
}

// TestCheckedPolicies: what the engine sees of good objects.
func TestCheckedPolicies(t *testing.T) {
	meta := func(kind Kind, name string) Meta { return Meta{ID: ID{Kind: kind, Name: name}} }
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	code := uint8(1)
	for _, test := range []struct {
		name, spec string
		want       Object
	}{
		{"t", "", &Tier{Meta: meta(KindTier, "t"), Order: NoOrder(), DefaultAction: ActionDeny}},
		{"kube-admin", "", &Tier{Meta: meta(KindTier, "kube-admin"), Order: 1000, DefaultAction: ActionPass}},
		{"default.x", "order: -1.5\ndoNotTrack: true\napplyOnForward: true\negress: [{action: Log}]", &Policy{
			Meta: meta(KindGlobalNetworkPolicy, "x"), Tier: "default", Order: -1.5, Selector: selector.All(), EgressType: true,
			Egress: []Rule{{Action: ActionLog}}, DoNotTrack: true, ApplyOnForward: true}},
		{"x", "tier: y\ntypes: [Egress, Ingress]", &Policy{Meta: meta(KindGlobalNetworkPolicy, "x"), Tier: "y", Order: NoOrder(),
			Selector: selector.All(), IngressType: true, EgressType: true}},
		{"x", "stagedAction: Delete", &Policy{Meta: meta(KindStagedGlobalNetworkPolicy, "x"), Tier: "default", Order: NoOrder(),
			Selector: selector.All(), Staged: StagedDelete}},
		{"x", "ingress: [{action: Pass, protocol: icmpv6, notICMP: {type: 1, code: 1}, source: {nets: ['fd00::1', 'fd00::1/128']}}]\nlabelsToApply: {a: b}",
			&Profile{Meta: meta(KindProfile, "x"), LabelsToApply: map[string]string{"a": "b"}, Ingress: []Rule{{
				Action: ActionPass, IPVersion: 6, Protocol: 58, NotICMP: &ICMP{Type: 1, Code: &code},
				Source: Entity{Nets: []netip.Prefix{prefix("fd00::1/128")}}}}}},
		{"x", "egress: [{action: Deny, protocol: 132, destination: {ports: ['1:1', '1:65535', 7, x.y]}}]",
			&Profile{Meta: meta(KindProfile, "x"), Egress: []Rule{{Action: ActionDeny, Protocol: 132, Destination: Entity{
				Ports: []Port{{First: 1, Last: 1}, {First: 1, Last: 65535}, {First: 7, Last: 7}, {Name: "x.y"}}}}}}},
		{"x", "nets: [10.0.0.1, 10.1.2.3/8, 10.0.0.1/32]", &NetworkSet{Meta: meta(KindGlobalNetworkSet, "x"),
			Nets: []netip.Prefix{prefix("10.0.0.1/32"), prefix("10.0.0.0/8")}}},
		{"x", "node: n\ninterfaceName: '*'\nexpectedIPs: [10.0.0.1]\nports: [{name: a, protocol: '17', port: 53}]", &HostEndpoint{
			Meta: meta(KindHostEndpoint, "x"), Node: "n", Interface: AnyInterface, Expected: []netip.Addr{addr("10.0.0.1")},
			Ports: []EndpointPort{{Name: "a", Protocol: 17, Port: 53}}}},
		{"x", "ports: [{port: 80, targetPort: 8080}]\nbackends: [{address: 10.0.0.1}, {address: 10.0.0.2, ready: false, node: n, ports: [{protocol: UDP, port: 1}]}]",
			&Service{Meta: Meta{ID: ID{Kind: KindService, Namespace: "default", Name: "x"}},
				Ports: []ServicePort{{Protocol: 6, Port: 80, Target: 8080}},
				Backends: []Backend{
					{Address: addr("10.0.0.1"), Ready: true, Ports: []EndpointPort{{Protocol: 6, Port: 8080}}},
					{Address: addr("10.0.0.2"), Node: "n", Ports: []EndpointPort{{Protocol: 17, Port: 1}}}}}},
	} {
		kind := test.want.Metadata().Kind
		got, problems := check(t, object(kind, test.name, test.spec))
		if problems != "" {
			t.Errorf("%s {%s}: %s", kind, test.spec, problems)
			continue
		}
		options := cmp.Options{cmp.Transformer("text", text),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
		if diff := cmp.Diff(test.want, got, options); diff != "" {
			t.Errorf("%s {%s} (-want +got):\n%s", kind, test.spec, diff)
		}
	}
}

// TestBuiltIn: what is always there is canonical and passes its own checks.
func TestBuiltIn(t *testing.T) {
	var names []string
	for _, kind := range Kinds() {
		for _, msg := range BuiltIn(kind) {
			again := proto.Clone(msg)
			Canonicalize(again)
			if _, err := Check(msg); err != nil || !proto.Equal(msg, again) || !IsBuiltIn(IDOf(msg)) {
				t.Errorf("%v: %v", msg, err)
			}
			names = append(names, IDOf(msg).String())
		}
	}
	want := []string{"Tier/default", "Tier/kube-admin", "Tier/kube-baseline", "Profile/projectcalico-default-allow"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPolicyNames: in the tier default a policy has one identity under both names.
func TestPolicyNames(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", "default.a": "a", "knp.default.a": "knp.default.a", "t.a": "t.a", "default.a.b": "default.a.b", "default": "default",
	} {
		if id, err := FindID(KindNetworkPolicy, "ns", name); err != nil || id.Name != want {
			t.Errorf("%s is found as %s, %v", name, id, err)
		}
	}
}
