package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"github.com/projectvrouter/vrouter/bgp"
)

// Speaker is a bgp.Speaker.
type Speaker struct {
	log      *logger
	server   *server.BgpServer
	settings bgp.Settings
	started  time.Time
	cancel   context.CancelFunc // ends the watch

	// apply is held by whoever changes the server, so that changes reach it in
	// the order in which they were decided. It is taken before mu.
	apply  sync.Mutex
	policy *api.SetPoliciesRequest // in force; guarded by apply

	mu       sync.Mutex // guards the rest; never held across a call into the server
	stopped  bool
	pools    bgp.Pools
	sessions map[netip.Addr]*session // by peer address, as GoBGP tells them apart
	own      map[netip.Prefix]bgp.Attributes
	rib      bgp.RIB

	changed      chan struct{}
	peersChanged chan struct{}
}

var _ bgp.Speaker = (*Speaker)(nil)

// New is a Speaker that logs to log.
func New(log hclog.Logger) *Speaker {
	s := &Speaker{
		log:          newLogger(log),
		sessions:     make(map[netip.Addr]*session),
		own:          make(map[netip.Prefix]bgp.Attributes),
		changed:      make(chan struct{}, 1),
		peersChanged: make(chan struct{}, 1),
	}
	return s
}

// Start implements bgp.Speaker.
func (s *Speaker) Start(ctx context.Context, settings bgp.Settings) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.settings = settings.WithDefaults()
	s.started = time.Now()
	s.server = server.NewBgpServer(server.LoggerOption(s.log))
	go s.server.Serve()

	var listen []string
	for _, a := range s.settings.ListenAddresses {
		listen = append(listen, a.String())
	}
	// What is best among equals is decided here: GoBGP's UseMultiplePaths is a
	// package variable, one for all servers of a process.
	err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn:             s.settings.ASN,
		RouterId:        s.settings.RouterID.String(),
		ListenPort:      int32(s.settings.ListenPort),
		ListenAddresses: listen,
	}})
	watch, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if err != nil {
		err = fmt.Errorf("start BGP on port %d: %w", s.settings.ListenPort, err)
	} else {
		err = errors.Join(s.assignPolicies(ctx), s.watch(watch))
	}
	if err != nil { // listeners may have been opened
		cancel()
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		return errors.Join(err, s.server.StopBgp(ctx, &api.StopBgpRequest{}))
	}
	return nil
}

// SetPools implements bgp.Speaker.
func (s *Speaker) SetPools(pools []bgp.Pool) {
	s.apply.Lock()
	defer s.apply.Unlock()
	before, after := s.pools, bgp.NewPools(pools)
	if before.Equal(after) {
		return
	}
	s.mu.Lock()
	s.pools = after
	s.rib.Touch(func(p netip.Prefix) bool {
		was, _ := before.Holds(p)
		is, _ := after.Holds(p)
		return was != is
	})
	own := sortedOwn(s.own)
	s.mu.Unlock()
	signal(s.changed)

	was, is := bgp.ExportPolicy{Pools: before}, bgp.ExportPolicy{Pools: after}
	for _, o := range own {
		switch sent, send := was.Own(o.prefix) == "", is.Own(o.prefix) == ""; {
		case sent && !send:
			s.logFailed(s.deletePath(o.prefix))
		case send && !sent:
			s.logFailed(s.addPath(o.prefix, o.attributes))
		}
	}
	s.logFailed(s.refreshPolicies())
}

// Originate implements bgp.Speaker.
func (s *Speaker) Originate(p netip.Prefix, a bgp.Attributes) error {
	if !p.IsValid() || p != p.Masked() {
		return fmt.Errorf("originate %s: not a prefix without host bits", p)
	}
	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	old, had := s.own[p]
	s.own[p] = a
	send := bgp.ExportPolicy{Pools: s.pools}.Own(p) == ""
	s.mu.Unlock()
	if !send || had && old.Equal(a) {
		return nil
	}
	return s.addPath(p, a)
}

// Withdraw implements bgp.Speaker.
func (s *Speaker) Withdraw(p netip.Prefix) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	_, had := s.own[p]
	delete(s.own, p)
	sent := had && bgp.ExportPolicy{Pools: s.pools}.Own(p) == ""
	s.mu.Unlock()
	if !sent {
		return nil
	}
	return s.deletePath(p)
}

// Changed implements bgp.Speaker.
func (s *Speaker) Changed() <-chan struct{} { return s.changed }

// PeersChanged implements bgp.Speaker.
func (s *Speaker) PeersChanged() <-chan struct{} { return s.peersChanged }

// Stop implements bgp.Speaker. A graceful stop shuts the sockets of the
// sessions down by itself first, because GoBGP ends no session without a
// NOTIFICATION.
func (s *Speaker) Stop(ctx context.Context, graceful bool) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	if s.server == nil || s.isStopped() {
		return nil
	}
	s.cancel()
	s.mu.Lock()
	s.stopped = true
	for _, e := range s.sessions {
		e.stopTimer()
	}
	s.mu.Unlock()

	var errs []error
	if graceful {
		if err := s.shutdownSockets(); err != nil {
			errs = append(errs, fmt.Errorf("close sessions without notification: %w", err))
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.server.StopBgp(context.Background(), &api.StopBgpRequest{}) }()
	select {
	case err := <-done:
		errs = append(errs, err)
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("stop BGP: %w", ctx.Err()))
	}
	return errors.Join(errs...)
}

func (s *Speaker) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

func (s *Speaker) logFailed(err error) {
	if err != nil {
		s.log.to.Error("update of the server failed", "error", err)
	}
}

type origination struct {
	prefix     netip.Prefix
	attributes bgp.Attributes
}

func sortedOwn(own map[netip.Prefix]bgp.Attributes) []origination {
	list := make([]origination, 0, len(own))
	for p, a := range own {
		list = append(list, origination{p, a})
	}
	slices.SortFunc(list, func(a, b origination) int { return bgp.ComparePrefix(a.prefix, b.prefix) })
	return list
}

// signal makes sure that a reader of c wakes up.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
