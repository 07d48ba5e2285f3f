package policy

import (
	"context"

	"github.com/hashicorp/go-hclog"
)

// A Predecessor is what an earlier process may have enforced policy by.
type Predecessor interface {
	// Clean removes all that is ours.
	Clean(ctx context.Context) error
}

// Succeed returns a Dataplane that works by d and takes over from others: what
// is theirs is removed when d enforces everything for the first time, and no
// sooner, so that there is no moment without policy. Until then a packet has to
// come through both. What cannot be removed is tried again with every Sync.
func Succeed(d Dataplane, log hclog.Logger, others ...Predecessor) Dataplane {
	if len(others) == 0 {
		return d
	}
	return &successor{Dataplane: d, log: log, others: others}
}

type successor struct {
	Dataplane
	log    hclog.Logger
	others []Predecessor // that may still have something
}

// Sync implements Dataplane.
func (s *successor) Sync(ctx context.Context, all *Update) error {
	if err := s.Dataplane.Sync(ctx, all); err != nil {
		return err
	}
	var left []Predecessor
	for _, o := range s.others {
		if err := o.Clean(ctx); err != nil {
			s.log.Warn("rules of another dataplane stay in force beside ours", "error", err)
			left = append(left, o)
		}
	}
	s.others = left
	return nil
}
