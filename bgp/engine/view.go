package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// Peers implements bgp.Speaker.
func (e *Engine) Peers() []bgp.PeerState {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil
	}
	list := make([]bgp.PeerState, 0, len(e.peers))
	for _, p := range e.peers {
		if p.within.IsValid() && p.session != nil && p.conn == nil && p.paths() == 0 {
			continue // no neighbour yet, or any longer
		}
		list = append(list, p.state())
	}
	slices.SortFunc(list, func(a, b bgp.PeerState) int {
		return cmp.Or(cmp.Compare(a.Session.Name, b.Session.Name), a.Session.Endpoint().Compare(b.Session.Endpoint()))
	})
	return list
}

func (p *peer) state() bgp.PeerState {
	status := p.status()
	st := bgp.PeerState{
		Session: p.channels[0].source.want, State: status.State, Since: status.Since,
		Range: p.within, Established: p.up, LastError: status.LastError, LastUpdate: p.lastUpdate,
		Stats: p.statsLocked(status),
	}
	for _, c := range p.channels {
		f := c.state()
		st.Families = append(st.Families, f)
		st.Received += f.Received
		st.Accepted += f.Accepted
		st.Advertised += f.Advertised
		st.GracefulRestart.Stale += f.Stale
		if f.EndOfRIB {
			st.EndOfRIB = st.EndOfRIB.With(f.Family)
		}
	}
	n := status.Negotiated
	if n == nil {
		return st
	}
	st.RouterID, st.Hold, st.Keepalive = n.RouterID, n.HoldTime, n.Keepalive
	st.Capabilities = n.Capabilities.Names()
	slices.Sort(st.Capabilities)
	if status.State == bgp.Established {
		st.Local = n.Local.Addr()
	}
	if gr := n.Capabilities.GracefulRestart; gr != nil {
		st.GracefulRestart = bgp.GracefulRestart{
			Negotiated: n.GracefulRestart, Restarting: gr.Restarting,
			Forwarding: gr.Forwarding, RestartTime: gr.Time, Stale: st.GracefulRestart.Stale,
		}
	}
	return st
}

func (c *channel) state() bgp.FamilyState {
	n := c.source.counts
	st := bgp.FamilyState{
		Family: c.family, Up: c.member != nil, EndOfRIB: c.endOfRIB,
		Received: n.received, Accepted: n.accepted, Stale: n.stale,
		LongLivedUntil: c.until,
	}
	if m := c.member; m != nil && m.group != nil {
		st.Advertised = m.group.advertised(m.peer)
	}
	return st
}

// refused is why p, of route rec, is not used; empty: it may be.
func (r *rib) refused(rec *route, p *path) bgp.Refusal {
	if why := r.refusals[p.refusal]; why != "" {
		return why
	}
	switch {
	case rec.standing == martian:
		return bgp.Martian
	case !accepts(rec, p):
		return bgp.NotInPool
	}
	return ""
}

// appendEntries appends the paths of route i, of one peer if it is valid.
func (r *rib) appendEntries(list []bgp.Entry, i routeID, of netip.Addr) []bgp.Entry {
	rec := r.routes.records.at(i)
	best := r.best(i)
	for at := rec.first; at != 0; at = r.paths.records.at(at).next {
		p := r.paths.records.at(at)
		w := r.sources[p.peer].want
		if of.IsValid() && w.Peer != of {
			continue
		}
		list = append(list, bgp.Entry{
			Path: r.path(rec.key.prefix(), p), Best: slices.Contains(best, at), Refused: r.refused(rec, p),
			Unreachable: !r.reached(p),
			Session:     w.Name, Raw: r.sets.sets[p.set].raw,
		})
	}
	return list
}
