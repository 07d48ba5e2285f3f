package agent

import (
	"context"
	"math/rand/v2"
	"time"
)

// wait returns true once c is closed, false when ctx ended first.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}

// isClosed reports whether c, on which nobody sends, is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sleep waits for about d, not at all when that is nothing, and reports false
// when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	jittered := d/2 + rand.N(d) //nolint:gosec // jitter needs no secrecy
	timer := time.NewTimer(jittered)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// signal wakes whoever waits on c; a wake-up that is pending stands for more.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
