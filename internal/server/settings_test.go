package server

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

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// counted is a store that counts calls.
type counted struct {
	store.Store
	reads, txns atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string) (store.KV, int64, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, key)
}

func (c *counted) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	c.reads.Add(1)
	return c.Store.Read(ctx, keys, prefixes)
}

func (c *counted) List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error) {
	c.reads.Add(1)
	return c.Store.List(ctx, prefix, opts)
}

func (c *counted) Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error) {
	if len(ops) > 0 {
		c.txns.Add(1)
	} else {
		c.reads.Add(1)
	}
	return c.Store.Txn(ctx, compares, ops)
}

// TestCostOfARegistration: a new endpoint is written with the addresses that it
// is given, and nothing is read.
func TestCostOfARegistration(t *testing.T) {
	count := &counted{}
	r := newRig(t, func(o *Options) {
		count.Store = o.Store
		o.Store = count
	})
	r.register(registration("first"))
	count.reads.Store(0)
	count.txns.Store(0)
	for _, name := range []string{"a", "b", "c", "d"} {
		r.register(registration(name))
	}
	if reads, txns := count.reads.Load(), count.txns.Load(); reads != 0 || txns != 4 {
		t.Errorf("%d reads and %d transactions for 4 registrations", reads, txns)
	}
}

// heldUp has reads of the settings' guard wait.
type heldUp struct {
	*counted
	arrived, on chan struct{}
}

func (h *heldUp) Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error) {
	if slices.Contains(keys, settingsGuard) {
		select {
		case h.arrived <- struct{}{}:
		default:
		}
		select {
		case <-h.on:
		case <-ctx.Done():
			return store.Snapshot{}, ctx.Err()
		}
	}
	return h.counted.Read(ctx, keys, prefixes)
}

// TestSettingsAreReadOnce: those who need them at once wait for one of them to
// read; where its caller gives up the others read.
func TestSettingsAreReadOnce(t *testing.T) {
	for _, gone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := &heldUp{&counted{Store: store.NewMemory()}, make(chan struct{}, 1), make(chan struct{})}
			s := &settings{store: h}
			first, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			all.Go(func() {
				if _, err := s.Env(first); errors.Is(err, context.Canceled) != gone {
					t.Errorf("cancelled %t: %v", gone, err)
				}
			})
			<-h.arrived
			for range 30 {
				all.Go(func() {
					if env, err := s.Env(t.Context()); err != nil || env == nil {
						t.Errorf("%v, %v", env, err)
					}
				})
			}
			short, end := context.WithTimeout(t.Context(), time.Second)
			defer end()
			if _, err := s.Env(short); !gone && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("who waits for too long: %v", err)
			}
			if gone {
				cancel()
			}
			close(h.on)
			all.Wait()
			if n := h.reads.Load(); !gone && n != 1 {
				t.Errorf("%d reads", n)
			}
		})
	}
}

// after returns the address that many after another one, as endpoints state it.
func after(network string, n int) string {
	a := netip.MustParsePrefix(network).Addr()
	for range n {
		a = a.Next()
	}
	return netip.PrefixFrom(a, a.BitLen()).String()
}

// TestSettingsOfOthers: what is changed through one daemon holds at once for
// what another gives out, though it remembers the settings.
func TestSettingsOfOthers(t *testing.T) {
	r := newRig(t)
	other := newRig(t, func(o *Options) { o.Store = r.store })
	other.store = r.store
	n := 0
	given := func() (string, error) {
		n++
		resp, err := r.endpoints.Register(t.Context(), asking(fmt.Sprint("w", n), &vrouterv1.AddressRequest{Ipv4: 1}))
		if err != nil {
			return "", err
		}
		return resp.Endpoint.Spec.IpNetworks[0], nil
	}
	must := func(want string) {
		t.Helper()
		if got, err := given(); err != nil || got != want {
			t.Errorf("given %q, wanted %q: %v", got, want, err)
		}
	}
	first, err := given()
	if err != nil {
		t.Fatal(err)
	}
	must(after(first, 1))

	other.put(&vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: proto.String("r")},
		Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: []string{after(first, 2), after(first, 3)}}})
	must(after(first, 4))
	if _, err := other.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "IPReservation", Name: "r"}); err != nil {
		t.Fatal(err)
	}
	must(after(first, 2))

	lock := &vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String("default")},
		Spec: &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(false)}}
	other.put(lock)
	_, err = given()
	wantCode(t, err, codes.FailedPrecondition)
	lock.Spec.DatastoreReady = proto.Bool(true)
	other.put(lock)
	must(after(first, 3))

	off := pool("four", "10.0.0.0/16")
	off.Spec.Disabled = proto.Bool(true)
	other.put(off)
	_, err = given()
	wantCode(t, err, codes.FailedPrecondition)
	other.put(pool("more", "10.9.0.0/26"))
	if got, err := given(); err != nil || got[:5] != "10.9." {
		t.Errorf("given %q of the pool that is not disabled: %v", got, err)
	}
	r.consistent()
}

// TestPoolOverNodes: a pool that has addresses of Nodes is taken, and who made it
// is told which.
func TestPoolOverNodes(t *testing.T) {
	r := newRig(t)
	n := node("host1", "192.0.2.1/24")
	n.Spec.Bgp.Ipv6Address = proto.String("2001:db8::1/64")
	r.put(n)
	if got := r.must(apply, pool("beside", "192.0.3.0/24")).Warnings; len(got) > 0 {
		t.Errorf("beside them: %q", got)
	}
	const help = "; take another range, and list those of the fabric in foreignCIDRs of the IPAMConfiguration"
	for cidr, has := range map[string]string{"192.0.2.0/24": "host1 (192.0.2.1)", "2001:db8::/96": "host1 (2001:db8::1)"} {
		over := pool("over", cidr)
		want := []string{"spec.cidr: " + cidr + " has addresses of Nodes, which endpoints could be given: " + has + help}
		for range 2 {
			if got := r.must(apply, over).Warnings; !slices.Equal(got, want) {
				t.Errorf("%q, wanted %q", got, want)
			}
		}
		over.Spec.Disabled = proto.Bool(true)
		if got := r.must(apply, over).Warnings; len(got) > 0 {
			t.Errorf("gives out nothing: %q", got)
		}
		if _, err := r.resources.Delete(t.Context(), &vrouterv1.DeleteRequest{Kind: "IPPool", Name: "over"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		r.put(node(fmt.Sprintf("many%d", i), fmt.Sprintf("198.51.100.%d/24", i+1)))
	}
	if got := r.must(apply, pool("over", "198.51.100.0/24")).Warnings; len(got) != 1 || !strings.Contains(got[0], "many4 (198.51.100.5) and 1 more;") {
		t.Errorf("many: %q", got)
	}
}
