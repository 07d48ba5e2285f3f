package ipam

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

const (
	// maxTries is how often a step is run when others write the same keys:
	// Calico's number. Conflicts over a block end with the block.
	maxTries = 100
	// maxReads is how often a step may ask for more reads in one try.
	maxReads = 10_000
	// firstPause and lastPause bound the pause before a try, which is random
	// below a bound that doubles: writers that collided come apart.
	firstPause = time.Millisecond
	lastPause  = 64 * time.Millisecond
)

// Settings is where a Client has its Env from, the time included. What it
// returns is not changed afterwards.
type Settings interface {
	// Env returns settings that may be old, if their Guards tell so when
	// something is written.
	Env(ctx context.Context) (*Env, error)
	// Fresh returns settings that are read after the call.
	Fresh(ctx context.Context) (*Env, error)
}

// Work decides on a Step, or asks by *NeedError for more to be read. It must be
// repeatable, and is of its own last run alone.
type Work func(context.Context, *Step) error

// Client runs steps over a store. Those of one node run one after the other, or
// as one, because they would conflict over its blocks; what was read for a node
// is remembered, so that an allocation mostly is one round trip, and never taken
// as the ground of a refusal.
type Client struct {
	store    Store
	settings Settings

	mu    sync.Mutex // guards the lanes; never held across I/O
	lanes map[string]*lane
}

// NewClient returns a client of a store.
func NewClient(s Store, settings Settings) *Client {
	return &Client{store: s, settings: settings, lanes: make(map[string]*lane)}
}

// Do runs work on a Step and commits it, again and again until it meets no
// conflict or fails. The work joins what else belongs to the transaction by
// Step.Join: a conflict over that repeats the work, too. The revision is zero
// when there was nothing to write.
//
// The node only says whose turn it is. store.ErrUnavailable leaves open
// whether it took place: ask again with Resume.
func (c *Client) Do(ctx context.Context, node string, work Work) (int64, error) {
	l, err := c.enter(ctx, node)
	if err != nil {
		return 0, err
	}
	defer c.leave(l)
	return c.alone(ctx, l, node, work)
}

// alone is Do for who has the turn.
func (c *Client) alone(ctx context.Context, l *lane, node string, work Work) (int64, error) {
	reads := l.reads
	if reads == nil {
		reads = NewReads(true)
	}
	l.reads = nil    // until it has proved right
	doubtful := true // remembered or guessed: no ground for a refusal
	bound := firstPause
	for n := 1; ; n++ {
		revision, refused, err := c.try(ctx, reads, doubtful, work)
		switch {
		case err == nil && revision == 0 && doubtful: // nothing was written, so nothing was compared
		case err == nil:
			c.remember(l, node, reads)
			return revision, nil
		case errors.Is(err, store.ErrConflict) && n < maxTries:
			if !doubtful { // else it may be that nobody is in the way
				if err := pause(ctx, bound); err != nil {
					return 0, err
				}
				bound = min(2*bound, lastPause)
			}
		case doubtful && (refused || errors.Is(err, store.ErrTooLarge)):
		default: // what the store has not answered may have taken place
			return 0, err
		}
		reads, doubtful = NewReads(false), false
	}
}

// try runs work once, reading what it needs. Refused: the error is a decision
// of work, and not of the store.
func (c *Client) try(ctx context.Context, reads *Reads, doubtful bool, work Work) (revision int64, refused bool, err error) {
	env, err := c.env(ctx, doubtful)
	if err != nil {
		return 0, false, err
	}
	for range maxReads {
		step := NewStep(reads, env)
		err := work(ctx, step)
		var need *NeedError
		if errors.As(err, &need) {
			if err := reads.Fill(ctx, c.store, need); err != nil {
				return 0, false, err
			}
			continue
		}
		if err != nil {
			return 0, true, err
		}
		compares, ops, err := step.Txn()
		if err != nil || len(ops) == 0 {
			return 0, false, err
		}
		revision, err := c.store.Txn(ctx, compares, ops)
		if err == nil {
			reads.wrote(step, ops, revision)
		}
		return revision, false, err
	}
	return 0, false, errors.New("a step of address management goes on asking for more to read")
}

// env returns the settings, which may be old where all is doubtful.
func (c *Client) env(ctx context.Context, doubtful bool) (*Env, error) {
	get := c.settings.Fresh
	if doubtful {
		get = c.settings.Env
	}
	env, err := get(ctx)
	if err != nil {
		return nil, fmt.Errorf("read settings of address management: %w", err)
	}
	return env, nil
}

func pause(ctx context.Context, bound time.Duration) error {
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
