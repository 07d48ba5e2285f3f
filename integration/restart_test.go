package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// etcdOutage is how long the store is away while traffic flows: longer than
// leases live and longer than every timer of the store's clients.
const etcdOutage = time.Minute

// TestRestartsLoseNothing restarts daemons, and then the store, in every way
// under traffic.
func TestRestartsLoseNothing(t *testing.T) {
	p := newPair(t, "restart", "")
	h1, h2 := p.Hosts[0], p.Hosts[1]
	for _, c := range []struct {
		name    string
		restart func()
	}{
		{"killed", func() { h1.Kill(); h1.Start() }},
		{"stopped", func() { h1.Stop(); h1.Start() }},
		{"all killed at once", func() { h1.Kill(); h2.Kill(); h1.Start(); h2.Start() }},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			f := p.startTraffic(t)
			c.restart()
			for _, d := range p.Hosts {
				d.WaitSettled(pairSessions)
			}
			p.requireKnown(t)
			f.requireUnharmed(t)
		})
		if !ok {
			return
		}
	}
	t.Run("etcd away for a minute", p.etcdAway)
}

// etcdAway stops etcd under traffic: forwarding does not notice, registrations
// are refused until it is back.
func (p *pair) etcdAway(t *testing.T) {
	f := p.startTraffic(t)
	p.Etcd[0].Kill()
	back := time.Now().Add(etcdOutage)
	d := p.Hosts[0]
	for patience := 3 * time.Second; time.Now().Before(back); patience *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := registerOn(ctx, d, "h2", "late", "calilate", "10.65.2.99")
		cancel()
		requireCode(t, err, codes.Unavailable, "")
	}
	for _, d := range p.Hosts {
		if out, err := d.Ctl("node", "status"); err != nil || !strings.Contains(out, "changes wait, forwarding goes on") {
			t.Errorf("host %s: its status does not say that the store is away: %v\n%s", d.Name(), err, out)
		}
	}
	p.Etcd[0].Start()
	for _, d := range p.Hosts {
		d.WaitReady()
		d.WaitEstablished(pairSessions)
	}
	f.requireUnharmed(t)
	late := p.Hosts[1].Workload(d, "late", "10.65.2.99")
	lab.Eventually(t, fabric.Limit, "the late workload answers", func() error {
		return p.workloads[0].Ping(late.Addr(true))
	})
}

// TestRestartWhileEtcdIsAway kills a host's daemon while the store is away, and
// starts it: it works from its copy for longer than peers keep the routes of
// one that does not come back.
func TestRestartWhileEtcdIsAway(t *testing.T) {
	const restartTime = 12 * time.Second
	p := newPair(t, "away", fmt.Sprintf("  gracefulRestartTime: %s\n  advertiseDelay: 5s\n", restartTime))
	d := p.Hosts[0]
	waitCopy(t, d, 1)
	f := p.startTraffic(t)
	p.Etcd[0].Kill()
	d.Kill()
	d.Start()
	d.WaitCondition("synced", "local copy")
	d.WaitEstablished(pairSessions)
	over := time.Now().Add(restartTime + restartTime/2)
	lab.Eventually(t, fabric.Limit, "the restart time is over", func() error {
		r, err := d.Status()
		switch {
		case err != nil:
			return err
		case r.Ready:
			t.Fatal("ready while the store is away")
		case time.Now().Before(over):
			return errors.New("not yet")
		}
		return nil
	})
	if out, err := d.Ctl("node", "status"); err != nil || !strings.Contains(out, "local copy") {
		t.Errorf("node status does not say that it is stale: %v\n%s", err, out)
	}
	p.requireKnown(t)
	p.Etcd[0].Start()
	for _, d := range p.Hosts {
		d.WaitSettled(pairSessions)
	}
	f.requireUnharmed(t)
}
