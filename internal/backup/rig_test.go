package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// rig is a store with something in it.
type rig struct {
	t     *testing.T
	store *store.Memory
}

func named(name string) *vrouterv1.Metadata { return &vrouterv1.Metadata{Name: proto.String(name)} }

// put writes an object as the API would.
func (r *rig) put(msg proto.Message) {
	r.t.Helper()
	resource.Canonicalize(msg)
	if _, err := resource.Check(msg); err != nil {
		r.t.Fatal(err)
	}
	value, err := resource.Encode(resource.Successor(msg, nil))
	if err != nil {
		r.t.Fatal(err)
	}
	id := resource.IDOf(msg)
	r.write(store.Op{Key: store.ResourceKey(string(id.Kind), id.Namespace, id.Name), Value: value})
}

func (r *rig) write(ops ...store.Op) {
	r.t.Helper()
	if _, err := r.store.Txn(r.t.Context(), nil, ops); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) lock(locked bool) {
	r.t.Helper()
	info := &vrouterv1.ClusterInformation{Metadata: named("default"),
		Spec: &vrouterv1.ClusterInformationSpec{ClusterGuid: proto.String("old"), DatastoreReady: proto.Bool(!locked)}}
	r.put(info)
}

// filled returns a locked store with some of everything: endpoints, addresses of
// hosts and load balancers, addresses that cool down, a block of nobody.
func filled(t *testing.T) *rig {
	t.Helper()
	r := &rig{t, store.NewMemory()}
	if _, _, err := store.EnsureIdentity(t.Context(), r.store); err != nil {
		t.Fatal(err)
	}
	r.put(&vrouterv1.IPPool{Metadata: named("p"), Spec: &vrouterv1.IPPoolSpec{Cidr: proto.String("10.65.0.0/16"), BlockSize: proto.Int32(28)}})
	r.put(&vrouterv1.IPAMConfiguration{Metadata: named("default"), Spec: &vrouterv1.IPAMConfigurationSpec{IpCooldownSeconds: proto.Int32(300)}})
	r.put(&vrouterv1.IPReservation{Metadata: named("r"), Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{"10.65.255.0/24"}}})
	r.put(&vrouterv1.Secret{Metadata: named("s"), Spec: &vrouterv1.SecretSpec{Data: map[string]string{"password": "aHVzaA=="}}})
	for _, n := range []string{"n1", "n2", "n3"} {
		r.put(&vrouterv1.Node{Metadata: named(n)})
	}
	c := ipam.NewClient(r.store, ipam.Stored{Store: r.store})
	for i := range 30 {
		w := &vrouterv1.WorkloadEndpoint{
			Metadata: &vrouterv1.Metadata{Namespace: proto.String("default")},
			Spec: &vrouterv1.WorkloadEndpointSpec{Orchestrator: proto.String("vms"), Workload: proto.String(fmt.Sprintf("w/%d", i)),
				Endpoint: proto.String("eth0"), Node: proto.String(fmt.Sprintf("n%d", i%3+1)), InterfaceName: proto.String("i")},
		}
		handle, owner := ipam.EndpointHandle(resource.IDOf(w))
		got, err := c.Allocate(t.Context(), ipam.Request{Node: w.Spec.GetNode(), IPv4: 1, Handle: handle, Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		a := got.Allocations[0].Address
		w.Spec.IpNetworks = []string{a.String()}
		r.put(w)
		r.write(store.Op{Key: store.AddressKey(a), Value: []byte(owner.Key)})
	}
	external := ipam.Owner{Kind: ipam.OwnerExternal}
	if _, err := c.Allocate(t.Context(), ipam.Request{Node: "n2", IPv4: 20, Handle: "lb", Owner: external}); err != nil {
		t.Fatal(err)
	}
	gone, err := c.Allocate(t.Context(), ipam.Request{Node: "n3", IPv4: 3, Handle: "gone", Owner: external})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Release(t.Context(), "n3", []ipam.Release{{Address: gone.Allocations[1].Address}}); err != nil {
		t.Fatal(err)
	}
	r.write(store.Op{Key: store.StatusKey("Node", "", "n1"), Value: []byte("of this moment")},
		store.Op{Key: store.LiveKey("agent", "n1"), Value: []byte("{}")})
	r.lock(true)
	return r
}

func (r *rig) export() (*File, []byte) {
	r.t.Helper()
	f, err := Read(r.t.Context(), r.store, true, "test", time.Unix(1e9, 0))
	if err != nil {
		r.t.Fatal(err)
	}
	var text bytes.Buffer
	if err := f.Write(&text); err != nil {
		r.t.Fatal(err)
	}
	parsed, err := Parse(bytes.NewReader(text.Bytes()))
	if err != nil {
		r.t.Fatal(err)
	}
	return parsed, text.Bytes()
}

// contents returns what the ranges of a store hold, ClusterInformation aside.
func (r *rig) contents() map[string]string {
	r.t.Helper()
	kvs, _, err := read(r.t.Context(), r.store, clusterKey())
	if err != nil {
		r.t.Fatal(err)
	}
	out := make(map[string]string)
	for _, kv := range kvs {
		out[kv.Key] = string(kv.Value)
	}
	return out
}

func (r *rig) importing(self string) *Importer {
	return &Importer{Store: r.store, Self: self, Now: func() time.Time { return time.Unix(1e9, 0) }}
}

// failing is a store that is away from some transaction on.
type failing struct {
	store.Store
	left atomic.Int64
}

func awayAfter(s store.Store, n int) *failing {
	f := &failing{Store: s}
	f.left.Store(int64(n))
	return f
}

var errAway = errors.New("away")

func (f *failing) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if f.left.Add(-1) < 0 {
		return 0, errAway
	}
	return f.Store.Txn(ctx, compares, ops)
}

func wantError(t *testing.T, err error, said string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), said) {
		t.Errorf("error %v, wanted one that says %q", err, said)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// overtaken is a store on which somebody else is faster, once, before a
// transaction.
type overtaken struct {
	store.Store
	after int64
	once  func()
	calls atomic.Int64
}

func (o *overtaken) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if o.calls.Add(1) == o.after+1 {
		o.once()
	}
	return o.Store.Txn(ctx, compares, ops)
}

// busy is a store that does not answer some of its transactions.
type busy struct {
	store.Store
	every int64 // how many lie between two that are not answered
	done  bool  // they are carried out all the same
	calls atomic.Int64
}

func (b *busy) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if n := b.calls.Add(1); n <= 0 || n%b.every != 0 {
		return b.Store.Txn(ctx, compares, ops)
	}
	if b.done {
		if _, err := b.Store.Txn(ctx, compares, ops); err != nil {
			return 0, err
		}
	}
	return 0, &store.UnavailableError{Cause: errAway}
}
