package iptables

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/policy"
)

// Options says where a Dataplane works, and with what.
type Options struct {
	Flavour Flavour // empty: Auto
	// NetNS is a file descriptor of the network namespace, which stays open
	// until Close; nil: that of the process.
	NetNS  *int
	Logger hclog.Logger // nil: none
}

// Dataplane is the policy.Dataplane on iptables.
type Dataplane struct {
	log   hclog.Logger
	tools *tools
	other *tools // of the other flavour; nil: it is not installed, or clean
	sets  *ipsets

	// The rest belongs to the goroutine that calls.
	state *state // nil before a Sync, and after what failed
	units *units
	held  map[place]*held
	known map[string]*kernelSet
	gone  map[string]struct{} // sets that nobody wants
	min   uint32              // see minMembers
}

var _ policy.Dataplane = (*Dataplane)(nil)

// New looks which programs there are and opens a socket. It changes nothing.
func New(o Options) (*Dataplane, error) {
	netns := namespace(-1)
	if o.NetNS != nil {
		netns = namespace(*o.NetNS)
	}
	log := o.Logger
	if log == nil {
		log = hclog.NewNullLogger()
	}
	own, other, err := choose(context.Background(), o.Flavour, netns)
	if err != nil {
		return nil, err
	}
	sets, err := newIPSets(netns)
	if err != nil {
		return nil, err
	}
	if _, err := sets.headers(); err != nil {
		sets.close()
		return nil, err
	}
	return &Dataplane{log: log, tools: own, other: other, sets: sets, min: minMembers}, nil
}

// Flavour is the one that is used.
func (d *Dataplane) Flavour() Flavour { return d.tools.flavour }

// Changed implements policy.Dataplane. It never signals: iptables does not tell
// what others do.
func (d *Dataplane) Changed() <-chan struct{} { return nil }

// Close implements policy.Dataplane.
func (d *Dataplane) Close() error {
	d.sets.close()
	return nil
}

// Sync implements policy.Dataplane.
func (d *Dataplane) Sync(ctx context.Context, all *policy.Update) error {
	d.state = nil
	if err := d.readBack(ctx); err != nil {
		return err
	}
	s, u := newState(d.tools.randomly), newUnits()
	dirty := s.merge(all)
	dirty.all = true
	p := s.render(dirty, u)
	w := d.writer()
	if err := errors.Join(w.grow(s, all.Sets, false), w.growLists(&u.lists, true)); err != nil {
		return err
	}
	if err := d.write(ctx, s.order(), p, true); err != nil {
		return err
	}
	d.cleanOther(ctx)
	w.strays(s, u.lists.all)
	if err := w.shrink(); err != nil {
		return err
	}
	d.state, d.units = s, u
	return nil
}

// Apply implements policy.Dataplane.
func (d *Dataplane) Apply(ctx context.Context, update *policy.Update) error {
	s := d.state
	if s == nil {
		return errors.New("apply without a sync before")
	}
	d.state = nil
	dirty := s.merge(update)
	p := s.render(dirty, d.units)
	w := d.writer()
	if err := errors.Join(w.grow(s, update.Sets, dirty.allSets), w.growLists(&d.units.lists, false)); err != nil {
		return err
	}
	if err := d.write(ctx, s.order(), p, false); err != nil {
		return err
	}
	if err := w.shrink(); err != nil {
		return err
	}
	d.state = s
	return nil
}

// Clean implements policy.Dataplane, for both flavours.
func (d *Dataplane) Clean(ctx context.Context) error {
	d.state = nil
	errs := []error{d.tools.clean(ctx)}
	if d.other != nil {
		errs = append(errs, d.other.clean(ctx))
	}
	return errors.Join(append(errs, d.sets.clean(ctx))...)
}

// cleanOther takes out what an earlier process wrote in the other flavour; it
// asks for our sets, too.
func (d *Dataplane) cleanOther(ctx context.Context) {
	if d.other == nil {
		return
	}
	if err := d.other.clean(ctx); err != nil {
		d.log.Warn("rules of the other flavour stay in force beside ours", "flavour", string(d.other.flavour), "error", err)
		return
	}
	d.other = nil
}

// readBack reads what the kernel holds of ours.
func (d *Dataplane) readBack(ctx context.Context) error {
	d.held = map[place]*held{}
	var mu sync.Mutex
	err := d.eachFamily(func(f *family) error {
		all, err := d.tools.read(ctx, f)
		mu.Lock()
		defer mu.Unlock()
		for t, h := range all {
			d.held[place{f, t}] = h
		}
		return err
	})
	if err != nil {
		return err
	}
	headers, err := d.sets.headers()
	if err != nil {
		return err
	}
	d.known, d.gone = map[string]*kernelSet{}, map[string]struct{}{}
	for name, h := range headers {
		switch {
		case !isOurs(name):
		case h.isRight():
			d.known[name] = h.set()
		default:
			if err := d.sets.destroy(name); err != nil {
				return fmt.Errorf("others have made a set of ours: %w", err)
			}
		}
	}
	return nil
}

// write changes the tables that the plan changes, in order. In legacy one family
// follows the other: both take one lock, for which each would wait too long where
// there are many rules.
func (d *Dataplane) write(ctx context.Context, order []table, p plan, exactly bool) error {
	var mu sync.Mutex // guards held
	write := func(f *family) error {
		for _, t := range order {
			at := place{f, t}
			if !exactly && len(p[at]) == 0 {
				continue
			}
			mu.Lock()
			before := d.held[at]
			mu.Unlock()
			x := before.compare(at, p[at], exactly)
			if x.text == "" {
				continue
			}
			d.log.Debug("write table", "family", f.String(), "table", string(t), "bytes", len(x.text))
			if err := d.tools.restore(ctx, x); err != nil {
				return err
			}
			mu.Lock()
			d.held[at] = x.after
			mu.Unlock()
		}
		return nil
	}
	if d.tools.flavour != Legacy {
		return d.eachFamily(write)
	}
	var errs []error
	for _, f := range d.tools.families {
		errs = append(errs, write(f))
	}
	return errors.Join(errs...)
}

// eachFamily calls f for the families that there are, at the same time.
func (d *Dataplane) eachFamily(f func(*family) error) error {
	errs := make([]error, len(d.tools.families))
	var wg sync.WaitGroup
	for i, family := range d.tools.families {
		wg.Go(func() { errs[i] = f(family) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *Dataplane) writer() *setWriter {
	return &setWriter{
		kernel: d.sets, log: d.log, known: d.known, gone: d.gone, min: d.min, families: d.tools.families,
		going: map[string][]entry{},
	}
}
