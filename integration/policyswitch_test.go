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

// A host that is started with another dataplane enforces the same at every
// instant, and nothing is left of the one before.
func TestDataplaneSwitch(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "switch", 1)
	h1 := s.Daemon("h1", fabric.Settings{Extra: "policy: enforce\ndataplane: nftables\n"})
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest + webToDB)
	web := labelled(t, h1, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h1, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h1, "db", map[string]string{"role": "db"}, 0, 2)
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	var passes, stays []*lab.Pinger
	for _, v4 := range []bool{true, false} {
		fresh := lab.PingOptions{NewFlows: true, Interval: 2 * time.Millisecond}
		passes = append(passes, web.StartPing(db.Addr(v4), fresh))
		stays = append(stays, other.StartPing(db.Addr(v4), fresh))
	}
	rules := map[string][]string{ // what tells the rules of each
		"nftables":        {"nft", "list", "table", "inet", "vrouter"},
		"iptables-nft":    {"iptables-nft-save"},
		"iptables-legacy": {"iptables-legacy-save"},
	}
	for _, to := range []string{"iptables-legacy", "nftables", "iptables-nft", "iptables-legacy", "iptables-nft", "nftables"} {
		h1.Stop()
		settings := h1.Settings
		settings.Extra = "policy: enforce\ndataplane: " + to + "\n"
		h1.Configure(settings)
		h1.Start()
		h1.WaitReady()
		for name, argv := range rules {
			lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s after %s", name, to), func() error {
				out, _ := h1.Run(t.Context(), argv...)
				if there := strings.Contains(string(out), "vr-from") || strings.Contains(string(out), "table inet vrouter"); there != (name == to) {
					return errors.New(string(out))
				}
				return nil
			})
		}
	}
	for _, p := range passes {
		if r := p.Stop(); r.Missing() != 0 || r.Sent < 100 {
			t.Errorf("what is allowed: %s", r)
		}
	}
	for _, p := range stays {
		if r := p.Stop(); r.Received != 0 || r.Sent < 100 {
			t.Errorf("%d packets that are denied passed of %d", r.Received, r.Sent)
		}
	}
}
