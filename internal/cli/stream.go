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

// waiting ends a stream on which --timeout passes before the first part or
// between two.
type waiting struct {
	client *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil: --timeout is 0
}

// patient derives the context of a stream.
func (c *client) patient(ctx context.Context) (context.Context, *waiting) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &waiting{client: c, ctx: ctx, cancel: cancel}
	if c.timeout > 0 {
		late := status.Errorf(codes.DeadlineExceeded, "no answer from vrouterd within %s (--timeout)", c.timeout)
		w.timer = time.AfterFunc(c.timeout, func() { cancel(late) })
	}
	return ctx, w
}

// heard is to be called with every part.
func (w *waiting) heard() {
	if w.timer != nil {
		w.timer.Reset(w.client.timeout)
	}
}

// rest has no more parts expected.
func (w *waiting) rest() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// why is what ended the stream: --timeout, which may have passed before there
// was a connection, or the end of the run, or else err.
func (w *waiting) why(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return w.client.translate(cause)
	}
	return err
}

func (w *waiting) end() {
	w.rest()
	w.cancel(nil)
}

// readStream hands each message of a stream that ends by itself to take.
// --timeout holds between two of them: the whole takes as long as there is to
// tell.
func readStream[T any](ctx context.Context, c *client, open func(context.Context) (grpc.ServerStreamingClient[T], error),
	take func(*T) error) error {
	ctx, waiting := c.patient(ctx)
	defer waiting.end()
	stream, err := open(ctx)
	if err != nil {
		return waiting.why(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = waiting.why(err); err != nil {
			return err
		}
		waiting.heard()
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
