package ipam

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	if seed%4 == 0 { // so many blocks that one is claimed without looking at others'
		w.settings.env.Pools[0] = pool("a=10.0.0.0/24/30")
	}
	for _, node := range []string{"host0", "host1"} { // host2 is dead
		if _, err := w.memory.Txn(t.Context(), nil, []store.Op{{Key: store.ResourceKey("Node", "", node)}}); err != nil {
			t.Fatal(err)
		}
	}
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
	return blockAt(p.CIDR, p.BlockSize, uint64(w.calls)*7%blockCount(p.CIDR, p.BlockSize))
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
