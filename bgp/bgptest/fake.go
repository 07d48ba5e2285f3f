package bgptest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/projectvrouter/vrouter/bgp"
)

// Network joins the fakes that it makes.
type Network struct {
	mu    sync.Mutex // guards all that its fakes hold
	fakes []*Fake
}

// NewNetwork is a Network without speakers.
func NewNetwork() *Network { return new(Network) }

// NewSpeaker is a Speaker in n that is not started.
func (n *Network) NewSpeaker() *Fake {
	return &Fake{
		network:      n,
		sessions:     make(map[netip.AddrPort]*session),
		own:          make(map[netip.Prefix]bgp.Attributes),
		changed:      make(chan struct{}, 1),
		peersChanged: make(chan struct{}, 1),
	}
}

// Fake is a bgp.Speaker in memory.
type Fake struct {
	network      *Network
	running      bool
	settings     bgp.Settings
	pools        bgp.Pools
	sessions     map[netip.AddrPort]*session
	own          map[netip.Prefix]bgp.Attributes
	rib          RIB
	changed      chan struct{}
	peersChanged chan struct{}
	watches      []*watch
}

var _ bgp.Speaker = (*Fake)(nil)

// Start implements bgp.Speaker. An address and port in use in the Network is
// refused.
func (f *Fake) Start(_ context.Context, s bgp.Settings) error {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	s = s.WithDefaults()
	if s.ASN == 0 || !s.RouterID.Is4() {
		return fmt.Errorf("start BGP: AS %d and router id %s are not usable", s.ASN, s.RouterID)
	}
	for _, o := range f.network.fakes {
		for _, a := range s.ListenAddresses {
			if o.settings.ListenPort == s.ListenPort && slices.Contains(o.settings.ListenAddresses, a) {
				return fmt.Errorf("listen on %s: in use", netip.AddrPortFrom(a, s.ListenPort))
			}
		}
	}
	f.settings, f.running = s, true
	f.network.fakes = append(f.network.fakes, f)
	return nil
}

// SetPools implements bgp.Speaker.
func (f *Fake) SetPools(pools []bgp.Pool) {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	f.pools = bgp.NewPools(pools)
	f.touch()
	f.network.settle()
}

// touch makes Drain look at everything again.
func (f *Fake) touch() {
	f.rib.Touch(func(netip.Prefix) bool { return true })
	signal(f.changed)
}

// SetSessions implements bgp.Speaker.
func (f *Fake) SetSessions(list []bgp.Session) error {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	want := make(map[netip.AddrPort]bgp.Session, len(list))
	var errs []error
	for _, w := range list {
		if w.LocalAS == 0 {
			w.LocalAS = f.settings.ASN
		}
		if err := w.Check(); err != nil {
			errs = append(errs, err)
		} else if o, twice := want[w.Endpoint()]; twice {
			errs = append(errs, fmt.Errorf("session %s: session %s has the same endpoint", w, o))
		} else {
			want[w.Endpoint()] = w
		}
	}
	for end, s := range f.sessions {
		w, ok := want[end]
		if ok && !w.SameAs(s.want) && s.reopens(w) {
			s.close("closed by us", true)
			continue
		}
		if !ok || !w.SameAs(s.want) {
			s.close("cease: peer deconfigured", false)
			s.forget()
			delete(f.sessions, end)
		}
	}
	for end, w := range want {
		if s, ok := f.sessions[end]; ok {
			s.want = w
		} else {
			f.sessions[end] = newSession(f, w)
		}
	}
	f.touch()
	signal(f.peersChanged)
	f.network.settle()
	return errors.Join(errs...)
}

// Originate implements bgp.Speaker.
func (f *Fake) Originate(p netip.Prefix, a bgp.Attributes) error {
	if !p.IsValid() || p != p.Masked() {
		return fmt.Errorf("originate %s: not a prefix without host bits", p)
	}
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	f.own[p] = a
	f.network.settle()
	return nil
}

// Withdraw implements bgp.Speaker.
func (f *Fake) Withdraw(p netip.Prefix) error {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	delete(f.own, p)
	f.network.settle()
	return nil
}

// Changed implements bgp.Speaker.
func (f *Fake) Changed() <-chan struct{} { return f.changed }

// Drain implements bgp.Speaker.
func (f *Fake) Drain() []bgp.PathSet {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	return f.rib.Drain(f.accept())
}

// PeersChanged implements bgp.Speaker.
func (f *Fake) PeersChanged() <-chan struct{} { return f.peersChanged }

// Peers implements bgp.Speaker.
func (f *Fake) Peers() []bgp.PeerState {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	counts := f.rib.Counts(f.accept())
	list := make([]bgp.PeerState, 0, len(f.sessions))
	for _, s := range f.sessions {
		list = append(list, s.state(counts[s.want.Peer]))
	}
	slices.SortFunc(list, func(a, b bgp.PeerState) int { return strings.Compare(a.Session.Name, b.Session.Name) })
	return list
}

// Routes implements bgp.Speaker.
func (f *Fake) Routes(filter bgp.Query) iter.Seq[bgp.Entry] {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	return slices.Values(f.rib.Entries(filter, f.own, f.export(), f.accept()))
}

// Stop implements bgp.Speaker.
func (f *Fake) Stop(_ context.Context, graceful bool) error {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	reason := "cease: peer deconfigured"
	if graceful {
		reason = "connection closed"
	}
	for _, s := range f.sessions {
		s.close(reason, graceful)
		s.forget()
	}
	f.running = false
	f.network.fakes = slices.DeleteFunc(f.network.fakes, func(o *Fake) bool { return o == f })
	f.network.settle()
	return nil
}

// String is sessions and routes, a line each, for comparison in tests.
func (f *Fake) String() string {
	var b strings.Builder
	for _, p := range f.Peers() {
		fmt.Fprintf(&b, "session %s %s\n", p.Session.Name, p.State)
	}
	for e := range f.Routes(bgp.Query{}) {
		switch {
		case e.Refused != "":
			fmt.Fprintf(&b, "refused %s: %s\n", e.Prefix, e.Refused)
		case e.Own:
			fmt.Fprintf(&b, "own %s\n", e.Prefix)
		default:
			fmt.Fprintf(&b, "learned %s via %s from %s best %t stale %t\n", e.Prefix, e.NextHop, e.Peer, e.Best, e.Stale)
		}
	}
	return b.String()
}

func (f *Fake) export() bgp.ExportPolicy { return bgp.ExportPolicy{Pools: f.pools} }

func (f *Fake) accept() Accept {
	own := make(map[netip.Addr]bool)
	byPeer := make(map[netip.Addr]*session)
	for _, s := range f.sessions {
		own[s.want.Local] = true
		byPeer[s.want.Peer] = s
	}
	policy := bgp.ImportPolicy{Pools: f.pools, ASN: f.settings.ASN, RouterID: f.settings.RouterID, Own: own}
	return func(p bgp.Path) (bgp.Path, bgp.Refusal) {
		if s := byPeer[p.Peer]; s != nil {
			return policy.Import(s.want, p)
		}
		return p, bgp.NoSession
	}
}

// signal makes sure that a reader of c wakes up.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
