package server

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// unregister removes an endpoint.
func (r *rig) unregister(workload string) {
	r.t.Helper()
	if _, err := r.endpoints.Unregister(r.t.Context(), &vrouterv1.UnregisterRequest{Id: endpointOf(workload)}); err != nil {
		r.t.Fatal(err)
	}
}

// inUse is how many addresses blocks say are held.
func (r *rig) inUse() int {
	n := 0
	for _, p := range r.check().Pools {
		n += p.InUse
	}
	return n
}

func asking(workload string, req *vrouterv1.AddressRequest) *vrouterv1.RegisterRequest {
	r := registration(workload)
	r.Allocate = req
	return r
}

// TestRegisterGivesAddresses: an endpoint without an address is given one of
// each family, keeps them through calls, changes and moves, and gives them back.
func TestRegisterGivesAddresses(t *testing.T) {
	r := newRig(t)
	first := r.register(registration("a"))
	has := first.Endpoint.Spec.IpNetworks
	if len(has) != 2 || !strings.HasPrefix(has[0], "10.0.") || !strings.HasPrefix(has[1], "fd00::") {
		t.Fatalf("given %q", has)
	}
	r.consistent()
	at := r.revision()
	if again := r.register(registration("a")); !proto.Equal(again.Endpoint, first.Endpoint) || r.revision() != at {
		t.Errorf("the same call made %v of %v", again.Endpoint, first.Endpoint)
	}
	moved := registration("a")
	moved.Node = "host2"
	if e := r.register(moved).Endpoint.Spec; e.GetNode() != "host2" || !slices.Equal(e.IpNetworks, has) {
		t.Errorf("moved: %v", e)
	}
	r.consistent()
	if e := r.register(registration("b")).Endpoint.Spec; slices.Contains(e.IpNetworks, has[0]) {
		t.Errorf("b was given %q, too", has[0])
	}
	r.register(registration("a", has[0])) // the IPv6 address is given up
	r.consistent()
	if n := r.inUse(); n != 3 {
		t.Errorf("%d addresses in use", n)
	}
	r.unregister("a")
	r.unregister("b")
	r.consistent()
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use when nobody is left", n)
	}
}

// TestRegisterAsksForAddresses: how many, of which family, from which pool.
func TestRegisterAsksForAddresses(t *testing.T) {
	r := newRig(t)
	r.put(pool("other", "172.16.0.0/24"))
	e := r.register(asking("a", &vrouterv1.AddressRequest{Ipv4: 3, Pools: []string{"other"}}))
	if n := e.Endpoint.Spec.IpNetworks; len(n) != 3 || !strings.HasPrefix(n[2], "172.16.0.") {
		t.Errorf("given %q", n)
	}
	e = r.register(asking("a", &vrouterv1.AddressRequest{Ipv4: 4, Ipv6: 1}))
	// The node has a block of that pool by now, and uses it up first.
	if n := e.Endpoint.Spec.IpNetworks; len(n) != 5 || !strings.HasPrefix(n[3], "172.16.") || !strings.HasPrefix(n[4], "fd00:") {
		t.Errorf("has %q after asking for more", n)
	}
	if n := r.register(asking("b", &vrouterv1.AddressRequest{Pools: []string{"172.16.0.0/24"}})).Endpoint.Spec.IpNetworks; len(n) != 1 {
		t.Errorf("given %q from a pool of one family", n)
	}
	r.consistent()
	at := r.revision()
	for name, c := range map[string]struct {
		req  *vrouterv1.AddressRequest
		code codes.Code
	}{
		"negative":       {&vrouterv1.AddressRequest{Ipv4: -1}, codes.InvalidArgument},
		"too many":       {&vrouterv1.AddressRequest{Ipv4: maxAddresses, Ipv6: 1}, codes.InvalidArgument},
		"no such pool":   {&vrouterv1.AddressRequest{Pools: []string{"nobody"}}, codes.FailedPrecondition},
		"another family": {&vrouterv1.AddressRequest{Ipv6: 1, Pools: []string{"other"}}, codes.FailedPrecondition},
	} {
		_, err := r.endpoints.Register(t.Context(), asking("c", c.req))
		if code := status.Code(err); code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	both := asking("c", &vrouterv1.AddressRequest{Ipv4: 1})
	both.IpNetworks = []string{"10.0.0.9"}
	_, err := r.endpoints.Register(t.Context(), both)
	wantPaths(t, err, "allocate")
	if r.revision() != at {
		t.Error("a refused call has written")
	}
}

// TestKeptBesideWhatIsAsked: a request adds to the addresses that there are. Who
// asked for others, or for fewer, is told; who says the same again is not.
func TestKeptBesideWhatIsAsked(t *testing.T) {
	r := newRig(t)
	r.put(pool("other", "172.16.0.0/24"))
	first := r.register(asking("a", &vrouterv1.AddressRequest{Ipv4: 2, Ipv6: 1, Pools: []string{"four", "fd00::/64"}}))
	has := first.Endpoint.Spec.IpNetworks
	v4 := strings.TrimSuffix(has[0], "/32") + ", " + strings.TrimSuffix(has[1], "/32")
	const otherwise = "; unregister the endpoint, or state its addresses, to have it otherwise"
	for name, c := range map[string]struct {
		asks *vrouterv1.AddressRequest
		want []string
	}{
		"nothing":          {nil, nil},
		"whatever":         {&vrouterv1.AddressRequest{}, nil},
		"the same":         {&vrouterv1.AddressRequest{Ipv4: 2, Ipv6: 1, Pools: []string{"four", "fd00::/64"}}, nil},
		"one of the pools": {&vrouterv1.AddressRequest{Pools: []string{"10.0.0.0/16", "six", "other"}}, nil},
		"another pool": {&vrouterv1.AddressRequest{Pools: []string{"other", "six"}},
			[]string{"allocate.pools: the endpoint had, and keeps, " + v4 + ", not of other, six" + otherwise}},
		"fewer": {&vrouterv1.AddressRequest{Ipv4: 1}, []string{
			"allocate.ipv4: the endpoint had, and keeps, 2 IPv4 addresses, not 1" + otherwise,
			"allocate.ipv6: the endpoint had, and keeps, 1 IPv6 addresses, not 0" + otherwise}},
	} {
		got := r.register(asking("a", c.asks))
		if !slices.Equal(got.Warnings, c.want) || !slices.Equal(got.Endpoint.Spec.IpNetworks, has) {
			t.Errorf("%s: %q with %q", name, got.Endpoint.Spec.IpNetworks, got.Warnings)
		}
	}
	if got := r.register(registration("a", strings.TrimSuffix(has[0], "/32"))); len(got.Warnings) > 0 {
		t.Errorf("stated: %q", got.Warnings)
	}
	if len(first.Warnings) > 0 {
		t.Errorf("new: %q", first.Warnings)
	}
}

// TestGivenAddressIsClaimed: with the endpoint as its handle, unless a handle
// that the call names has it.
func TestGivenAddressIsClaimed(t *testing.T) {
	r := newRig(t)
	r.register(registration("a", "10.0.0.1"))
	r.consistent()
	c := ipam.NewClient(r.store, ipam.Stored{Store: r.store})
	outside := ipam.Owner{Kind: ipam.OwnerExternal}
	_, err := c.Assign(t.Context(), ipam.AssignRequest{Address: netip.MustParseAddr("10.0.0.1"), Node: "host1", Handle: "x", Owner: outside})
	if st := ipamStatusCode(err); st != codes.AlreadyExists {
		t.Errorf("somebody else takes it: %s, %v", st, err)
	}
	if _, err := c.Assign(t.Context(), ipam.AssignRequest{Address: netip.MustParseAddr("10.0.0.2"), Node: "host1", Handle: "x", Owner: outside}); err != nil {
		t.Fatal(err)
	}
	req := registration("b", "10.0.0.2")
	_, err = r.endpoints.Register(t.Context(), req)
	st := wantCode(t, err, codes.AlreadyExists)
	if info := detail[*errdetails.ErrorInfo](t, st); info.Reason != "ADDRESS_HELD" || info.Metadata["handle"] != "x" {
		t.Errorf("%v", info)
	}
	req.HeldBy = []string{"y", "x"}
	r.register(req)
	r.register(registration("b", "10.0.0.2", "10.0.0.3")) // it has it already
	r.consistent()
	r.unregister("b")
	if n := r.inUse(); n != 2 { // 10.0.0.1, and that of x
		t.Errorf("%d addresses in use", n)
	}
	_, err = r.endpoints.Register(t.Context(), registration("c", "10.0.0.1"))
	wantCode(t, err, codes.AlreadyExists)
	r.consistent()
}

func ipamStatusCode(err error) codes.Code { return statusOf(err).Code() }

// TestOlderEndpoints: endpoints that are older than the blocks keep their
// addresses, which nobody else is given, and are taken in with the next write.
func TestOlderEndpoints(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		w := fmt.Sprintf("w%d", i)
		msg := (&endpoints{node: "host1"}).endpoint(registration(w, fmt.Sprintf("172.16.0.%d", i)))
		resource.Canonicalize(msg)
		next := resource.Successor(msg, nil)
		value, err := resource.Encode(next)
		if err != nil {
			t.Fatal(err)
		}
		key := resourceKey(idOf(t, endpointOf(w)))
		if _, err := r.store.Txn(t.Context(), nil, []store.Op{{Key: key, Value: value},
			{Key: store.AddressKey(netip.AddrFrom4([4]byte{172, 16, 0, byte(i)})), Value: []byte(key)}}); err != nil {
			t.Fatal(err)
		}
	}
	r.put(pool("old", "172.16.0.0/26"))
	taken := map[string]bool{}
	for i := range 3 {
		n := r.register(asking(fmt.Sprintf("n%d", i), &vrouterv1.AddressRequest{Pools: []string{"old"}})).Endpoint.Spec.IpNetworks[0]
		if a := netip.MustParsePrefix(n).Addr().As4(); a[3] < 5 || taken[n] {
			t.Errorf("given %s, which is held", n)
		}
		taken[n] = true
	}
	if n := len(r.check().Problems); n != 5 {
		t.Errorf("%d problems, wanted one for each address", n)
	}
	_, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: "old"})
	wantCode(t, err, codes.FailedPrecondition)
	for i := range 5 {
		w := fmt.Sprintf("w%d", i)
		r.register(registration(w, fmt.Sprintf("172.16.0.%d", i))) // the same again
	}
	r.consistent()
}

// TestPoolInUse: a pool goes with its blocks, and not while addresses of it are
// held.
func TestPoolInUse(t *testing.T) {
	r := newRig(t)
	r.put(pool("p", "172.16.0.0/24"))
	for i := range 100 {
		r.register(asking(fmt.Sprintf("w%d", i), &vrouterv1.AddressRequest{Pools: []string{"p"}}))
	}
	remove := func() error {
		_, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "pool", Name: "p"})
		return err
	}
	st := wantCode(t, remove(), codes.FailedPrecondition)
	if v := detail[*errdetails.PreconditionFailure](t, st).Violations[0]; v.Type != "IN_USE" {
		t.Errorf("%v", v)
	}
	for i := range 100 {
		r.unregister(fmt.Sprintf("w%d", i))
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	r.consistent()
	if list, err := r.store.List(t.Context(), store.BlockPrefix, store.ListOptions{}); err != nil || len(list.KVs) != 0 {
		t.Errorf("blocks left: %v, %v", list.KVs, err)
	}
}

// TestExhausted: the refusal says what ran out, and takes nothing.
func TestExhausted(t *testing.T) {
	r := newRig(t)
	p := pool("p", "172.16.0.0/30")
	p.Spec.BlockSize = proto.Int32(32)
	r.put(p)
	for i := range 4 {
		r.register(asking(fmt.Sprintf("w%d", i), &vrouterv1.AddressRequest{Pools: []string{"p"}}))
	}
	at := r.revision()
	_, err := r.endpoints.Register(t.Context(), asking("x", &vrouterv1.AddressRequest{Pools: []string{"p"}}))
	st := wantCode(t, err, codes.ResourceExhausted)
	if info := detail[*errdetails.ErrorInfo](t, st); info.Metadata["pools"] != "p" || info.Metadata["help"] == "" {
		t.Errorf("%v", info)
	}
	if r.revision() != at {
		t.Error("a refused call has written")
	}
	r.consistent()
}

// TestPoolsBySelector: a pool is for nodes and namespaces with its labels.
func TestPoolsBySelector(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"four", "six"} {
		if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "pool", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	p := pool("p", "172.16.0.0/16")
	p.Spec.NodeSelector, p.Spec.NamespaceSelector = proto.String("rack == 'a'"), proto.String("tier == 'gold'")
	r.put(p)
	register := func() error {
		_, err := r.endpoints.Register(t.Context(), registration("a"))
		return err
	}
	st := wantCode(t, register(), codes.FailedPrecondition)
	if v := detail[*errdetails.PreconditionFailure](t, st).Violations; v[0].Subject != "IPPool/p" || !strings.Contains(v[0].Description, "nodeSelector") {
		t.Errorf("%v", v)
	}
	r.put(&vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String("host1"), Labels: map[string]string{"rack": "a"}}})
	wantCode(t, register(), codes.FailedPrecondition)
	r.put(&vrouterv1.Namespace{Metadata: &vrouterv1.Metadata{Name: proto.String("default"), Labels: map[string]string{"tier": "gold"}}})
	if err := register(); err != nil {
		t.Error(err)
	}
	r.consistent()
}

// TestPutGivesAddresses: ResourceService does as EndpointService, and a dry run
// takes nothing.
func TestPutGivesAddresses(t *testing.T) {
	r := newRig(t)
	msg := (&endpoints{node: "host1"}).endpoint(registration("a"))
	at := r.revision()
	resp, err := r.resources.Put(t.Context(), &vrouterv1.PutRequest{Resource: resource.Wrap(msg), DryRun: true})
	if err != nil || len(resp.Resource.GetWorkloadEndpoint().GetSpec().IpNetworks) != 2 || r.revision() != at {
		t.Fatalf("%v, %v", resp, err)
	}
	stored := r.put(msg).(*vrouterv1.WorkloadEndpoint)
	if len(stored.Spec.IpNetworks) != 2 {
		t.Fatalf("%v", stored)
	}
	r.consistent()
	if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "wep", Namespace: "default", Name: stored.Metadata.GetName()}); err != nil {
		t.Fatal(err)
	}
	r.consistent()
	if n := r.inUse(); n != 0 {
		t.Errorf("%d addresses in use", n)
	}
}

// TestParallelAddresses: two daemons give out addresses at once, to hosts that
// they share.
func TestParallelAddresses(t *testing.T) {
	r := newRig(t)
	other := newRig(t, func(opts *Options) { opts.Store = r.store })
	other.store = r.store
	var wg sync.WaitGroup
	for i := range 40 {
		rig := []*rig{r, other}[i%2]
		wg.Go(func() {
			req := registration(fmt.Sprintf("w%d", i))
			req.Node = fmt.Sprintf("host%d", i%3)
			if _, err := rig.endpoints.Register(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.consistent()
	if n := r.inUse(); n != 80 {
		t.Errorf("%d addresses in use", n)
	}
	for i := range 40 {
		rig := []*rig{r, other}[i%2]
		wg.Go(func() { rig.unregister(fmt.Sprintf("w%d", i)) })
	}
	wg.Wait()
	r.consistent()
}
