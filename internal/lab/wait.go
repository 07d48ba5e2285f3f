package lab

import (
	"context"
	"time"
)

// pollInterval is short against what is waited for (a BGP session takes
// seconds), and long enough to leave the machine to those who work.
const pollInterval = 20 * time.Millisecond

// Eventually calls f until it returns nil. When that has not happened within
// limit, or the test is over, it fails with the last error.
func Eventually(t T, limit time.Duration, what string, f func() error) {
	t.Helper()
	if err := Wait(t.Context(), limit, f); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

// Wait calls f until it returns nil, and returns the last error of f when
// limit has passed or ctx has ended.
func Wait(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
