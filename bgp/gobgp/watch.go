package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/projectvrouter/vrouter/bgp"
)

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
	if p.IsWithdraw {
		s.rib.Remove(path.Prefix, peer)
	} else {
		s.rib.Put(path)
	}
	s.mu.Unlock()
	signal(s.changed)
}

func (s *Speaker) endOfRIB(peer netip.Addr) {
	s.mu.Lock()
	e := s.sessions[peer]
	if e == nil {
		s.mu.Unlock()
		return
	}
	e.stopTimer()
	c, late := e.connection, s.late()
	s.mu.Unlock()
	if len(late) == 0 {
		s.noteEndOfRIB(e, c)
		return
	}
	go func() {
		s.renew(late)
		s.noteEndOfRIB(e, c)
	}()
}

// noteEndOfRIB notes that the peer has told all over connection c.
func (s *Speaker) noteEndOfRIB(e *session, c connection) {
	s.mu.Lock()
	if e.connection == c {
		e.endOfRIB, e.lastUpdate = true, time.Now()
	}
	s.mu.Unlock()
	signal(s.peersChanged)
}

// Drain implements bgp.Speaker.
func (s *Speaker) Drain() []bgp.PathSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rib.Drain(s.accept())
}

// accept is the import policy of now, over all sessions.
func (s *Speaker) accept() bgp.Accept {
	own := make(map[netip.Addr]bool)
	for _, e := range s.sessions {
		own[e.want.Local] = true
		own[e.connection.local.Addr()] = true
	}
	policy := bgp.ImportPolicy{Pools: s.pools, ASN: s.settings.ASN, RouterID: s.settings.RouterID, Own: own}
	return func(p bgp.Path) (bgp.Path, bgp.Refusal) {
		if e := s.sessions[p.Peer]; e != nil {
			return policy.Import(e.want, p)
		}
		return p, bgp.NoSession
	}
}
