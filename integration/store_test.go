package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	registrations = 1000
	registrars    = 16 // at once
	// killAfter registrations the leader dies.
	killAfter = registrations / 3
)

// TestLeaderDiesDuringRegistrations kills the leader of an etcd of three
// members while a thousand endpoints are registered: none is lost, and none is
// there twice.
func TestLeaderDiesDuringRegistrations(t *testing.T) {
	needDaemons(t, "program:etcdctl")
	s := fabric.NewSegment(t, "leader", 3)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Quiet: true})
	}
	s.Hosts[0].WaitReady()
	s.Hosts[0].Apply(fabric.PoolManifest)
	for _, d := range s.Hosts {
		d.Host.Workload("many-"+d.Name(), "calimany", "10.65.255.254") // all endpoints of a host share an interface
		d.WaitReady()
		d.WaitEstablished(2)
	}
	died := leader(t, s.Hosts[0].Host, s.Etcd)
	var done, retried atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(registrars + 1)
	kill := make(chan struct{})
	group.Go(func() error {
		select {
		case <-kill:
			died.Kill()
		case <-ctx.Done():
		}
		return nil
	})
	for i := range registrations {
		group.Go(func() error {
			again, err := registerSurely(ctx, s.Hosts[i%2], manyEndpoint(i))
			retried.Add(int64(again))
			if done.Add(1) == killAfter {
				close(kill)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("leader %s killed after %d of %d registrations; %d calls were repeated", died.Endpoint, killAfter, registrations, retried.Load())
	alive := slices.DeleteFunc(endpointsOf(s), func(e string) bool { return e == died.Endpoint })
	requireMany(t, s, alive)
	died.Start()
	requireMany(t, s, []string{died.Endpoint})
}

func endpointsOf(s *fabric.Segment) []string {
	var all []string
	for _, e := range s.Etcd {
		all = append(all, e.Endpoint)
	}
	return all
}

// manyEndpoint is endpoint i: on h1 and h2 in turn, registered through the one
// and the other.
func manyEndpoint(i int) *vrouterv1.RegisterRequest {
	r := fabric.Request(fmt.Sprintf("h%d", 1+i/2%2), fmt.Sprintf("n%d", i), "calimany", manyAddress(i).String())
	r.Wait = 0
	return r
}

func manyAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 65, byte(1 + i/250), byte(1 + i%250)})
}

// registerSurely registers as an orchestrator does: it repeats the call while
// the store is away. It returns how often it did.
func registerSurely(ctx context.Context, d *fabric.Daemon, r *vrouterv1.RegisterRequest) (again int, err error) {
	limit := time.Now().Add(fabric.Limit)
	for ; ; again++ {
		call, cancel := context.WithTimeout(ctx, fabric.Limit/4)
		_, err = d.Endpoint.Register(call, r)
		cancel()
		if status.Code(err) != codes.Unavailable || time.Now().After(limit) {
			return again, err
		}
	}
}

// requireMany waits until everybody agrees on all registrations: the API of
// both hosts, the keys of the addresses, and both kernels.
func requireMany(t *testing.T, s *fabric.Segment, endpoints []string) {
	t.Helper()
	var wanted []string
	holders := make(map[string]string)
	for i := range registrations {
		r := manyEndpoint(i)
		wanted = append(wanted, fmt.Sprintf("%s on %s: %s", r.Id.Workload, r.Node, r.IpNetworks))
		id := resource.EndpointID{Namespace: "default", Orchestrator: "lab", Workload: r.Id.Workload, Endpoint: "eth0"}
		holders[manyAddress(i).String()] = store.ResourceKey(string(resource.KindWorkloadEndpoint), id.Namespace, id.KeyName())
	}
	slices.Sort(wanted)
	for _, d := range s.Hosts {
		if diff := cmp.Diff(wanted, listAll(t, d)); diff != "" {
			t.Errorf("%s lists (-want +got):\n%s", d.Name(), diff)
		}
	}
	if diff := cmp.Diff(holders, stored(t, s.Hosts[0].Host, endpoints, store.AddressPrefix)); diff != "" {
		t.Errorf("addresses are held by (-want +got):\n%s", diff)
	}
	for n, d := range s.Hosts {
		want := make(map[string]string)
		for i := range registrations {
			want[manyAddress(i).String()] = "eth0"
			if i/2%2 == n {
				want[manyAddress(i).String()] = "calimany"
			}
		}
		lab.Eventually(t, fabric.Limit, d.Name()+" has all routes", func() error {
			got := make(map[string]string)
			for line := range strings.Lines(fabric.Forwarding(d.Host)) {
				words := strings.Fields(line)
				got[words[0]] = words[1+slices.Index(words, "dev")]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return errors.New("(-want +got)\n" + diff)
			}
			return nil
		})
	}
}

// listAll lists the endpoints of all nodes, page by page.
func listAll(t *testing.T, d *fabric.Daemon) []string {
	t.Helper()
	var all []string
	request := &vrouterv1.ListEndpointsRequest{PageSize: 300}
	for {
		page, err := d.Endpoint.ListEndpoints(t.Context(), request)
		if err != nil {
			t.Fatalf("%s: list endpoints: %v", d.Name(), err)
		}
		for _, e := range page.Endpoints {
			all = append(all, fmt.Sprintf("%s on %s: %s", e.Spec.GetWorkload(), e.Spec.GetNode(), e.Spec.IpNetworks))
		}
		if page.NextPageToken == "" {
			slices.Sort(all)
			return all
		}
		request.PageToken = page.NextPageToken
	}
}
