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
	seeds = flag.Int("seeds", 2000, "how many random histories TestModel plays")
	seed  = flag.Uint64("seed", 1, "the first of them")
)

// errCrash is a process that ends at a transaction.
var errCrash = errors.New("crashed")

// world is some processes on one store, and the naive model of what they did:
// who holds which address.
type world struct {
	*testing.T
	rand     *rand.Rand
	env      Env       // of now; changed by modelsettings_test.go alone
	before   Env       // the last change
	latest   time.Time // that it ever was
	guarded  bool
	memory   *store.Memory
	process  []*process
	stack    int // processes in the middle of something
	disturbs int // how often others came between, or a crash
	handles  int

	// strict is the limit of blocks of a world of strict affinity, where no
	// setting of that ever changes; zero: another one.
	strict int
	// batches says that requests may take more than one transaction.
	batches bool

	collector Collector
	leaks     map[string]bool // handles of owners that never were

	held  map[netip.Addr]held
	past  []Release // of addresses given back
	freed map[netip.Addr]time.Time
	did   map[string]int // how often each act came to its end
}

type held struct {
	handle   string
	sequence uint64
}

// process is a client whose reads and transactions others get in between of, and
// that may crash before or after a transaction.
type process struct {
	*store.Memory
	w      *world
	client *Client
	busy   bool
	calm   bool // no crash: the outcome is needed
}

// disturb lets others do something, once in so many times.
func (w *world) disturb(once int) {
	for w.stack < 3 && w.rand.IntN(once) == 0 {
		w.disturbs++
		w.step()
	}
}

func (p *process) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	p.w.disturb(12)
	return p.Memory.Read(ctx, keys, prefixes)
}

func (p *process) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	w := p.w
	w.disturb(4)
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
	w := &world{T: t, rand: rand.New(rand.NewPCG(seed, 1)), memory: store.NewMemory(), guarded: seed%2 == 0,
		env: Env{Now: time.Unix(1_800_000_000, 0)}, collector: Collector{Grace: time.Minute}, leaks: make(map[string]bool),
		held: make(map[netip.Addr]held), freed: make(map[netip.Addr]time.Time), did: make(map[string]int)}
	pools := []Pool{pool("a=10.0.0.0/28/30"), pool("b=10.1.0.0/29/31"), pool("six=fd00::/124/126")}
	if seed%4 == 0 { // so many blocks that one is claimed without looking at others'
		pools[0] = pool("a=10.0.0.0/24/30")
	}
	if seed%10 == 0 {
		w.batches = true
		pools[1] = pool("b=10.1.0.0/26/32")
	}
	if seed%3 == 0 {
		w.strict = 1 + w.rand.IntN(3)
		w.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: w.strict}
	}
	w.latest = w.env.Now
	w.settle(func(env *Env) { env.Pools = pools })
	for _, node := range []string{"host0", "host1"} { // host2 is dead
		if _, err := w.memory.Txn(t.Context(), nil, []store.Op{{Key: store.ResourceKey("Node", "", node)}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 { // more than are ever in the middle of something
		w.fork()
	}
	return w
}

// fork starts a process that remembers nothing.
func (w *world) fork() {
	p := &process{Memory: w.memory, w: w}
	p.client = NewClient(p, w)
	w.process = append(w.process, p)
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
	node := w.node()
	var name string
	var err error
	switch n := w.rand.IntN(100); {
	case n < 30:
		name, err = "allocate", w.allocate(p, node)
	case n < 38:
		name, err = "crowd", w.crowd(p, node)
	case n < 42:
		name, err = "move", w.move(p, node)
	case n < 50:
		name, err = "assign", w.assign(p, node)
	case n < 62:
		name, err = "release", w.releaseOne(p, node)
	case n < 74:
		name, err = "release handle", w.releaseHandle(p, node)
	case n < 79:
		name, err = "spare", w.quiet(p, node, func(s *Step) error {
			_, err := s.KeepSpare(Request{Node: node, IPv4: 1, IPv6: 1})
			return err
		})
	case n < 83:
		cidr, mode := w.block(), ReleaseMode(w.rand.IntN(3))
		name, err = "release block", w.quiet(p, node, func(s *Step) error { return s.ReleaseBlock(node, cidr, mode) })
	case n < 85:
		cidr := w.block()
		name, err = "assign block", w.quiet(p, node, func(s *Step) error { return s.AssignBlock(node, cidr) })
	case n < 88:
		name, err = "collect", w.collect(p)
	case n < 90:
		name, err = "drop pool", w.dropPool(p)
	case n < 91:
		w.splitPool()
		name = "split pool"
	case n < 95:
		w.passTime()
		name = "time"
	default:
		w.reconfigure()
		name = "reconfigure"
	}
	if err == nil {
		w.did[name]++
	}
	return err
}

// node returns one of some nodes; one has no Node object, one is no host.
func (w *world) node() string {
	if n := w.rand.IntN(10); n < 9 {
		return fmt.Sprintf("host%d", n%3)
	}
	return "virtual:lb"
}

// block returns a block of a pool.
func (w *world) block() netip.Prefix {
	p := &w.env.Pools[w.rand.IntN(len(w.env.Pools))]
	return blockAt(p.CIDR, p.BlockSize, w.rand.Uint64N(min(8, blockCount(p.CIDR, p.BlockSize))))
}

// quiet runs a step that gives out and takes back no address. It may be
// refused.
func (w *world) quiet(p *process, node string, work func(*Step) error) error {
	_, err := p.client.Do(w.Context(), node, func(_ context.Context, s *Step) error { return work(s) })
	w.gaveUp(err)
	return err
}

// gaveUp fails when a conflict was the end of something.
func (w *world) gaveUp(err error) {
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTooLarge) {
		w.Helper()
		w.Errorf("gave up: %v", err)
	}
}

// play plays one history, and looks at the store after each step.
func play(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newWorld(t, seed)
	for range 40 {
		w.step()
		w.verify()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	return w
}

// TestHistoriesRepeat: a seed says all that happens, or a history that fails
// could not be looked at again.
func TestHistoriesRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for s := *seed; s < *seed+20; s++ {
			first, again := play(t, s), play(t, s)
			if first.disturbs != again.disturbs || !maps.Equal(first.did, again.did) || !maps.Equal(first.held, again.held) {
				t.Fatalf("seed %d: %d disturbances and %v, again %d and %v", s, first.disturbs, first.did, again.disturbs, again.did)
			}
		}
	})
}

// Whatever happens between any two calls of the store, no address is given
// twice, none is lost, none lies outside its pool, and blocks, affinities and
// handles explain each other.
func TestModel(t *testing.T) {
	first, n := *seed, uint64(*seeds)
	disturbs, did := 0, make(map[string]int)
	synctest.Test(t, func(t *testing.T) { // pauses cost nothing
		for s := first; s < first+n; s++ {
			w := play(t, s)
			disturbs += w.disturbs
			for name, n := range w.did {
				did[name] += n
			}
		}
	})
	t.Logf("%d histories, %d disturbances, %v", n, disturbs, did)
	if n < 100 {
		return // too few for each to happen
	}
	for _, name := range []string{"allocate", "assign", "assign block", "collect", "crowd", "drop pool", "move", "reconfigure", "release",
		"release block", "release handle", "resume", "shared", "spare", "split pool", "time"} {
		if did[name] == 0 {
			t.Errorf("%s: it never came to its end, so nothing is shown of it", name)
		}
	}
}
