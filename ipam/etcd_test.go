package ipam

import (
	"testing"

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
