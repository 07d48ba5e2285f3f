package engine

import (
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// rangeOf is the longest of the ranges, which are in that order, that has a.
func rangeOf(ranges []bgp.Session, a netip.Addr) (bgp.Session, bool) {
	for _, r := range ranges {
		if r.Range.Contains(a.WithZone("")) {
			return r, true
		}
	}
	return bgp.Session{}, false
}

// memberOf is the session of the range r with a.
func memberOf(r bgp.Session, a netip.Addr) bgp.Session {
	r.Name += "/" + a.String()
	r.Families = r.Carried()
	r.Peer, r.Range, r.RangeLimit, r.Passive = a, netip.Prefix{}, 0, true
	return r
}

// fullEvery is how often the log is told of a full range: who connects, and he
// may do so all the time, is not to fill it.
const fullEvery = 10 * time.Second

// admitLocked makes a session for a router that connects from within a range;
// nil: it is of none, or there are too many of it.
func (e *Engine) admitLocked(remote, local netip.Addr) *session.Peer {
	r, ok := rangeOf(e.ranges, remote)
	if !ok || r.Shutdown || r.Local.IsValid() && r.Local.WithZone("") != local.WithZone("") {
		return nil
	}
	limit := r.RangeLimit
	if limit == 0 {
		limit = bgp.DefaultRangeLimit
	}
	if e.inRange(r.Range) >= limit {
		if now := time.Now(); now.Sub(e.saidFull) >= fullEvery {
			e.saidFull = now
			e.log.Warn("peer of a full range refused", "peer", remote.String(), "range", r.Range.String(), "limit", limit)
		}
		return nil
	}
	p := e.newPeer(memberOf(r, remote))
	p.within, p.met = r.Range, e.recall(remote)
	if err := e.addLocked(p); err != nil {
		e.log.Warn("peer of a range refused", "peer", remote.String(), "range", r.Range.String(), "error", err)
		return nil
	}
	return p.session
}

// inRange is how many sessions there are of a range.
func (e *Engine) inRange(r netip.Prefix) int {
	n := 0
	for _, p := range e.peers {
		if p.within == r {
			n++
		}
	}
	return n
}

// reapLocked removes the sessions of ranges whose routers have gone and left no
// paths to be kept.
func (e *Engine) reapLocked() {
	for _, p := range e.peers {
		if !p.within.IsValid() || p.session == nil || p.conn != nil || p.paths() > 0 {
			continue
		}
		// One that was never connected is just about to be.
		if s := p.session.Status(); s.State < bgp.OpenSent && (p.up > 0 || s.LastError != "") {
			if p.up > 0 {
				e.remember(p.want.Peer, time.Now().Add(e.restartTime(p.want)+p.want.LongLived))
			} else if !p.met.IsZero() { // it comes again, perhaps
				e.remember(p.want.Peer, p.met)
			}
			e.removeLocked(p, cease(wire.PeerDeconfigured))
			signal(e.peersChanged)
		}
	}
}

// remember notes that a peer, of which nothing is left here, may have kept what we
// told it, until its time is up.
func (e *Engine) remember(peer netip.Addr, most time.Time) {
	now := time.Now()
	for a, until := range e.met {
		if now.After(until) {
			delete(e.met, a)
		}
	}
	if len(e.met) < maxMet {
		e.met[peer] = most
	}
}

// maxMet bounds the peers that are remembered. One that is not learns our
// routes anew when it comes back.
const maxMet = 4096

// recall is until when a may still have what we told it before; zero: it has not.
func (e *Engine) recall(a netip.Addr) time.Time {
	until := e.met[a]
	delete(e.met, a)
	if time.Now().After(until) {
		return time.Time{}
	}
	return until
}

// paths is how many p gives.
func (p *peer) paths() int {
	n := 0
	for _, c := range p.channels {
		n += c.source.received
	}
	return n
}
