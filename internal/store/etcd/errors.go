package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/internal/store"
)

// retryAfter is the hint in errors for callers: about an election.
const retryAfter = time.Second

// kinds maps etcd's errors to those of the port.
var kinds = []struct {
	etcd error
	kind error
}{
	{rpctypes.ErrCompacted, store.ErrCompacted},
	{rpctypes.ErrFutureRev, store.ErrForeign},
	{rpctypes.ErrNoSpace, store.ErrFull},
	{rpctypes.ErrRequestTooLarge, store.ErrTooLarge},
	{rpctypes.ErrTooManyOps, store.ErrTooLarge},
	{rpctypes.ErrLeaseNotFound, store.ErrNoLease},
	{rpctypes.ErrPermissionDenied, store.ErrPermission},
	{rpctypes.ErrUserEmpty, store.ErrPermission},
	{rpctypes.ErrAuthFailed, store.ErrPermission},
}

// translate gives an error of etcd's client the kind it has in the port. ctx is
// the caller's; conn is the last failure to connect, if any.
func translate(ctx context.Context, err, conn error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	known := rpctypes.Error(err)
	for _, k := range kinds {
		if errors.Is(known, k.etcd) {
			return fmt.Errorf("%w: %w", k.kind, err)
		}
	}
	code := status.Code(err)
	var server rpctypes.EtcdError
	if errors.As(known, &server) {
		code = server.Code()
	}
	switch {
	case code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"):
		return fmt.Errorf("%w: %w", store.ErrTooLarge, err) // gRPC's own limit, on our side
	case code == codes.PermissionDenied:
		return fmt.Errorf("%w: %w", store.ErrPermission, err)
	}
	if conn != nil && !strings.Contains(err.Error(), conn.Error()) {
		err = fmt.Errorf("%w; last connection error: %w", err, conn)
	}
	return &store.UnavailableError{Cause: err, RetryAfter: retryAfter}
}
