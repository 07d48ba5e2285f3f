package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// Engine is a bgp.Speaker.
type Engine struct {
	log       hclog.Logger
	transport *session.Transport
	settings  bgp.Settings
	started   time.Time
	listeners []*session.Listener

	changed      chan struct{}
	peersChanged chan struct{}
	dirty        chan struct{} // signalled when there is something to pack
	done         chan struct{} // closed by Stop
	running      sync.WaitGroup

	// apply is held by whoever changes what is wanted, and guards keys. It is
	// taken before mu.
	apply sync.Mutex
	keys  map[netip.Prefix]bgp.Password // of the listeners

	mu      sync.Mutex // guards the rest; never held across I/O
	stopped bool
	rib     *rib
	retreat retreat   // while sessions are set
	costs   bgp.Costs // nil: no next hop costs anything
	own     map[netip.Prefix]bgp.Attributes
	peers   map[netip.AddrPort]*peer // by endpoint
	byAddr  map[netip.Addr][]*peer   // in order of port
	ranges  []bgp.Session            // the longest first
	// met has peers of ranges that are gone, and until when they may have kept
	// what we told them.
	met      map[netip.Addr]time.Time
	saidFull time.Time // when the log was told of a full range last
	deferral deferral
}

var _ bgp.Speaker = (*Engine)(nil)

// New is an Engine that logs to log.
func New(log hclog.Logger) *Engine {
	return &Engine{
		log:          log,
		transport:    session.NewTransport(log, nil),
		changed:      make(chan struct{}, 1),
		peersChanged: make(chan struct{}, 1),
		dirty:        make(chan struct{}, 1),
		done:         make(chan struct{}),
		rib:          newRIB(),
		own:          make(map[netip.Prefix]bgp.Attributes),
		retreat:      newRetreat(),
		peers:        make(map[netip.AddrPort]*peer),
		byAddr:       make(map[netip.Addr][]*peer),
		met:          make(map[netip.Addr]time.Time),
	}
}

// Start implements bgp.Speaker.
func (e *Engine) Start(ctx context.Context, settings bgp.Settings) error {
	e.apply.Lock()
	defer e.apply.Unlock()
	if err := e.configure(settings); err != nil {
		return err
	}
	if err := e.listen(ctx); err != nil {
		return errors.Join(err, e.closeListeners())
	}
	e.run()
	return nil
}

// configure takes the settings.
func (e *Engine) configure(settings bgp.Settings) error {
	e.settings, e.started = settings.WithDefaults(), time.Now()
	if e.settings.ASN == 0 || !e.settings.RouterID.Is4() {
		return fmt.Errorf("start BGP: AS %d and router id %s are not usable", e.settings.ASN, e.settings.RouterID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deferral.families = bgp.Families(0)
	for f, restarting := range e.settings.Restarting {
		if restarting {
			e.deferral.families = e.deferral.families.With(f)
		}
	}
	return nil
}

// run starts what runs until Stop.
func (e *Engine) run() {
	e.running.Go(e.packLoop)
	e.running.Go(e.forward)
}

func (e *Engine) listen(ctx context.Context) error {
	for _, a := range e.settings.ListenAddresses {
		if err := e.listenOn(ctx, a); err != nil {
			return err
		}
	}
	if len(e.settings.ListenAddresses) > 0 {
		return nil
	}
	return errors.Join(e.listenOn(ctx, netip.IPv4Unspecified()), e.listenOn(ctx, netip.IPv6Unspecified()))
}

func (e *Engine) listenOn(ctx context.Context, a netip.Addr) error {
	l, err := e.transport.Listen(ctx, netip.AddrPortFrom(a, e.settings.ListenPort), e.lookup)
	if err == nil {
		e.listeners = append(e.listeners, l)
	}
	return err
}

func (e *Engine) closeListeners() error {
	var errs []error
	for _, l := range e.listeners {
		errs = append(errs, l.Close())
	}
	e.listeners = nil
	return errors.Join(errs...)
}

// packLoop packs what has changed, until Stop.
func (e *Engine) packLoop() {
	for {
		select {
		case <-e.dirty:
			e.askCosts()
			e.mu.Lock()
			e.rib.pack()
			e.logUnsentLocked()
			e.evict()
			e.mu.Unlock()
		case <-e.done:
			return
		}
	}
}

// logUnsentLocked says what could not be sent, and was withdrawn instead.
func (e *Engine) logUnsentLocked() {
	for _, u := range e.rib.unsent {
		e.log.Warn("routes withdrawn that cannot be sent", "group", u.group, "prefix", u.first.String(), "prefixes", u.n, "error", u.err)
	}
	e.rib.unsent = nil
}

// forward signals peersChanged when the transport says so, until Stop.
func (e *Engine) forward() {
	for {
		select {
		case <-e.transport.Changed():
			e.mu.Lock()
			if !e.stopped {
				e.reapLocked()
				for _, p := range e.peers {
					e.makePostponedLocked(p)
				}
			}
			e.mu.Unlock()
			signal(e.peersChanged)
		case <-e.done:
			return
		}
	}
}

// touched lets the packer and the caller of Drain look at what has changed.
func (e *Engine) touched() {
	signal(e.dirty)
	signal(e.changed)
}

// SetPools implements bgp.Speaker.
func (e *Engine) SetPools(pools []bgp.Pool) {
	set := bgp.NewPools(pools)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rib.setPools(set) {
		e.touched()
	}
}

// Originate implements bgp.Speaker.
func (e *Engine) Originate(p netip.Prefix, a bgp.Attributes) error {
	if !p.IsValid() || p != p.Masked() {
		return fmt.Errorf("originate %s: not a prefix without host bits", p)
	}
	attrs := wire.Originated(a)
	raw := attrs.Append(nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, had := e.own[p]; had && old.Equal(a) {
		return nil
	}
	set, err := e.rib.sets.intern(raw)
	if err != nil {
		return fmt.Errorf("originate %s: %w", p, err)
	}
	e.own[p] = a
	e.rib.originate(p, set)
	e.rib.leadsTo(p, a.Interface)
	e.touched()
	return nil
}

// Withdraw implements bgp.Speaker.
func (e *Engine) Withdraw(p netip.Prefix) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, had := e.own[p]; had {
		delete(e.own, p)
		e.rib.originate(p, 0)
		e.rib.leadsTo(p, "")
		e.touched()
	}
	return nil
}

// Changed implements bgp.Speaker.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// PeersChanged implements bgp.Speaker.
func (e *Engine) PeersChanged() <-chan struct{} { return e.peersChanged }

// Drain implements bgp.Speaker.
func (e *Engine) Drain() []bgp.PathSet {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rib.drain()
}

// Stop implements bgp.Speaker.
func (e *Engine) Stop(ctx context.Context, graceful bool) error {
	e.apply.Lock()
	defer e.apply.Unlock()
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		return nil
	}
	e.stopped = true
	e.deferral.stop()
	var list []*session.Peer
	for _, p := range e.sorted() {
		p.stopHold()
		p.forgetPostponed()
		if p.session != nil {
			list = append(list, p.session)
		}
	}
	e.mu.Unlock()

	err := e.closeListeners()
	for _, s := range list {
		if graceful {
			s.Stop(nil)
		} else {
			s.Stop(cease(wire.AdministrativeShutdown))
		}
	}
	for _, s := range list {
		select {
		case <-s.Done():
		case <-ctx.Done():
			err = errors.Join(err, fmt.Errorf("stop BGP: close session %s: %w", s.Config().Name, ctx.Err()))
		}
	}
	e.mu.Lock()
	for _, p := range e.peers {
		for _, c := range p.channels {
			c.stopTimer()
		}
	}
	e.mu.Unlock()
	close(e.done)
	e.running.Wait()
	return err
}

// cease ends a session whose routes the peer is to drop, whatever it knows of
// graceful restart (RFC 8538 §3).
func cease(s wire.Subcode) *wire.Notification {
	n := &wire.Notification{Code: wire.Cease, Subcode: s}
	return n.Hard()
}

// signal makes sure that a reader of c wakes up.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
