package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// restartTime of all speakers in a walk: short, for walks in real time.
const restartTime = 2 * time.Second

// ground is a kernel with interfaces that come and go.
type ground interface {
	fib.Kernel
	AddLink(name string)
	DeleteLink(name string)
	AddAddress(name string, prefix netip.Prefix)
	Interfere(changes ...fib.Change) []error
}

// walker leads an agent from one state of the world to another.
type walker struct {
	*rig
	ground ground
	rng    *rand.Rand
	world  *world
	others map[int]*bgptest.Fake
	away   bool       // the agent's store
	copy   store.Copy // taken some time ago
	trace  []string
	filter *policytest.Memory // nil: policy is off
}

// newWalker makes the surroundings of an agent as the world says.
func newWalker(r *rig, g ground, of *world, seed uint64) *walker {
	w := &walker{
		rig: r, ground: g, rng: rand.New(rand.NewPCG(seed, 4)), world: of,
		others: make(map[int]*bgptest.Fake),
	}
	r.host = looking{g, w}
	if seed%2 == 1 {
		w.filter = policytest.NewMemory()
	}
	w.settle(w.world)
	return w
}

func (w *walker) settle(to *world) {
	w.ground.AddLink("up0")
	w.ground.AddAddress("up0", pfx("192.0.2.1/24"))
	w.ground.AddAddress("up0", pfx("2001:db8::1/64"))
	for link, there := range to.links {
		if there {
			w.ground.AddLink(link)
		}
	}
	for _, msg := range to.objects() {
		w.put(msg)
	}
	for cidr, state := range to.blocks {
		w.write(claimOp(w.t, "host1", cidr, state))
	}
	for _, n := range []int{2, 3} {
		if !to.silent[n] {
			w.others[n] = w.speak(n, to.said[n])
		}
	}
}

// run starts an agent.
func (w *walker) run() {
	w.start(func(o *Options) {
		o.Copy = w.copy
		o.BGP.Settings.RestartTime = restartTime
		o.Patience = 50 * time.Millisecond
		if !w.real {
			o.Patience = time.Second
		}
		if w.filter != nil {
			policed(closing{w.filter, w})(o)
		}
	})
}

// closing is a dataplane that looks, with every change, whether all interfaces
// that routes lead to are policed, or closed.
type closing struct {
	*policytest.Memory
	of *walker
}

func (c closing) Sync(ctx context.Context, all *policy.Update) error {
	defer c.of.closed()
	return c.Memory.Sync(ctx, all)
}

func (c closing) Apply(ctx context.Context, u *policy.Update) error {
	defer c.of.closed()
	return c.Memory.Apply(ctx, u)
}

// looking is a kernel that looks for the same.
type looking struct {
	ground
	of *walker
}

func (l looking) Apply(ctx context.Context, changes []fib.Change) []error {
	defer l.of.closed()
	return l.ground.Apply(ctx, changes)
}

// closed complains about a route to a workload whose interface is not policed:
// no such route comes while the filter is changed, and none is left by a change
// of the kernel before.
func (w *walker) closed() {
	if w.filter == nil {
		return
	}
	policed := make(map[string]bool)
	w.filter.See(func(s *policy.State) {
		for _, e := range s.Endpoints {
			policed[e.Interface] = true
		}
	})
	// Called by tasks of the agent, after the end of the test as well: they must
	// not be ended, and the test's context may be.
	text, err := fibtest.Text(context.Background(), w.ground, fib.DefaultTable)
	if err != nil {
		return
	}
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); slices.Contains(words, "118") && words[1] == "dev" && words[4] == "118" && !policed[words[2]] {
			w.t.Errorf("%s of %v is not policed, after %q", strings.TrimSpace(line), policed, w.trace)
		}
	}
}

func (w *walker) finish() {
	w.end()
	for _, f := range w.others {
		_ = f.Stop(context.Background(), false)
	}
	w.store.Close()
}

// step changes something, or the agent's circumstances.
func (w *walker) step() {
	steps := []struct {
		weight int
		name   string
		do     func() string
	}{
		{6, "endpoint", w.stepEndpoint}, {1, "swap", w.stepSwap}, {1, "pool", w.stepPool}, {1, "node", w.stepNode},
		{1, "peering", w.stepPeering}, {1, "mesh", w.stepMesh}, {3, "link", w.stepLink}, {4, "say", w.stepSay},
		{2, "speaker", w.stepSpeaker}, {2, "restart", w.stepRestart}, {2, "store", w.stepStore}, {2, "interfere", w.stepInterfere},
		{3, "block", w.stepBlock}, {2, "advertise", w.stepAdvertise},
	}
	n := 0
	for _, s := range steps {
		n += s.weight
	}
	n = w.rng.IntN(n)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			w.trace = append(w.trace, s.name+" "+s.do())
			break
		}
	}
	switch w.rng.IntN(4) {
	case 0:
		w.pass(0)
	case 1:
		w.pass(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
	}
}

func (w *walker) workload() string { return fmt.Sprintf("e%d", w.rng.IntN(6)) }

// stepEndpoint puts an endpoint somewhere, with addresses that no other has,
// or deletes it.
func (w *walker) stepEndpoint() string {
	name := w.workload()
	if w.rng.IntN(4) == 0 {
		delete(w.world.endpoints, name)
		w.delete(endpointObject(name, "host1"))
		return name + " gone"
	}
	taken := make(map[string]bool)
	for other, h := range w.world.endpoints {
		for _, a := range strings.Fields(h.addresses) {
			taken[a] = other != name
		}
	}
	var addresses []string
	for _, a := range []string{"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32", "fd10::1/128", "fd10::2/128"} {
		if !taken[a] && w.rng.IntN(2) == 0 {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return "without an address"
	}
	h := home{fmt.Sprintf("host%d", 1+w.rng.IntN(6)/4), strings.Join(addresses, " ")}
	w.world.endpoints[name] = h
	w.put(w.world.endpoint(name, h))
	return fmt.Sprint(name, " ", h)
}

// stepSwap lets two endpoints change homes in one transaction.
func (w *walker) stepSwap() string {
	a, b := w.workload(), w.workload()
	x, isX := w.world.endpoints[a]
	y, isY := w.world.endpoints[b]
	if a == b || !isX || !isY {
		return "of nothing"
	}
	w.world.endpoints[a], w.world.endpoints[b] = y, x
	w.putAll(w.world.endpoint(a, y), w.world.endpoint(b, x))
	return a + " and " + b
}

// toggle stores or deletes an object.
func (w *walker) toggle(there *bool, msg proto.Message) string {
	if *there = !*there; *there {
		w.put(msg)
		return "there"
	}
	w.delete(msg)
	return "gone"
}

func (w *walker) stepPool() string { return w.toggle(&w.world.ninth, ninthPool()) }
func (w *walker) stepNode() string {
	return w.toggle(&w.world.node3, nodeObject("host3", hostAddr(3)+"/24"))
}
func (w *walker) stepPeering() string { return w.toggle(&w.world.peering, peering()) }

func (w *walker) stepMesh() string {
	w.world.mesh = !w.world.mesh
	w.put(w.world.settings())
	return fmt.Sprint(w.world.mesh)
}

func (w *walker) stepLink() string {
	name := "w-" + w.workload()
	if w.world.links[name] = !w.world.links[name]; !w.world.links[name] {
		w.ground.DeleteLink(name)
		return name + " gone"
	}
	w.ground.AddLink(name)
	if w.stop != nil {
		w.ifs.appear(name)
	}
	return name + " there"
}

// stepSay changes what another host originates: what an endpoint of ours has,
// too, and what is outside the pools.
func (w *walker) stepSay() string {
	n := 2 + w.rng.IntN(2)
	all := []string{"10.0.0.1/32", "10.0.0.2/32", "10.0.3.0/26", "10.0.3.7/32", "10.0.0.4/32", "10.9.0.1/32", "10.77.0.1/32"}
	p := pfx(all[w.rng.IntN(len(all))])
	f := w.others[n]
	if w.world.said[n][p] {
		delete(w.world.said[n], p)
		if f != nil {
			_ = f.Withdraw(p)
		}
		return fmt.Sprintf("host%d withdraws %s", n, p)
	}
	w.world.said[n][p] = true
	if f != nil {
		_ = f.Originate(p, bgp.Attributes{})
	}
	return fmt.Sprintf("host%d originates %s", n, p)
}

// stepSpeaker stops the speaker of another host, in either way, or starts it.
func (w *walker) stepSpeaker() string {
	n := 2 + w.rng.IntN(2)
	if f := w.others[n]; f != nil {
		w.world.silent[n] = true
		delete(w.others, n)
		graceful := w.rng.IntN(2) == 0
		_ = f.Stop(context.Background(), graceful)
		return fmt.Sprintf("host%d stops, graceful %t", n, graceful)
	}
	delete(w.world.silent, n)
	w.others[n] = w.speak(n, w.world.said[n])
	return fmt.Sprintf("host%d starts", n)
}

// stepRestart starts the agent anew, or only ends it, with or without a copy.
func (w *walker) stepRestart() string {
	what := "without a copy"
	switch w.rng.IntN(3) {
	case 0:
		w.copy = store.Copy{}
	case 1:
		w.copy, what = w.rig.copy(), "with a copy"
	default:
		what = "as before"
	}
	if w.rng.IntN(3) == 0 {
		w.end()
		return what + ", later"
	}
	w.run()
	return what
}

// stepStore takes the store away from the agent, and gives it back.
func (w *walker) stepStore() string {
	if w.away = !w.away; w.away {
		w.client.Disconnect()
		return "away"
	}
	w.client.Reconnect()
	return "back"
}

// stepBlock has host1 claim a block, in some state, or give it up.
func (w *walker) stepBlock() string {
	all := []string{"10.0.0.0/30", "10.0.0.4/32", "10.0.3.0/26", "fd10::/126"}
	cidr := all[w.rng.IntN(len(all))]
	state := []string{"", "pending", "confirmed", "confirmed", "confirmed", "pendingDeletion"}[w.rng.IntN(6)]
	if state == "" {
		delete(w.world.blocks, cidr)
	} else {
		w.world.blocks[cidr] = state
	}
	w.write(claimOp(w.t, "host1", cidr, state))
	return cidr + " " + state
}

// stepAdvertise changes what is told of a pool.
func (w *walker) stepAdvertise() string {
	n := w.rng.IntN(2)
	w.world.modes[n] = []string{"", "Endpoints", "Blocks", "Both"}[w.rng.IntN(4)]
	w.put(w.world.pool(n))
	return fmt.Sprint(n, " ", w.world.modes[n])
}

// stepInterfere removes routes of ours as somebody else.
func (w *walker) stepInterfere() string {
	for _, protocol := range []uint8{fib.DefaultProtocol, fib.DefaultProtocol + 2, fib.DefaultProtocol + 3} {
		for _, p := range []string{"10.0.0.1/32", "10.0.0.2/32", "fd10::1/128", "10.0.3.0/26", "10.0.0.0/30"} {
			w.ground.Interfere(fib.Change{Op: fib.Delete, Entry: fib.Entry{
				Prefix: pfx(p), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: protocol,
			}})
		}
	}
	return "with routes"
}

// rest ends the walk: the store is there and an agent runs.
func (w *walker) rest() {
	if w.away {
		w.stepStore()
	}
	if w.stop == nil {
		w.run()
	}
}

// wrong says how the agent's work differs from what the world asks for.
func (w *walker) wrong() string {
	var own []netip.Prefix
	for e := range w.speaker.Routes(bgp.Query{}) {
		if e.Own {
			own = append(own, e.Prefix)
		}
	}
	diff := cmp.Diff(w.world.routes(), w.routes())
	if !slices.Equal(own, w.world.own()) {
		diff += fmt.Sprintf("originated %s, want %s\n", own, w.world.own())
		for _, e := range w.agent.view.Endpoints() {
			p, _ := w.agent.stages.get(e.Endpoint)
			diff += fmt.Sprintf("%s: %+v\n", e.Endpoint, p)
		}
	}
	if ready, conditions := w.health.Ready(); !ready {
		diff += fmt.Sprintf("not ready: %v\n", conditions)
	}
	return diff
}

// TestWalk goes through random states of store, peers, interfaces and store
// connection, with restarts in between; the kernel ends up with what a fresh
// agent makes of a fresh kernel, which is what the oracle says.
func TestWalk(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			w := newWalker(newRig(t), fibtest.New(), newWorld(), seed)
			defer w.finish()
			w.run()
			for range 40 {
				w.step()
			}
			w.rest()
			w.pass(10 * time.Minute)
			fresh := newWalker(newRig(t), fibtest.New(), w.world, seed)
			defer fresh.finish()
			fresh.run()
			fresh.pass(10 * time.Minute)
			for _, x := range []*walker{fresh, w} {
				if wrong := x.wrong(); wrong != "" {
					t.Fatalf("seed %d, fresh %t:\n%s\nafter\n%s", seed, x == fresh, wrong, strings.Join(w.trace, "\n"))
				}
			}
			if diff := cmp.Diff(fresh.routes(), w.routes()); diff != "" {
				t.Fatalf("seed %d (-fresh +walked):\n%s", seed, diff)
			}
		})
	}
}
