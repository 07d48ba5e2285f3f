package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The kinds of errors of a Store. Drivers wrap them; test with errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrCompacted   = errors.New("revision has been compacted")
	ErrUnavailable = errors.New("store unavailable")
	ErrFull        = errors.New("store is full")
	ErrTooLarge    = errors.New("too large for the store")
	ErrForeign     = errors.New("foreign store")
	ErrPermission  = errors.New("permission denied by the store")
	ErrNoLease     = errors.New("lease is gone")
	ErrClosed      = errors.New("store is closed")
)

// ConflictError is a compare that did not hold: the first in the order of the
// transaction. It wraps ErrConflict.
type ConflictError struct {
	Key  string
	Want int64 // ModRevision that was compared with; zero: must not exist
	Have KV    // what the key holds, or a new key below it; ModRevision zero: it does not exist
}

// Error names the key and both revisions.
func (e *ConflictError) Error() string {
	switch {
	case e.Have.Key != "" && e.Have.Key != e.Key:
		return fmt.Sprintf("%s: conflict: %s is newer than revision %d", e.Key, e.Have.Key, e.Want)
	case e.Want == 0:
		return fmt.Sprintf("%s: conflict: exists at revision %d", e.Key, e.Have.ModRevision)
	case e.Have.ModRevision == 0:
		return fmt.Sprintf("%s: conflict: wanted at revision %d, does not exist", e.Key, e.Want)
	}
	return fmt.Sprintf("%s: conflict: wanted at revision %d, is at %d", e.Key, e.Want, e.Have.ModRevision)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// UnavailableError is a call that the store did not answer. It wraps
// ErrUnavailable and the cause.
type UnavailableError struct {
	Cause      error
	RetryAfter time.Duration // a hint for the caller's next try
}

// Error gives the cause.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause)
}

// Unwrap returns ErrUnavailable and the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Cause} }

// Waited is why a caller gave up its wait for others, whose work on the store is
// its own, too. Time runs out there when the store does not answer them, which
// is what the caller must know.
func Waited(ctx context.Context, what string) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return &UnavailableError{Cause: fmt.Errorf("wait for %s: %w", what, cause)}
}

// RetryAfter returns the hint in err on when to try again, and zero when it
// has none.
func RetryAfter(err error) time.Duration {
	var u *UnavailableError
	if errors.As(err, &u) {
		return u.RetryAfter
	}
	return 0
}
