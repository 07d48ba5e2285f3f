package explain

import (
	"bytes"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// cluster reads manifests.
func cluster(t *testing.T, text string) *Cluster {
	t.Helper()
	manifests, err := resource.ReadManifests("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var objects []resource.Object
	for _, m := range manifests {
		resource.Canonicalize(m.Message)
		object, err := resource.Check(m.Message)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	c, err := New(objects)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const site = `
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: n1}
spec: {bgp: {ipv4Address: 192.0.2.1/24}}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: n2}
spec: {bgp: {ipv4Address: 192.0.2.2/24}}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a}
spec: {orchestrator: o, workload: w1, endpoint: e, node: n1, interfaceName: tap1, ipNetworks: [10.65.0.1], profiles: [projectcalico-default-allow]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a}
spec: {orchestrator: o, workload: w2, endpoint: e, node: n2, interfaceName: tap1, ipNetworks: [10.65.0.2]}
`

// deny is a host endpoint of n1 that lets nothing be forwarded.
func deny(name, spec string) string {
	return `
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: ` + name + `, labels: {deny: "yes"}}
spec: {node: n1, ` + spec + `}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: no-forward}
spec: {selector: "deny == 'yes'", applyOnForward: true, types: [Ingress, Egress]}
`
}

func TestVerdicts(t *testing.T) {
	const toAll = `
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.n1}
spec: {defaultEndpointToHostAction: `
	for _, tt := range []struct {
		name, more, from, to, want string
	}{
		{"no profile", "", "a/w1", "a/w2", "denied: workload ingress on n2: no policy and no profile decides"},
		{"over a host's own interface", "", "host:n1/eth0", "a/w1", "allowed"},
		{"host to itself", "", "host:n1/eth0", "192.0.2.1", "allowed"},
		{"own rules of the host", toAll + "Return}", "a/w1", "192.0.2.1", "unknown: DefaultEndpointToHostAction is Return: the own rules of host n1 decide"},
		{"settings of one node", toAll + "Accept}", "a/w1", "192.0.2.1", "allowed"},
		{"some interface of the host", deny("one", "interfaceName: eth0"), "203.0.113.1", "a/w1",
			"unknown: it depends on the interface of host n1 that the packet passes: eth0: denied; one without a host endpoint of its own: allowed"},
		{"all interfaces of the host", deny("all", `interfaceName: "*"`), "203.0.113.1", "a/w1", "denied: forward ingress on n1: end of tier default"},
		{"interface with the node's address", deny("one", "interfaceName: eth0, expectedIPs: [192.0.2.1]"), "a/w1", "a/w2",
			"denied: forward egress on n1: end of tier default"},
		{"known by its address alone", deny("one", "expectedIPs: [192.0.2.1]"), "a/w1", "a/w2", "denied: forward egress on n1: end of tier default"},
		{"other interface", deny("one", "interfaceName: eth1, expectedIPs: [192.0.2.1]"), "host:n1/eth0", "203.0.113.1", "allowed"},
		{"two families", "", "a/w1", "2001:db8::1", "unknown: the ends have no address of the same family that fits"},
		{"no node", "", "host:n3/eth0", "a/w1", "unknown: there is no node n3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Probe{From: tt.from, To: tt.to, Protocol: 6, Port: 80}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			r, err := cluster(t, site+tt.more).Explain(p)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSuffix(r.Verdict+": "+r.Reason, ": ")
			if got != tt.want {
				t.Errorf("got %s, want %s\n%v", got, tt.want, r.Ways)
			}
		})
	}
}

func TestForgedSource(t *testing.T) {
	p := Probe{From: "a/w1", To: "203.0.113.1", Protocol: 17, Port: 53, Interface: "tap9"}
	r, err := cluster(t, site).Explain(p)
	if err != nil || r.Reason != "source check on n1: interface tap9 is no endpoint's" {
		t.Errorf("%v, %v", r, err)
	}
	const prefix = `
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.n1}
spec: {interfacePrefix: wl}
`
	p.Interface = "wl9"
	r, err = cluster(t, site+prefix).Explain(p)
	if err != nil || r.Reason != "source check on n1: interface wl9 is no endpoint's" {
		t.Errorf("with a prefix of its own: %v, %v", r, err)
	}
}

// FuzzReadProbes holds that what is read can be rendered and read again.
func FuzzReadProbes(f *testing.F) {
	f.Add([]byte(`{"from": "a/b", "to": "10.0.0.1", "protocol": "icmp", "icmpType": 3, "icmpCode": 0, "expect": "deny"}`))
	f.Add([]byte("\n{\"from\": \"host:a/b\", \"to\": \"::1\", \"port\": 80, \"preDNATPort\": 1, \"expect\": \"allow\"}\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = ReadProbes(bytes.NewReader(data), func(_ int, p Probe) {
			again, err := ParseProbes([]byte(p.String()))
			if err != nil || len(again) != 1 || again[0].String() != p.String() {
				t.Errorf("%s became %v, %v", p, again, err)
			}
		})
	})
}
