package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rounds records the calls of Sync.
type rounds struct {
	failing atomic.Bool
	block   chan struct{}

	mu     sync.Mutex // guards the rest
	full   []bool
	pauses []time.Duration
}

// all returns the calls until now: whether each was full.
func (r *rounds) all() []bool {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.full)
}

func (r *rounds) failed(_ error, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pauses = append(r.pauses, pause)
}

func (r *rounds) sync(ctx context.Context, full bool) error {
	r.mu.Lock()
	r.full = append(r.full, full)
	r.mu.Unlock()
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
		if len(r.all()) != 1 || !r.all()[0] {
			t.Fatalf("first rounds: %v, want one full", r.all())
		}
		<-l.Ready()
		l.Kick()
		synctest.Wait()
		l.KickFull()
		if len(r.all()) != 3 || r.all()[1] || !r.all()[2] {
			t.Fatalf("rounds: %v", r.all())
		}
		time.Sleep(24 * time.Hour)
		if len(r.all()) != 3 {
			t.Fatalf("rounds without a reason: %v", r.all())
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
		if len(r.all()) != 2 {
			t.Fatalf("%d rounds, want 2", len(r.all()))
		}
	})
}

func TestLoopBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.failing.Store(true)
		l := start(t, Config{
			Sync: r.sync, MinPause: time.Second, MaxPause: 8 * time.Second,
			Failed: r.failed,
		})
		time.Sleep(60 * time.Second)
		full := r.all()
		r.mu.Lock()
		pauses := slices.Clone(r.pauses)
		r.mu.Unlock()
		for i, p := range pauses {
			middle := min(time.Second<<i, 8*time.Second)
			if p < middle*3/4 || p > middle*5/4 {
				t.Errorf("pause %d is %v, want about %v", i, p, middle)
			}
			if !full[i] {
				t.Errorf("round %d after a failure did not read back", i)
			}
		}
		if len(pauses) < 6 {
			t.Errorf("%d failures in a minute", len(pauses))
		}
		// News does not wait for the pause, but cannot spin either.
		n := len(r.all())
		for range 20 {
			l.Kick()
			time.Sleep(10 * time.Millisecond)
		}
		if got := len(r.all()) - n; got > 2 {
			t.Errorf("%d rounds in 200 ms of kicks while failing", got)
		}
		select {
		case <-l.Ready():
			t.Error("ready without a success")
		default:
		}
		r.failing.Store(false)
		time.Sleep(20 * time.Second)
		<-l.Ready()
		n = len(r.all())
		time.Sleep(time.Hour)
		if len(r.all()) != n {
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
		time.Sleep(500 * time.Millisecond)
		r.failing.Store(false)
		l.Kick()
		time.Sleep(5 * time.Second)
		if n := len(r.all()); n < 3 || !r.all()[n-1] {
			t.Errorf("rounds %v: the failed item was never read back", r.all())
		}
	})
}

func TestLoopReadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		start(t, Config{Sync: r.sync, ReadBack: time.Minute})
		time.Sleep(time.Hour)
		if n := len(r.all()); n < 48 || n > 81 {
			t.Errorf("%d read-backs an hour", n)
		}
		for _, full := range r.all() {
			if !full {
				t.Error("a round without read-back and without a kick")
			}
		}
	})
}
