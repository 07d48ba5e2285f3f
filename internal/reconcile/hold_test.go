package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A read-back whose time comes soon after a failure waits as the rest does, and
// does not keep a core busy: no time would pass here.
func TestReadBackAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		l := NewLoop(Config{ReadBack: 20 * time.Millisecond, Sync: func(context.Context, bool) error {
			rounds++
			return errors.New("refused")
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil || rounds < 2 {
			t.Errorf("%d rounds, %v", rounds, err)
		}
	})
}
