package server

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

var (
	seeds = flag.Int("seeds", 100, "how many random histories TestModel plays")
	seed  = flag.Uint64("seed", 0, "the one history to play")
)

// disturbed is a store with what happens before, or in place of, the next
// transactions. Each happens once.
type disturbed struct {
	store.Store
	other func() // what happens when others are faster

	mu   sync.Mutex // guards next; not held while it happens
	next []disturbance
}

// disturbance is what happens at a transaction.
type disturbance int

const (
	calm      disturbance = iota
	outrun                // others are faster
	lost                  // the store does not answer, and nothing was written
	forgotten             // the store does not answer, and all was written
)

// world is two servers on one store, and a naive model of what they did: who
// holds which address, and which addresses endpoints have.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	memory *store.Memory
	rigs   []*rig
	stores []*disturbed

	held      map[netip.Addr]string // handles
	endpoints map[string][]netip.Addr
	past      []*vrouterv1.AddressRelease // of what was given out by handle
	splits    int
	disturbs  int
	refusals  int
	acts      int
}

func (d *disturbed) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	now := calm
	_, called := peer.FromContext(ctx) // else it is a reserve, kept after a call
	d.mu.Lock()
	if called && len(ops) > 0 && len(d.next) > 0 {
		now, d.next = d.next[0], d.next[1:]
	}
	d.mu.Unlock()
	switch now {
	case outrun:
		d.other()
	case lost:
		return 0, fmt.Errorf("not sent: %w", store.ErrUnavailable)
	case forgotten:
		if _, err := d.Store.Txn(ctx, compares, ops); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("no answer: %w", store.ErrUnavailable)
	}
	return d.Store.Txn(ctx, compares, ops)
}

// TestModel plays random histories of endpoints, addresses, blocks, pools and
// settings through two servers on one store, one of which overtakes the other in
// the midst of a call, or the store does not answer. After each call the store
// holds what a naive model says, with blocks, handles, affinities, address keys
// and endpoints in agreement; at the end nothing is left.
func TestModel(t *testing.T) {
	from, to := uint64(1), uint64(*seeds)
	if testing.Short() {
		to = min(to, 10)
	}
	if *seed != 0 {
		from, to = *seed, *seed
	}
	disturbs, refusals, acts := 0, 0, 0
	for n := from; n <= to && !t.Failed(); n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, n)
			for range 60 {
				w.step()
				if w.compare(); t.Failed() {
					t.Fatalf("repeat with -seed %d", n)
				}
			}
			w.end()
			disturbs, refusals, acts = disturbs+w.disturbs, refusals+w.refusals, acts+w.acts
		})
	}
	t.Logf("%d calls, %d refused, %d disturbed", acts, refusals, disturbs)
}

func newWorld(t *testing.T, n uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(n, 5)), memory: store.NewMemory(),
		held: map[netip.Addr]string{}, endpoints: map[string][]netip.Addr{}}
	for range 2 {
		d := &disturbed{Store: w.memory}
		r := newRig(t, func(o *Options) { o.Store = d })
		r.store = w.memory
		w.rigs, w.stores = append(w.rigs, r), append(w.stores, d)
	}
	for _, name := range []string{"four", "six"} { // too large to run out
		if err := w.rigs[0].removePool(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range startPools() {
		w.rigs[0].put(p)
	}
	for i, rack := range []string{"a", "a", "b"} {
		w.rigs[0].put(&vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String(fmt.Sprintf("host%d", i)),
			Labels: map[string]string{"rack": rack}}})
	}
	return w
}

func startPools() []*vrouterv1.IPPool {
	var pools []*vrouterv1.IPPool
	for _, p := range []struct {
		name, cidr string
		size       int32
	}{{"a", "10.0.0.0/27", 29}, {"b", "10.0.1.0/28", 30}, {"c", "10.0.2.0/29", 32}, {"v", "fd00::/124", 126}} {
		msg := pool(p.name, p.cidr)
		msg.Spec.BlockSize = &p.size
		pools = append(pools, msg)
	}
	return pools
}

// step makes a call through one of the servers, which may be disturbed.
func (w *world) step() {
	i := w.rand.IntN(len(w.rigs))
	d := w.stores[i]
	var next []disturbance
	for range w.rand.IntN(4) {
		switch n := w.rand.IntN(20); {
		case n < 8:
			next = append(next, outrun)
		case n == 8:
			next = append(next, lost)
		case n == 9:
			next = append(next, forgotten)
		default:
			next = append(next, calm)
		}
	}
	d.other = func() {
		w.disturbs++
		w.act(w.rigs[1-i])
	}
	d.mu.Lock()
	d.next = next
	d.mu.Unlock()
	w.act(w.rigs[i])
	d.mu.Lock()
	d.next = nil
	d.mu.Unlock()
}

// act makes a call and takes down what it did.
func (w *world) act(r *rig) {
	w.acts++
	acts := []struct {
		weight int
		act    func(*rig) error
	}{
		{10, w.register}, {5, w.unregister}, {4, w.allocate}, {3, w.assign}, {3, w.release}, {2, w.releaseHandle},
		{1, w.assignBlock}, {1, w.releaseBlock}, {2, w.changePool}, {1, w.dropPool}, {1, w.split}, {1, w.reserve}, {1, w.configure}, {1, w.relabel}, {1, w.lock},
	}
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	n := w.rand.IntN(total)
	for _, a := range acts {
		if n -= a.weight; n < 0 {
			w.try(a.act(r))
			return
		}
	}
}

// try counts refusals, and complains of errors that are none.
func (w *world) try(err error) {
	switch code := status.Code(err); code {
	case codes.OK, codes.Unavailable:
	case codes.InvalidArgument, codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound, codes.ResourceExhausted:
		w.refusals++
	default:
		w.t.Errorf("%v", err)
	}
}

// unanswered tells whether a call may have taken place or not, or in part. What
// it was about is then taken from the store; the rest is compared as always.
func (w *world) unanswered(err error, handles ...string) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	held, endpoints := w.read()
	about := func(_ netip.Addr, handle string) bool { return slices.Contains(handles, handle) }
	maps.DeleteFunc(w.held, about)
	for a, handle := range held {
		if slices.Contains(handles, handle) {
			w.held[a] = handle
		}
	}
	for workload := range maps.Keys(mergedKeys(w.endpoints, endpoints)) {
		if !slices.Contains(handles, handleOf(w.t, workload)) {
			continue
		}
		if list, ok := endpoints[workload]; ok {
			w.endpoints[workload] = list
		} else {
			delete(w.endpoints, workload)
		}
	}
	return true
}

func mergedKeys(a, b map[string][]netip.Addr) map[string][]netip.Addr {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// read returns who holds which address and which addresses endpoints have, as
// the store has it.
func (w *world) read() (map[netip.Addr]string, map[string][]netip.Addr) {
	contents, err := ipam.ReadContents(context.Background(), w.memory)
	if err != nil {
		w.t.Fatal(err)
	}
	held, endpoints := map[netip.Addr]string{}, map[string][]netip.Addr{}
	for _, b := range contents.Blocks {
		for _, h := range b.Holdings() {
			held[h.Address] = h.Handle
		}
	}
	_, err = store.Scan(context.Background(), w.memory, store.KindPrefix("WorkloadEndpoint"), 0, func(kv store.KV) {
		msg, err := resource.Decode(resource.KindWorkloadEndpoint, kv.Value, kv.ModRevision)
		if err != nil {
			w.t.Fatal(err)
		}
		endpoints[msg.(*vrouterv1.WorkloadEndpoint).GetSpec().GetWorkload()] = sorted(statedAddresses(msg))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return held, endpoints
}

// compare complains of what the store has otherwise than the model, and of what
// does not agree in the store.
func (w *world) compare() {
	w.rigs[0].consistent()
	held, endpoints := w.read()
	if !maps.Equal(held, w.held) {
		w.t.Errorf("held: %v, wanted %v", held, w.held)
	}
	if !maps.EqualFunc(endpoints, w.endpoints, slices.Equal) {
		w.t.Errorf("endpoints: %v, wanted %v", endpoints, w.endpoints)
	}
	for workload, list := range endpoints {
		for _, a := range list {
			if held[a] == "" {
				w.t.Errorf("%s of %s is held by nobody", a, workload)
			}
		}
	}
}

// end gives everything back: then every address can be had, pools are empty, and
// with them all is gone.
func (w *world) end() {
	r := w.rigs[0]
	w.unlock(r)
	for workload := range w.endpoints {
		r.unregister(workload)
	}
	contents, err := ipam.ReadContents(w.t.Context(), w.memory)
	if err != nil {
		w.t.Fatal(err)
	}
	for handle := range contents.Handles {
		if _, err := r.addresses.ReleaseByHandle(w.t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: handle}); err != nil {
			w.t.Errorf("release %s: %v", handle, err)
		}
	}
	for _, a := range contents.Affinities {
		in := &vrouterv1.ReleaseBlockRequest{Node: a.Node, Cidr: a.CIDR.String()}
		if _, err := r.addresses.ReleaseBlock(w.t.Context(), in); err != nil {
			w.t.Errorf("release %v: %v", in, err)
		}
	}
	w.exhaust(r)
	r.consistent()
	for _, name := range w.pools() {
		if err := r.removePool(name); err != nil {
			w.t.Errorf("pool %s: %v", name, err)
		}
	}
	for _, prefix := range []string{store.BlockPrefix, store.HostsPrefix, store.HandlePrefix, store.AddressPrefix} {
		page, err := w.memory.List(w.t.Context(), prefix, store.ListOptions{})
		if err != nil || len(page.KVs) > 0 {
			w.t.Errorf("left below %s: %v, %v", prefix, page.KVs, err)
		}
	}
}

// exhaust takes every IPv4 address that there is, once nothing holds any back.
func (w *world) exhaust(r *rig) {
	r.settings(&vrouterv1.IPAMConfigurationSpec{})
	_, _ = r.resources.Delete(w.t.Context(), &vrouterv1.DeleteRequest{Kind: "IPReservation", Name: "r"}) // it may not be there
	all := 0
	for _, msg := range r.list("IPPool") {
		p := msg.GetIpPool()
		if cidr := netip.MustParsePrefix(p.GetSpec().GetCidr()); cidr.Addr().Is4() {
			all += 1 << (32 - cidr.Bits())
		}
		p.Spec.Disabled, p.Spec.NodeSelector = nil, nil
		r.put(p)
	}
	if all == 0 {
		return
	}
	got, err := r.addresses.Allocate(w.t.Context(), &vrouterv1.AllocateRequest{Handle: "all", Ipv4: int32(all) + 1, MaxBlocks: 1000, Partial: true})
	if err != nil || len(got.Allocations) != all {
		w.t.Errorf("%d of %d addresses: %v, %v", len(got.GetAllocations()), all, got.GetShort(), err)
	}
	if _, err := r.addresses.ReleaseByHandle(w.t.Context(), &vrouterv1.ReleaseByHandleRequest{Handle: "all"}); err != nil {
		w.t.Error(err)
	}
}

// pools returns the names of all pools.
func (w *world) pools() []string {
	var names []string
	_, err := store.Scan(context.Background(), w.memory, store.KindPrefix("IPPool"), 0, func(kv store.KV) {
		if _, _, name, err := store.ParseResourceKey(kv.Key); err == nil {
			names = append(names, name)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func (r *rig) removePool(name string) error {
	_, err := r.resources.Delete(context.Background(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: name})
	return err
}

func sorted(list []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(list), netip.Addr.Compare)
}

func handleOf(t *testing.T, workload string) string {
	return holderOf(idOf(t, endpointOf(workload))).handle
}
