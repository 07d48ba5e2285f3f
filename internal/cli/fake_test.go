package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// fake is a vrouterd in memory: it keeps objects as the real one does, checked
// by internal/resource, and fails when a test wants it to.
type fake struct {
	vrouterv1.UnimplementedResourceServiceServer
	vrouterv1.UnimplementedEndpointServiceServer
	vrouterv1.UnimplementedNodeServiceServer

	t      *testing.T
	path   string // of the socket
	server *grpc.Server

	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	rev     int64
	objects map[ref]proto.Message
	log     []entry
	stage   vrouterv1.Stage // that registered endpoints reach
	// fail, if set, is asked before each call and may answer in its place.
	fail   func(method string, request any) error
	status *vrouterv1.GetStatusResponse
	routes []*vrouterv1.Route
	rib    []*vrouterv1.Route
	groups *vrouterv1.GetReflectorResponse
	calls  []string // methods, in order
	// hang, if set, holds calls up until it is closed.
	hang chan struct{}
}

// entry is one change; object is nil for what was deleted.
type entry struct {
	rev    int64
	key    ref
	object proto.Message
}

// newFake starts a server on a socket of its own, until the test ends.
func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(socketDir(t), "s"), objects: make(map[ref]proto.Message), stage: vrouterv1.Stage_STAGE_ADVERTISED}
	f.changed = sync.NewCond(&f.mu)
	f.start()
	return f
}

// socketDir is a directory for a socket, whose path is at most 107 bytes long.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (f *fake) start() {
	f.t.Helper()
	listener, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.serve(listener, grpc.Creds(insecure.NewCredentials()))
}

func (f *fake) serve(listener net.Listener, options ...grpc.ServerOption) {
	server := grpc.NewServer(append(options, grpc.UnaryInterceptor(f.unary), grpc.StreamInterceptor(f.stream))...)
	f.server = server
	vrouterv1.RegisterResourceServiceServer(server, f)
	vrouterv1.RegisterEndpointServiceServer(server, f)
	vrouterv1.RegisterNodeServiceServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	f.t.Cleanup(func() {
		server.Stop()
		<-done
	})
}

func (f *fake) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := f.before(info.FullMethod, request); err != nil {
		return nil, err
	}
	response, err := handler(ctx, request)
	return response, rich(err)
}

func (f *fake) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := f.before(info.FullMethod, nil); err != nil {
		return err
	}
	return rich(handler(server, stream))
}

func (f *fake) before(method string, request any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	method = method[strings.LastIndex(method, "/")+1:]
	f.calls = append(f.calls, method)
	if hang := f.hang; hang != nil {
		f.mu.Unlock()
		<-hang
		f.mu.Lock()
	}
	if f.fail == nil {
		return nil
	}
	return f.fail(method, request)
}

// rich gives an error of internal/resource the status that the API defines.
func rich(err error) error {
	var invalid *resource.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	bad := &errdetails.BadRequest{}
	for _, p := range invalid.Problems {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: p.Path, Description: p.Reason})
	}
	s, _ := status.New(codes.InvalidArgument, invalid.Error()).WithDetails(bad)
	return s.Err()
}

func refOfRequest(kind, namespace, name string) (ref, error) {
	k, ok := resource.ParseKind(kind)
	if !ok {
		return ref{}, status.Errorf(codes.InvalidArgument, "kind %q", kind)
	}
	id, err := resource.FindID(k, namespace, name)
	if err != nil {
		return ref{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return ref{id.Kind, id.Namespace, id.Name}, nil
}

func (f *fake) Get(_ context.Context, r *vrouterv1.GetRequest) (*vrouterv1.GetResponse, error) {
	key, err := refOfRequest(r.GetKind(), r.GetNamespace(), r.GetName())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	msg, ok := f.objects[key]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "%s does not exist", key)
	}
	return &vrouterv1.GetResponse{Resource: show(msg)}, nil
}

func (f *fake) Put(_ context.Context, r *vrouterv1.PutRequest) (*vrouterv1.PutResponse, error) {
	_, msg, err := resource.Unwrap(r.GetResource())
	if err != nil {
		return nil, err
	}
	resource.Canonicalize(msg)
	if _, err := resource.Check(msg); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key, wanted := refOf(msg), revisionOf(msg)
	old, exists := f.objects[key]
	switch {
	case exists && r.GetMode() == vrouterv1.PutMode_PUT_MODE_CREATE:
		return nil, status.Errorf(codes.AlreadyExists, "%s exists already", key)
	case !exists && r.GetMode() == vrouterv1.PutMode_PUT_MODE_REPLACE:
		return nil, status.Errorf(codes.NotFound, "%s does not exist", key)
	case wanted != "" && r.GetMode() == vrouterv1.PutMode_PUT_MODE_CREATE:
		return nil, status.Error(codes.InvalidArgument, "metadata.resourceVersion: CREATE takes none")
	case !exists && wanted != "":
		return nil, status.Errorf(codes.Aborted, "%s has no resource version %s: it does not exist", key, wanted)
	case exists && wanted != "" && wanted != revisionOf(old):
		return nil, status.Errorf(codes.Aborted, "%s is at resource version %s, not %s", key, revisionOf(old), wanted)
	case wanted == "" && r.GetMode() == vrouterv1.PutMode_PUT_MODE_REPLACE:
		return nil, status.Error(codes.InvalidArgument, "metadata.resourceVersion: REPLACE needs it")
	}
	next := successor(msg, old)
	unchanged := exists && proto.Equal(old, next)
	if !unchanged && !r.GetDryRun() {
		f.store(key, next)
	}
	return &vrouterv1.PutResponse{Resource: show(next), Created: !exists, Unchanged: unchanged}, nil
}

// show is how vrouterd shows an object.
func show(msg proto.Message) *vrouterv1.Resource {
	msg = proto.Clone(msg)
	resource.Redact(msg)
	return resource.Wrap(msg)
}

// successor is resource.Successor with an identity that is the same in every
// run, and with old's version and status.
func successor(msg, old proto.Message) proto.Message {
	next := resource.Successor(msg, old)
	meta := resource.MetadataOf(next)
	meta.Uid = proto.String("7c0fee2e-0000-4000-8000-000000000001")
	meta.CreationTimestamp = proto.String("2026-03-01T08:00:00Z")
	if old != nil {
		meta.ResourceVersion = proto.String(revisionOf(old))
		if w, ok := old.(*vrouterv1.WorkloadEndpoint); ok {
			next.(*vrouterv1.WorkloadEndpoint).Status = w.GetStatus()
		}
	}
	return next
}

// store writes an object; f.mu is held.
func (f *fake) store(key ref, msg proto.Message) {
	f.rev++
	resource.SetVersion(msg, f.rev)
	f.objects[key] = msg
	f.log = append(f.log, entry{f.rev, key, msg})
	f.changed.Broadcast()
}

// remove deletes an object; f.mu is held.
func (f *fake) remove(key ref) {
	f.rev++
	delete(f.objects, key)
	f.log = append(f.log, entry{rev: f.rev, key: key})
	f.changed.Broadcast()
}

func (f *fake) Delete(_ context.Context, r *vrouterv1.DeleteRequest) (*vrouterv1.DeleteResponse, error) {
	key, err := refOfRequest(r.GetKind(), r.GetNamespace(), r.GetName())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old, ok := f.objects[key]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "%s does not exist", key)
	}
	f.remove(key)
	response := &vrouterv1.DeleteResponse{Resource: show(old)}
	for _, user := range f.sorted(func(_ ref, msg proto.Message) bool {
		object, err := resource.Check(msg)
		return err == nil && slices.Contains(resource.References(object), resource.IDOf(old))
	}) {
		response.Warnings = append(response.Warnings, "used by "+refOf(user).String())
	}
	return response, nil
}

// sorted returns the objects of a kind in the order of their keys; f.mu is held.
func (f *fake) sorted(match func(ref, proto.Message) bool) []proto.Message {
	keys := slices.SortedFunc(maps.Keys(f.objects), func(a, b ref) int { return strings.Compare(a.String(), b.String()) })
	var list []proto.Message
	for _, key := range keys {
		if match(key, f.objects[key]) {
			list = append(list, f.objects[key])
		}
	}
	return list
}

// List answers in pages of two, so that every client has to read on.
func (f *fake) List(_ context.Context, r *vrouterv1.ListRequest) (*vrouterv1.ListResponse, error) {
	wanted, err := selector.Parse(r.GetLabelSelector())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "labelSelector: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.sorted(func(key ref, msg proto.Message) bool {
		return string(key.kind) == r.GetKind() && (r.GetNamespace() == "" || key.namespace == r.GetNamespace()) &&
			wanted.Matches(resource.MetadataOf(msg).GetLabels())
	})
	response := &vrouterv1.ListResponse{Revision: f.rev}
	page, next := pageOf(all, r.GetPageToken())
	for _, msg := range page {
		response.Resources = append(response.Resources, show(msg))
	}
	response.NextPageToken = next
	return response, nil
}

func pageOf[T any](all []T, token string) (page []T, next string) {
	const size = 2
	start := 0
	_, _ = fmt.Sscan(token, &start)
	end := min(start+size, len(all))
	if end < len(all) {
		next = fmt.Sprint(end)
	}
	return all[start:end], next
}

func (f *fake) Watch(r *vrouterv1.WatchRequest, stream grpc.ServerStreamingServer[vrouterv1.WatchResponse]) error {
	return f.watch(stream.Context(), r.GetAfterRevision(), func(e entry) error {
		if len(r.GetKinds()) > 0 && !slices.Contains(r.GetKinds(), string(e.key.kind)) {
			return nil
		}
		if e.object != nil {
			return stream.Send(&vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Put{Put: show(e.object)}})
		}
		return stream.Send(&vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Delete{Delete: &vrouterv1.WatchResponse_Deleted{
			Kind: string(e.key.kind), Namespace: e.key.namespace, Name: e.key.name, Revision: e.rev}}})
	}, func(revision int64, synced bool) error {
		if synced {
			return stream.Send(&vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Synced_{Synced: &vrouterv1.WatchResponse_Synced{Revision: revision}}})
		}
		return stream.Send(&vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Progress_{Progress: &vrouterv1.WatchResponse_Progress{Revision: revision}}})
	})
}

// watch tells a snapshot and what follows, or what follows a revision.
func (f *fake) watch(ctx context.Context, after int64, tell func(entry) error, mark func(revision int64, synced bool) error) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock() // so that it cannot come between a look and a wait
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := after
	if after == 0 {
		for _, msg := range f.sorted(func(ref, proto.Message) bool { return true }) {
			if err := tell(entry{key: refOf(msg), object: msg}); err != nil {
				return err
			}
		}
		seen = f.rev
		if err := mark(seen, true); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		for _, e := range f.log {
			if e.rev <= seen {
				continue
			}
			if err := tell(e); err != nil {
				return err
			}
			seen = e.rev
			if err := mark(seen, false); err != nil {
				return err
			}
		}
		f.changed.Wait()
	}
	return ctx.Err()
}
