package etcd_test

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/store/etcd"
	"github.com/projectvrouter/vrouter/internal/store/etcd/etcdtest"
	"github.com/projectvrouter/vrouter/internal/store/storetest"
)

var everything = storetest.Can{Cut: true, Restart: true, Wipe: true}

func TestCluster(t *testing.T) {
	storetest.Run(t, everything, func(t *testing.T) *storetest.Server { return server(etcdtest.Start(t, nil)) })
}

// TestProgram runs over the etcd of the distribution, which is years older.
func TestProgram(t *testing.T) {
	storetest.Run(t, everything, func(t *testing.T) *storetest.Server { return server(etcdtest.StartProgram(t)) })
}

// server makes a suite's server of an etcd; each client has a link of its own.
func server(s *etcdtest.Server) *storetest.Server {
	return &storetest.Server{
		Open: func(t *testing.T) storetest.Client {
			link := etcdtest.NewLink(t, s.Addr)
			c, err := etcd.New(etcd.Config{Endpoints: []string{"http://" + link.Addr}, PageSize: 500})
			if err != nil {
				t.Fatal(err)
			}
			return storetest.Client{
				Store:    c,
				Cut:      link.Cut,
				Mend:     link.Mend,
				Received: func() uint64 { return c.Stats().Events },
			}
		},
		Compact: func(t *testing.T, revision int64) { s.Compact(t, revision) },
		Restart: func(t *testing.T) { s.Restart(t) },
		Wipe:    func(t *testing.T) { s.Wipe(t) },
	}
}
