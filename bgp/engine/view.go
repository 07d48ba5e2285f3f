package engine

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// counts of the paths of one peer.
type counts struct {
	received, accepted, stale int
	refused                   map[bgp.Refusal]int
}

// Peers implements bgp.Speaker.
func (e *Engine) Peers() []bgp.PeerState {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil
	}
	by := make([]counts, len(e.rib.sources))
	e.rib.eachPath(func(i routeID, p *path) {
		c := &by[p.peer]
		c.received++
		if why := e.rib.refusal(i, p); why != "" {
			c.refuse(why)
			return
		}
		c.accepted++
		if p.stale {
			c.stale++
		}
	})
	list := make([]bgp.PeerState, 0, len(e.peers))
	for _, p := range e.peers {
		list = append(list, p.state(by))
	}
	slices.SortFunc(list, func(a, b bgp.PeerState) int {
		return cmp.Or(cmp.Compare(a.Session.Name, b.Session.Name), a.Session.Endpoint().Compare(b.Session.Endpoint()))
	})
	return list
}

func (p *peer) state(by []counts) bgp.PeerState {
	status := p.session.Status()
	st := bgp.PeerState{
		Session: p.channels[0].source.want, State: status.State, Since: status.Since,
		Established: p.up, LastError: status.LastError, LastUpdate: p.lastUpdate, Stats: p.statsLocked(status, by),
	}
	for _, c := range p.channels {
		f := c.state(by[c.source.id])
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

func (c *channel) state(n counts) bgp.FamilyState {
	st := bgp.FamilyState{
		Family: c.family, Up: c.member != nil, EndOfRIB: c.endOfRIB,
		Received: n.received, Accepted: n.accepted, Stale: n.stale,
	}
	if m := c.member; m != nil && m.group != nil {
		st.Advertised = m.group.advertised(m.peer)
	}
	return st
}

// refuse counts a path that is not used.
func (c *counts) refuse(why bgp.Refusal) {
	if c.refused == nil {
		c.refused = make(map[bgp.Refusal]int)
	}
	c.refused[why]++
}

// refusal is why p, of route i, is not used; empty: it may be.
func (r *rib) refusal(i routeID, p *path) bgp.Refusal {
	if why := refusals[p.refusal]; why != "" {
		return why
	}
	if r.routes.records.at(i).standing == outside {
		return bgp.NotInPool
	}
	return ""
}

// entries is what Routes is to show.
func (e *Engine) entries(f bgp.Query) iter.Seq[bgp.Entry] {
	var list []bgp.Entry
	r := e.rib
	if !f.Peer.IsValid() {
		for p, a := range e.own {
			if f.Match(p, netip.Addr{}) {
				refused := bgp.ExportPolicy{Pools: r.pools}.Own(p)
				list = append(list, bgp.Entry{Path: a.Path(p), Own: true, Best: refused == "", Refused: refused})
			}
		}
	}
	for i := range routeID(r.routes.records.len()) {
		rec := r.routes.records.at(i)
		if rec.first == 0 || !f.Match(rec.key.prefix(), f.Peer) {
			continue
		}
		best := r.best(i)
		for at := rec.first; at != 0; at = r.paths.records.at(at).next {
			p := r.paths.records.at(at)
			if f.Peer.IsValid() && r.sources[p.peer].want.Peer != f.Peer {
				continue
			}
			list = append(list, bgp.Entry{
				Path: r.path(rec.key.prefix(), p), Best: slices.Contains(best, at), Refused: r.refusal(i, p),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b bgp.Entry) int {
		return cmp.Or(bgp.ComparePrefix(a.Prefix, b.Prefix), a.Peer.Compare(b.Peer))
	})
	return slices.Values(list)
}
