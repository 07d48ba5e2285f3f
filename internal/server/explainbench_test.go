package server

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/policy/explain"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// BenchmarkExplain is a packet explained over 10,000 endpoints, 200 on each node,
// and 1,000 policies, out of a store in memory: all of it, and of that the
// reading of objects and the judging. Beside the time that passes it reports how
// long this process worked.
func BenchmarkExplain(b *testing.B) {
	const endpoints, policies = 10_000, 1_000
	s := &nodes{store: store.NewMemory(), local: &fakeLocal{node: "n0"}, node: "n0", judging: make(chan struct{}, 1)}
	var ops []store.Op
	put := func(msg proto.Message) {
		resource.Canonicalize(msg)
		data, err := resource.Encode(msg)
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, store.Op{Key: resourceKey(resource.IDOf(msg)), Value: data})
	}
	for i := range endpoints {
		put(explainedEndpoint(i))
	}
	for i := range policies {
		put(explainedPolicy(i))
	}
	for len(ops) > 0 {
		n := min(len(ops), store.MaxOps)
		if _, err := s.store.Txn(b.Context(), nil, ops[:n]); err != nil {
			b.Fatal(err)
		}
		ops = ops[n:]
	}
	ask := &vrouterv1.ExplainRequest{From: "ns1/w1", To: "ns3/w9903", Port: 8080}
	objects, err := s.stored(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	probe, err := probeOf(ask)
	if err != nil {
		b.Fatal(err)
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"all", func() error {
			r, err := s.Explain(b.Context(), ask)
			if r.GetVerdict() != "allowed" {
				return fmt.Errorf("%v, %w", r, err)
			}
			return nil
		}},
		{"read", func() error { _, err := s.stored(b.Context()); return err }},
		{"judge", func() error { _, err := explain.NewFor(objects, probe); return err }},
	} {
		b.Run(part.name, func(b *testing.B) {
			begun := worked(b)
			for b.Loop() {
				if err := part.do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((worked(b)-begun).Seconds()*1000/float64(b.N), "worked-ms/op")
		})
	}
}

// worked is what the process has used of the processors.
func worked(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// explainedEndpoint is of one of a hundred namespaces and one of twenty apps.
func explainedEndpoint(i int) proto.Message {
	namespace, workload := fmt.Sprint("ns", i%100), fmt.Sprint("w", i)
	return &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{Namespace: &namespace, Labels: map[string]string{
			"app": fmt.Sprint("app", i/100%20), "instance": workload,
		}},
		Spec: &vrouterv1.WorkloadEndpointSpec{
			Orchestrator: proto.String("k8s"), Workload: &workload, Endpoint: proto.String("eth0"),
			Node: proto.String(fmt.Sprint("n", i/200)), InterfaceName: proto.String(fmt.Sprint("cali", i)),
			IpNetworks: []string{fmt.Sprintf("10.0.%d.%d/32", i/250, i%250)}, Profiles: []string{resource.DefaultAllow},
		},
	}
}

// explainedPolicy lets, in one of a hundred namespaces, two apps of everywhere
// reach one.
func explainedPolicy(i int) proto.Message {
	selector := func(i int) *string { return proto.String(fmt.Sprintf("app == 'app%d'", i%20)) }
	return &vrouterv1.NetworkPolicy{
		Metadata: &vrouterv1.Metadata{Namespace: proto.String(fmt.Sprint("ns", i%100)), Name: proto.String(fmt.Sprint("p", i))},
		Spec: &vrouterv1.NetworkPolicySpec{Selector: selector(i / 100), Ingress: []*vrouterv1.Rule{{
			Action: proto.String("Allow"), Protocol: structpb.NewStringValue("TCP"),
			Source:      &vrouterv1.EntityRule{Selector: selector(i/100 + 1), NamespaceSelector: proto.String("all()")},
			Destination: &vrouterv1.EntityRule{Ports: []*structpb.Value{structpb.NewNumberValue(8080)}},
		}}},
	}
}
