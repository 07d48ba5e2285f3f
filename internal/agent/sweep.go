package agent

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/view"
)

// silence is how long a peer without graceful restart must have told nothing
// before it counts as having told everything.
const silence = 5 * time.Second

// sweep decides, for each family by itself, when learned routes that nobody
// has told again may be removed: when every peer has told everything, or the
// restart time has run out. It waits for the store in any case, because only
// the store knows every peer.
type sweep struct {
	view     *view.View
	table    *fib.Table
	speaker  bgp.Speaker
	sessions *sessions
	learned  *learned
	limit    time.Duration
	log      hclog.Logger
}

// Run ends when both families are swept.
func (s *sweep) Run(ctx context.Context, start <-chan struct{}) error {
	// Sessions are handed over once before the store was heard, perhaps, and
	// once after: only the latter are all there are.
	if !wait(ctx, start) || !wait(ctx, s.view.Synced()) || !s.sessions.await(ctx) {
		return nil
	}
	limit := time.NewTimer(s.limit)
	defer limit.Stop()
	tick := time.NewTicker(silence / 5)
	defer tick.Stop()
	open := map[bgp.Family]fib.Family{bgp.IPv4Unicast: fib.IPv4, bgp.IPv6Unicast: fib.IPv6}
	expired := false
	for len(open) > 0 {
		for family, kernel := range open {
			if missing := s.missing(family); missing == 0 || expired {
				s.log.Info("learned routes are complete", "family", family, "peers_missing", missing)
				// What the peers have told must be in the table before it is swept.
				s.learned.flush(false)
				s.table.Done(fib.BGP, kernel)
				s.table.Done(fib.Overlay, kernel)
				delete(open, family)
			}
		}
		if len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-limit.C:
			expired = true
		case <-tick.C:
		}
	}
	return nil
}

// missing counts the peers of a family that may still have something to tell.
func (s *sweep) missing(family bgp.Family) int {
	wanted, _ := s.sessions.Wanted()
	states := make(map[string]bgp.PeerState)
	for _, p := range s.speaker.Peers() {
		states[p.Session.Name] = p
	}
	n := 0
	for _, w := range wanted {
		if w.Shutdown || w.Range.IsValid() {
			continue // nobody knows whether anyone comes
		}
		if w.Carried().Has(family) && !complete(states[w.Name], family, time.Now()) {
			n++
		}
	}
	return n
}

// complete reports whether a peer counts as having told everything of family. One that
// restarts itself is no exception: RFC 4724 §4.1 lets nobody wait for it with
// what is advertised, but what it gave must not go before it could tell it
// again. FRR says so of itself for two minutes after each start.
func complete(p bgp.PeerState, family bgp.Family, now time.Time) bool {
	switch {
	case p.State != bgp.Established:
		return false
	case p.EndOfRIB.Has(family):
		return true
	case p.GracefulRestart.Negotiated:
		return false
	}
	last := p.Since
	if p.LastUpdate.After(last) {
		last = p.LastUpdate
	}
	return now.Sub(last) >= silence
}
