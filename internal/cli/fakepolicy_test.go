package cli

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy/explain"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Explain judges by the objects of the fake; host1 enforces what is stored,
// others cannot be asked.
func (f *fake) Explain(_ context.Context, r *vrouterv1.ExplainRequest) (*vrouterv1.ExplainResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var objects []resource.Object
	for _, msg := range f.objects {
		object, err := resource.Check(msg)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	cluster, err := explain.New(objects)
	if err != nil {
		return nil, err
	}
	protocol, err := explain.ParseProtocol(r.GetProtocol())
	if err != nil {
		return nil, err
	}
	p := explain.Probe{From: r.GetFrom(), To: r.GetTo(), Protocol: protocol, Port: uint16(r.GetPort())}
	if r.GetFamily() == "IPv4" {
		p.IPVersion = 4
	}
	answer, err := cluster.Explain(p)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	for _, e := range answer.Ends {
		switch e.Node {
		case "":
		case "host1":
			e.Programmed = "yes"
		default:
			e.Programmed, e.ProgrammedReason = "unknown", "node "+e.Node+" is not alive"
		}
	}
	return answer, nil
}

func (f *fake) ListPolicyCounters(_ context.Context, r *vrouterv1.ListPolicyCountersRequest) (*vrouterv1.ListPolicyCountersResponse, error) {
	if r.GetNode() == "host2" {
		return &vrouterv1.ListPolicyCountersResponse{}, nil
	}
	all := []*vrouterv1.PolicyCounters{
		{Policy: "NetworkPolicy/shop/db", Tier: "default", Rules: []*vrouterv1.RuleCounter{
			{Direction: "Ingress", Action: "Log", Packets: 3, Bytes: 180},
			{Direction: "Ingress", Rule: 1, Action: "Allow", Packets: 2, Bytes: 120},
		}},
		{Policy: "Profile/open", Rules: []*vrouterv1.RuleCounter{{Direction: "Egress", Action: "Allow", Packets: 70, Bytes: 4200}}},
		{Policy: "StagedNetworkPolicy/shop/db-tls", Tier: "default", Staged: true, Rules: []*vrouterv1.RuleCounter{
			{Direction: "Ingress", Action: "Allow", Packets: 1, Bytes: 60},
		}},
	}
	m := &vrouterv1.ListPolicyCountersResponse{}
	for _, p := range all {
		if r.GetPolicy() == "" || r.GetPolicy() == p.Policy {
			m.Policies = append(m.Policies, p)
		}
	}
	return m, nil
}

// WatchFlows tells two flows, of which the second comes after some were missed.
func (f *fake) WatchFlows(r *vrouterv1.WatchFlowsRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchFlowsResponse]) error {
	if r.GetNode() == "host2" {
		return status.Error(codes.FailedPrecondition, "node host2 is not alive")
	}
	for _, m := range []*vrouterv1.WatchFlowsResponse{
		{},
		{Event: &vrouterv1.FlowEvent{
			Time: timestamppb.New(now()), Node: "host1", InInterface: "eth0", OutInterface: "tap1", Direction: "Ingress", Action: "Deny",
			Tier: "default", Policy: "NetworkPolicy/shop/db", Rule: 2, Protocol: "TCP",
			Source: "203.0.113.7", Destination: "10.65.0.2", SourcePort: 50123, DestinationPort: 80, Length: 60,
		}},
		{Dropped: 5, Event: &vrouterv1.FlowEvent{
			Time: timestamppb.New(now()), Node: "host1", InInterface: "tap1", Direction: "Egress", Action: "Deny", Rule: -1,
			Reason: "end of tier default", Tier: "default", Protocol: "ICMPv6", Source: "fd00:65::1", Destination: "2001:db8::1", IcmpType: 128, Length: 104,
		}},
	} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}
