package server

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy/explain"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const explainedManifests = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 10.65.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a, labels: {role: web}}
spec: {orchestrator: o, workload: web, endpoint: e, node: host1, interfaceName: tap1, ipNetworks: [10.65.0.1], profiles: [projectcalico-default-allow]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a, labels: {role: db}}
spec: {orchestrator: o, workload: db, endpoint: e, node: host2, interfaceName: tap1, ipNetworks: [10.65.0.2]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: a}
spec: {selector: role == 'db', ingress: [{action: Allow, protocol: TCP, destination: {ports: [5432]}}]}
`

func (r *rig) apply(text string) {
	r.t.Helper()
	manifests, err := resource.ReadManifests("test", []byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range manifests {
		if _, err := r.resources.Put(r.t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(m.Message), Mode: vrouterv1.PutMode_PUT_MODE_APPLY}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// storedDigest is what the owner of an end should say.
func (r *rig) storedDigest(end string) string {
	r.t.Helper()
	objects, err := (&nodes{store: r.store}).stored(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	cluster, err := explain.New(objects)
	if err != nil {
		r.t.Fatal(err)
	}
	_, digest, err := cluster.Subject(&vrouterv1.PolicyEnd{Name: end})
	if err != nil || digest == "" {
		r.t.Fatal(digest, err)
	}
	return digest
}

func TestExplain(t *testing.T) {
	r := newRig(t)
	r.apply(explainedManifests)
	ask := func(port uint32) *vrouterv1.ExplainResponse {
		t.Helper()
		answer, err := r.nodes.Explain(t.Context(), &vrouterv1.ExplainRequest{From: "a/web", To: "a/db", Protocol: "tcp", Port: port})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if answer := ask(5432); answer.Verdict != "allowed" || len(answer.Ways) != 1 || len(answer.Ways[0].Stages) != 2 {
		t.Errorf("stored policy allows: %v", answer)
	}
	answer := ask(80)
	if answer.Verdict != "denied" || answer.Reason != "workload ingress on host2: end of tier default" {
		t.Errorf("stored policy denies: %v", answer)
	}
	if e := answer.Ends[1]; e.Programmed != "unknown" || e.ProgrammedReason != "node host2 is not alive" {
		t.Errorf("owner that is not there: %v", e)
	}
	same := r.storedDigest("a/web")
	for _, tt := range []struct {
		state        *vrouterv1.GetPolicyStateResponse
		said, reason string
	}{
		{&vrouterv1.GetPolicyStateResponse{Policy: "none"}, "no", "the host enforces no policy"},
		{&vrouterv1.GetPolicyStateResponse{Policy: "nftables"}, "no", "the host enforces nothing for it yet"},
		{&vrouterv1.GetPolicyStateResponse{Policy: "nftables", Enforced: true, Digest: "other"}, "no", "the host enforces another state, and has not caught up"},
		{&vrouterv1.GetPolicyStateResponse{Policy: "nftables", Enforced: true, Digest: same}, "yes", ""},
		{&vrouterv1.GetPolicyStateResponse{Policy: "nftables", Enforced: true, Digest: same, Problem: "no memory", RefusedSince: &timestamppb.Timestamp{}},
			"no", "older state since 1970-01-01T00:00:00Z: no memory"},
	} {
		r.local.policy = tt.state
		if e := ask(80).Ends[0]; e.Programmed != tt.said || e.ProgrammedReason != tt.reason {
			t.Errorf("%v: %v", tt.state, e)
		}
	}
	_, err := r.nodes.Explain(t.Context(), &vrouterv1.ExplainRequest{From: "a", Protocol: "icmp", Port: 70000, Family: "IPv5", IcmpType: new(uint32)})
	wantPaths(t, err, "port", "family")
	_, err = r.nodes.Explain(t.Context(), &vrouterv1.ExplainRequest{From: "a", Protocol: "icmp", Port: 70})
	wantPaths(t, err, "from", "to", "port")
	_, err = r.nodes.GetPolicyState(t.Context(), &vrouterv1.GetPolicyStateRequest{})
	wantPaths(t, err, "endpoint")
}

func TestPolicyOfNodes(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) { o.TCP = ca.tcp(t, "host1") })
	other := start(t, Options{Store: r.store, Local: &fakeLocal{node: "host2"}, NodeName: "host2",
		Logger: r.api.opts.Logger, TCP: ca.tcp(t, "host2")})
	r.publish("host2", other.TCPAddr().String())
	for _, node := range []string{"host1", "host2"} {
		m, err := r.nodes.ListPolicyCounters(t.Context(), &vrouterv1.ListPolicyCountersRequest{Node: node})
		if err != nil || m.Policies[0].Policy != node {
			t.Errorf("counters of %s: %v, %v", node, m, err)
		}
		stream, err := r.nodes.WatchFlows(t.Context(), &vrouterv1.WatchFlowsRequest{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.Event.Node != node {
			t.Errorf("flows of %s: %v, %v", node, m, err)
		}
		s, err := r.nodes.GetPolicyState(t.Context(), &vrouterv1.GetPolicyStateRequest{Node: node, HostEndpoint: "h"})
		if err != nil || s.Policy != "none" {
			t.Errorf("policy of %s: %v, %v", node, s, err)
		}
	}
}

// TestFindPolicy: counters are asked for by any word for a kind, and by any name
// of a policy.
func TestFindPolicy(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"NetworkPolicy/shop/db":           "NetworkPolicy/shop/db",
		"networkpolicies/shop/default.db": "NetworkPolicy/shop/db",
		"np/db":                           "NetworkPolicy/default/db",
		"gnp/security.deny":               "GlobalNetworkPolicy/security.deny",
		"sgnp/x":                          "StagedGlobalNetworkPolicy/x",
		"profile/open":                    "Profile/open",
	} {
		if got, err := findPolicy(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	r := newRig(t)
	for text, path := range map[string]string{"db": "policy", "tier/default": "policy", "np": "name", "np/shop/": "name", "gnp/shop/db": "namespace"} {
		_, err := r.nodes.ListPolicyCounters(t.Context(), &vrouterv1.ListPolicyCountersRequest{Policy: text})
		wantPaths(t, err, path)
	}
}
