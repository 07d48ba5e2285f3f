package bgptest

import (
	"maps"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// session is one end of a session of a Fake.
type session struct {
	owner *Fake
	want  bgp.Session
	other *session // while established

	since       time.Time
	established int
	lastError   string
	lastUpdate  time.Time
	restart     bgp.GracefulRestart // of the other end's last OPEN
	routerID    netip.Addr
	hold        time.Duration

	sent    map[netip.Prefix]bgp.Path // to the other end, since it came up
	heard   map[netip.Prefix]bool     // what the other end told, fresh or stale
	stale   map[netip.Prefix]bool     // of heard
	expires *time.Timer               // of the stale ones
}

func newSession(owner *Fake, want bgp.Session) *session {
	return &session{
		owner: owner, want: want, since: time.Now(),
		heard: make(map[netip.Prefix]bool), stale: make(map[netip.Prefix]bool),
	}
}

// local is the address that s comes from.
func (s *session) local() netip.Addr {
	if s.want.Local.IsValid() {
		return s.want.Local
	}
	for _, a := range s.owner.settings.ListenAddresses {
		if bgp.FamilyOf(a) == bgp.FamilyOf(s.want.Peer) {
			return a
		}
	}
	return netip.Addr{}
}

// settle brings up what fits and lets routes flow until nothing moves.
func (n *Network) settle() {
	for i, f := range n.fakes {
		for _, o := range n.fakes[i+1:] {
			f.connect(o)
		}
	}
	for range 1000 {
		moved := false
		for _, f := range n.fakes {
			for _, s := range f.sessions {
				if s.other != nil && s.flow() {
					moved = true
				}
			}
		}
		if !moved {
			n.tellWatches()
			return
		}
	}
	panic("bgptest: routes do not settle")
}

// connect brings up the sessions between f and o.
func (f *Fake) connect(o *Fake) {
	for _, s := range f.sessions {
		for _, t := range o.sessions {
			if s.other != nil || t.other != nil || s.want.Peer != t.local() || t.want.Peer != s.local() {
				continue
			}
			dials := !s.want.Passive && s.want.Endpoint().Port() == o.settings.ListenPort
			dialled := !t.want.Passive && t.want.Endpoint().Port() == f.settings.ListenPort
			switch {
			case !dials && !dialled:
			case s.want.PeerAS != t.want.LocalAS || t.want.PeerAS != s.want.LocalAS:
				s.lastError, t.lastError = "open: bad peer AS", "open: bad peer AS"
			case f.settings.RouterID == o.settings.RouterID:
				s.lastError, t.lastError = "open: bad BGP identifier", "open: bad BGP identifier"
			default:
				s.open(t)
				t.open(s)
				for _, end := range []*session{s, t} {
					end.other.flow()
					end.endOfRIB()
				}
			}
		}
	}
}

func (s *session) open(other *session) {
	var forwarding bgp.Families
	if f := bgp.FamilyOf(s.want.Peer); other.established == 0 && other.owner.settings.Restarting[f] {
		forwarding = bgp.FamiliesOf(f)
	}
	s.restart = bgp.GracefulRestart{
		Negotiated: true, Restarting: forwarding != 0, Forwarding: forwarding,
		RestartTime: other.owner.settings.RestartTime,
	}
	s.other, s.since, s.sent = other, time.Now(), make(map[netip.Prefix]bgp.Path)
	s.established++
	s.routerID = other.owner.settings.RouterID
	s.hold = min(holdOf(s.want), holdOf(other.want))
	s.lastUpdate = time.Now()
	signal(s.owner.peersChanged)
}

// endOfRIB drops what the other end did not tell again.
func (s *session) endOfRIB() {
	for p := range maps.Clone(s.stale) {
		s.gone(p)
	}
	s.stopTimer()
}

func holdOf(w bgp.Session) time.Duration {
	if w.Hold == 0 {
		return bgp.DefaultHold
	}
	return w.Hold
}

// close ends the connection; kept says that both ends keep what they heard for
// the restart time.
func (s *session) close(reason string, kept bool) {
	t := s.other
	if t == nil {
		return
	}
	for _, end := range []*session{s, t} {
		end.other, end.sent, end.since, end.lastError = nil, nil, time.Now(), reason
		signal(end.owner.peersChanged)
		if !kept {
			end.forget()
			continue
		}
		for p := range end.heard {
			end.stale[p] = true
			if path, ok := end.owner.rib.Get(p, end.want.Peer); ok {
				path.Stale = true
				end.owner.rib.Put(path)
			}
		}
		end.expires = time.AfterFunc(end.restart.RestartTime, end.expire)
	}
}

func (s *session) expire() {
	s.owner.network.mu.Lock()
	defer s.owner.network.mu.Unlock()
	if s.other == nil {
		s.forget()
		s.owner.network.settle()
	}
}

// forget drops all that s heard.
func (s *session) forget() {
	for p := range maps.Clone(s.heard) {
		s.gone(p)
	}
	s.stopTimer()
}

func (s *session) stopTimer() {
	if s.expires != nil {
		s.expires.Stop()
		s.expires = nil
	}
}

// reopens reports whether w takes over what s has.
func (s *session) reopens(w bgp.Session) bool {
	before := s.want
	return !before.Shutdown && !w.Shutdown && w.LocalAS == before.LocalAS && w.PeerAS == before.PeerAS &&
		w.Local == before.Local && w.Carried() == before.Carried()
}

func (s *session) hear(p bgp.Path) {
	s.heard[p.Prefix] = true
	delete(s.stale, p.Prefix)
	s.lastUpdate = time.Now()
	s.owner.rib.Put(p)
	signal(s.owner.changed)
}

func (s *session) gone(p netip.Prefix) {
	delete(s.heard, p)
	delete(s.stale, p)
	s.owner.rib.Remove(p, s.want.Peer)
	signal(s.owner.changed)
}

func (s *session) state(c Count) bgp.PeerState {
	st := bgp.PeerState{
		Session: s.want, State: bgp.Active, Since: s.since, Established: s.established, LastError: s.lastError,
		RouterID: s.routerID, Received: len(s.heard), Accepted: c.Accepted, Advertised: len(s.sent),
		LastUpdate: s.lastUpdate, GracefulRestart: s.restart,
	}
	st.GracefulRestart.Stale = c.Stale
	if s.established > 0 {
		st.Hold, st.Keepalive = s.hold, s.hold/3
		st.Capabilities = []string{"4-octet-as", "graceful-restart", "multiprotocol"}
	}
	if s.other != nil {
		st.State, st.EndOfRIB, st.Local = bgp.Established, s.want.Carried(), s.local()
	}
	st.Families = []bgp.FamilyState{{
		Family: s.want.Carried().All()[0], Up: s.other != nil, EndOfRIB: s.other != nil,
		Received: st.Received, Accepted: st.Accepted, Advertised: st.Advertised, Stale: c.Stale,
	}}
	return st
}
