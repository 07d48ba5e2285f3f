package gobgp

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/apiutil"
	wire "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/projectvrouter/vrouter/bgp"
)

// Peers implements bgp.Speaker.
func (s *Speaker) Peers() []bgp.PeerState {
	if s.server == nil || s.isStopped() {
		return nil
	}
	now := make(map[netip.Addr]*api.Peer)
	err := s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		if addr, err := netip.ParseAddr(p.GetState().GetNeighborAddress()); err == nil {
			now[addr] = p
		}
	})
	s.logFailed(err)

	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.rib.Counts(s.accept())
	list := make([]bgp.PeerState, 0, len(s.sessions))
	for addr, e := range s.sessions {
		st := bgp.PeerState{
			Session:     e.want,
			Established: e.established,
			LastError:   s.log.reason(addr),
			EndOfRIB:    e.endOfRIB,
			LastUpdate:  e.lastUpdate,
			Local:       e.connection.local.Addr(),
		}
		if p := now[addr]; p != nil {
			setState(&st, p)
		}
		c := counts[addr]
		st.Accepted, st.GracefulRestart.Stale = c.Accepted, c.Stale
		if st.State == bgp.Established {
			st.Advertised = s.advertised(e.want, counts)
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b bgp.PeerState) int {
		return cmp.Or(cmp.Compare(a.Session.Name, b.Session.Name), a.Session.Peer.Compare(b.Session.Peer))
	})
	return list
}

// advertised is how many prefixes to has from us. GoBGP would run its whole
// table through the policies for the answer.
func (s *Speaker) advertised(to bgp.Session, counts map[netip.Addr]bgp.Count) int {
	export := bgp.ExportPolicy{Pools: s.pools}
	n := 0
	for p := range s.own {
		if bgp.FamilyOf(p.Addr()) == to.Family && export.Own(p) == "" {
			n++
		}
	}
	for addr, e := range s.sessions {
		if e.want.Family == to.Family && export.Reflects(e.want, to) {
			n += counts[addr].First
		}
	}
	return n
}

// setState fills in what GoBGP knows.
func setState(st *bgp.PeerState, p *api.Peer) {
	if n := p.State.SessionState; n >= api.PeerState_IDLE {
		st.State = bgp.State(n - api.PeerState_IDLE)
	}
	timers := p.GetTimers().GetState()
	since := timers.GetDowntime()
	if st.State == bgp.Established {
		since = timers.GetUptime()
	}
	if since != nil {
		st.Since = since.AsTime()
	}
	st.RouterID, _ = netip.ParseAddr(p.State.RouterId)
	st.Hold = time.Duration(timers.GetNegotiatedHoldTime()) * time.Second
	st.Keepalive = time.Duration(timers.GetKeepaliveInterval()) * time.Second
	for _, a := range p.AfiSafis {
		st.Received += int(a.GetState().GetReceived())
	}
	caps, err := apiutil.UnmarshalCapabilities(p.State.RemoteCap)
	if err != nil {
		return
	}
	for _, c := range caps {
		st.Capabilities = append(st.Capabilities, c.Code().String())
		if gr, ok := c.(*wire.CapGracefulRestart); ok {
			setRestart(&st.GracefulRestart, st.Session.Family, gr)
		}
	}
	slices.Sort(st.Capabilities)
	st.Capabilities = slices.Compact(st.Capabilities)
}

// Bits of the graceful restart capability (RFC 4724 §3).
const (
	flagRestarting = 0x8
	flagForwarding = 0x80
)

func setRestart(st *bgp.GracefulRestart, family bgp.Family, c *wire.CapGracefulRestart) {
	st.Negotiated = true
	st.Restarting = c.Flags&flagRestarting != 0
	st.RestartTime = time.Duration(c.Time) * time.Second
	afi := uint16(wire.AFI_IP)
	if family == bgp.IPv6Unicast {
		afi = wire.AFI_IP6
	}
	for _, t := range c.Tuples {
		if t.AFI == afi && t.SAFI == wire.SAFI_UNICAST {
			st.Forwarding = t.Flags&flagForwarding != 0
		}
	}
}

// Routes implements bgp.Speaker.
func (s *Speaker) Routes(f bgp.Filter) iter.Seq[bgp.Entry] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Values(s.rib.Entries(f, s.own, bgp.ExportPolicy{Pools: s.pools}, s.accept()))
}
