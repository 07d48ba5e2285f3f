package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	verdicts "github.com/projectvrouter/vrouter/policy/explain"
	"github.com/projectvrouter/vrouter/policy/policytest"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// counting has counters of its own.
type counting struct {
	*policytest.Memory
	counters []policy.Counter
}

func (c *counting) Counters(context.Context) ([]policy.Counter, error) { return c.counters, nil }

func policyObjects(t *testing.T, port string) []resource.Object {
	t.Helper()
	manifests, err := resource.ReadManifests("test", []byte(`
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a, labels: {role: db}}
spec: {orchestrator: o, workload: db, endpoint: e, node: host1, interfaceName: tap1, ipNetworks: [10.65.0.2]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: uplink, labels: {role: host}}
spec: {node: host1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: a}
spec: {selector: role == 'db', ingress: [{action: Allow, protocol: TCP, source: {selector: role == 'web'}, destination: {ports: [`+port+`]}}]}
---
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: closed}
spec: {selector: all(), ingress: [{action: Deny}]}
`))
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
	return objects
}

// What a host enforces is compared with what is stored, however it came there.
func TestPolicyState(t *testing.T) {
	resolver := policy.NewResolver("host1")
	objects := policyObjects(t, "80")
	for _, o := range objects {
		resolver.Put(o)
	}
	filter := &counting{Memory: policytest.NewMemory()}
	table := policy.NewTable(resolver, filter, policy.Options{ReadBack: -1})
	a := &Agent{opts: Options{Policing: &Policing{Resolver: resolver, Table: table, Dataplane: "memory"}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = table.Run(ctx) }() // nil at the end
	<-table.Ready()

	db := resource.EndpointID{Namespace: "a", Orchestrator: "o", Workload: "db", Endpoint: "e"}
	wanted := func(name string) (*vrouterv1.GetPolicyStateRequest, string) {
		t.Helper()
		cluster, err := verdicts.New(objects)
		if err != nil {
			t.Fatal(err)
		}
		ask, digest, err := cluster.Subject(&vrouterv1.PolicyEnd{Name: name})
		if err != nil || digest == "" {
			t.Fatal(digest, err)
		}
		return ask, digest
	}
	state := func(ask *vrouterv1.GetPolicyStateRequest) *vrouterv1.GetPolicyStateResponse {
		t.Helper()
		m, err := a.PolicyState(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, name := range []string{"a/db", "10.65.0.2"} {
		if ask, digest := wanted(name); !state(ask).Enforced || state(ask).Digest != digest {
			t.Errorf("%s: %v, stored is %s", name, state(ask), digest)
		}
	}
	if m := state(&vrouterv1.GetPolicyStateRequest{HostEndpoint: "uplink"}); !m.Enforced {
		t.Errorf("host endpoint: %v", m)
	}
	if m := state(&vrouterv1.GetPolicyStateRequest{HostEndpoint: "nobody"}); m.Enforced || m.Policy != "memory" {
		t.Errorf("no host endpoint: %v", m)
	}

	objects = policyObjects(t, "81")
	filter.Refuse(errors.New("no memory"))
	for _, o := range objects {
		resolver.Put(o)
	}
	ask, digest := wanted("a/db")
	for state(ask).Problem == "" {
		time.Sleep(time.Millisecond) // until the loop has come by
	}
	if m := state(ask); m.Digest == digest || m.RefusedSince == nil || !m.Enforced {
		t.Errorf("refused: %v", m)
	}
	if table.Policed(db) == 0 && !state(ask).Enforced {
		t.Error("the older state is not in force any more")
	}
}

func TestPolicyCounters(t *testing.T) {
	resolver := policy.NewResolver("host1")
	for _, o := range policyObjects(t, "80") {
		resolver.Put(o)
	}
	db := resource.ID{Kind: resource.KindNetworkPolicy, Namespace: "a", Name: "db"}
	closed := resource.ID{Kind: resource.KindStagedGlobalNetworkPolicy, Name: "closed"}
	filter := &counting{Memory: policytest.NewMemory(), counters: []policy.Counter{
		{Policy: db, Packets: 3, Bytes: 180}, {Policy: closed, Packets: 4, Bytes: 240},
		{Policy: resource.ID{Kind: resource.KindProfile, Name: "gone"}, Packets: 1},
	}}
	table := policy.NewTable(resolver, filter, policy.Options{ReadBack: -1})
	a := &Agent{opts: Options{Policing: &Policing{Resolver: resolver, Table: table, Dataplane: "memory"}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = table.Run(ctx) }() // nil at the end
	<-table.Ready()
	m, err := a.PolicyCounters(t.Context(), "")
	if err != nil || len(m.Policies) != 2 {
		t.Fatal(m, err)
	}
	if p := m.Policies[0]; p.Policy != "NetworkPolicy/a/db" || p.Tier != "default" || p.Staged || p.Rules[0].Packets != 3 || p.Rules[0].Action != "Allow" {
		t.Errorf("enforced: %v", p)
	}
	if p := m.Policies[1]; p.Policy != "StagedGlobalNetworkPolicy/closed" || !p.Staged || p.Rules[0].Bytes != 240 || p.Rules[0].Action != "Deny" {
		t.Errorf("staged: %v", p)
	}
	if m, err := a.PolicyCounters(t.Context(), "NetworkPolicy/a/db"); err != nil || len(m.Policies) != 1 {
		t.Errorf("one of them: %v, %v", m, err)
	}
}
