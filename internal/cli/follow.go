package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Events as -w shows them, in Kubernetes' words.
const (
	eventAdded    = "ADDED"
	eventModified = "MODIFIED"
	eventDeleted  = "DELETED"
)

// update is one message of a watch stream.
type update struct {
	object proto.Message // put, or nil
	key    ref           // of object, or of what is gone
	gone   bool
	synced bool // the snapshot is complete
	reset  bool // another snapshot follows
	// revision to resume from. Only synced and progress tell one: objects come
	// in any order.
	revision int64
}

// source opens a stream of updates after a revision; zero begins with a
// snapshot.
type source func(ctx context.Context, after int64) (receive func() (update, error), err error)

// follower turns a stream that may break into events without gaps or repeats.
type follower struct {
	app  *app
	open source
	// match tells whether an object is meant; one that no longer is counts as
	// deleted.
	match func(proto.Message) bool
	// emit shows an event.
	emit func(event string, object proto.Message) error
	// flush is called when nothing more is at hand: after the snapshot, and
	// after each event then.
	flush func() error

	shown map[ref]proto.Message
	heard bool         // some update has come
	fresh map[ref]bool // seen in the snapshot that is being read; nil: none is
	after int64        // revision that all is shown up to; zero: none
}

// Pauses before a stream that broke is opened again.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// run follows until ctx ends, which is the usual end. A stream that tells
// nothing the first time is an error; one that breaks later is opened again
// where it ended, or from the beginning where it broke within the snapshot.
func (f *follower) run(ctx context.Context) error {
	f.shown = make(map[ref]proto.Message)
	pause := firstPause
	for {
		before := f.after
		err := f.stream(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f.after != before { // it went well for a while
			pause = firstPause
		}
		if !f.heard || !passing(err) {
			return err
		}
		f.app.warn("", fmt.Sprintf("%s; trying again", sentences(err)[0]))
		if status.Code(err) == codes.OutOfRange {
			f.after = 0 // compacted: a new snapshot tells what was missed
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// passing tells whether opening the stream again may help.
func passing(err error) bool {
	var unreachable *unreachableError
	code := status.Code(err)
	return errors.As(err, &unreachable) || code == codes.Unavailable || code == codes.OutOfRange
}

// stream follows one stream to its end, which is always an error.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	receive, err := f.open(ctx, f.after)
	if err != nil {
		return err
	}
	f.fresh = nil
	if f.after == 0 {
		f.fresh = make(map[ref]bool)
	}
	for {
		u, err := receive()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "vrouterd ended the watch")
		}
		if err != nil {
			return err
		}
		if err := f.take(u); err != nil {
			return err
		}
	}
}

// take folds one update in.
func (f *follower) take(u update) error {
	f.heard = true
	if u.reset {
		f.fresh = make(map[ref]bool)
	}
	if err := f.event(u); err != nil {
		return err
	}
	if u.synced {
		if err := f.sweep(); err != nil {
			return err
		}
		f.fresh = nil
	}
	f.after = max(f.after, u.revision)
	if f.fresh != nil {
		return nil // the rest of the snapshot follows
	}
	return f.flush()
}

func (f *follower) event(u update) error {
	old, known := f.shown[u.key]
	switch {
	case u.object != nil && f.match(u.object):
		if f.fresh != nil {
			f.fresh[u.key] = true
		}
		f.shown[u.key] = u.object
		switch {
		case !known:
			return f.emit(eventAdded, u.object)
		case !proto.Equal(old, u.object):
			return f.emit(eventModified, u.object)
		}
	case known && (u.gone || u.object != nil):
		delete(f.shown, u.key)
		return f.emit(eventDeleted, old)
	}
	return nil
}

// sweep deletes what a new snapshot no longer has.
func (f *follower) sweep() error {
	if f.fresh == nil {
		return nil
	}
	gone := slices.SortedFunc(maps.Keys(f.shown), func(a, b ref) int {
		return strings.Compare(a.String(), b.String())
	})
	for _, key := range gone {
		if f.fresh[key] {
			continue
		}
		old := f.shown[key]
		delete(f.shown, key)
		if err := f.emit(eventDeleted, old); err != nil {
			return err
		}
	}
	return nil
}
