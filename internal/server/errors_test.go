package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func TestTableOfErrors(t *testing.T) {
	id := resource.ID{Kind: resource.KindNode, Name: "a"}
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{nil, codes.OK},
		{invalid("spec.cidr", "wrong"), codes.InvalidArgument},
		{&missingError{id}, codes.NotFound},
		{&existsError{id}, codes.AlreadyExists},
		{&heldError{"10.0.0.1", "a/b/c/d"}, codes.AlreadyExists},
		{&staleError{id, "7", 9}, codes.Aborted},
		{&staleError{id, "7", 0}, codes.Aborted},
		{&stateError{"LOCKED", "x", "locked"}, codes.FailedPrecondition},
		{&stageError{endpoint: "a/b/c/d", wanted: vrouterv1.Stage_STAGE_PROGRAMMED}, codes.DeadlineExceeded},
		{errStopping, codes.Unavailable},
		{store.ErrNotFound, codes.NotFound},
		{&store.ConflictError{Key: "k"}, codes.Aborted},
		{store.ErrCompacted, codes.OutOfRange},
		{store.ErrFull, codes.ResourceExhausted},
		{store.ErrTooLarge, codes.ResourceExhausted},
		{store.ErrForeign, codes.FailedPrecondition},
		{store.ErrPermission, codes.FailedPrecondition},
		{store.ErrClosed, codes.Unavailable},
		// Whatever the cause was, the store being away is what the caller must know.
		{&store.UnavailableError{Cause: context.DeadlineExceeded}, codes.Unavailable},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errors.New("a bug"), codes.Internal},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("do something: %w", err)
		}
		if st := statusOf(err); st.Code() != c.code || (err != nil && st.Message() != err.Error()) {
			t.Errorf("%v became %v, wanted %v", err, st, c.code)
		}
	}
	foreign := status.Error(codes.DataLoss, "as it came")
	if st := statusOf(foreign); st.Code() != codes.DataLoss || st.Message() != "as it came" {
		t.Errorf("a status became %v", st)
	}
	away := &store.UnavailableError{Cause: errors.New("no leader"), RetryAfter: 7 * time.Second}
	if d := detail[*errdetails.RetryInfo](t, statusOf(away)).RetryDelay.AsDuration(); d != 7*time.Second {
		t.Errorf("retry after %v", d)
	}
}

func FuzzPageToken(f *testing.F) {
	q := query{kind: resource.KindNode}
	f.Add(q.tokenAt(position{Revision: 7, Start: "r/Node/-/a"}))
	f.Add("e30")
	f.Fuzz(func(t *testing.T, token string) {
		q := query{kind: resource.KindNode, token: token}
		p, err := q.position()
		if err != nil {
			wantCode(t, statusOf(err).Err(), codes.InvalidArgument)
			return
		}
		if token == "" { // the first page
			return
		}
		q.token = q.tokenAt(p)
		if again, err := q.position(); err != nil || again.Revision != p.Revision || again.Start != p.Start {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	})
}
