package ipam

import (
	"errors"
	"net/netip"
	"slices"
)

func (w *world) contents() *Contents {
	c, err := ReadContents(w.Context(), w.memory)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// verify compares the store with the model, and with itself.
func (w *world) verify() {
	w.Helper()
	c := w.contents()
	for _, f := range c.Check(&w.env).Problems {
		if f.Kind != NoEndpoint { // leaks are made, for the collector
			w.Errorf("check: %s", f)
		}
	}
	n := 0
	for _, b := range c.Blocks {
		for _, h := range b.Holdings() {
			n++
			if got := (held{h.Handle, h.Sequence}); w.held[h.Address] != got {
				w.Errorf("%s is held by %+v, in the model by %+v", h.Address, got, w.held[h.Address])
			}
		}
	}
	if n != len(w.held) {
		w.Errorf("%d addresses are held, in the model %d", n, len(w.held))
	}
	for _, node := range []string{"host0", "host1", "host2", "virtual:lb"} {
		for _, family := range []Family{IPv4, IPv6} {
			if n := claims(c, node, family); w.strict != 0 && n > w.strict {
				w.Errorf("%s has %d blocks of %s, and at most %d", node, n, family, w.strict)
			}
		}
	}
}

// claims returns how many blocks of a family a node has by itself.
func claims(c *Contents, node string, family Family) int {
	n := 0
	for _, a := range c.Affinities {
		if a.Node == node && !a.Assigned && FamilyOf(a.CIDR.Addr()) == family {
			n++
		}
	}
	return n
}

// hostLocal checks that a node with assigned blocks was given nothing else, and
// nobody else anything of them.
func (w *world) hostLocal(node string, all []Allocation) {
	assigned := make(map[netip.Prefix]bool)
	has := make(map[Family]bool)
	for _, a := range w.contents().Affinities {
		if a.Assigned {
			assigned[a.CIDR] = a.Node == node
			has[FamilyOf(a.CIDR.Addr())] = has[FamilyOf(a.CIDR.Addr())] || a.Node == node
		}
	}
	for _, a := range all {
		if its, is := assigned[a.Block]; is != has[FamilyOf(a.Address)] || is && !its {
			w.Errorf("%s is given to %s, with blocks assigned: %v", a.Address, node, assigned)
		}
	}
}

// allowed checks that what was given by itself could be.
func (w *world) allowed(env *Env, all []Allocation) {
	for _, a := range all {
		for _, r := range env.Reservations {
			if r.Contains(a.Address) {
				w.Errorf("%s is given, and reserved (%s)", a.Address, r)
			}
		}
		// Where it was over by any clock, its block may have gone and forgotten it.
		t := w.freed[a.Address]
		if since := env.Now.Sub(t); !t.IsZero() && since >= -MaxCooldown && w.latest.Sub(t) < env.Config.Cooldown {
			w.Errorf("%s is given, and cooling for %s", a.Address, since)
		}
		if env.poolOf(a.Address).Disabled {
			w.Errorf("%s is given of a disabled pool", a.Address)
		}
		if a.Borrowed && env.Config.StrictAffinity {
			w.Errorf("%s is borrowed under strict affinity", a.Address)
		}
	}
}

// exhausted checks that who got less than asked for could indeed have no more.
func (w *world) exhausted(env *Env, req *Request, e *ExhaustedError, got *Result) {
	c, free := w.contents(), 0
	for i := range env.Pools {
		p := &env.Pools[i]
		if !slices.Contains(e.Pools, p.Name) {
			continue
		}
		for n := range blockCount(p.CIDR, p.BlockSize) {
			cidr := blockAt(p.CIDR, p.BlockSize, n)
			free += usableBy(env, c, cidr, req.Node, e.Kind)
		}
	}
	limited := errors.Is(e, ErrBlockLimit)
	switch {
	case got == nil && limited: // it found some in blocks that it did not keep
	case got == nil && free != e.Got, got != nil && free != 0:
		w.Errorf("%v, and %d are free", e, free)
	case got != nil && limited && claims(c, req.Node, e.Family) < env.Config.limit(req.MaxBlocks):
		w.Errorf("%v, and it has %d", e, claims(c, req.Node, e.Family))
	}
}

// usableBy returns how many addresses of a block a node may use, if it may
// have as many blocks as it takes, or the reason for having no more says
// otherwise.
func usableBy(env *Env, c *Contents, cidr netip.Prefix, node string, why error) int {
	b, claim := newBlock(cidr, 0), &BlockAffinity{}
	for _, other := range c.Blocks {
		if other.CIDR == cidr {
			b = other
		}
	}
	for _, a := range c.Affinities {
		if a.CIDR == cidr {
			claim = a
		}
	}
	local := errors.Is(why, ErrHostLocal)
	own := local || errors.Is(why, ErrBlockLimit) || errors.Is(why, ErrNoAutoAllocate) // nothing else is used then
	switch {
	case claim.State == PendingDeletion, claim.Node != node && (own || claim.Assigned):
		return 0
	case claim.Node == node && local && !claim.Assigned:
		return 0
	case claim.Node == "", claim.Node == node:
		return b.usable(env)
	case AffinityOf(claim.Node).Virtual() != AffinityOf(node).Virtual():
		return 0
	}
	age := env.Now.Sub(b.ClaimedAt)
	if errors.Is(why, ErrStrictAffinity) && (!b.unused(env) || claim.State != Pending && age > -reclaimAfter && age < reclaimAfter) {
		return 0
	}
	return b.usable(env)
}

// collect runs a round of the collector: host2 has no Node, and no endpoint
// exists.
func (w *world) collect(p *process) error {
	seen, err := ReadWorld(w.Context(), w.memory, w)
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
