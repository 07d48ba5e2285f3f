package etcdtest

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Cluster is several members in this process, with fast elections.
type Cluster struct {
	members []*embed.Etcd
	dead    map[*embed.Etcd]chan struct{} // closed once it has ended
}

// StartCluster runs a cluster of n members on loopback.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	peers := make([]url.URL, n)
	initial := make([]string, n)
	for i := range peers {
		peers[i] = url.URL{Scheme: "http", Host: freeAddr(t)}
		initial[i] = fmt.Sprintf("m%d=%s", i, peers[i].String())
	}
	c := &Cluster{dead: make(map[*embed.Etcd]chan struct{})}
	t.Cleanup(func() {
		for _, m := range c.members {
			if ended, ok := c.dead[m]; ok {
				<-ended
			} else {
				m.Close()
			}
		}
	})
	for i := range peers {
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprintf("m%d", i)
		cfg.Dir = filepath.Join(t.TempDir(), cfg.Name)
		cfg.TickMs, cfg.ElectionMs = 50, 250 // three members share two busy cores
		cfg.UnsafeNoFsync = true
		client := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peers[i]}, []url.URL{peers[i]}
		cfg.InitialCluster = strings.Join(initial, ",")
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		m, err := embed.StartEtcd(cfg)
		if err != nil {
			t.Fatalf("start member %s: %v", cfg.Name, err)
		}
		c.members = append(c.members, m)
	}
	for _, m := range c.members {
		select {
		case <-m.Server.ReadyNotify():
		case <-time.After(patience):
			t.Fatal("cluster is not ready")
		}
	}
	return c
}

// Endpoints returns the URLs of all members, also of those that were stopped.
func (c *Cluster) Endpoints() []string { return endpoints(c.members) }

// Living returns the URLs of the members that were not stopped.
func (c *Cluster) Living() []string {
	return endpoints(slices.DeleteFunc(slices.Clone(c.members), func(m *embed.Etcd) bool {
		_, dead := c.dead[m]
		return dead
	}))
}

func endpoints(members []*embed.Etcd) []string {
	var out []string
	for _, m := range members {
		out = append(out, "http://"+m.Clients[0].Addr().String())
	}
	return out
}

// StopLeader ends the member that leads, without handing over; on a busy machine
// there may be none for a moment, so it waits for one. The member goes on listening
// for some seconds, as a hung server does.
func (c *Cluster) StopLeader(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		for _, m := range c.members {
			if m.Server.Leader() == m.Server.MemberID() {
				c.stop(m)
				return
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	t.Fatal("no member leads")
}

func (c *Cluster) stop(m *embed.Etcd) {
	m.Server.HardStop()
	ended := make(chan struct{})
	c.dead[m] = ended
	go func() {
		defer close(ended)
		m.Close()
	}()
}
