package reconcile

import (
	"context"
	"math/rand/v2"
	"time"
)

// Config says what a [Loop] runs and when.
type Config struct {
	// Sync makes the world as it is wanted; with full it reads everything
	// back first. It is never called twice at once.
	Sync func(ctx context.Context, full bool) error
	// ReadBack is the time between full read-backs; 0 is never.
	ReadBack time.Duration
	// MinPause and MaxPause bound the pause after a failure, which doubles
	// with each further one; 0 is 50 ms and 30 s.
	MinPause, MaxPause time.Duration
	// Failed, when set, is told of each failed round and of the pause until
	// everything is read back and tried again.
	Failed func(err error, retryIn time.Duration)
}

// Loop calls a Sync function when there is a reason to. Kicks that come while
// it runs make one more round; kicks that come together make one.
type Loop struct {
	cfg   Config
	kick  chan struct{}
	full  chan struct{}
	ready chan struct{}

	// The rest belongs to Run.
	failures int
	retry    time.Time // when to read back after a failure; zero is none
	readBack time.Time // when the next regular read-back is due; zero is never
	hold     time.Time // no round before this: a failure was a moment ago
}

// NewLoop returns a Loop that does nothing until Run.
func NewLoop(cfg Config) *Loop {
	if cfg.MinPause <= 0 {
		cfg.MinPause = 50 * time.Millisecond
	}
	if cfg.MaxPause < cfg.MinPause {
		cfg.MaxPause = max(30*time.Second, cfg.MinPause)
	}
	return &Loop{
		cfg: cfg, kick: make(chan struct{}, 1), full: make(chan struct{}, 1),
		ready: make(chan struct{}),
	}
}

// Kick asks for a round soon. It never blocks.
func (l *Loop) Kick() { signal(l.kick) }

// KickFull asks for a round with a full read-back soon. It never blocks.
func (l *Loop) KickFull() { signal(l.full) }

// Ready is closed after the first full round that succeeded.
func (l *Loop) Ready() <-chan struct{} { return l.ready }

// Run starts with a full round and works until ctx is done; then it returns
// nil. It is called once.
func (l *Loop) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	full, due := true, true
	for {
		if due && !time.Now().Before(l.hold) {
			l.round(ctx, full)
			full, due = false, false
		}
		timer.Reset(l.untilNext(due))
		select {
		case <-ctx.Done():
			return nil
		case <-l.full:
			full, due = true, true
		case <-l.kick:
			due = true
		case now := <-timer.C:
			if expired(l.retry, now) || expired(l.readBack, now) {
				full, due = true, true
			}
		}
	}
}

// round runs Sync once and notes when to come back. Only a full round that
// succeeds ends a back-off: another says nothing about what failed.
func (l *Loop) round(ctx context.Context, full bool) {
	if full {
		drain(l.full)
	}
	drain(l.kick)
	err := l.cfg.Sync(ctx, full)
	now := time.Now()
	if full && l.cfg.ReadBack > 0 {
		l.readBack = now.Add(jitter(l.cfg.ReadBack))
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		pause := min(l.cfg.MinPause<<min(l.failures, 20), l.cfg.MaxPause)
		pause = jitter(pause)
		l.failures++
		l.retry = now.Add(pause)
		l.hold = now.Add(min(pause, l.cfg.MinPause))
		if l.cfg.Failed != nil {
			l.cfg.Failed(err, pause)
		}
	case full:
		l.failures, l.retry = 0, time.Time{}
		select {
		case <-l.ready:
		default:
			close(l.ready)
		}
	}
}

// untilNext returns how long Run may sleep when nobody kicks. A round that is due
// comes when the hold ends, whatever else its time has come.
func (l *Loop) untilNext(due bool) time.Duration {
	if due {
		return max(time.Until(l.hold), 0)
	}
	next := time.Now().Add(time.Hour)
	for _, at := range []time.Time{l.retry, l.readBack} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return max(time.Until(next), 0)
}

func expired(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// jitter spreads d over 3/4 to 5/4 of itself, so that hosts that failed
// together do not come back together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
