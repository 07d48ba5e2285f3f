package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readStream hands each message of a stream that ends by itself to take.
// --timeout holds between two of them: the whole takes as long as there is to
// tell.
func readStream[T any](ctx context.Context, c *client, open func(context.Context) (grpc.ServerStreamingClient[T], error),
	take func(*T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := func() {}
	if c.timeout > 0 {
		late := status.Errorf(codes.DeadlineExceeded, "no answer from vrouterd within %s (--timeout)", c.timeout)
		timer := time.AfterFunc(c.timeout, func() { cancel(late) })
		defer timer.Stop()
		heard = func() { timer.Reset(c.timeout) }
	}
	stream, err := open(ctx)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
		heard()
		if err := take(m); err != nil {
			return err
		}
	}
}

// updates makes a source of a stream that goes on.
func updates[T any](open func(ctx context.Context, after int64) (grpc.ServerStreamingClient[T], error), of func(*T) (update, error)) source {
	return func(ctx context.Context, after int64) (func() (update, error), error) {
		stream, err := open(ctx, after)
		if err != nil {
			return nil, err
		}
		return func() (update, error) {
			m, err := stream.Recv()
			if err != nil {
				return update{}, err
			}
			return of(m)
		}, nil
	}
}
