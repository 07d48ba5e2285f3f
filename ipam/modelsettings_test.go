package ipam

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// How settings change under the processes of the model. In a guarded world they
// are as the server has them: some are old, and a key tells so in each
// transaction. In another one, as the collector has them, they are read each
// time, and of what is decided upon only pools are compared.

const modelGuard = "guard/settings"

// Env is what a process decides by, the last change of which it may not know.
func (w *world) Env(ctx context.Context) (*Env, error) {
	if w.guarded && len(w.before.Guards) > 0 && w.rand.IntN(4) == 0 {
		env := w.before
		env.Now = w.env.Now
		return &env, nil
	}
	return w.Fresh(ctx)
}

func (w *world) Fresh(context.Context) (*Env, error) {
	env := w.env
	return &env, nil
}

// settle changes settings, and writes what tells of it. What was handed over
// stays as it was.
func (w *world) settle(change func(*Env)) {
	w.before = w.env
	w.env.Pools = slices.Clone(w.env.Pools)
	change(&w.env)
	ops := []store.Op{{Key: modelGuard}}
	for i := range w.env.Pools {
		p := &w.env.Pools[i]
		p.Key = store.ResourceKey("IPPool", "", p.Name)
		ops = append(ops, store.Op{Key: p.Key, Value: []byte(p.CIDR.String())})
	}
	for _, p := range w.before.Pools {
		if !slices.ContainsFunc(w.env.Pools, func(q Pool) bool { return q.Name == p.Name }) {
			ops = append(ops, store.Op{Key: p.Key, Delete: true})
		}
	}
	revision, err := w.memory.Txn(w.Context(), nil, ops)
	if err != nil {
		w.Fatal(err)
	}
	for i := range w.env.Pools {
		w.env.Pools[i].Revision = revision
	}
	if w.guarded {
		w.env.Guards = []store.Compare{{Key: modelGuard, ModRevision: revision}}
	}
}

func (w *world) reconfigure() {
	w.settle(func(env *Env) {
		p := &env.Pools[w.rand.IntN(len(env.Pools))]
		switch w.rand.IntN(6) {
		case 0:
			if w.strict != 0 {
				return
			}
			env.Config.StrictAffinity = !env.Config.StrictAffinity
			env.Config.MaxBlocksPerHost, env.Config.NoAutoAllocate = 0, false
			if env.Config.StrictAffinity {
				env.Config.MaxBlocksPerHost, env.Config.NoAutoAllocate = w.rand.IntN(3), w.rand.IntN(4) == 0
			}
		case 1:
			env.Config.Cooldown = time.Duration(w.rand.IntN(2)) * time.Minute
			clear(w.freed) // blocks that went meanwhile have forgotten theirs
		case 2:
			env.Reservations = nil
			for range w.rand.IntN(3) {
				a := offset(netip.MustParseAddr("10.0.0.0"), w.rand.Uint64N(16))
				env.Reservations = append(env.Reservations, netip.PrefixFrom(a, 28+w.rand.IntN(5)).Masked())
			}
		case 3:
			p.Disabled = !p.Disabled
		case 4:
			p.NodeSelector = mustSelector([]string{"all()", "rack == 'r1'"}[w.rand.IntN(2)])
		case 5:
			p.NamespaceSelector = mustSelector([]string{"all()", "tenant == 't1'"}[w.rand.IntN(2)])
		}
	})
}

// passTime lets time pass, or sets the clock back or far away.
func (w *world) passTime() {
	by := time.Duration(w.rand.IntN(90)) * time.Second
	switch w.rand.IntN(8) {
	case 0:
		by = -by
	case 1:
		by = time.Duration(w.rand.IntN(3)-1) * 24 * time.Hour
	}
	w.env.Now = w.env.Now.Add(by)
	if w.env.Now.After(w.latest) {
		w.latest = w.env.Now
	}
}

// splitPool puts the halves of a pool in its place, as the server does: blocks
// stay.
func (w *world) splitPool() {
	i := w.rand.IntN(len(w.env.Pools))
	parts, err := SplitPool(w.env.Pools[i], 2)
	if err != nil {
		return
	}
	w.settle(func(env *Env) { env.Pools = append(slices.Delete(env.Pools, i, i+1), parts...) })
}

// errGone is a pool that somebody else has replaced.
var errGone = errors.New("another pool by now")

// dropPool deletes a pool, if nothing of it is held, and makes one of the same
// range with blocks of another size.
func (w *world) dropPool(p *process) error {
	old := w.env.Pools[w.rand.IntN(len(w.env.Pools))]
	inUse := 0
	for a := range w.held {
		if old.CIDR.Contains(a) {
			inUse++
		}
	}
	disturbs := w.disturbs
	var err error
	for more := true; more && err == nil; {
		_, err = p.client.Do(w.Context(), "", func(_ context.Context, s *Step) (err error) {
			i := slices.IndexFunc(w.env.Pools, func(p Pool) bool { return p.Name == old.Name && p.CIDR == old.CIDR })
			if i < 0 {
				return errGone
			}
			for a := range w.freed { // what goes with a block is forgotten
				if old.CIDR.Contains(a) {
					delete(w.freed, a)
				}
			}
			if more, err = s.DropPool(&w.env.Pools[i]); err == nil && !more {
				s.Join([]store.Compare{{Key: old.Key, ModRevision: w.env.Pools[i].Revision}}, []store.Op{{Key: old.Key, Delete: true}})
			}
			return err
		})
	}
	w.gaveUp(err)
	if w.stack == 1 && w.disturbs == disturbs && errors.Is(err, ErrPoolInUse) != (inUse > 0) {
		w.Errorf("drop pool %s with %d addresses in use: %v", old.Name, inUse, err)
	}
	i := slices.IndexFunc(w.env.Pools, func(p Pool) bool { return p.Name == old.Name })
	if kv, _, _ := w.memory.Get(w.Context(), old.Key); i < 0 || kv.ModRevision != 0 {
		return err
	}
	w.settle(func(env *Env) {
		env.Pools[i].BlockSize = old.CIDR.Bits() + w.rand.IntN(min(5, old.CIDR.Addr().BitLen()-old.CIDR.Bits()+1))
	})
	return err
}
