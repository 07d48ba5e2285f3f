package view

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const self = "host1"

// kv stores an object at a revision, at its own key.
func kv(t testing.TB, msg proto.Message, revision int64) store.KV {
	t.Helper()
	id := resource.IDOf(msg)
	value, err := resource.Encode(msg)
	if err != nil {
		t.Fatal(err)
	}
	return store.KV{Key: store.ResourceKey(string(id.Kind), id.Namespace, id.Name), Value: value, ModRevision: revision}
}

func named(name string) *vrouterv1.Metadata { return &vrouterv1.Metadata{Name: proto.String(name)} }

func node(name, ipv4 string) *vrouterv1.Node {
	return &vrouterv1.Node{
		Metadata: named(name),
		Spec:     &vrouterv1.NodeSpec{Bgp: &vrouterv1.NodeBGPSpec{Ipv4Address: proto.String(ipv4)}},
	}
}

func pool(name, cidr string) *vrouterv1.IPPool {
	return &vrouterv1.IPPool{Metadata: named(name), Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String(cidr)}}
}

func filter(name string, rules int) *vrouterv1.BGPFilter {
	f := &vrouterv1.BGPFilter{Metadata: named(name), Spec: &vrouterv1.BGPFilterSpec{}}
	for range rules {
		f.Spec.ImportV4 = append(f.Spec.ImportV4, &vrouterv1.BGPFilterRule{Action: proto.String("Reject")})
	}
	return f
}

func group(name, hold string) *vrouterv1.BGPPeerGroup {
	return &vrouterv1.BGPPeerGroup{Metadata: named(name), Spec: &vrouterv1.BGPSessionSettings{HoldTime: proto.String(hold)}}
}

func secret(name, value string) *vrouterv1.Secret {
	s := &vrouterv1.Secret{Metadata: named(name), Spec: &vrouterv1.SecretSpec{StringData: map[string]string{"a": value}}}
	resource.Canonicalize(s)
	return s
}

func endpoint(workload, node, address string) *vrouterv1.WorkloadEndpoint {
	return &vrouterv1.WorkloadEndpoint{
		Metadata: &vrouterv1.Metadata{Namespace: proto.String("default")},
		Spec: &vrouterv1.WorkloadEndpointSpec{
			Orchestrator: proto.String("lab"), Workload: proto.String(workload), Endpoint: proto.String("eth0"),
			Node: proto.String(node), InterfaceName: proto.String("w-" + workload), IpNetworks: []string{address},
		},
	}
}

func idOf(workload string) resource.EndpointID {
	return resource.EndpointID{Namespace: "default", Orchestrator: "lab", Workload: workload, Endpoint: "eth0"}
}

func puts(revision int64, kvs ...store.KV) store.Batch {
	b := store.Batch{Revision: revision, Synced: true}
	for _, kv := range kvs {
		b.Events = append(b.Events, store.Event{Type: store.Put, KV: kv})
	}
	return b
}

func deletes(revision int64, keys ...string) store.Batch {
	b := store.Batch{Revision: revision, Synced: true}
	for _, key := range keys {
		b.Events = append(b.Events, store.Event{Type: store.Delete, KV: store.KV{Key: key, ModRevision: revision}})
	}
	return b
}

// text prints all that a view holds, revisions of objects included.
func text(v *View) string {
	var b strings.Builder
	f := v.Fabric()
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, "node %s %s at %d\n", n.Name, n.IPv4, n.Revision)
	}
	for _, p := range f.Peers {
		fmt.Fprintf(&b, "peer %s %s at %d\n", p.Name, p.PeerIP, p.Revision)
	}
	if pools := v.Pools(); len(pools) != len(f.Pools) {
		fmt.Fprintf(&b, "%d pools\n", len(pools))
	}
	for _, p := range f.Pools {
		if !slices.Contains(v.Pools(), p) {
			b.WriteString("hidden ")
		}
		fmt.Fprintf(&b, "pool %s %s at %d\n", p.Name, p.CIDR, p.Revision)
	}
	for _, f := range f.Filters {
		fmt.Fprintf(&b, "filter %s with %d rules at %d\n", f.Name, len(f.ImportV4), f.Revision)
	}
	for _, g := range f.Groups {
		fmt.Fprintf(&b, "group %s for %s at %d\n", g.Name, *g.Settings.HoldTime, g.Revision)
	}
	for _, s := range f.Secrets {
		fmt.Fprintf(&b, "secret %s %s at %d\n", s.Name, []byte(s.Data["a"]), s.Revision)
	}
	for _, e := range v.Endpoints() {
		fmt.Fprintf(&b, "endpoint %s on %s %s %v at %d\n", e.Endpoint, e.Node, e.Interface, e.Addresses, e.Revision)
	}
	for key, err := range v.Problems() {
		fmt.Fprintf(&b, "problem %s: %t\n", key, err != nil)
	}
	return b.String()
}

func want(t *testing.T, v *View, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(append(lines, ""), "\n"), text(v)); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

// drained prints what became of the local endpoints.
func drained(v *View) string {
	var all []string
	for _, e := range v.DrainEndpoints() {
		s := e.ID.Workload + " gone"
		if e.Spec != nil {
			s = fmt.Sprintf("%s %v at %d", e.ID.Workload, e.Spec.Addresses, e.Spec.Revision)
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

func wantDrained(t *testing.T, v *View, want string) {
	t.Helper()
	if got := drained(v); got != want {
		t.Fatalf("drained %q, want %q", got, want)
	}
}

// signalled takes the signal of c, if there is one.
func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestOwnEndpointsAlone(t *testing.T) {
	v := New(self)
	v.Apply(puts(3, kv(t, endpoint("a", self, "10.0.0.1"), 2), kv(t, endpoint("b", "host2", "10.0.0.2"), 3)))
	want(t, v, "endpoint default/lab/a/eth0 on host1 w-a [10.0.0.1] at 2")
	wantDrained(t, v, "a [10.0.0.1] at 2")
	wantDrained(t, v, "")
	if kvs, revision, synced := v.Copy(); len(kvs) != 1 || revision != 3 || !synced {
		t.Errorf("copy of %d keys at %d, in sync %t", len(kvs), revision, synced)
	}
	if v.Endpoint(idOf("a")) == nil || v.Endpoint(idOf("b")) != nil {
		t.Error("wrong endpoints by identity")
	}
}

func TestEndpointMoves(t *testing.T) {
	v := New(self)
	v.Apply(puts(2, kv(t, endpoint("a", "host2", "10.0.0.1"), 2)))
	wantDrained(t, v, "")
	v.Apply(puts(3, kv(t, endpoint("a", self, "10.0.0.1"), 3)))
	wantDrained(t, v, "a [10.0.0.1] at 3")
	v.Apply(puts(4, kv(t, endpoint("a", "host2", "10.0.0.1"), 4)))
	wantDrained(t, v, "a gone")
	want(t, v)
	// There and back before anybody looked is one piece of news.
	v.Apply(puts(5, kv(t, endpoint("a", self, "10.0.0.1"), 5)))
	v.Apply(puts(6, kv(t, endpoint("a", "host2", "10.0.0.1"), 6)))
	v.Apply(puts(7, kv(t, endpoint("a", self, "10.0.0.7"), 7)))
	wantDrained(t, v, "a [10.0.0.7] at 7")
}

func TestTwiceIsOnce(t *testing.T) {
	v := New(self)
	b := puts(3, kv(t, endpoint("a", self, "10.0.0.1"), 2), kv(t, node("host2", "192.0.2.2/24"), 3))
	v.Apply(b)
	v.DrainEndpoints()
	for _, c := range []<-chan struct{}{v.FabricChanged(), v.EndpointsChanged(), v.CopyChanged()} {
		if !signalled(c) {
			t.Error("no signal of the first batch")
		}
	}
	v.Apply(b)
	v.Apply(deletes(4, store.ResourceKey("Node", "", "unknown"), store.ResourceKey("WorkloadEndpoint", "default", "no/such/one")))
	wantDrained(t, v, "")
	for _, c := range []<-chan struct{}{v.FabricChanged(), v.EndpointsChanged(), v.CopyChanged()} {
		if signalled(c) {
			t.Error("signal without news")
		}
	}
	if v.Revision() != 4 {
		t.Errorf("revision %d, want 4", v.Revision())
	}
}

func TestUndecodableKeepsLastGoodForm(t *testing.T) {
	v := New(self)
	good, bad := kv(t, pool("p", "10.0.0.0/16"), 2), kv(t, pool("p", "not a range"), 3)
	broken := kv(t, endpoint("a", self, "10.0.0.1"), 3)
	broken.Value = []byte{0xff}
	newer := store.KV{Key: "r/NewerKind/default/x", Value: []byte("new"), ModRevision: 3}
	v.Apply(puts(2, good))
	v.Apply(puts(3, bad, broken, newer, kv(t, pool("q", "10.1.0.0/16"), 3)))
	want(t, v,
		"pool p 10.0.0.0/16 at 2", "pool q 10.1.0.0/16 at 3",
		"problem r/IPPool/-/p: true", "problem r/NewerKind/default/x: true", "problem "+broken.Key+": true")
	// The copy has the good form, so that a restart keeps it, too; what was
	// never good as it is; and nothing of a kind that only others know.
	kvs, _, _ := v.Copy()
	next := New(self)
	next.Load(kvs)
	want(t, next, "pool p 10.0.0.0/16 at 2", "pool q 10.1.0.0/16 at 3", "problem "+broken.Key+": true")
	next.Apply(puts(3, bad, broken, newer, kv(t, pool("q", "10.1.0.0/16"), 3)))
	if a, b := text(v), text(next); a != b {
		t.Errorf("after a restart %s, want %s", b, a)
	}
	// A good form ends the problem, and so does a deletion.
	v.Apply(puts(4, kv(t, pool("p", "10.2.0.0/16"), 4)))
	v.Apply(deletes(5, broken.Key, newer.Key))
	want(t, v, "pool p 10.2.0.0/16 at 4", "pool q 10.1.0.0/16 at 3")
	wantDrained(t, v, "")
}

// An object under a key of another one would make the view depend on the order
// of keys.
func TestKeyMustFitItsObject(t *testing.T) {
	v := New(self)
	stray := kv(t, node("host2", "192.0.2.2/24"), 2)
	stray.Key = store.ResourceKey("Node", "", "host3")
	elsewhere := kv(t, endpoint("a", self, "10.0.0.1"), 2)
	elsewhere.Key = store.ResourceKey("WorkloadEndpoint", "default", "lab/b/eth0")
	v.Apply(puts(2, stray, elsewhere))
	want(t, v, "problem r/Node/-/host3: true", "problem "+elsewhere.Key+": true")
}

func TestCopyThenSnapshot(t *testing.T) {
	same, old := kv(t, endpoint("same", self, "10.0.0.1"), 2), kv(t, endpoint("old", self, "10.0.0.2"), 3)
	moved := kv(t, endpoint("moved", self, "10.0.0.3"), 4)
	n2, n3 := kv(t, node("host2", "192.0.2.2/24"), 5), kv(t, node("host3", "192.0.2.3/24"), 6)
	v := New(self)
	v.Load([]store.KV{same, old, moved, n2, n3})
	wantDrained(t, v, "moved [10.0.0.3] at 4, old [10.0.0.2] at 3, same [10.0.0.1] at 2")
	if v.IsSynced() || signalled(v.Synced()) {
		t.Fatal("in sync by a copy alone")
	}
	if _, _, synced := v.Copy(); synced || signalled(v.CopyChanged()) {
		t.Fatal("a copy would be made of a copy")
	}
	// Pages of the snapshot remove nothing.
	page := puts(0, same, n2)
	page.Synced = false
	v.Apply(page)
	wantDrained(t, v, "")
	if len(v.Fabric().Nodes) != 2 || len(v.Endpoints()) != 3 {
		t.Fatalf("a page of a snapshot removed something:\n%s", text(v))
	}
	v.Apply(puts(9, kv(t, endpoint("moved", "host2", "10.0.0.3"), 8)))
	wantDrained(t, v, "moved gone, old gone")
	want(t, v, "node host2 192.0.2.2/24 at 5", "endpoint default/lab/same/eth0 on host1 w-same [10.0.0.1] at 2")
	if !v.IsSynced() || !signalled(v.Synced()) || !signalled(v.CopyChanged()) || v.Revision() != 9 {
		t.Errorf("in sync %t at revision %d", v.IsSynced(), v.Revision())
	}
}

// After an adoption another store speaks: lower revisions, and the same
// revision for other values.
func TestRestartAfterAdoption(t *testing.T) {
	v := New(self)
	v.Apply(puts(900, kv(t, endpoint("a", self, "10.0.0.1"), 7), kv(t, endpoint("b", self, "10.0.0.2"), 8)))
	v.DrainEndpoints()
	signalled(v.CopyChanged())
	v.Restart()
	if v.IsSynced() || signalled(v.Synced()) {
		t.Fatal("in sync with a store that has told nothing")
	}
	if _, _, synced := v.Copy(); synced {
		t.Fatal("a copy would be made of two stores")
	}
	wantDrained(t, v, "")
	page := puts(0, kv(t, endpoint("a", self, "10.0.0.9"), 7))
	page.Synced = false
	v.Apply(page)
	wantDrained(t, v, "a [10.0.0.9] at 7")
	v.Apply(puts(20))
	wantDrained(t, v, "b gone")
	want(t, v, "endpoint default/lab/a/eth0 on host1 w-a [10.0.0.9] at 7")
	if v.Revision() != 20 || !signalled(v.CopyChanged()) {
		t.Errorf("revision %d, want 20, and a copy to be made", v.Revision())
	}
}

func TestFabricWith(t *testing.T) {
	v := New(self)
	v.Apply(puts(3, kv(t, node("a", "192.0.2.1/24"), 2), kv(t, node("c", "192.0.2.3/24"), 3)))
	f := v.Fabric()
	with := f.With(&resource.Node{Meta: resource.Meta{ID: resource.ID{Kind: resource.KindNode, Name: "b"}}})
	if f.Node("b") != nil || with.Node("b") == nil || with.Node("c") == nil || len(f.Nodes) != 2 {
		t.Error("With does not add to a copy in order of names")
	}
}

func TestAwait(t *testing.T) {
	v := New(self)
	reached := make(chan bool)
	go func() { reached <- v.Await(t.Context(), 5) }()
	v.Apply(puts(4))
	v.Apply(puts(5))
	if !<-reached {
		t.Error("revision 5 was not seen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v.Await(ctx, 6) {
		t.Error("revision 6 was seen")
	}
}

// TestWhatSessionsReferTo: filters, groups and secrets are of the fabric, are in
// the local copy, and keep their last good form.
func TestWhatSessionsReferTo(t *testing.T) {
	v := New(self)
	v.Apply(puts(4, kv(t, filter("f", 1), 1), kv(t, group("g", "9s"), 2), kv(t, secret("b", "x"), 3), kv(t, secret("a", "y"), 4)))
	all := []string{"filter f with 1 rules at 1", "group g for 9s at 2", "secret a y at 4", "secret b x at 3"}
	want(t, v, all...)
	signalled(v.FabricChanged())
	v.Apply(puts(5, kv(t, secret("a", ""), 5)))
	want(t, v, append(all, "problem r/Secret/-/a: true")...)
	copied, _, _ := v.Copy()
	restarted := New(self)
	restarted.Load(copied)
	want(t, restarted, all...)
	v.Apply(deletes(6, "r/Secret/-/a", "r/BGPFilter/-/f"))
	if !signalled(v.FabricChanged()) {
		t.Error("nobody was told that a filter is gone")
	}
	want(t, v, all[1], all[3])
}
