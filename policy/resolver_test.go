package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// resolving is a resolver with what its updates add up to.
type resolving struct {
	*Resolver
	t     *testing.T
	state State
}

func newResolving(t *testing.T, node string, objects ...string) *resolving {
	r := &resolving{Resolver: NewResolver(node), t: t}
	r.put(objects...)
	return r
}

// put puts objects that are written KIND [NAMESPACE/]NAME [LABEL=VALUE ...]
// {SPEC}, and takes up what follows.
func (r *resolving) put(objects ...string) *Update {
	r.t.Helper()
	for _, text := range objects {
		r.Put(parseObject(r.t, text))
	}
	return r.drain()
}

func (r *resolving) delete(object string) *Update {
	r.t.Helper()
	r.Delete(parseObject(r.t, object).Metadata().ID)
	return r.drain()
}

func (r *resolving) drain() *Update {
	r.t.Helper()
	u := r.Drain()
	if err := r.state.Apply(u); err != nil {
		r.t.Fatal(err)
	}
	if err := r.state.Check(); err != nil {
		r.t.Fatal(err)
	}
	return u
}

func parseObject(t *testing.T, text string) resource.Object {
	t.Helper()
	head, spec, _ := strings.Cut(text, "{")
	words := strings.Fields(head)
	namespace, name, ok := strings.Cut(words[1], "/")
	if !ok {
		namespace, name = "", words[1]
	}
	yaml := fmt.Sprintf("apiVersion: vrouter/v1\nkind: %s\nmetadata:\n  name: %s\n", words[0], name)
	if words[0] == string(resource.KindWorkloadEndpoint) {
		yaml = fmt.Sprintf("apiVersion: vrouter/v1\nkind: %s\nmetadata:\n", words[0])
		spec = fmt.Sprintf("orchestrator: k8s, workload: %s, endpoint: eth0, %s", name, spec)
		if !strings.Contains(spec, "node:") {
			spec = "node: n1, " + spec
		}
		if !strings.Contains(spec, "interfaceName:") {
			spec = "interfaceName: cali" + name + ", " + spec
		}
	}
	if namespace != "" {
		yaml += "  namespace: " + namespace + "\n"
	}
	yaml += "  labels: {" + strings.ReplaceAll(strings.Join(words[2:], ", "), "=", ": ") + "}\n"
	if spec != "" {
		yaml += "spec: {" + spec + "\n"
	}
	manifests, err := resource.ReadManifests("test", []byte(yaml))
	if err != nil {
		t.Fatalf("%s\n%v", yaml, err)
	}
	obj, err := resource.Check(manifests[0].Message)
	if err != nil {
		t.Fatalf("%s\n%v", yaml, err)
	}
	return obj
}

// endpoint returns the pipelines of a workload of namespace x.
func (r *resolving) endpoint(workload string) (ingress, egress string) {
	r.t.Helper()
	e := r.state.Endpoints[resource.EndpointID{Namespace: "x", Orchestrator: "k8s", Workload: workload, Endpoint: "eth0"}]
	if e == nil {
		return "absent", "absent"
	}
	return renderPipeline(r.state.Pipelines[e.Ingress]), renderPipeline(r.state.Pipelines[e.Egress])
}

func (r *resolving) want(workload, ingress, egress string) {
	r.t.Helper()
	gotIn, gotOut := r.endpoint(workload)
	if gotIn != ingress {
		r.t.Errorf("ingress of %s:\n got %s\nwant %s", workload, gotIn, ingress)
	}
	if gotOut != egress {
		r.t.Errorf("egress of %s:\n got %s\nwant %s", workload, gotOut, egress)
	}
}

func (r *resolving) problems() string {
	var list []string
	for _, p := range r.Problems() {
		list = append(list, p.String())
	}
	return strings.Join(list, "\n")
}

func TestResolverOrder(t *testing.T) {
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w role=web {}",
		"Tier last {}",
		"Tier first {order: 5}",
		"Tier same {order: 5, defaultAction: Pass}",
		"Tier empty {order: 1}",
		"GlobalNetworkPolicy default.none {tier: default, types: [Ingress]}",
		"GlobalNetworkPolicy default.b {tier: default, order: 7, types: [Ingress]}",
		"NetworkPolicy x/default.b {tier: default, order: 7, types: [Ingress, Egress]}",
		"GlobalNetworkPolicy default.a {tier: default, order: 7, types: [Ingress]}",
		"GlobalNetworkPolicy default.early {tier: default, order: -1.5, types: [Ingress]}",
		"NetworkPolicy y/default.other {tier: default, order: 1}",
		"GlobalNetworkPolicy default.else {tier: default, order: 1, selector: role == 'db'}",
		"GlobalNetworkPolicy last.p {tier: last, types: [Ingress]}",
		"GlobalNetworkPolicy first.p {tier: first, types: [Egress]}",
		"GlobalNetworkPolicy same.p {tier: same}",
	)
	r.want("w",
		"same(same.p > Pass) default(early a b x/b none > Deny) last(last.p > Deny) > Deny",
		"first(first.p > Deny) default(x/b > Deny) > Deny")

	u := r.put("GlobalNetworkPolicy default.a {tier: default, order: 8, types: [Ingress]}")
	r.want("w", "same(same.p > Pass) default(early b x/b a none > Deny) last(last.p > Deny) > Deny",
		"first(first.p > Deny) default(x/b > Deny) > Deny")
	if len(u.Policies) != 0 || len(u.Pipelines) != 2 || len(u.Endpoints) != 1 {
		t.Errorf("another order told %d policies, %d pipelines, %d endpoints", len(u.Policies), len(u.Pipelines), len(u.Endpoints))
	}
	u = r.put("GlobalNetworkPolicy default.a {tier: default, order: 8, types: [Ingress], ingress: [{action: Allow}]}")
	if len(u.Policies) != 1 || len(u.Pipelines)+len(u.Endpoints)+len(u.Sets) != 0 {
		t.Errorf("another rule told %+v", u)
	}
	r.put("Tier first {order: 2000000}")
	r.want("w", "same(same.p > Pass) default(early b x/b a none > Deny) last(last.p > Deny) > Deny",
		"default(x/b > Deny) first(first.p > Deny) > Deny")
}

func TestResolverStaged(t *testing.T) {
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w {}",
		"Tier t {order: 1}",
		"StagedGlobalNetworkPolicy t.s {tier: t, ingress: [{action: Deny}]}",
		"StagedNetworkPolicy x/p {order: 3, types: [Ingress]}",
		"NetworkPolicy x/p {order: 3, types: [Ingress]}",
		"StagedNetworkPolicy x/gone {stagedAction: Delete}",
	)
	r.want("w", "t(t.s* > Pass) default(x/p x/p* > Deny) > Deny", "> Deny")
	for id, p := range r.state.Policies {
		if p.Staged != strings.HasPrefix(string(id.Kind), "Staged") {
			t.Errorf("%s: staged is %t", id, p.Staged)
		}
	}
	r.put("GlobalNetworkPolicy t.e {tier: t, types: [Ingress]}")
	r.want("w", "t(t.e t.s* > Deny) default(x/p x/p* > Deny) > Deny", "> Deny")
	r.put("StagedNetworkPolicy x/p {stagedAction: Delete}")
	r.want("w", "t(t.e t.s* > Deny) default(x/p > Deny) > Deny", "> Deny")
}

func TestResolverUnknownTier(t *testing.T) {
	r := newResolving(t, "n1", "WorkloadEndpoint x/w {}", "GlobalNetworkPolicy t.p {tier: t}")
	r.want("w", "> Deny", "> Deny")
	if got, want := r.problems(), "GlobalNetworkPolicy/t.p: inactive: there is no tier t"; got != want {
		t.Errorf("problems:\n%s\nwant\n%s", got, want)
	}
	r.put("Tier t {defaultAction: Pass}")
	r.want("w", "t(t.p > Pass) > Deny", "> Deny")
	r.delete("Tier t {}")
	r.want("w", "> Deny", "> Deny")
	r.delete("Tier default {}") // which is always there
	r.put("NetworkPolicy x/p {}")
	r.want("w", "default(x/p > Deny) > Deny", "> Deny")
}

func TestResolverProfiles(t *testing.T) {
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/w {profiles: [b, missing, a, projectcalico-default-allow]}",
		"WorkloadEndpoint x/plain {}",
		"Profile a {labelsToApply: {env: live, role: a}, egress: [{action: Pass}]}",
		"Profile b {labelsToApply: {role: b}}",
		"GlobalNetworkPolicy p {selector: role == 'b' && env == 'live'}",
	)
	r.want("w", "default(p > Deny) b a projectcalico-default-allow > Deny", "b a projectcalico-default-allow > Deny")
	r.want("plain", "> Deny", "> Deny")
	if got := r.problems(); !strings.HasSuffix(got, "there is no profile missing") || strings.Contains(got, "\n") {
		t.Errorf("problems:\n%s", got)
	}

	name := "a"
	r.Put(&resource.AgentConfiguration{
		Meta:     resource.Meta{ID: resource.ID{Kind: resource.KindAgentConfiguration, Name: "node.n1"}},
		Settings: resource.AgentSettings{DefaultProfile: &name},
	})
	r.drain()
	r.want("plain", "a > Deny", "a > Deny") // its rules alone: no labels
	r.delete("Profile a {}")
	r.want("plain", "> Deny", "> Deny")
	r.want("w", "b projectcalico-default-allow > Deny", "b projectcalico-default-allow > Deny")
	r.delete("Profile projectcalico-default-allow {}") // which is always there
	r.put("WorkloadEndpoint x/plain {profiles: [projectcalico-default-allow]}")
	r.want("plain", "projectcalico-default-allow > Deny", "projectcalico-default-allow > Deny")
}

func TestResolverLabels(t *testing.T) {
	r := newResolving(t, "n1",
		"Namespace x team=blue",
		"ServiceAccount x/sa grade=gold",
		"Profile prof {labelsToApply: {role: profile, zone: north}}",
		"WorkloadEndpoint x/w role=own {serviceAccountName: sa, profiles: [prof]}",
		"HostEndpoint h role=host {node: n1, interfaceName: eth0}",
	)
	for expression, want := range map[string]bool{
		"role == 'own'":                              true,
		"role == 'profile'":                          false,
		"zone == 'north'":                            true,
		"pcns.team == 'blue'":                        true,
		"pcns.projectcalico.org/name == 'x'":         true,
		"pcsa.grade == 'gold'":                       true,
		"projectcalico.org/namespace == 'x'":         true,
		"projectcalico.org/serviceaccount == 'sa'":   true,
		"projectcalico.org/orchestrator == 'k8s'":    true,
		"!has(projectcalico.org/namespace)":          false,
		"role == 'host' || zone == 'south'":          false,
		"has(pcsa.grade) && role in {'own', 'none'}": true,
	} {
		r.put("GlobalNetworkPolicy p {selector: \"" + expression + "\"}")
		if in, _ := r.endpoint("w"); strings.Contains(in, "(p > Deny)") != want {
			t.Errorf("%s selects: %t", expression, !want)
		}
	}
	r.put("GlobalNetworkPolicy p {selector: pcns.team == 'red'}", "Namespace x team=red")
	r.want("w", "default(p > Deny) prof > Deny", "prof > Deny")
	r.delete("Namespace x")
	r.want("w", "prof > Deny", "prof > Deny")
	r.put("WorkloadEndpoint x/w pcns.team=red {profiles: [prof]}")
	r.want("w", "default(p > Deny) prof > Deny", "prof > Deny")
	r.put("WorkloadEndpoint x/w pcns.team=red {node: n2}")
	r.want("w", "absent", "absent")
}

func TestResolverHostEndpoint(t *testing.T) {
	r := newResolving(t, "n1",
		"HostEndpoint h {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}",
		"HostEndpoint other {node: n2, interfaceName: eth0}",
		"WorkloadEndpoint x/w {}",
		"GlobalNetworkPolicy normal {types: [Ingress, Egress]}",
		"GlobalNetworkPolicy forward {applyOnForward: true, types: [Ingress]}",
		"StagedGlobalNetworkPolicy forward {applyOnForward: true, types: [Egress]}",
		"GlobalNetworkPolicy untracked {applyOnForward: true, doNotTrack: true, types: [Ingress, Egress]}",
		"GlobalNetworkPolicy prednat {applyOnForward: true, preDNAT: true, types: [Ingress]}",
	)
	h := r.state.HostEndpoints["eth0"]
	if h == nil || len(r.state.HostEndpoints) != 1 {
		t.Fatalf("host endpoints: %v", r.state.HostEndpoints)
	}
	for _, c := range []struct{ at, id, want string }{
		{"normal ingress", h.Normal.Ingress, "default(forward normal > Deny) projectcalico-default-allow > Deny"},
		{"normal egress", h.Normal.Egress, "default(forward* normal > Deny) projectcalico-default-allow > Deny"},
		{"forward ingress", h.Forward.Ingress, "default(forward > Deny) > Pass"},
		{"forward egress", h.Forward.Egress, "default(forward* > Pass) > Pass"},
		{"untracked ingress", h.Untracked.Ingress, "default(untracked > Pass) > Pass"},
		{"untracked egress", h.Untracked.Egress, "default(untracked > Pass) > Pass"},
		{"preDNAT", h.PreDNAT, "default(prednat > Pass) > Pass"},
	} {
		if got := renderPipeline(r.state.Pipelines[c.id]); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.at, got, c.want)
		}
	}
	// A workload is subject to what applies on forward, not to the other points.
	r.want("w", "default(forward normal > Deny) > Deny", "default(forward* normal > Deny) > Deny")

	for _, name := range []string{"forward", "untracked", "prednat"} {
		r.delete("GlobalNetworkPolicy " + name)
	}
	r.delete("StagedGlobalNetworkPolicy forward")
	h = r.state.HostEndpoints["eth0"]
	if (h.Forward != Pair{}) || (h.Untracked != Pair{}) || h.PreDNAT != "" {
		t.Errorf("without policies at the other points: %+v", h)
	}
}

func TestResolverHostInterfaces(t *testing.T) {
	r := newResolving(t, "n1",
		"HostEndpoint b {node: n1, interfaceName: eth0}",
		"HostEndpoint any {node: n1, interfaceName: '*'}",
		"HostEndpoint byaddress {node: n1, expectedIPs: [192.0.2.1]}",
		"HostEndpoint nowhere {node: n1, expectedIPs: [192.0.2.9]}",
	)
	at := func() string {
		var list []string
		for name, h := range r.state.HostEndpoints {
			list = append(list, name+"="+h.ID.Name)
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	if got, want := at(), "*=any eth0=b"; got != want {
		t.Errorf("at first: %s, want %s", got, want)
	}
	r.SetHost(Host{Interfaces: map[string][]netip.Addr{"eth0": nil, "eth1": {netip.MustParseAddr("fd00::1"), netip.MustParseAddr("192.0.2.1")}}})
	r.drain()
	if got, want := at(), "*=any eth0=b eth1=byaddress"; got != want {
		t.Errorf("with addresses: %s, want %s", got, want)
	}
	r.put("HostEndpoint a {node: n1, interfaceName: eth0}")
	if got, want := at(), "*=any eth0=a eth1=byaddress"; got != want {
		t.Errorf("with two on eth0: %s, want %s", got, want)
	}
	if got, want := r.problems(), "HostEndpoint/b: not in force: interface eth0 has host endpoint a, the first by name"; got != want {
		t.Errorf("problems: %s\nwant %s", got, want)
	}
	r.delete("HostEndpoint a {node: n1, interfaceName: eth0}")
	if got, want := at(), "*=any eth0=b eth1=byaddress"; got != want {
		t.Errorf("in the end: %s, want %s", got, want)
	}
}

// Without a node, everything is local.
func TestResolverOfAllNodes(t *testing.T) {
	r := newResolving(t, "",
		"WorkloadEndpoint x/a {interfaceName: eth0, node: n1, profiles: [projectcalico-default-allow]}",
		"WorkloadEndpoint x/b {interfaceName: eth0, node: n2}",
		"HostEndpoint one {node: n1, interfaceName: eth1}",
		"HostEndpoint two {node: n2, interfaceName: eth1}",
		"HostEndpoint three {node: n2, expectedIPs: [192.0.2.1, 'fd00::1']}",
	)
	r.want("a", "projectcalico-default-allow > Deny", "projectcalico-default-allow > Deny")
	r.want("b", "> Deny", "> Deny")
	for at, want := range map[string]string{
		"n1/eth1": "one", "n2/eth1": "two", "n2/192.0.2.1": "three", "n2/fd00::1": "three",
	} {
		if h := r.state.HostEndpoints[at]; h == nil || h.ID.Name != want || h.Interface != at {
			t.Errorf("at %s: %+v", at, h)
		}
	}
	if got := r.problems(); got != "" {
		t.Errorf("problems:\n%s", got)
	}
}

func TestResolverChanged(t *testing.T) {
	r := NewResolver("n1")
	told := func() bool {
		select {
		case <-r.Changed():
			return true
		default:
			return false
		}
	}
	r.Drain()
	if told() {
		t.Error("changed before anything was")
	}
	for name, change := range map[string]func(){
		"put":      func() { r.Put(parseObject(t, "Namespace x")) },
		"delete":   func() { r.Delete(parseObject(t, "Namespace x").Metadata().ID) },
		"host":     func() { r.SetHost(Host{}) },
		"defaults": func() { r.SetDefaults(Settings{ToHost: Allow}) },
	} {
		if change(); !told() || told() {
			t.Errorf("%s: not signalled once", name)
		}
	}
	if u := r.Drain(); u.Settings == nil || u.Settings.ToHost != Allow {
		t.Errorf("told %+v", u)
	}
}

// TestResolverTakesAtOnce: while one policy takes the place of another nobody
// sees an endpoint without either.
func TestResolverTakesAtOnce(t *testing.T) {
	r := newResolving(t, "n1", "WorkloadEndpoint x/a {interfaceName: cali1, profiles: [projectcalico-default-allow]}")
	var closed []resource.Object
	for i := range 2000 {
		closed = append(closed, parseObject(t, fmt.Sprintf("GlobalNetworkPolicy p%d {selector: all(), types: [Ingress]}", i)))
	}
	r.Put(closed[0])
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, next := range closed[1:] {
			r.Take(map[resource.ID]resource.Object{closed[i].Metadata().ID: nil, next.Metadata().ID: next})
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r.drain()
		if ingress, _ := r.endpoint("a"); !strings.HasPrefix(ingress, "default(") {
			t.Fatalf("no policy at an instant: %s", ingress)
		}
	}
}

func TestResolverSharedInterface(t *testing.T) {
	const allow = "profiles: [projectcalico-default-allow]"
	r := newResolving(t, "n1",
		"WorkloadEndpoint x/a {interfaceName: cali1, ipNetworks: [10.0.0.1/32], "+allow+"}",
		"WorkloadEndpoint x/b {interfaceName: cali1, node: n2, "+allow+"}",
	)
	r.want("a", "projectcalico-default-allow > Deny", "projectcalico-default-allow > Deny")
	r.put("WorkloadEndpoint x/b {interfaceName: cali1, ipNetworks: [10.0.0.2/32], " + allow + "}")
	r.want("a", "> Deny", "> Deny")
	r.want("b", "> Deny", "> Deny")
	for id, e := range r.state.Endpoints {
		if len(e.Addresses) != 0 {
			t.Errorf("%s has %v", id, e.Addresses)
		}
	}
	if got := r.problems(); strings.Count(got, "interface cali1 has several endpoints") != 2 {
		t.Errorf("problems:\n%s", got)
	}
	r.Put(parseObject(t, "WorkloadEndpoint x/c {interfaceName: cali1, "+allow+"}"))
	if len(r.dirty.endpoints) != 1 {
		t.Errorf("a third one has %d endpoints looked at", len(r.dirty.endpoints))
	}
	r.drain()
	r.want("c", "> Deny", "> Deny")
	r.delete("WorkloadEndpoint x/c {}")
	r.want("a", "> Deny", "> Deny")
	r.delete("WorkloadEndpoint x/b {}")
	r.want("a", "projectcalico-default-allow > Deny", "projectcalico-default-allow > Deny")
	r.want("b", "absent", "absent")
}

func TestResolverSettings(t *testing.T) {
	r := newResolving(t, "n1")
	want := DefaultSettings()
	if diff := cmp.Diff(want, r.state.Settings, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	allow, mask, reject, not := resource.ActionAllow, uint32(0xff00), true, false
	agent := func(name string, s resource.AgentSettings) {
		r.Put(&resource.AgentConfiguration{
			Meta: resource.Meta{ID: resource.ID{Kind: resource.KindAgentConfiguration, Name: name}}, Settings: s,
		})
		r.drain()
	}
	agent("default", resource.AgentSettings{ToHost: &allow, Reject: &reject, FailsafeInbound: &[]resource.Failsafe{}})
	agent("node.n1", resource.AgentSettings{MarkMask: &mask, Reject: &not})
	agent("node.n2", resource.AgentSettings{KeepInvalid: &reject})
	s := r.state.Settings
	if s.ToHost != Allow || s.Reject || s.KeepInvalid || s.MarkMask != mask || len(s.FailsafeInbound) != 0 || len(s.FailsafeOutbound) == 0 {
		t.Errorf("settings %+v", s)
	}
	r.put("BGPConfiguration default {listenPort: 1179}", "BGPPeer p {peerIP: '192.0.2.7:1790', asNumber: 65001}",
		"BGPPeer elsewhere {node: n2, peerIP: 192.0.2.8, asNumber: 65001}",
		"BGPPeer racks {nodeSelector: rack == 'a', peerIP: 192.0.2.9, asNumber: 65001}",
		"Node n1 rack=a {bgp: {ipv4Address: 10.0.0.1/24}}", "Node n2 {bgp: {ipv6Address: fd00::2/64}}",
		"IPPool pool {cidr: 10.1.0.0/16}")
	r.Put(&resource.IPPool{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindIPPool, Name: "out"}},
		CIDR: netip.MustParsePrefix("10.2.0.0/16"), NATOutgoing: true, VXLANMode: resource.EncapAlways,
	})
	r.Put(&resource.IPPool{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindIPPool, Name: "tunnelled"}},
		CIDR: netip.MustParsePrefix("10.3.0.0/16"), IPIPMode: resource.EncapCrossSubnet,
	})
	r.drain()
	if got, want := fmt.Sprint(r.state.Settings.BGPPorts), "[179 1179 1790]"; got != want {
		t.Errorf("BGP at ports %s, want %s", got, want)
	}
	if s := r.state.Settings; s.VXLANPort != 4789 || !s.IPIP {
		t.Errorf("VXLAN at port %d, IP in IP %t", s.VXLANPort, s.IPIP)
	}
	for id, want := range map[SetID]string{
		PoolSet: "[10.1.0.0/16 10.2.0.0/16 10.3.0.0/16]", MasqueradeSet: "[10.2.0.0/16]",
		NodeSet: "[10.0.0.1/32 fd00::2/128]", PeerSet: "[192.0.2.7/32 192.0.2.9/32]",
	} {
		if got := fmt.Sprint(r.state.Sets[id].Members()); got != want {
			t.Errorf("%s are %s, want %s", id, got, want)
		}
	}
}
