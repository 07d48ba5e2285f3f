package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// resources is ResourceService.
type resources struct {
	vrouterv1.UnimplementedResourceServiceServer
	writer *writer
	reader *reader
}

// Put writes an object.
func (s *resources) Put(ctx context.Context, req *vrouterv1.PutRequest) (*vrouterv1.PutResponse, error) {
	_, msg, err := resource.Unwrap(req.GetResource())
	if err != nil {
		return nil, err
	}
	if id := resource.IDOf(msg); slices.Contains(resource.IPAMKinds(), id.Kind) {
		return nil, writable(id)
	}
	given := proto.Clone(resource.MetadataOf(msg)).(*vrouterv1.Metadata)
	var warnings []string
	if field := statusField(msg); field != nil && msg.ProtoReflect().Has(field) {
		warnings = append(warnings, "status: ignored, it is not the caller's to set")
		msg.ProtoReflect().Clear(field)
	}
	checked, err := accept(msg)
	if err != nil {
		return nil, err
	}
	c := change{
		msg:     msg,
		checked: checked,
		mode:    req.GetMode(),
		version: given.GetResourceVersion(),
		dryRun:  req.GetDryRun(),
	}
	if err := c.checkMode(); err != nil {
		return nil, err
	}
	out, err := s.writer.put(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", resource.IDOf(msg), err)
	}
	for _, look := range []func(context.Context, proto.Message) ([]string, error){s.reader.tierProblems, s.reader.poolWarnings} {
		problems, err := look(ctx, out.msg)
		if err != nil {
			s.reader.log.Debug("warnings not looked for", "resource", resource.IDOf(out.msg).String(), "error", err) // it is written
		}
		warnings = append(warnings, problems...)
	}
	if info, ok := msg.(*vrouterv1.ClusterInformation); ok {
		guid := info.GetSpec().GetClusterGuid()
		if has := out.msg.(*vrouterv1.ClusterInformation).GetSpec().GetClusterGuid(); guid != "" && guid != has {
			warnings = append(warnings, fmt.Sprintf("spec.clusterGUID: ignored, this cluster is %s", has))
		}
	}
	return &vrouterv1.PutResponse{
		Resource:  show(out.msg),
		Warnings:  append(warnings, ignored(given, resource.MetadataOf(out.msg))...),
		Created:   out.created,
		Unchanged: out.unchanged,
	}, nil
}

// checkMode refuses modes that do not go with the resource version.
func (c *change) checkMode() error {
	const path = "metadata.resourceVersion"
	switch c.mode {
	case vrouterv1.PutMode_PUT_MODE_UNSPECIFIED, vrouterv1.PutMode_PUT_MODE_APPLY:
		return nil
	case vrouterv1.PutMode_PUT_MODE_CREATE:
		if c.version != "" {
			return invalid(path, "an object to be created has none")
		}
		return nil
	case vrouterv1.PutMode_PUT_MODE_REPLACE:
		if c.version == "" && !resource.IsBuiltIn(resource.IDOf(c.msg)) { // which may have none
			return invalid(path, "is needed to replace an object")
		}
		return nil
	}
	return invalid("mode", "%d is not a mode of this version", c.mode)
}

// ignored warns of metadata that the caller gave and the server set otherwise.
// What was read and is written back draws no warning.
func ignored(given, set *vrouterv1.Metadata) []string {
	var warnings []string
	warn := func(differs bool, field string) {
		if differs {
			warnings = append(warnings, fmt.Sprintf("metadata.%s: ignored, the server sets it", field))
		}
	}
	warn(given.Uid != nil && given.GetUid() != set.GetUid(), "uid")
	warn(given.CreationTimestamp != nil && given.GetCreationTimestamp() != set.GetCreationTimestamp(),
		"creationTimestamp")
	// The generation grows with the write that it was given to.
	warn(given.Generation != nil && given.GetGeneration() != set.GetGeneration() &&
		given.GetGeneration() != set.GetGeneration()-1, "generation")
	return warnings
}

// Get returns an object with its status.
func (s *resources) Get(ctx context.Context, req *vrouterv1.GetRequest) (*vrouterv1.GetResponse, error) {
	id, err := findID(req.GetKind(), req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	msg, _, err := s.reader.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &vrouterv1.GetResponse{Resource: show(msg)}, nil
}

// List returns a page of objects with their status.
func (s *resources) List(ctx context.Context, req *vrouterv1.ListRequest) (*vrouterv1.ListResponse, error) {
	kind, err := parseKind("kind", req.GetKind(), req.GetNamespace())
	if err != nil {
		return nil, err
	}
	sel, err := parseSelector(req.GetLabelSelector())
	if err != nil {
		return nil, err
	}
	f, err := s.reader.list(ctx, query{
		kind:      kind,
		namespace: req.GetNamespace(),
		size:      req.GetPageSize(),
		token:     req.GetPageToken(),
		filter:    sel.String(),
		match: func(msg proto.Message) bool {
			return sel.Matches(resource.MetadataOf(msg).GetLabels())
		},
	})
	if err != nil {
		return nil, err
	}
	resp := &vrouterv1.ListResponse{NextPageToken: f.next, Revision: f.revision}
	for _, msg := range f.objects {
		resp.Resources = append(resp.Resources, show(msg))
	}
	return resp, nil
}

// Delete removes an object.
func (s *resources) Delete(ctx context.Context, req *vrouterv1.DeleteRequest) (*vrouterv1.DeleteResponse, error) {
	id, err := findID(req.GetKind(), req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	warnings, err := s.writer.usesOf(ctx, id)
	if err != nil {
		return nil, err
	}
	last, err := s.writer.remove(ctx, id, req.GetResourceVersion())
	if err != nil {
		return nil, fmt.Errorf("delete %s: %w", id, err)
	}
	return &vrouterv1.DeleteResponse{Resource: show(last.msg), Warnings: warnings}, nil
}

// show renders an object for a caller, without the values of a Secret. It is
// the only way by which this service gives objects away.
func show(msg proto.Message) *vrouterv1.Resource {
	resource.Redact(msg)
	return resource.Wrap(msg)
}

// findID reads the identity of an object in a request. A kind with namespaces
// has a default one, as in manifests.
func findID(kind, namespace, name string) (resource.ID, error) {
	k, err := parseKind("kind", kind, namespace)
	if err != nil {
		return resource.ID{}, err
	}
	if name == "" {
		return resource.ID{}, invalid("name", "is needed")
	}
	if namespace == "" && resource.Namespaced(k) {
		namespace = resource.DefaultNamespace
	}
	id, err := resource.FindID(k, namespace, name)
	if err != nil {
		return resource.ID{}, invalid("name", "%v", err)
	}
	return id, nil
}

// parseKind reads a kind in a request, which has a namespace only if it may.
func parseKind(path, kind, namespace string) (resource.Kind, error) {
	k, ok := resource.ParseKind(kind)
	if !ok {
		var known []string
		for _, k := range append(resource.Kinds(), resource.IPAMKinds()...) {
			known = append(known, string(k))
		}
		return "", invalid(path, "%q is none of %s", kind, strings.Join(known, ", "))
	}
	if namespace != "" && !resource.Namespaced(k) {
		return "", invalid("namespace", "a %s has no namespace", k)
	}
	return k, nil
}

func parseSelector(text string) (*selector.Selector, error) {
	if len(text) > selector.MaxLength {
		return nil, invalid("labelSelector", "%d bytes long, at most %d are allowed", len(text), selector.MaxLength)
	}
	sel, err := selector.Parse(text)
	if err != nil {
		return nil, invalid("labelSelector", "%v", err)
	}
	return sel, nil
}
