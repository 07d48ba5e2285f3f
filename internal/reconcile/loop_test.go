package reconcile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rounds records the calls of Sync.
type rounds struct {
	full    []bool
	failing atomic.Bool
	block   chan struct{}
}

func (r *rounds) sync(ctx context.Context, full bool) error {
	r.full = append(r.full, full)
	if r.block != nil {
		<-r.block
	}
	if r.failing.Load() {
		return errors.New("no")
	}
	return nil
}

func start(t *testing.T, cfg Config) *Loop {
	t.Helper()
	l := NewLoop(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return l
}

func TestLoopKicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		l := start(t, Config{Sync: r.sync})
		if len(r.full) != 1 || !r.full[0] {
			t.Fatalf("first rounds: %v, want one full", r.full)
		}
		<-l.Ready()
		l.Kick()
		synctest.Wait()
		l.KickFull()
		synctest.Wait()
		if len(r.full) != 3 || r.full[1] || !r.full[2] {
			t.Fatalf("rounds: %v", r.full)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(r.full) != 3 {
			t.Fatalf("rounds without a reason: %v", r.full)
		}
	})
}

func TestLoopCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rounds{block: make(chan struct{})}
		l := start(t, Config{Sync: r.sync})
		for range 100 {
			l.Kick()
		}
		close(r.block)
		synctest.Wait()
		if len(r.full) != 2 {
			t.Fatalf("%d rounds, want 2", len(r.full))
		}
	})
}

func TestLoopBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.failing.Store(true)
		var pauses []time.Duration
		l := start(t, Config{
			Sync: r.sync, MinPause: time.Second, MaxPause: 8 * time.Second,
			Failed: func(_ error, d time.Duration) { pauses = append(pauses, d) },
		})
		time.Sleep(60 * time.Second)
		synctest.Wait()
		for i, p := range pauses {
			middle := min(time.Second<<i, 8*time.Second)
			if p < middle*3/4 || p > middle*5/4 {
				t.Errorf("pause %d is %v, want about %v", i, p, middle)
			}
			if !r.full[i] {
				t.Errorf("round %d after a failure did not read back", i)
			}
		}
		if len(pauses) < 6 {
			t.Errorf("%d failures in a minute", len(pauses))
		}
		// News does not wait for the pause, but cannot spin either.
		n := len(r.full)
		for range 20 {
			l.Kick()
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if got := len(r.full) - n; got > 2 {
			t.Errorf("%d rounds in 200 ms of kicks while failing", got)
		}
		select {
		case <-l.Ready():
			t.Error("ready without a success")
		default:
		}
		r.failing.Store(false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		<-l.Ready()
		n = len(r.full)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.full) != n {
			t.Errorf("rounds after the recovery")
		}
	})
}

func TestLoopRetriesAfterPartialSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		l := start(t, Config{Sync: r.sync, MinPause: time.Second})
		r.failing.Store(true)
		l.Kick()
		synctest.Wait()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		r.failing.Store(false)
		l.Kick()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(r.full); n < 3 || !r.full[n-1] {
			t.Errorf("rounds %v: the failed item was never read back", r.full)
		}
	})
}

func TestLoopReadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		start(t, Config{Sync: r.sync, ReadBack: time.Minute})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(r.full); n < 48 || n > 81 {
			t.Errorf("%d read-backs an hour", n)
		}
		for _, full := range r.full {
			if !full {
				t.Error("a round without read-back and without a kick")
			}
		}
	})
}
