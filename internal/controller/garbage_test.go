package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (b *bench) pool() {
	b.t.Helper()
	b.put(&vrouterv1.IPPool{Metadata: &vrouterv1.Metadata{Name: proto.String("p")},
		Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String("10.65.0.0/16")}})
}

// take has a handle take an address, on a node.
func (b *bench) take(node, handle string, owner ipam.Owner) netip.Addr {
	b.t.Helper()
	c := ipam.NewClient(b.store, ipam.Stored{Store: b.store})
	got, err := c.Allocate(b.t.Context(), ipam.Request{Node: node, IPv4: 1, Handle: handle, Owner: owner})
	if err != nil {
		b.t.Fatal(err)
	}
	return got.Allocations[0].Address
}

// holders returns who holds addresses, in order, and whose blocks there are.
func (b *bench) holders() string {
	b.t.Helper()
	contents, err := ipam.ReadContents(b.t.Context(), b.store)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, block := range contents.Blocks {
		held := []string{}
		for _, h := range block.Holdings() {
			held = append(held, h.Handle)
		}
		out = append(out, fmt.Sprintf("%q%s", string(block.Affinity), held))
	}
	return strings.Join(out, " ")
}

// collecting returns a controller whose rounds come at once.
func (b *bench) collecting() *Controller {
	b.t.Helper()
	c := New(Options{
		Name: "c", Store: b.store, LeaseTTL: leaseTTL, Limits: Limits{HoldOff: time.Hour, Retire: time.Hour},
		Grace:  20 * time.Millisecond,
		Health: telemetry.NewHealth(Conditions()...), Logger: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return c
}

// endpoint is the owner of what the endpoint of that name has.
func endpoint(name string) ipam.Owner {
	return ipam.Owner{Kind: ipam.OwnerEndpoint, Key: store.ResourceKey("WorkloadEndpoint", "default", "vms/"+name+"/eth0")}
}

// TestCollects: a leader releases what the gone have left, and nothing else.
func TestCollects(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.node("n1", "a")
	b.write(store.Op{Key: endpoint("kept").Key, Value: []byte{}})
	b.write(store.Op{Key: store.AddressKey(b.take("n1", "kept", endpoint("kept"))), Value: []byte(endpoint("kept").Key)})
	b.take("n1", "gone", endpoint("gone"))
	b.write(store.Op{Key: endpoint("changed").Key, Value: []byte{}}) // it is there, and has another address
	b.take("n1", "changed", endpoint("changed"))
	b.take("n1", "outside", ipam.Owner{Kind: ipam.OwnerExternal})
	b.take("n1", "tunnel", ipam.Owner{Kind: ipam.OwnerTunnel, Key: store.ResourceKey("Node", "", "n1")})
	b.take("dead", "of a dead node", ipam.Owner{Kind: ipam.OwnerExternal})
	c := b.collecting()
	n1, dead := `"host:n1"[kept outside tunnel]`, `""[of a dead node]`
	b.until(func() (string, bool) {
		got := b.holders()
		return got, got == n1+" "+dead || got == dead+" "+n1
	})
	b.until(func() (string, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		done := c.stats.collection.collected
		return fmt.Sprintf("%+v", c.stats), done.Addresses == 2 && done.Dead == 1
	})
	report := func() *ipam.Report {
		contents, err := ipam.ReadContents(t.Context(), b.store)
		if err != nil {
			t.Fatal(err)
		}
		env, err := ipam.Stored{Store: b.store}.Env(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return contents.Check(env)
	}
	if problems := report().Problems; len(problems) > 0 {
		t.Errorf("%v", problems)
	}
}

// older stores an endpoint that is older than blocks.
func (b *bench) older(workload, address string) {
	b.t.Helper()
	w := &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{Namespace: proto.String("default")},
		Spec: &vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("vms"), Workload: proto.String(workload),
			Endpoint: proto.String("eth0"), Node: proto.String("n1"), InterfaceName: proto.String("i"), IpNetworks: []string{address}},
	}
	resource.Canonicalize(w)
	value, err := resource.Encode(resource.Successor(w, nil))
	if err != nil {
		b.t.Fatal(err)
	}
	_, owner := ipam.EndpointHandle(resource.IDOf(w))
	b.write(store.Op{Key: owner.Key, Value: value})
	b.write(store.Op{Key: store.AddressKey(netip.MustParseAddr(address)), Value: []byte(owner.Key)})
}

// leading returns a controller that leads, and the store as it writes it.
func (b *bench) leading(grace time.Duration) (*Controller, fenced) {
	b.t.Helper()
	c := New(Options{Store: b.store, Logger: hclog.NewNullLogger(), Grace: grace})
	term, err := campaign(b.t.Context(), b.store, "c", time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	return c, fence(b.store, term)
}

// TestAdopts: addresses of endpoints that are older than blocks are taken in,
// however many cannot be.
func TestAdopts(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.node("n1", "a")
	for i := range maxAdopted + 1 { // whose endpoint is not there is nobody's to take in
		a := netip.AddrFrom4([4]byte{10, 65, byte(i >> 8), byte(i)})
		b.write(store.Op{Key: store.AddressKey(a), Value: []byte("r/WorkloadEndpoint/default/x")})
	}
	for i := range 3 {
		b.older(fmt.Sprint("w", i), fmt.Sprintf("10.65.%d.1", 10+i))
	}
	c, s := b.leading(time.Hour)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	for range 2 {
		if err := c.round(t.Context(), s, client); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.holders(); got != `"host:n1"[default/vms/w0/eth0] "host:n1"[default/vms/w1/eth0] "host:n1"[default/vms/w2/eth0]` {
		t.Error(got)
	}
}

// TestManyAreAdoptedSoon: what one round does not take in needs not wait long.
func TestManyAreAdoptedSoon(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.node("n1", "a")
	for i := range maxAdopted + 1 {
		b.older(fmt.Sprint("w", i), fmt.Sprintf("10.65.%d.%d", i>>8, i&255))
	}
	c, s := b.leading(time.Hour)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	for _, more := range []bool{true, false} {
		if err := c.round(t.Context(), s, client); err != nil || c.sweep.more != more {
			t.Errorf("more %v, %v", c.sweep.more, err)
		}
	}
	if n := c.stats.collection.adopted; n != maxAdopted+1 {
		t.Errorf("%d were taken in", n)
	}
}

// TestObservationsOutliveTerms: who is deposed again and again, and leads again,
// collects all the same. It notices by itself that another leads.
func TestObservationsOutliveTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t, store.NewMemory()}
		b.pool()
		b.node("n1", "a")
		b.take("n1", "gone", ipam.Owner{Kind: ipam.OwnerEndpoint, Key: "r/WorkloadEndpoint/default/x"})
		c := New(Options{Name: "c", Store: b.store, LeaseTTL: 5 * time.Second, Limits: Limits{HoldOff: time.Hour, Retire: time.Hour},
			Health: telemetry.NewHealth(Conditions()...), Logger: hclog.NewNullLogger()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for range 4 { // each term sees one round
			time.Sleep(2 * time.Minute)
			b.write(store.Op{Key: store.ElectKey("controller"), Value: []byte("another")})
			time.Sleep(time.Minute)
			b.write(store.Op{Key: store.ElectKey("controller"), Delete: true})
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := b.holders(); got != `"host:n1"[]` || c.stats.terms < 3 {
			t.Errorf("after %d terms: %s", c.stats.terms, got)
		}
	})
}

// TestLockedIsNotCollected: nothing is written while the datastore is locked,
// nor by one who was deposed.
func TestLockedIsNotCollected(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.take("n1", "gone", ipam.Owner{Kind: ipam.OwnerEndpoint, Key: "r/WorkloadEndpoint/default/x"})
	b.put(lockedCluster())
	c, s := b.leading(time.Nanosecond)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	round := func() error { return c.round(t.Context(), s, client) }
	for range 3 {
		if err := round(); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.holders(); got != `"host:n1"[gone]` {
		t.Errorf("collected from a locked store: %s", got)
	}
	b.put(&vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}})
	if err := round(); err != nil { // the first look
		t.Fatal(err)
	}
	b.write(store.Op{Key: s.term.key, Value: []byte("another")})
	if err := round(); !errors.Is(err, errDeposed) {
		t.Errorf("a deposed leader's round: %v", err)
	}
	if got := b.holders(); got != `"host:n1"[gone]` {
		t.Errorf("collected by one who was deposed: %s", got)
	}
}

// TestLockedElectsNobody: what is decided waits until the datastore is unlocked.
func TestLockedElectsNobody(t *testing.T) {
	b := &bench{t: t, store: store.NewMemory()}
	b.node("a1", "a")
	b.put(lockedCluster())
	b.put(group(1))
	c, _ := b.run("c")
	b.leads(c)
	b.node("b1", "b") // something to decide upon
	b.put(&vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")}})
	unlocked, _, err := b.store.Get(t.Context(), store.ResourceKey(string(resource.KindClusterInformation), "", "default"))
	if err != nil {
		t.Fatal(err)
	}
	b.elected("a1")
	for _, key := range []string{membershipKey("g"), store.StatusKey(string(resource.KindReflectorGroup), "", "g")} {
		b.until(func() (string, bool) {
			kv, _, err := b.store.Get(t.Context(), key)
			if err == nil && kv.CreateRevision < unlocked.ModRevision {
				t.Fatalf("%s was written while the datastore was locked", key)
			}
			return key + " is missing", err == nil
		})
	}
}

func lockedCluster() *vrouterv1.ClusterInformation {
	return &vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(false)}}
}

// TestLeakGracePeriodIsFollowed: it is read at every round, zero collects
// nothing and forgets what was seen, and one that cannot be read holds all up.
func TestLeakGracePeriodIsFollowed(t *testing.T) {
	b := &bench{t, store.NewMemory()}
	b.pool()
	b.take("n1", "gone", ipam.Owner{Kind: ipam.OwnerEndpoint, Key: "r/WorkloadEndpoint/default/x"})
	b.node("n1", "a")
	c, s := b.leading(time.Nanosecond)
	client := ipam.NewClient(s, ipam.Stored{Store: s})
	round := func(wantGrace time.Duration, wantSuspects int) {
		t.Helper()
		if err := c.round(t.Context(), s, client); err != nil {
			t.Fatal(err)
		}
		if n := c.sweep.Suspects().Leaks; c.sweep.Grace != wantGrace || n != wantSuspects {
			t.Errorf("grace %s, %d suspects; wanted %s, %d", c.sweep.Grace, n, wantGrace, wantSuspects)
		}
	}
	configure := func(grace string) {
		b.put(&vrouterv1.ControllerConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
			Spec: &vrouterv1.ControllerConfigurationSpec{Controllers: &vrouterv1.Controllers{
				Node: &vrouterv1.NodeController{LeakGracePeriod: proto.String(grace)}}}})
	}
	configure("1h")
	for range 3 {
		round(time.Hour, 1)
	}
	configure("0")
	round(0, 0)
	key := store.ResourceKey(string(resource.KindControllerConfiguration), "", "default")
	b.write(store.Op{Key: key, Value: []byte("not ours")})
	if err := c.round(t.Context(), s, client); err == nil {
		t.Error("a configuration that cannot be read was no error")
	}
	if got := b.holders(); got != `"host:n1"[gone]` {
		t.Fatalf("collected before its time: %s", got)
	}
	b.write(store.Op{Key: key, Delete: true})
	round(time.Nanosecond, 1)
	round(time.Nanosecond, 0)
	if got := b.holders(); got != `"host:n1"[]` {
		t.Errorf("not collected: %s", got)
	}
}

func TestPauseOfRounds(t *testing.T) {
	c := New(Options{})
	for _, p := range []struct {
		grace, took time.Duration
		more        bool
		want        time.Duration
	}{
		{grace: 0, want: 150 * time.Second},
		{grace: time.Minute, want: 30 * time.Second},
		{grace: defaultGrace, want: 150 * time.Second},
		{grace: 24 * time.Hour, want: 150 * time.Second},
		{grace: defaultGrace, took: 3 * time.Second, more: true, want: 27 * time.Second},
		{grace: defaultGrace, took: time.Millisecond, more: true, want: time.Second},
		{grace: defaultGrace, took: time.Minute, more: true, want: 150 * time.Second},
	} {
		c.sweep.Grace, c.sweep.more = p.grace, p.more
		if got := c.pause(p.took); got != p.want {
			t.Errorf("%+v: %s", p, got)
		}
	}
}

// TestMetricsOfCollection: work is counted by what it was for.
func TestMetricsOfCollection(t *testing.T) {
	c := New(Options{})
	c.count(func(s *stats) {
		s.collection.add(ipam.Collected{Addresses: 7, Tunnels: 2, LoadBalancers: 1, Dead: 3, Empty: 5, Spared: 6}, 8)
		s.collection.adopted = 9
		s.collection.parts = map[ipam.Part]ipam.Filled{{Pool: "p", Node: "n1"}: {Blocks: 2, InUse: 70, Free: 58}}
		s.collection.sizes = map[string]float64{"p": 1 << 16}
	})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "vrouter_controller_ipam_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				got[name] = v
			}
		}
	}
	want := map[string]float64{
		"addresses_collected_total endpoint": 4, "addresses_collected_total tunnel": 2, "addresses_collected_total loadBalancer": 1,
		"blocks_collected_total dead_node": 3, "blocks_collected_total empty": 5, "spared_total": 6, "left": 8, "addresses_adopted_total": 9,
		"blocks n1 p": 2, "addresses_in_use n1 p": 70, "pool_addresses p": 1 << 16,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
