package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// rig is an agent of host1 between a store and a kernel in memory, in virtual
// time. The store is an API's: the agent has another client of it.
type rig struct {
	t       *testing.T
	store   *store.Memory
	client  *store.Memory // of the agent
	kernel  *fibtest.Kernel
	host    fib.Kernel // kernel, or a real one
	real    bool       // time is not virtual: nothing is waited for by pass
	network *bgptest.Network
	calls   *calls

	agent   *Agent
	table   *fib.Table
	speaker *bgptest.Fake
	hears   *recorder // the speaker as the agent has it
	ifs     *fakeInterfaces
	health  *telemetry.Health
	stop    func() error
}

// withRig runs f with a rig whose host has an uplink, in a cluster of two
// nodes with a pool of each family. No agent runs yet.
func withRig(t *testing.T, f func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.kernel = fibtest.New()
		r.host = r.kernel
		r.kernel.AddLink("up0")
		r.kernel.AddAddress("up0", pfx("192.0.2.1/24"))
		r.kernel.AddAddress("up0", pfx("2001:db8::1/64"))
		r.put(poolObject("four", "10.0.0.0/16"))
		r.put(poolObject("six", "fd10::/64"))
		defer r.store.Close()
		defer r.end()
		f(t, r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, store: store.NewMemory(), network: bgptest.NewNetwork(), calls: new(calls)}
	r.client = r.store.Open()
	return r
}

// start runs a new agent, as a daemon that starts does, and lets it come to
// rest.
func (r *rig) start(change ...func(*Options)) {
	r.t.Helper()
	r.end()
	r.speaker = r.network.NewSpeaker()
	r.ifs = &fakeInterfaces{calls: r.calls, changed: make(chan struct{}, 1), broken: make(map[string]error)}
	r.health = telemetry.NewHealth(Conditions()...)
	log := hclog.New(&hclog.LoggerOptions{Output: r.t.Output(), Level: hclog.Info, DisableTime: true})
	r.table = fib.New(watched{r.host, r.calls}, fib.Options{Report: []fib.Source{fib.Workload, fib.Blackhole}, Logger: log.Named("fib")})
	r.hears = &recorder{Speaker: r.speaker, calls: r.calls}
	opts := Options{
		Identity: identity1(), Store: r.client, LeaseTTL: 15 * time.Second,
		Speaker: r.hears, Table: r.table, Interfaces: r.ifs,
		Health: r.health, Logger: log,
	}
	for _, c := range change {
		c(&opts)
	}
	r.agent = New(opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.agent.Run(ctx) }()
	r.stop = func() error {
		cancel()
		r.stop = nil
		return errors.Join(<-done, r.speaker.Stop(context.Background(), true))
	}
	r.pass(0)
}

// end stops the agent, if one runs, as a plain stop does.
func (r *rig) end() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	if err := r.stop(); err != nil {
		r.t.Errorf("agent: %v", err)
	}
}

// pass lets d pass, and everything come to rest.
func (r *rig) pass(d time.Duration) {
	if r.real {
		return
	}
	time.Sleep(d)
	synctest.Wait()
}

func identity1() Identity {
	return Identity{
		Name: "host1", Role: RoleAgent, HostID: "id-1", BootID: "boot-1",
		Configured: NodeFields{IPv4: pfx("192.0.2.1/24"), IPv6: pfx("2001:db8::1/64")},
		HasAddress: func(a netip.Addr) bool { return a == pfx("192.0.2.1/24").Addr() },
	}
}

// put writes an object as an API does, and lets everybody hear of it.
func (r *rig) put(msg proto.Message) int64 {
	r.t.Helper()
	value, err := resource.Encode(msg)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.write(store.Op{Key: keyOf(msg), Value: value})
}

// putAll writes objects in one transaction.
func (r *rig) putAll(objects ...proto.Message) {
	r.t.Helper()
	var ops []store.Op
	for _, msg := range objects {
		value, err := resource.Encode(msg)
		if err != nil {
			r.t.Fatal(err)
		}
		ops = append(ops, store.Op{Key: keyOf(msg), Value: value})
	}
	r.write(ops...)
}

func (r *rig) delete(msg proto.Message) {
	r.t.Helper()
	r.write(store.Op{Key: keyOf(msg), Delete: true})
}

func (r *rig) write(ops ...store.Op) int64 {
	r.t.Helper()
	revision, err := r.store.Txn(r.t.Context(), nil, ops)
	if err != nil {
		r.t.Fatal(err)
	}
	r.pass(0)
	return revision
}

func keyOf(msg proto.Message) string {
	id := resource.IDOf(msg)
	return store.ResourceKey(string(id.Kind), id.Namespace, id.Name)
}

// read returns a stored object.
func (r *rig) read(into proto.Message) bool {
	r.t.Helper()
	kv, _, err := r.store.Get(r.t.Context(), keyOf(into))
	if err != nil {
		return false
	}
	if err := proto.Unmarshal(kv.Value, into); err != nil {
		r.t.Fatal(err)
	}
	return true
}

// wantRoutes compares the kernel's routes, as fibtest.Text prints them.
func (r *rig) wantRoutes(lines ...string) {
	r.t.Helper()
	if diff := cmp.Diff(strings.Join(append(lines, ""), "\n"), r.routes()); diff != "" {
		r.t.Fatalf("kernel (-want +got):\n%s", diff)
	}
}

func (r *rig) routes() string {
	r.t.Helper()
	text, err := fibtest.Text(r.t.Context(), r.host, fib.DefaultTable)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// wantOwn compares what the agent originates: each with its LOCAL_PREF.
func (r *rig) wantOwn(want ...string) {
	r.t.Helper()
	got := []string{}
	for e := range r.speaker.Routes(bgp.Query{}) {
		if e.Own {
			got = append(got, fmt.Sprintf("%s %d", e.Prefix, e.LocalPref))
		}
	}
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		r.t.Fatalf("originated %q, want %q", got, want)
	}
}

// wantConditions compares the conditions that do not hold, and readiness.
func (r *rig) wantNotReady(want ...string) {
	r.t.Helper()
	ready, all := r.health.Ready()
	var got []string
	for _, c := range all {
		if !c.Ready {
			got = append(got, c.Name)
		}
	}
	if !slices.Equal(got, want) || ready != (len(want) == 0) {
		r.t.Fatalf("conditions that fail: %q, ready %t; want %q\n%v", got, ready, want, all)
	}
}

func (r *rig) condition(name string) telemetry.Condition {
	_, all := r.health.Ready()
	i := slices.IndexFunc(all, func(c telemetry.Condition) bool { return c.Name == name })
	return all[i]
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func named(name string) *vrouterv1.Metadata { return &vrouterv1.Metadata{Name: proto.String(name)} }

func nodeObject(name, ipv4 string) *vrouterv1.Node {
	return &vrouterv1.Node{
		Metadata: named(name),
		Spec:     &vrouterv1.NodeSpec{Bgp: &vrouterv1.NodeBGPSpec{Ipv4Address: proto.String(ipv4)}},
	}
}

func poolObject(name, cidr string) *vrouterv1.IPPool {
	return &vrouterv1.IPPool{Metadata: named(name), Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String(cidr)}}
}

// advertising is a pool of which that is told.
func advertising(name, cidr, mode string) *vrouterv1.IPPool {
	p := poolObject(name, cidr)
	if mode != "" {
		p.Spec.Advertise = proto.String(mode)
	}
	return p
}

// claimOp writes that a node has a block, in that state; empty: no longer.
func claimOp(t *testing.T, node, cidr, state string) store.Op {
	t.Helper()
	op := store.Op{Key: store.HostBlockKey(node, pfx(cidr)), Delete: state == ""}
	if !op.Delete {
		value, err := proto.Marshal(&vrouterv1.BlockAffinitySpec{
			State: proto.String(state), Node: proto.String(node), Type: proto.String("host"), Cidr: proto.String(cidr),
		})
		if err != nil {
			t.Fatal(err)
		}
		op.Value = value
	}
	return op
}

// endpointObject is an endpoint with the interface w-WORKLOAD.
func endpointObject(workload, node string, addresses ...string) *vrouterv1.WorkloadEndpoint {
	return &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{Namespace: proto.String("default")},
		Spec: &vrouterv1.WorkloadEndpointSpec{
			Orchestrator: proto.String("lab"), Workload: proto.String(workload), Endpoint: proto.String("eth0"),
			Node: proto.String(node), InterfaceName: proto.String("w-" + workload), IpNetworks: addresses,
		},
	}
}

// endpointOp writes such an endpoint.
func endpointOp(t *testing.T, workload, node string, addresses ...string) store.Op {
	t.Helper()
	msg := endpointObject(workload, node, addresses...)
	value, err := resource.Encode(msg)
	if err != nil {
		t.Fatal(err)
	}
	return store.Op{Key: keyOf(msg), Value: value}
}

func idOf(workload string) resource.EndpointID {
	return resource.EndpointID{Namespace: "default", Orchestrator: "lab", Workload: workload, Endpoint: "eth0"}
}

// calls is what was asked of the ports, in order.
type calls struct {
	mu   sync.Mutex
	list []string
}

func (c *calls) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

// take returns the calls since it was called last.
func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// left puts routes into the kernel as an earlier run left them: of a workload on
// up0 and learned from host2.
func (r *rig) left() {
	r.t.Helper()
	up0 := r.kernel.Index("up0")
	for prefix, e := range map[string]fib.Entry{
		leftWorkload: {Protocol: fib.DefaultProtocol, Hops: []fib.Hop{{Index: up0}}},
		leftLearned:  {Protocol: fib.DefaultProtocol + 2, Hops: []fib.Hop{{Index: up0, Gateway: netip.MustParseAddr(addr2)}}},
	} {
		e.Prefix, e.Table, e.Metric = pfx(prefix), fib.DefaultTable, fib.DefaultMetric
		if errs := r.kernel.Interfere(fib.Change{Op: fib.Create, Entry: e}); errs != nil {
			r.t.Fatal(errs)
		}
	}
}

const (
	leftWorkload = "10.0.8.8/32"
	leftLearned  = "10.0.9.9/32"

	leftWorkloadLine = "10.0.8.8/32 dev up0 proto 118 metric 118"
	leftLearnedLine  = "10.0.9.9/32 via 192.0.2.2 dev up0 proto 120 metric 118"
)

// copy is a local copy of the store as it is.
func (r *rig) copy() store.Copy {
	r.t.Helper()
	cluster, revision, err := store.EnsureIdentity(r.t.Context(), r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	c := store.Copy{GUID: cluster.GUID, Epoch: cluster.Epoch, Revision: revision, SavedAt: time.Now()}
	for _, prefix := range []string{store.ResourcePrefix, store.HostBlockPrefix("host1")} {
		page, err := r.store.List(r.t.Context(), prefix, store.ListOptions{})
		if err != nil {
			r.t.Fatal(err)
		}
		c.KVs = append(c.KVs, page.KVs...)
	}
	return c
}

// recorder notes what is said to a Speaker.
type recorder struct {
	bgp.Speaker
	calls *calls
	// silent makes peers appear as if they had sent no End-of-RIB.
	silent atomic.Bool
	// refused is originated with an error.
	refused atomic.Pointer[netip.Prefix]
}

func (r *recorder) Peers() []bgp.PeerState {
	list := r.Speaker.Peers()
	for i := range list {
		if r.silent.Load() {
			list[i].EndOfRIB = 0
		}
	}
	return list
}

func (r *recorder) Start(ctx context.Context, s bgp.Settings) error {
	r.calls.add("start %d %s restarting %t", s.ASN, s.RouterID, s.Restarting[bgp.IPv4Unicast])
	return r.Speaker.Start(ctx, s)
}

func (r *recorder) SetPools(pools []bgp.Pool) {
	r.calls.add("pools %d", len(pools))
	r.Speaker.SetPools(pools)
}

func (r *recorder) SetSessions(list []bgp.Session) error {
	r.calls.add("sessions %d", len(list))
	return r.Speaker.SetSessions(list)
}

func (r *recorder) Originate(p netip.Prefix, a bgp.Attributes) error {
	if refused := r.refused.Load(); refused != nil && *refused == p {
		return errors.New("refused")
	}
	r.calls.add("originate %s", p)
	return r.Speaker.Originate(p, a)
}

func (r *recorder) Withdraw(p netip.Prefix) error {
	r.calls.add("withdraw %s", p)
	return r.Speaker.Withdraw(p)
}

// watched notes what is written to a kernel.
type watched struct {
	fib.Kernel
	calls *calls
}

func (w watched) Apply(ctx context.Context, changes []fib.Change) []error {
	for _, c := range changes {
		if c.Object == nil {
			w.calls.add("%s %s", [...]string{"create", "replace", "remove"}[c.Op], c.Entry.Prefix)
		}
	}
	return w.Kernel.Apply(ctx, changes)
}

// fakeInterfaces is the host end of workloads' interfaces.
type fakeInterfaces struct {
	calls   *calls
	changed chan struct{}

	mu     sync.Mutex
	came   []string
	broken map[string]error // by interface
}

func (f *fakeInterfaces) Prepare(_ context.Context, name string, kind resource.InterfaceType, anySource bool) error {
	call := "prepare %s %s"
	if anySource {
		call += " any source"
	}
	f.calls.add(call, name, kind)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken[name]
}

func (f *fakeInterfaces) setBroken(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken[name] = err
}

// appear says that interfaces have appeared.
func (f *fakeInterfaces) appear(names ...string) {
	f.mu.Lock()
	f.came = append(f.came, names...)
	f.mu.Unlock()
	signal(f.changed)
}

func (f *fakeInterfaces) Changed() <-chan struct{} { return f.changed }

func (f *fakeInterfaces) Drain() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	came := f.came
	f.came = nil
	return came
}

func (f *fakeInterfaces) Forget(_ context.Context, a netip.Addr) error {
	f.calls.add("forget %s", a)
	return nil
}
