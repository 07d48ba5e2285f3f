package ipam

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
)

func openEtcd(t testing.TB, endpoints ...string) *etcd.Store {
	t.Helper()
	s, err := etcd.New(etcd.Config{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The same on etcd: several processes, the same nodes, a scarce pool.
func TestParallelClientsOnEtcd(t *testing.T) {
	server := etcdtest.Start(t, nil)
	r := newRig(t, pool("a=10.0.0.0/22/28"), pool("b=fd00::/118/124"))
	r.reader = openEtcd(t, server.Endpoint())
	parallel(r, 4, 3, func(int) Store { return openEtcd(t, server.Endpoint()) })
}

// A leader that dies loses answers, and no address: who asks again with Resume
// gets what it has, once.
func TestLeaderDiesDuringAllocations(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	r := newRig(t, pool("a=10.0.0.0/22/28"))
	const clients, each = 6, 15
	half := make(chan struct{}, 2*clients)
	var wg sync.WaitGroup
	for i := range clients {
		client := NewClient(openEtcd(t, cluster.Endpoints()...), r.settings)
		wg.Go(func() {
			defer func() { half <- struct{}{} }() // also if it fails before
			for n := range each {
				if n == each/2 {
					half <- struct{}{}
				}
				req := Request{Node: fmt.Sprint("host", i%3), Handle: fmt.Sprintf("h-%d-%d", i, n), Owner: external(), IPv4: 2, Resume: true}
				if err := insist(t, client, req); err != nil {
					t.Errorf("%s: %v", req.Handle, err)
					return
				}
			}
		})
	}
	<-half
	cluster.StopLeader(t)
	wg.Wait()
	r.reader = openEtcd(t, cluster.Living()...) // the dead one may listen still, and not answer
	handles := r.read().Handles
	for id, h := range handles {
		n := 0
		for _, count := range h.Blocks {
			n += count
		}
		if n != 2 {
			t.Errorf("handle %s holds %d addresses", id, n)
		}
	}
	if len(handles) != clients*each {
		t.Errorf("%d handles", len(handles))
	}
	r.consistent()
}

// insist asks until the store answers.
func insist(t *testing.T, client *Client, req Request) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := client.Allocate(ctx, req)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
	}
}
