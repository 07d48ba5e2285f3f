package lab_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
)

func TestMainCleansUpInReverseAndReturnsFirstFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var order []string
	err := lab.Main(ctx, t.Logf, func(m lab.T) {
		m.Cleanup(func() { order = append(order, "first made") })
		m.Cleanup(func() {
			order = append(order, "last made")
			if !m.Failed() {
				t.Error("the cleanup does not see the failure")
			}
		})
		cancel() // as Ctrl-C does
		lab.Eventually(m, time.Hour, "never", func() error { return errors.New("not yet") })
		t.Error("Fatalf returned")
	})
	if err == nil || err.Error() != "never: not within 1h0m0s: not yet" {
		t.Errorf("error %v", err)
	}
	if want := []string{"last made", "first made"}; !slices.Equal(order, want) {
		t.Errorf("cleanups ran as %q, want %q", order, want)
	}
	if err := lab.Main(t.Context(), t.Logf, func(lab.T) {}); err != nil {
		t.Errorf("success: %v", err)
	}
}
