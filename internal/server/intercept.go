package server

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// ownPrefix begins the methods of our services. Health and reflection stay as
// lenient as their authors want them.
const ownPrefix = "/vrouter.v1."

// interceptor stands around every call: one log line, one code for each error
// of the domain, a panic that costs one call, and no unknown field unnoticed.
type interceptor struct {
	log      hclog.Logger
	stopping <-chan struct{} // closed when the server begins to stop
}

func (i *interceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo,
	handler grpc.UnaryHandler) (resp any, err error) {
	defer i.finish(info.FullMethod, time.Now(), &err)
	defer recovered(i.log, info.FullMethod, &err)
	ctx, cancel := early(ctx)
	defer cancel()
	return handler(ctx, req)
}

func (i *interceptor) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo,
	handler grpc.StreamHandler) (err error) {
	defer i.finish(info.FullMethod, time.Now(), &err)
	defer recovered(i.log, info.FullMethod, &err)
	ctx, cancel := until(ss.Context(), i.stopping)
	defer cancel()
	return handler(srv, &strictStream{ServerStream: ss, ctx: ctx, method: info.FullMethod})
}

// finish turns an error of the domain into a status and logs the call, never
// its content.
func (i *interceptor) finish(method string, start time.Time, err *error) {
	st := statusOf(*err)
	if st.Code() == codes.Internal {
		i.log.Error("call failed", "method", method, "error", *err)
	}
	*err = st.Err()
	i.log.Debug("call", "method", method, "code", st.Code(), "duration", time.Since(start))
}

// recovered turns a panic into the error of the one call.
func recovered(log hclog.Logger, method string, err *error) {
	if r := recover(); r != nil {
		log.Error("call panicked", "method", method, "panic", r, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error; the log of the daemon has more")
	}
}

// strictUnary refuses a request with unknown fields. It is the innermost, so
// that a caller without the right to call learns nothing else.
func strictUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := strict(info.FullMethod, req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// strict refuses a request with fields that this version does not know: what
// is not understood is not ignored. Paths begin at the object, as those of the
// other problems of an object do.
func strict(method string, req any) error {
	m, ok := req.(proto.Message)
	if !ok || !strings.HasPrefix(method, ownPrefix) {
		return nil
	}
	err := resource.CheckUnknown(m)
	return withPaths(err, func(path string) string {
		if rest, ok := strings.CutPrefix(path, "resource."); ok {
			_, path, _ = strings.Cut(rest, ".") // the name of the kind
		}
		return path
	})
}

// withPaths rewrites the paths of an *resource.Invalid, or a *fieldError.
func withPaths(err error, rewrite func(string) string) error {
	if field := (&fieldError{}); errors.As(err, &field) {
		return atField(rewrite(field.path), field.err)
	}
	var invalid *resource.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	out := &resource.Invalid{Source: invalid.Source}
	for _, p := range invalid.Problems {
		p.Path = rewrite(p.Path)
		out.Problems = append(out.Problems, p)
	}
	return out
}

// strictStream is a stream that ends when the server stops, and whose requests
// are checked as those of unary calls.
type strictStream struct {
	grpc.ServerStream
	ctx    context.Context
	method string
}

// Context is the stream's own, cancelled also when the server stops.
func (s *strictStream) Context() context.Context { return s.ctx }

// RecvMsg receives and checks a request.
func (s *strictStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return strict(s.method, m)
}

// until derives a context that also ends, with errStopping as its cause, when
// the server begins to stop.
func until(ctx context.Context, stopping <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
		close(done)
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}
