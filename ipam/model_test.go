package ipam

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

var (
	seeds = flag.Int("seeds", 1000, "how many random histories TestModel plays")
	seed  = flag.Uint64("seed", 0, "the one history to play")
)

// errCrash is a process that ends at a transaction.
var errCrash = errors.New("crashed")

// world is some processes on one store, and the naive model of what they did:
// who holds which address.
type world struct {
	*testing.T
	rand     *rand.Rand
	settings *fixed
	memory   *store.Memory
	process  []*process
	stack    int // processes in the middle of something
	disturbs int // how often others came between, or a crash
	calls    int

	collector Collector
	leaks     map[string]bool // handles of owners that never were

	held  map[netip.Addr]held
	past  []Release // of addresses given back
	freed map[netip.Addr]time.Time
}

type held struct {
	handle   string
	sequence uint64
}

// process is a client whose transactions others get in between of, and that
// may crash before or after one.
type process struct {
	*store.Memory
	w      *world
	client *Client
	busy   bool
	calm   bool // no crash: the outcome is needed
}

func (p *process) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	w := p.w
	for w.stack < 3 && w.rand.IntN(4) == 0 {
		w.disturbs++
		w.step()
	}
	if p.calm {
		return p.Memory.Txn(ctx, compares, ops)
	}
	switch w.rand.IntN(16) {
	case 0:
		w.disturbs++
		return 0, errCrash
	case 1:
		if _, err := p.Memory.Txn(ctx, compares, ops); err != nil {
			return 0, err
		}
		w.disturbs++
		return 0, errCrash
	}
	return p.Memory.Txn(ctx, compares, ops)
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{T: t, rand: rand.New(rand.NewPCG(seed, 1)), memory: store.NewMemory(),
		collector: Collector{Grace: time.Minute}, leaks: make(map[string]bool), held: make(map[netip.Addr]held), freed: make(map[netip.Addr]time.Time)}
	w.settings = &fixed{Env{Now: time.Unix(1_800_000_000, 0), Pools: []Pool{
		pool("a=10.0.0.0/28/30"), pool("b=10.1.0.0/29/31"), pool("six=fd00::/124/126")}}}
	for range 4 {
		w.fork()
	}
	return w
}

// fork starts a process that remembers nothing.
func (w *world) fork() *process {
	p := &process{Memory: w.memory, w: w}
	p.client = NewClient(p, w.settings)
	w.process = append(w.process, p)
	return p
}

// step does one thing at random.
func (w *world) step() {
	var idle []*process
	for _, p := range w.process {
		if !p.busy {
			idle = append(idle, p)
		}
	}
	p := idle[w.rand.IntN(len(idle))]
	p.busy = true
	w.stack++
	err := w.act(p)
	w.stack--
	p.busy = false
	if errors.Is(err, errCrash) { // another takes its place
		i := slices.Index(w.process, p)
		w.process = slices.Delete(w.process, i, i+1)
		w.fork()
	}
}

func (w *world) act(p *process) error {
	node := fmt.Sprintf("host%d", w.rand.IntN(3))
	switch n := w.rand.IntN(100); {
	case n < 40:
		return w.allocate(p, node)
	case n < 50:
		return w.assign(p, node)
	case n < 65:
		return w.releaseOne(p, node)
	case n < 80:
		return w.releaseHandle(p, node)
	case n < 84:
		return w.step1(p, node, func(s *Step) error {
			_, err := s.KeepSpare(Request{Node: node, IPv4: 1, IPv6: 1})
			return err
		})
	case n < 88:
		return w.step1(p, node, func(s *Step) error { return s.ReleaseBlock(node, w.block(), ReleaseMode(w.calls%3)) })
	case n < 90:
		return w.step1(p, node, func(s *Step) error { return s.AssignBlock(node, w.block()) })
	case n < 92:
		return w.collect(p)
	case n < 96:
		w.settings.env.Now = w.settings.env.Now.Add(time.Duration(w.rand.IntN(90)) * time.Second)
	default:
		w.reconfigure()
	}
	return nil
}

// step1 runs a step that gives out and takes back no address. It may be
// refused.
func (w *world) step1(p *process, node string, work func(*Step) error) error {
	w.calls++
	_, err := p.client.Do(w.Context(), node, func(_ context.Context, s *Step) error { return work(s) })
	if errors.Is(err, store.ErrConflict) {
		w.Errorf("gave up: %v", err)
	}
	return err
}

// block returns any block of a pool; the same within one call.
func (w *world) block() netip.Prefix {
	p := &w.settings.env.Pools[w.calls%3]
	return blockAt(p, uint64(w.calls)*7%blockCount(p))
}

func (w *world) reconfigure() {
	env := &w.settings.env
	env.Pools = slices.Clone(env.Pools) // an Env that was handed over stays as it was
	switch w.rand.IntN(5) {
	case 0:
		env.Config.StrictAffinity = !env.Config.StrictAffinity
		env.Config.MaxBlocksPerHost = 0
		if env.Config.StrictAffinity {
			env.Config.MaxBlocksPerHost = w.rand.IntN(3)
		}
	case 1:
		env.Config.Cooldown = time.Duration(w.rand.IntN(2)) * time.Minute
		clear(w.freed) // blocks that went meanwhile have forgotten theirs
	case 2:
		env.Reservations = nil
		for range w.rand.IntN(3) {
			a := offset(netip.MustParseAddr("10.0.0.0"), w.rand.Uint64N(16))
			env.Reservations = append(env.Reservations, netip.PrefixFrom(a, 30+w.rand.IntN(3)).Masked())
		}
	case 3:
		env.Pools[1].Disabled = !env.Pools[1].Disabled
	case 4:
		env.Pools[0].NodeSelector = mustSelector([]string{"all()", "rack == 'r1'"}[w.rand.IntN(2)])
	}
}

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
		for n := range blockCount(p) {
			cidr := blockAt(p, n)
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
	env := w.settings.env
	g := w.collector.Round(World{
		Contents: w.contents(),
		Env:      &env,
		Node:     func(name string) bool { return name != "host2" },
		Owner:    func(string, netip.Addr) (int64, bool) { return 0, false },
	})
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
	_, err := p.client.Collect(w.Context(), g)
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
	env := w.settings.env
	for _, f := range c.Check(&env).Problems {
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
}

// Whatever happens between any two transactions, no address is given twice,
// none is lost, none lies outside its pool, and blocks, affinities and handles
// explain each other.
func TestModel(t *testing.T) {
	first, n := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, n = *seed, 1
	}
	disturbs := 0
	synctest.Test(t, func(t *testing.T) { // pauses cost nothing
		for s := first; s < first+n; s++ {
			w := newWorld(t, s)
			for range 40 {
				w.step()
				w.verify()
				if t.Failed() {
					t.Fatalf("seed %d", s)
				}
			}
			disturbs += w.disturbs
		}
	})
	t.Logf("%d histories, %d disturbances", n, disturbs)
}
