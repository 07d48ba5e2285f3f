package agent

import (
	"context"
	"testing"
)

func TestSleepForNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if !sleep(ctx, 0) {
		t.Error("ended before its context")
	}
	cancel()
	if sleep(ctx, 0) {
		t.Error("outlived its context")
	}
}
