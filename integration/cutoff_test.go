package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestCutOffHost cuts a host off without a FIN and registers its endpoint on
// another host: it answers there long before anybody notices by BGP that the
// first one is dead, and goes on to when that one comes back.
func TestCutOffHost(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "cutoff", 1)
	for _, name := range []string{"h1", "h2", "h3"} {
		s.Daemon(name, fabric.Settings{})
	}
	h1, h2, h3 := s.Hosts[0], s.Hosts[1], s.Hosts[2]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	client := h3.Workload(h3, "client", "10.65.3.1")
	lost := h2.Workload(h2, "moves", "10.65.2.1")
	for _, d := range s.Hosts {
		d.WaitSettled(4)
	}
	lab.Eventually(t, fabric.Limit, "the endpoint answers", func() error { return client.Ping(lost.Addr(true)) })
	ping := client.StartPing(lost.Addr(true), lab.PingOptions{})

	s.SetPort("h2", false)
	cut := time.Now()
	lab.Eventually(t, fabric.Limit, "the endpoint is cut off", func() error {
		if client.Ping(lost.Addr(true)) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	found := h1.Host.Workload("found", lost.IfName, "10.65.2.1")
	start := time.Now()
	h1.Register("h1", "moves", lost.IfName, "10.65.2.1")
	registered := time.Now()
	lab.Eventually(t, fabric.Limit, "the endpoint answers on its new host", func() error { return client.Ping(found.Addr(true)) })
	r := ping.Stop()
	if len(r.Lost) == 0 {
		t.Fatal("no ping was lost: the host was not cut off")
	}
	t.Logf("host cut off at 0, endpoint registered elsewhere from %v to %v, last ping without answer %v after the registration began",
		start.Sub(cut), registered.Sub(cut), r.Lost[len(r.Lost)-1].Last.Sub(start))

	s.SetPort("h2", true)
	lab.Eventually(t, fabric.Limit, "h2 sends to the endpoint's new host", func() error {
		if routes := fabric.Routes(h2.Host); !strings.Contains(routes, "10.65.2.1 via ") {
			return fmt.Errorf("its routes are\n%s", routes)
		}
		return client.Ping(found.Addr(true))
	})
}
