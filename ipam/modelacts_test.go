package ipam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// What a process of the model may do, and what must then be so.

// request returns any request; its handle is new.
func (w *world) request(node string) Request {
	req := Request{Node: node, Handle: w.handle(), Owner: external(), IPv4: w.rand.IntN(6),
		IPv6: w.rand.IntN(2), Partial: w.rand.IntN(2) == 0}
	if req.IPv4+req.IPv6 == 0 {
		req.IPv4 = 1
	}
	if w.rand.IntN(4) == 0 {
		for _, p := range w.env.Pools {
			if w.rand.IntN(2) == 0 || FamilyOf(p.CIDR.Addr()) == IPv6 {
				req.Pools = append(req.Pools, p.Name)
			}
		}
	}
	if w.rand.IntN(2) == 0 {
		req.NodeLabels = map[string]string{"rack": "r1"}
	}
	if w.rand.IntN(2) == 0 {
		req.NamespaceLabels = map[string]string{"tenant": "t1"}
	}
	return req
}

func (w *world) handle() string {
	w.handles++
	return fmt.Sprintf("h%d", w.handles)
}

func (w *world) allocate(p *process, node string) error {
	req := w.request(node)
	switch {
	case w.batches && w.rand.IntN(4) == 0:
		req.IPv4, req.MaxBlocks = 60, 100
	case w.rand.IntN(3) == 0:
		req.Owner = Owner{OwnerEndpoint, "r/" + req.Handle}
		w.leaks[req.Handle] = true
	}
	disturbs, env := w.disturbs, w.env
	got, err := p.client.Allocate(w.Context(), req)
	w.gaveUp(err)
	if errors.Is(err, errCrash) {
		err = w.crashed(req.Handle, req.IPv4+req.IPv6)
		if w.rand.IntN(2) == 0 {
			w.resume(req)
		}
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
	}
	if w.disturbs != disturbs {
		return err // settings may have changed in between
	}
	if err == nil {
		w.allowed(&env, got.Allocations)
		w.hostLocal(node, got.Allocations)
	}
	if err == nil || req.MaxBlocks == 0 { // else some may be cooling
		for _, e := range short {
			w.exhausted(&env, &req, e, got)
		}
	}
	return err
}

// resume asks again for what a process asked for that is no more.
func (w *world) resume(req Request) {
	i := slices.IndexFunc(w.process, func(p *process) bool { return !p.busy })
	p := w.process[i]
	p.busy, p.calm = true, true
	defer func() { p.busy, p.calm = false, false }()
	req.Resume = true
	had := 0
	for _, h := range w.held {
		if h.handle == req.Handle {
			had++
		}
	}
	disturbs := w.disturbs
	got, err := p.client.Allocate(w.Context(), req)
	w.gaveUp(err)
	if err != nil {
		return
	}
	var fresh []Allocation
	for _, a := range got.Allocations {
		if !a.Existed {
			fresh = append(fresh, a)
		} else if w.held[a.Address] != (held{req.Handle, a.Sequence}) && w.disturbs == disturbs {
			w.Errorf("%+v existed, and is held by %+v", a, w.held[a.Address])
		}
	}
	w.given(fresh, req.Handle)
	if w.disturbs == disturbs && (len(got.Allocations)-len(fresh) != had || len(got.Short) == 0 && len(got.Allocations) != req.IPv4+req.IPv6) {
		w.Errorf("%d addresses of %d, %d of them new, for who had %d", len(got.Allocations), req.IPv4+req.IPv6, len(fresh), had)
	}
	w.did["resume"]++
}

// given takes addresses into the model.
func (w *world) given(all []Allocation, handle string) {
	for _, a := range all {
		if h, taken := w.held[a.Address]; taken {
			w.Errorf("%s is given to %s while %s holds it", a.Address, handle, h.handle)
		}
		if w.env.poolOf(a.Address) == nil {
			w.Errorf("%s is in no pool", a.Address)
		}
		if a.Borrowed && w.strict != 0 {
			w.Errorf("%s is borrowed under strict affinity", a.Address)
		}
		w.held[a.Address] = held{handle, a.Sequence}
	}
}

// member is a call of a crowd, and what has come of it.
type member struct {
	*call
	req    Request
	handle string // to be released instead; empty: req is asked for
	got    []Allocation
	gone   []netip.Addr
	at     time.Time
}

// crowd has some calls share a transaction, as far as they can, as those do that
// wait for a node's turn.
func (w *world) crowd(p *process, node string) error {
	if err := w.allocate(p, node); err != nil { // now it remembers the node
		return err
	}
	l, err := p.client.enter(w.Context(), node)
	if err != nil || l.reads == nil {
		return err
	}
	defer p.client.leave(l)
	var members []*member
	for range 2 + w.rand.IntN(4) {
		members = append(members, w.member(node))
	}
	var calls []*call
	for _, m := range members {
		calls = append(calls, m.call)
	}
	p.client.together(l, node, calls)
	var alone []*member
	for _, m := range members {
		if s := <-m.settled; s.open {
			alone = append(alone, m)
		} else if err = w.ended(m, s.err); err == nil {
			w.did["shared"]++
		}
	}
	for _, m := range alone {
		if errors.Is(err, errCrash) {
			return err
		}
		_, err = p.client.alone(w.Context(), l, node, m.work)
		err = w.ended(m, err)
	}
	return err
}

// member returns a call that asks for something, or releases a handle.
func (w *world) member(node string) *member {
	m := &member{req: w.request(node)}
	m.req.IPv4, m.req.IPv6 = 1+w.rand.IntN(2), 0
	if _, h, ok := w.any(); ok && w.rand.IntN(4) == 0 {
		m.handle = h.handle
	}
	m.call = &call{ctx: w.Context(), settled: make(chan settlement, 1), work: func(_ context.Context, s *Step) error {
		m.got, m.gone = nil, nil
		if m.handle != "" {
			got, err := s.ReleaseHandle(m.handle)
			if err == nil {
				m.gone, m.at = got.Addresses, s.Env.Now
			}
			return err
		}
		got, err := s.Allocate(m.req)
		if err == nil {
			m.got = got.Allocations
		}
		return err
	}}
	return m
}

// ended takes the outcome of a call into the model.
func (w *world) ended(m *member, err error) error {
	w.gaveUp(err)
	switch {
	case errors.Is(err, errCrash) && m.handle != "":
		return w.crashed(m.handle, 0)
	case errors.Is(err, errCrash):
		return w.crashed(m.req.Handle, m.req.IPv4)
	case err != nil:
		return err
	}
	for _, a := range m.gone {
		w.gone(a, m.at)
	}
	w.given(m.got, m.req.Handle)
	return nil
}

// move gives back all of a handle and takes others for another, as one.
func (w *world) move(p *process, node string) error {
	_, old, ok := w.any()
	if !ok {
		return nil
	}
	req := w.request(node)
	var released *Released
	var got *Result
	var at time.Time
	_, err := p.client.Do(w.Context(), node, func(_ context.Context, s *Step) (err error) {
		at = s.Env.Now
		if released, err = s.ReleaseHandle(old.handle); err == nil {
			got, err = s.Allocate(req)
		}
		return err
	})
	if errors.Is(err, store.ErrTooLarge) && w.batches { // dozens of blocks, and more
		return err
	}
	w.gaveUp(err)
	switch {
	case errors.Is(err, errCrash):
		_ = w.crashed(old.handle, 0)
		return w.crashed(req.Handle, req.IPv4+req.IPv6)
	case err != nil:
		return err
	}
	for _, a := range released.Addresses {
		w.gone(a, at)
	}
	w.given(got.Allocations, req.Handle)
	return nil
}

func (w *world) assign(p *process, node string) error {
	pools := w.env.Pools
	from := pools[w.rand.IntN(len(pools))]
	size := uint64(1) << min(5, from.CIDR.Addr().BitLen()-from.CIDR.Bits())
	req := AssignRequest{Address: offset(from.CIDR.Addr(), w.rand.Uint64N(size)), Node: node,
		Handle: w.handle(), Owner: external(), MaxBlocks: w.rand.IntN(3)}
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
		if w.disturbs == disturbs && !was && w.stack == 1 { // else who has it has not had the answer yet
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
	if w.disturbs == disturbs && err == nil {
		w.hostLocal(node, []Allocation{a})
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
	disturbs := w.disturbs
	h, was := w.held[r.Address]
	right := was && h.handle == r.Handle && h.sequence == r.Sequence
	var none []netip.Addr
	var at time.Time
	_, err := p.client.Do(w.Context(), node, func(_ context.Context, s *Step) (err error) {
		none, err = s.ReleaseAll([]Release{r})
		at = s.Env.Now
		return err
	})
	w.gaveUp(err)
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
		w.gone(r.Address, at)
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
	disturbs := w.disturbs
	for {
		var got *Released
		var at time.Time
		_, err := p.client.Do(w.Context(), node, func(_ context.Context, s *Step) (err error) {
			got, err = s.ReleaseHandle(h.handle)
			at = s.Env.Now
			return err
		})
		w.gaveUp(err)
		switch {
		case errors.Is(err, errCrash):
			return w.crashed(h.handle, 0)
		case err != nil:
			if w.disturbs == disturbs || !errors.Is(err, ErrNoHandle) {
				w.Errorf("release of handle %s: %v", h.handle, err)
			}
			return err
		}
		for _, a := range got.Addresses {
			if w.held[a].handle != h.handle {
				w.Errorf("%s released with %s, held by %+v", a, h.handle, w.held[a])
			}
			w.gone(a, at)
		}
		if !got.More {
			return nil
		}
	}
}

// any returns an address that is held.
func (w *world) any() (netip.Addr, held, bool) {
	if len(w.held) == 0 {
		return netip.Addr{}, held{}, false
	}
	all := w.all()
	a := all[w.rand.IntN(len(all))]
	return a, w.held[a], true
}

// all returns the addresses that are held, in order.
func (w *world) all() []netip.Addr {
	return slices.SortedFunc(maps.Keys(w.held), netip.Addr.Compare)
}

// crashed makes the model equal to the store for one handle, which has been
// left with what it had before, or with up to n addresses more.
func (w *world) crashed(handle string, n int) error {
	has := 0
	for _, a := range w.all() { // in order, as all else, for the seed to say what happens
		if w.held[a].handle == handle {
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
