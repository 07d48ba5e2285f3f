package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/projectvrouter/vrouter/bgp"
)

// session is what this package keeps of a session; guarded by Speaker.mu.
type session struct {
	want        bgp.Session
	connection  connection // of the established session, else zero
	established int
	endOfRIB    bool
	lastUpdate  time.Time
	stale       *time.Timer // runs from Established while stale paths may remain
}

func (e *session) stopTimer() {
	if e != nil && e.stale != nil {
		e.stale.Stop()
		e.stale = nil
	}
}

// SetSessions implements bgp.Speaker.
func (s *Speaker) SetSessions(list []bgp.Session) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	want, err := s.normalise(list)
	errs := []error{err}

	s.mu.Lock()
	var drop, add []bgp.Session
	for addr, e := range s.sessions {
		if w, ok := want[addr]; !ok || !w.SameAs(e.want) {
			drop = append(drop, e.want)
		}
	}
	for addr, w := range want {
		if e, ok := s.sessions[addr]; ok && w.SameAs(e.want) {
			e.want = w
		} else {
			add = append(add, w)
		}
	}
	s.mu.Unlock()

	for _, d := range drop {
		errs = append(errs, s.deletePeer(d))
	}
	s.mu.Lock()
	for _, a := range add {
		s.sessions[a.Peer] = &session{want: a}
	}
	if len(drop)+len(add) > 0 { // which next hops are our own may be another thing now
		s.rib.Touch(func(netip.Prefix) bool { return true })
	}
	s.mu.Unlock()
	signal(s.changed)
	// A peer must find the policies that its session needs.
	if len(drop)+len(add) > 0 {
		errs = append(errs, s.refreshPolicies())
	}
	for _, a := range add {
		errs = append(errs, s.addPeer(a, s.restarting(a.Family)))
	}
	signal(s.peersChanged)
	return errors.Join(errs...)
}

// normalise is the sessions by peer address, with what cannot be had left out.
func (s *Speaker) normalise(list []bgp.Session) (map[netip.Addr]bgp.Session, error) {
	want := make(map[netip.Addr]bgp.Session, len(list))
	var errs []error
	for _, w := range list {
		if w.LocalAS == 0 {
			w.LocalAS = s.settings.ASN
		}
		other, twice := want[w.Peer]
		switch err := w.Check(); {
		case err != nil:
			errs = append(errs, err)
		case w.Peer.Zone() != "":
			errs = append(errs, fmt.Errorf("session %s: the peer's address holds on one link only", w))
		case twice:
			errs = append(errs, fmt.Errorf("session %s: session %s has the same peer address", w, other))
		default:
			want[w.Peer] = w
		}
	}
	return want, errors.Join(errs...)
}

// restarting reports whether a session that starts now is the return of one
// that our predecessor had.
func (s *Speaker) restarting(f bgp.Family) bool {
	return s.settings.Restarting[f] && time.Since(s.started) < s.settings.RestartTime
}

func (s *Speaker) addPeer(w bgp.Session, restarting bool) error {
	err := s.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: s.peer(w, restarting)})
	if err != nil {
		s.mu.Lock()
		delete(s.sessions, w.Peer) // so that it is tried when it is wanted again
		s.mu.Unlock()
		return fmt.Errorf("add peer %s: %w", w, err)
	}
	return nil
}

func (s *Speaker) deletePeer(w bgp.Session) error {
	s.mu.Lock()
	s.sessions[w.Peer].stopTimer()
	delete(s.sessions, w.Peer)
	s.mu.Unlock()
	err := s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: w.Peer.String()})
	if err != nil {
		return fmt.Errorf("delete peer %s: %w", w, err)
	}
	return nil
}

// peer is w in GoBGP's words.
func (s *Speaker) peer(w bgp.Session, restarting bool) *api.Peer {
	hold, retry := w.Hold, w.ConnectRetry
	if hold == 0 {
		hold = bgp.DefaultHold
	}
	if retry == 0 {
		retry = bgp.DefaultConnectRetry
	}
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: w.Peer.String(),
			PeerAsn:         w.PeerAS,
			LocalAsn:        w.LocalAS,
			// GoBGP drops a path with our AS in it and keeps the path that it
			// replaces; let in, it is refused by policy, and the old one goes.
			AllowOwnAsn: 255,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry:      seconds(retry),
			HoldTime:          seconds(hold),
			KeepaliveInterval: seconds(w.Keepalive),
		}},
		Transport: &api.Transport{PassiveMode: w.Passive, RemotePort: uint32(w.Endpoint().Port())},
		GracefulRestart: &api.GracefulRestart{
			Enabled:         true,
			RestartTime:     uint32(seconds(s.settings.RestartTime)),
			DeferralTime:    uint32(seconds(s.settings.Deferral)),
			LocalRestarting: restarting,
		},
		AfiSafis: []*api.AfiSafi{{
			Config:            &api.AfiSafiConfig{Family: apiFamily(w.Family), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		}},
	}
	if w.Local.IsValid() {
		p.Transport.LocalAddress = w.Local.String()
	}
	if w.Multihop && !w.Internal() {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: 255}
	}
	if w.ReflectorClient {
		p.RouteReflector = &api.RouteReflector{
			RouteReflectorClient:    true,
			RouteReflectorClusterId: w.ClusterID.String(),
		}
	}
	return p
}

// seconds rounds up, because zero means a default to GoBGP.
func seconds(d time.Duration) uint64 {
	return uint64((d + time.Second - 1) / time.Second)
}

// late is the sessions with routers that are still to come up for the first
// time after a restart. With the End-of-RIB of the peers that are up GoBGP
// thinks the restart over, and clears the flags of the others, too; a router
// that finds no forwarding flag drops our routes (RFC 4724 §4.2). Among nodes
// it is no matter: GoBGP looks at no flag.
func (s *Speaker) late() []*session {
	var list []*session
	for _, e := range s.sessions {
		if e.established == 0 && e.want.PeerNode == "" && s.restarting(e.want.Family) {
			list = append(list, e)
		}
	}
	return list
}

// renew makes sessions that have not come up anew, with the flags of a restart.
func (s *Speaker) renew(list []*session) {
	s.apply.Lock()
	defer s.apply.Unlock()
	for _, e := range list {
		s.mu.Lock()
		current := s.sessions[e.want.Peer] == e && e.established == 0 && !s.stopped
		s.mu.Unlock()
		if current {
			s.logFailed(s.reopen(e, true))
		}
	}
}

// reopen closes a session and opens it anew.
func (s *Speaker) reopen(e *session, restarting bool) error {
	err := s.deletePeer(e.want)
	s.mu.Lock()
	s.sessions[e.want.Peer] = &session{want: e.want, established: e.established}
	s.mu.Unlock()
	return errors.Join(err, s.addPeer(e.want, restarting))
}

// expireStale opens a session anew that has been back for too long without
// End-of-RIB while paths of its last life remain: GoBGP has no such timer.
func (s *Speaker) expireStale(e *session) {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	current := s.sessions[e.want.Peer] == e && !s.stopped && e.stale != nil && !e.endOfRIB
	stale := 0
	if current {
		stale = s.rib.Counts(s.accept())[e.want.Peer].Stale
	}
	s.mu.Unlock()
	if stale == 0 {
		return
	}
	s.log.to.Warn("peer left stale paths, opening session anew", "peer", e.want.Peer, "paths", stale)
	s.logFailed(s.reopen(e, false))
}
