package server

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// endpoints is EndpointService: another face of the WorkloadEndpoints that
// ResourceService has, written by the same writer.
type endpoints struct {
	vrouterv1.UnimplementedEndpointServiceServer
	writer   *writer
	reader   *reader
	local    Local
	node     string
	stopping <-chan struct{}
}

// Register states an endpoint whole.
func (s *endpoints) Register(ctx context.Context, req *vrouterv1.RegisterRequest) (*vrouterv1.RegisterResponse, error) {
	if _, ok := vrouterv1.Stage_name[int32(req.GetWait())]; !ok {
		return nil, invalid("wait", "%d is not a stage of this version", req.GetWait())
	}
	msg := s.endpoint(req)
	checked, err := accept(msg)
	if err != nil {
		return nil, withPaths(err, registerPath)
	}
	out, err := s.writer.put(ctx, change{msg: msg, checked: checked, addresses: req.GetAllocate(), heldBy: req.GetHeldBy()})
	if err != nil {
		return nil, withPaths(err, registerPath)
	}
	w := out.msg.(*vrouterv1.WorkloadEndpoint)
	stage, err := s.reached(ctx, w, out, req.GetWait())
	if err != nil {
		return nil, err
	}
	return &vrouterv1.RegisterResponse{Endpoint: w, Stage: stage, Created: out.created, Warnings: out.warnings}, nil
}

// endpoint renders the object that a request states.
func (s *endpoints) endpoint(req *vrouterv1.RegisterRequest) *vrouterv1.WorkloadEndpoint {
	id := req.GetId()
	node := req.GetNode()
	if node == "" {
		node = s.node
	}
	return &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{
			Namespace:   proto.String(id.GetNamespace()),
			Labels:      req.GetLabels(),
			Annotations: req.GetAnnotations(),
		},
		Spec: &vrouterv1.WorkloadEndpointSpec{
			Orchestrator:       proto.String(id.GetOrchestrator()),
			Workload:           proto.String(id.GetWorkload()),
			Endpoint:           proto.String(id.GetEndpoint()),
			Node:               proto.String(node),
			InterfaceName:      proto.String(req.GetInterfaceName()),
			InterfaceType:      proto.String(req.GetInterfaceType()),
			IpNetworks:         req.GetIpNetworks(),
			Profiles:           req.GetProfiles(),
			Mac:                proto.String(req.GetMac()),
			Ports:              req.GetPorts(),
			ContainerId:        proto.String(req.GetContainerId()),
			Pod:                proto.String(req.GetPod()),
			ServiceAccountName: proto.String(req.GetServiceAccountName()),

			AllowSpoofedSourcePrefixes: req.GetAllowSpoofedSourcePrefixes(),
		},
	}
}

// registerPath turns the path of a field of the object into that of the
// request.
func registerPath(path string) string {
	switch path {
	case "metadata.namespace", "spec.orchestrator", "spec.workload", "spec.endpoint":
		_, field, _ := strings.Cut(path, ".")
		return "id." + field
	}
	path = strings.TrimPrefix(path, "spec.")
	return strings.TrimPrefix(path, "metadata.")
}

// Unregister removes an endpoint.
func (s *endpoints) Unregister(ctx context.Context, req *vrouterv1.UnregisterRequest) (*vrouterv1.UnregisterResponse, error) {
	id, err := endpointID(req.GetId())
	if err != nil {
		return nil, err
	}
	_, err = s.writer.remove(ctx, id, "")
	var missing *missingError
	if errors.As(err, &missing) {
		return &vrouterv1.UnregisterResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &vrouterv1.UnregisterResponse{Existed: true}, nil
}

// GetEndpoint returns an endpoint with its status.
func (s *endpoints) GetEndpoint(ctx context.Context, req *vrouterv1.GetEndpointRequest) (*vrouterv1.GetEndpointResponse, error) {
	id, err := endpointID(req.GetId())
	if err != nil {
		return nil, err
	}
	msg, revision, err := s.reader.get(ctx, id)
	if err != nil {
		return nil, err
	}
	w := msg.(*vrouterv1.WorkloadEndpoint)
	return &vrouterv1.GetEndpointResponse{Endpoint: w, Stage: stageOf(w.GetStatus(), revision)}, nil
}

// ListEndpoints returns a page of endpoints with their status.
func (s *endpoints) ListEndpoints(ctx context.Context, req *vrouterv1.ListEndpointsRequest) (*vrouterv1.ListEndpointsResponse, error) {
	sel, err := parseSelector(req.GetLabelSelector())
	if err != nil {
		return nil, err
	}
	f, err := s.reader.list(ctx, query{
		kind:      resource.KindWorkloadEndpoint,
		namespace: req.GetNamespace(),
		size:      req.GetPageSize(),
		token:     req.GetPageToken(),
		filter:    req.GetNode() + "\n" + sel.String(),
		match: func(msg proto.Message) bool {
			return onNode(msg, req.GetNode()) && sel.Matches(resource.MetadataOf(msg).GetLabels())
		},
	})
	if err != nil {
		return nil, err
	}
	resp := &vrouterv1.ListEndpointsResponse{NextPageToken: f.next, Revision: f.revision}
	for _, msg := range f.objects {
		resp.Endpoints = append(resp.Endpoints, msg.(*vrouterv1.WorkloadEndpoint))
	}
	return resp, nil
}

// onNode tells whether an endpoint is on a node; an empty one means any.
func onNode(msg proto.Message, node string) bool {
	return node == "" || msg.(*vrouterv1.WorkloadEndpoint).GetSpec().GetNode() == node
}

// endpointID reads the identity of an endpoint in a request. All four parts
// are needed; what a part may hold was decided when it was stored.
func endpointID(id *vrouterv1.EndpointID) (resource.ID, error) {
	bad := &resource.Invalid{}
	for _, part := range []struct{ name, value string }{
		{"namespace", id.GetNamespace()},
		{"orchestrator", id.GetOrchestrator()},
		{"workload", id.GetWorkload()},
		{"endpoint", id.GetEndpoint()},
	} {
		if part.value == "" {
			bad.Problems = append(bad.Problems, resource.Problem{Path: "id." + part.name, Reason: "is needed"})
		}
	}
	if len(bad.Problems) > 0 {
		return resource.ID{}, bad
	}
	e := resource.EndpointID{Namespace: id.GetNamespace(), Orchestrator: id.GetOrchestrator(),
		Workload: id.GetWorkload(), Endpoint: id.GetEndpoint()}
	return resource.ID{Kind: resource.KindWorkloadEndpoint, Namespace: e.Namespace, Name: e.KeyName()}, nil
}
