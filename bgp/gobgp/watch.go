package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/projectvrouter/vrouter/bgp"
)

// route is what peers told of a prefix; guarded by Speaker.mu.
type route struct {
	paths []bgp.Path // at most one of each peer, in order of peer, before our import policy
	told  []bgp.Path // as Drain gave them last
}

// watch follows what peers tell after GoBGP's import policy: GoBGP takes all
// that happens to a session (down, stale, restart timer) through there.
func (s *Speaker) watch(ctx context.Context) error {
	err := s.server.WatchEvent(ctx, &api.WatchEventRequest{
		Peer: &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{
			{Type: api.WatchEventRequest_Table_Filter_POST_POLICY},
			{Type: api.WatchEventRequest_Table_Filter_EOR},
		}},
	}, s.event)
	if err != nil {
		return fmt.Errorf("watch the server: %w", err)
	}
	return nil
}

// event takes one event; it must not call the server.
func (s *Speaker) event(e *api.WatchEventResponse) {
	if t := e.GetTable(); t != nil {
		for _, p := range t.Paths {
			s.pathEvent(p)
		}
	}
	if p := e.GetPeer().GetPeer(); p != nil && e.GetPeer().Type == api.WatchEventResponse_PeerEvent_STATE {
		s.peerEvent(p)
	}
}

func (s *Speaker) peerEvent(p *api.Peer) {
	addr, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
	if err != nil {
		return
	}
	s.mu.Lock()
	if e := s.sessions[addr]; e != nil {
		e.stopTimer()
		e.endOfRIB, e.lastUpdate, e.connection = false, time.Time{}, connection{}
		if p.State.SessionState == api.PeerState_ESTABLISHED {
			e.established++
			e.connection = connectionOf(addr, p.GetTransport())
			e.stale = time.AfterFunc(s.settings.StaleTime, func() { s.expireStale(e) })
		}
	}
	s.mu.Unlock()
	signal(s.peersChanged)
}

func (s *Speaker) pathEvent(p *api.Path) {
	peer, err := netip.ParseAddr(p.NeighborIp)
	if err != nil {
		return // of our own
	}
	if p.Nlri == nil {
		s.endOfRIB(peer)
		return
	}
	path, err := fromAPI(p)
	if err != nil {
		s.log.to.Warn("path is not understood", "peer", peer, "error", err)
		return
	}
	path.Peer = peer
	s.mu.Lock()
	if e := s.sessions[peer]; e != nil && !p.Stale && !p.IsWithdraw {
		e.lastUpdate = time.Now()
	}
	s.store(path, p.IsWithdraw)
	s.mu.Unlock()
	signal(s.changed)
}

// store puts path in the place of what its peer told of its prefix before.
func (s *Speaker) store(path bgp.Path, gone bool) {
	r := s.rib[path.Prefix]
	if r == nil {
		if gone {
			return
		}
		r = new(route)
		s.rib[path.Prefix] = r
	}
	i, had := slices.BinarySearchFunc(r.paths, path.Peer, func(p bgp.Path, a netip.Addr) int { return p.Peer.Compare(a) })
	switch {
	case gone && had:
		r.paths = slices.Delete(r.paths, i, i+1)
	case gone:
		return
	case had:
		r.paths[i] = path
	default:
		r.paths = slices.Insert(r.paths, i, path)
	}
	s.dirty[path.Prefix] = struct{}{}
}

func (s *Speaker) endOfRIB(peer netip.Addr) {
	s.mu.Lock()
	if e := s.sessions[peer]; e != nil {
		e.endOfRIB, e.lastUpdate = true, time.Now()
		e.stopTimer()
	}
	s.mu.Unlock()
	signal(s.peersChanged)
}

// Drain implements bgp.Speaker.
func (s *Speaker) Drain() []bgp.PathSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy := s.importPolicy()
	var sets []bgp.PathSet
	for p := range s.dirty {
		r := s.rib[p]
		best := bgp.Best(s.accepted(policy, r))
		if !slices.EqualFunc(best, r.told, bgp.Path.Equal) {
			sets = append(sets, bgp.PathSet{Prefix: p, Paths: best})
		}
		r.told = best
		if len(r.paths) == 0 {
			delete(s.rib, p)
		}
	}
	clear(s.dirty)
	slices.SortFunc(sets, func(a, b bgp.PathSet) int { return bgp.ComparePrefix(a.Prefix, b.Prefix) })
	return sets
}

// accepted is the paths of r that pass the import policy.
func (s *Speaker) accepted(policy bgp.ImportPolicy, r *route) []bgp.Path {
	var list []bgp.Path
	for _, p := range r.paths {
		if e := s.sessions[p.Peer]; e != nil {
			if p, refused := policy.Import(e.want, p); refused == "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// importPolicy is what is to be accepted now.
func (s *Speaker) importPolicy() bgp.ImportPolicy {
	own := make(map[netip.Addr]bool)
	for _, e := range s.sessions {
		if e.want.Local.IsValid() {
			own[e.want.Local] = true
		}
	}
	return bgp.ImportPolicy{Pools: s.pools, ASN: s.settings.ASN, RouterID: s.settings.RouterID, Own: own}
}

// countPaths counts the paths of peer that pass the import policy, and those
// of them that are stale.
func (s *Speaker) countPaths(peer netip.Addr) (accepted, stale int) {
	policy := s.importPolicy()
	for _, r := range s.rib {
		for _, p := range s.accepted(policy, r) {
			if p.Peer == peer {
				accepted++
				if p.Stale {
					stale++
				}
			}
		}
	}
	return accepted, stale
}
