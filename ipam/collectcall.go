package ipam

import (
	"context"
	"errors"
	"fmt"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Collected is what Collect took away.
type Collected struct {
	Addresses, Dead, Empty int
	Tunnels, LoadBalancers int // of Addresses; the others were of endpoints
	Spared                 int // was used again, changed, or went by itself meanwhile
}

// of counts n addresses of a kind of owner.
func (c *Collected) of(kind OwnerKind, n int) {
	c.Addresses += n
	switch kind {
	case OwnerTunnel:
		c.Tunnels += n
	case OwnerLoadBalancer:
		c.LoadBalancers += n
	}
}

// piece is garbage that is taken away by itself.
type piece struct {
	what string
	work func(*Step) error
	done func() (again bool) // it was; again: there is more of it
}

// Collect takes away what a Collector has found, each in a transaction that
// checks it again. What cannot be taken away holds up nothing else; an error of
// the store leaves the rest to a later round.
func (c *Client) Collect(ctx context.Context, g *Garbage) (Collected, error) {
	var out Collected
	var bad []error
	for _, p := range g.pieces(&out) {
		for again := true; again; {
			var decided error
			revision, err := c.Do(ctx, "", func(_ context.Context, s *Step) error {
				decided = p.work(s)
				return decided
			})
			again = false
			switch {
			case err == nil && revision != 0:
				again = p.done()
			case err == nil, errors.Is(err, ErrStale), errors.Is(err, ErrNotAllocated), errors.Is(err, ErrBlockInUse),
				errors.Is(err, ErrHandleInUse), errors.Is(err, store.ErrConflict):
				out.Spared++
			case decided != nil && errors.Is(err, decided), errors.Is(err, store.ErrTooLarge): // others may go well
				bad = append(bad, fmt.Errorf("collect %s: %w", p.what, err))
			default:
				return out, errors.Join(append(bad, fmt.Errorf("collect %s: %w", p.what, err))...)
			}
		}
	}
	return out, errors.Join(bad...)
}

// pieces are the parts of the garbage, which count themselves when they go.
func (g *Garbage) pieces(out *Collected) []piece {
	var all []piece
	for _, l := range g.Leaks {
		var left []Release
		all = append(all, piece{"handle " + l.ID,
			func(s *Step) (err error) {
				left, err = s.CollectLeak(l)
				return err
			},
			func() bool {
				out.of(l.Owner.Kind, len(l.Releases)-len(left))
				l.Releases = left
				return len(left) > 0
			}})
	}
	for _, b := range g.Dead {
		all = append(all, piece{fmt.Sprintf("block %s of node %s, which is gone", b.CIDR, b.Node),
			func(s *Step) error { return s.CollectDead(b) },
			func() bool { out.Dead++; return false }})
	}
	for _, b := range g.Empty {
		all = append(all, piece{fmt.Sprintf("empty block %s", b.CIDR),
			func(s *Step) error { return s.CollectEmpty(b) },
			func() bool { out.Empty++; return false }})
	}
	return all
}
