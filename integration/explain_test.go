package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// What is explained of a packet is what becomes of it: the host enforces it,
// counts it, and tells of the packet that it denies.
func TestPolicyExplained(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "explain", 1)
	h := s.Daemon("h1", fabric.Settings{Extra: enforced})
	h.WaitReady()
	h.Apply(fabric.PoolManifest)
	web := labelled(t, h, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h, "db", map[string]string{"role": "db"}, 0, 2)
	h.Apply(webToDB)
	requireReach(t, web, db, true)

	explained := func(from string, words ...string) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, "explained from "+from, func() error {
			out, _ := h.Ctl("explain", "default/"+from, "default/db", "--port", "80", "-o", "wide") // denied is an error, too
			for _, w := range words {
				if !strings.Contains(out, w) {
					return fmt.Errorf("no %q in %s", w, out)
				}
			}
			return nil
		})
	}
	explained("web", "allowed\n", "default/web is programmed on h1: yes", "default/db is programmed on h1: yes", "GlobalNetworkPolicy/db, rule 0, tier default")
	explained("other", "denied: workload ingress on h1: end of tier default", "default/db is programmed on h1: yes")

	ctx, cancel := context.WithTimeout(t.Context(), fabric.Limit)
	defer cancel()
	flows, err := h.Nodes.WatchFlows(ctx, &vrouterv1.WatchFlowsRequest{})
	if err == nil {
		_, err = flows.Recv() // it listens
	}
	if err != nil {
		t.Fatal(err)
	}
	pinger := other.StartPing(db.Addr(true), lab.PingOptions{})
	defer pinger.Stop()
	for {
		m, err := flows.Recv()
		if err != nil {
			t.Fatal(err)
		}
		e := m.GetEvent()
		if e.GetProtocol() != "ICMP" || e.GetSource() != other.Addr(true).String() {
			continue
		}
		if e.Node != "h1" || e.Action != "Deny" || e.Tier != "default" || e.Reason != "end of tier default" ||
			e.InInterface != "caliother" || e.OutInterface != "calidb" || e.Destination != db.Addr(true).String() {
			t.Errorf("denied packet is told as %v", e)
		}
		break
	}
	lab.Eventually(t, fabric.Limit, "packets of the rule are counted", func() error {
		m, err := h.Nodes.ListPolicyCounters(t.Context(), &vrouterv1.ListPolicyCountersRequest{Policy: "GlobalNetworkPolicy/db"})
		if err != nil {
			return err
		}
		if len(m.Policies) != 1 || len(m.Policies[0].Rules) != 1 || m.Policies[0].Rules[0].Packets == 0 {
			return errors.New(m.String())
		}
		return nil
	})
}
