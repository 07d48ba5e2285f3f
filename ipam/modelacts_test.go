package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// What a process of the model may do, and what must then be so.

func (w *world) allocate(p *process, node string) error {
	w.calls++
	req := Request{Node: node, Handle: fmt.Sprintf("h%d", w.calls), Owner: external(), IPv4: w.rand.IntN(6),
		IPv6: w.rand.IntN(2), Partial: w.rand.IntN(2) == 0}
	if req.IPv4+req.IPv6 == 0 {
		req.IPv4 = 1
	}
	if w.rand.IntN(3) == 0 {
		req.Owner = Owner{OwnerEndpoint, "r/" + req.Handle}
		w.leaks[req.Handle] = true
	}
	if w.rand.IntN(4) == 0 {
		req.Pools = []string{"b", "six"}
	}
	if w.rand.IntN(2) == 0 {
		req.NodeLabels = map[string]string{"rack": "r1"}
	}
	disturbs, env := w.disturbs, w.settings.env
	got, err := p.client.Allocate(w.Context(), req)
	if errors.Is(err, errCrash) {
		return w.crashed(req.Handle, req.IPv4+req.IPv6)
	}
	if errors.Is(err, store.ErrConflict) {
		w.Errorf("gave up: %v", err)
		return err
	}
	var short []*ExhaustedError
	if err != nil {
		var e *ExhaustedError
		if errors.As(err, &e) {
			short = append(short, e)
		}
	} else {
		short = got.Short
		w.given(got.Allocations, req.Handle)
		if want := req.IPv4 + req.IPv6; len(short) == 0 && len(got.Allocations) != want {
			w.Errorf("%d addresses of %d and no reason", len(got.Allocations), want)
		}
		w.allowed(&env, disturbs, got.Allocations)
	}
	if w.disturbs == disturbs {
		for _, e := range short {
			w.exhausted(&env, e, got)
		}
	}
	return err
}

// given takes addresses into the model.
func (w *world) given(all []Allocation, handle string) {
	for _, a := range all {
		if h, taken := w.held[a.Address]; taken {
			w.Errorf("%s is given to %s while %s holds it", a.Address, handle, h.handle)
		}
		if w.settings.env.poolOf(a.Address) == nil {
			w.Errorf("%s is in no pool", a.Address)
		}
		w.held[a.Address] = held{handle, a.Sequence}
	}
}

// allowed checks that what was given by itself could be.
func (w *world) allowed(env *Env, disturbs int, all []Allocation) {
	for _, a := range all {
		if w.disturbs != disturbs {
			return // settings may have changed in between
		}
		for _, r := range env.Reservations {
			if r.Contains(a.Address) {
				w.Errorf("%s is given, and reserved (%s)", a.Address, r)
			}
		}
		if t := w.freed[a.Address]; !t.IsZero() && env.Now.Sub(t) < env.Config.Cooldown {
			w.Errorf("%s is given, and cooling since %s", a.Address, t)
		}
		if env.poolOf(a.Address).Disabled {
			w.Errorf("%s is given of a disabled pool", a.Address)
		}
		if a.Borrowed && env.Config.StrictAffinity {
			w.Errorf("%s is borrowed under strict affinity", a.Address)
		}
	}
}

// exhausted checks that pools without a free address have none indeed, but in
// blocks that are assigned to a node or being drained.
func (w *world) exhausted(env *Env, e *ExhaustedError, got *Result) {
	if !errors.Is(e, ErrPoolsExhausted) {
		return
	}
	c, free := w.contents(), 0
	closed := make(map[netip.Prefix]bool)
	for _, a := range c.Affinities {
		closed[a.CIDR] = a.Assigned || a.State == PendingDeletion
	}
	for i := range env.Pools {
		p := &env.Pools[i]
		if !slices.Contains(e.Pools, p.Name) {
			continue
		}
		for n := range blockCount(p.CIDR, p.BlockSize) {
			cidr := blockAt(p.CIDR, p.BlockSize, n)
			b := newBlock(cidr, 0)
			if j := slices.IndexFunc(c.Blocks, func(b *Block) bool { return b.CIDR == cidr }); j >= 0 {
				b = c.Blocks[j]
			}
			if !closed[cidr] {
				free += b.usable(env)
			}
		}
	}
	if got == nil {
		free -= e.Got // which it found, and did not take
	}
	if free != 0 {
		w.Errorf("%v, and %d more are free", e, free)
	}
}

// collect runs a round of the collector: host2 has no Node, and no endpoint
// exists.
func (w *world) collect(p *process) error {
	seen, err := ReadWorld(w.Context(), w.memory, w.settings)
	if err != nil {
		w.Fatal(err)
	}
	g := w.collector.Round(seen)
	for _, l := range g.Leaks { // one by one, for the model to follow
		if !w.leaks[l.ID] {
			w.Errorf("handle %s is no leak", l.ID)
		}
		_, err := p.client.Collect(w.Context(), &Garbage{Leaks: []LeakedHandle{l}})
		_ = w.crashed(l.ID, 0) // it may be gone, or not
		if err != nil {
			return err
		}
	}
	g.Leaks = nil
	_, err = p.client.Collect(w.Context(), g)
	if err != nil && !errors.Is(err, errCrash) {
		w.Errorf("collect: %v", err)
	}
	return err
}

func (w *world) assign(p *process, node string) error {
	w.calls++
	pools := w.settings.env.Pools
	from := pools[w.rand.IntN(len(pools))]
	size := uint64(1) << min(5, from.CIDR.Addr().BitLen()-from.CIDR.Bits())
	req := AssignRequest{Address: offset(from.CIDR.Addr(), w.rand.Uint64N(size)), Node: node,
		Handle: fmt.Sprintf("h%d", w.calls), Owner: external()}
	inside := from.CIDR.Contains(req.Address)
	before, was := w.held[req.Address]
	disturbs := w.disturbs
	a, err := p.client.Assign(w.Context(), req)
	switch {
	case errors.Is(err, errCrash):
		return w.crashed(req.Handle, 1)
	case err == nil:
		w.given([]Allocation{a}, req.Handle)
	case errors.Is(err, ErrAddressInUse):
		if w.disturbs == disturbs && !was {
			w.Errorf("%v, and nobody holds it", err)
		}
	case errors.Is(err, ErrNotInPool) == inside, errors.Is(err, store.ErrConflict):
		if errors.Is(err, ErrNotInPool) || errors.Is(err, store.ErrConflict) {
			w.Errorf("assign %s: %v", req.Address, err)
		}
	}
	if w.disturbs == disturbs && was && err == nil {
		w.Errorf("%s assigned to %s while %s holds it", req.Address, req.Handle, before.handle)
	}
	return err
}

// releaseOne gives back an address that is held, or tries one that was given
// back before.
func (w *world) releaseOne(p *process, node string) error {
	var r Release
	if stale := len(w.past) > 0 && w.rand.IntN(2) == 0; stale {
		r = w.past[w.rand.IntN(len(w.past))]
	} else if a, h, ok := w.any(); ok {
		r = Release{Address: a, Handle: h.handle, Sequence: h.sequence}
	} else {
		return nil
	}
	if w.rand.IntN(2) == 0 {
		p.calm = true
	}
	disturbs, now := w.disturbs, w.settings.env.Now
	h, was := w.held[r.Address]
	right := was && h.handle == r.Handle && h.sequence == r.Sequence
	none, err := p.client.Release(w.Context(), node, []Release{r})
	p.calm = false
	if errors.Is(err, errCrash) {
		return w.crashed(r.Handle, 0)
	}
	if err == nil && len(none) == 0 {
		if w.disturbs == disturbs && !right {
			w.Errorf("released %s of %s, held by %+v", r.Address, r.Handle, h)
		}
		if now, still := w.held[r.Address]; still && now != (held{r.Handle, r.Sequence}) {
			w.Errorf("released %s of %s, held by %+v", r.Address, r.Handle, now)
		}
		w.gone(r.Address, now)
	} else if w.disturbs == disturbs && right {
		w.Errorf("release of %s: %v, %v", r.Address, none, err)
	}
	return err
}

func (w *world) gone(a netip.Addr, now time.Time) {
	h := w.held[a]
	w.past = append(w.past, Release{Address: a, Handle: h.handle, Sequence: h.sequence})
	w.freed[a] = now
	delete(w.held, a)
}

func (w *world) releaseHandle(p *process, node string) error {
	_, h, ok := w.any()
	if !ok {
		return nil
	}
	now := w.settings.env.Now
	disturbs := w.disturbs
	all, err := p.client.ReleaseHandle(w.Context(), node, h.handle)
	switch {
	case errors.Is(err, errCrash):
		return w.crashed(h.handle, 0)
	case err != nil:
		if w.disturbs == disturbs || !errors.Is(err, ErrNoHandle) {
			w.Errorf("release of handle %s: %v", h.handle, err)
		}
		return err
	}
	for _, a := range all {
		if w.held[a].handle != h.handle {
			w.Errorf("%s released with %s, held by %+v", a, h.handle, w.held[a])
		}
		w.gone(a, now)
	}
	return nil
}

// any returns an address that is held.
func (w *world) any() (netip.Addr, held, bool) {
	if len(w.held) == 0 {
		return netip.Addr{}, held{}, false
	}
	all := slices.SortedFunc(maps.Keys(w.held), netip.Addr.Compare)
	a := all[w.rand.IntN(len(all))]
	return a, w.held[a], true
}

// crashed makes the model equal to the store for one handle, which has been
// left with what it had before, or with up to n addresses more.
func (w *world) crashed(handle string, n int) error {
	has := 0
	for a, h := range w.held {
		if h.handle == handle {
			w.gone(a, time.Time{}) // nobody knows when
		}
	}
	for _, b := range w.contents().Blocks {
		for _, h := range b.held(handle) {
			has++
			if other, taken := w.held[h.Address]; taken {
				w.Errorf("%s is of %s and of %s", h.Address, handle, other.handle)
			}
			w.held[h.Address] = held{handle, h.Sequence}
			delete(w.freed, h.Address)
		}
	}
	if n > 0 && has > n {
		w.Errorf("%d addresses after a crash of a request for %d", has, n)
	}
	return errCrash
}
