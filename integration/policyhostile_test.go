package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// hostile is what others on a host do, by dataplane: they flush everything, and
// let everything pass before our rules. Our table in nftables is protected, so
// that they fail there.
func hostile(dataplane string) (acts []string) {
	if dataplane == "nftables" {
		return []string{"nft flush ruleset", "nft delete table inet vrouter", "nft flush table inet vrouter"}
	}
	for _, program := range []string{dataplane, strings.Replace(dataplane, "ip", "ip6", 1)} {
		for _, table := range []string{"raw", "mangle", "filter"} {
			acts = append(acts, program+" -t "+table+" -F", program+" -t "+table+" -X")
		}
		acts = append(acts, program+" -I FORWARD -j ACCEPT")
	}
	return append(acts, "ipset destroy")
}

// Whatever others do to our rules while the daemon runs is undone, at the latest
// by the next check, and open connections go on.
func TestHostileNeighbours(t *testing.T) {
	t.Parallel()
	needDaemons(t)
	testenv.Need(t, "program:nft", "program:ipset", "program:iptables-nft", "program:iptables-legacy")
	s := fabric.NewSegment(t, "hostile", 1)
	dataplanes := []string{"nftables", "iptables-nft", "iptables-legacy"}
	for i, dataplane := range dataplanes {
		s.Daemon(fmt.Sprint("h", i+1), fabric.Settings{Extra: enforced + "dataplane: " + dataplane + "\n"})
	}
	s.Hosts[0].WaitReady()
	s.Hosts[0].Apply(fabric.PoolManifest + webToDB)
	var webs, dbs []*lab.Workload
	var talks []*lab.Talk
	for i, h := range s.Hosts {
		h.WaitReady()
		web := labelled(t, h, fmt.Sprint("web", i), map[string]string{"role": "web"}, i, 0)
		db := labelled(t, h, fmt.Sprint("db", i), map[string]string{"role": "db"}, i, 1)
		requireReach(t, web, db, true)
		requireReach(t, db, web, false)
		talks = append(talks, web.Talks(db, fabric.Limit)...)
		webs, dbs = append(webs, web), append(dbs, db)
	}
	goOn := func(when string) {
		t.Helper()
		for i, talk := range talks {
			if err := talk.Say(fabric.Limit); err != nil {
				t.Errorf("%s, an open connection on the host with %s: %v", when, dataplanes[i/2], err)
			}
		}
	}
	goOn("before")
	for i, h := range s.Hosts {
		act := func() error {
			for _, act := range hostile(dataplanes[i]) {
				if _, err := h.Run(t.Context(), strings.Fields(act)...); err != nil {
					t.Log(err)
				}
			}
			return dbs[i].Ping(webs[i].Addr(true))
		}
		if dataplanes[i] != "nftables" { // again, if the check came in between
			lab.Eventually(t, fabric.Limit, "nothing holds with "+dataplanes[i], act)
		} else if act() == nil {
			t.Error("what is denied passes with nftables")
		}
	}
	goOn("while the rules are gone")
	for i := range s.Hosts {
		for _, v4 := range []bool{true, false} {
			lab.Eventually(t, 5*time.Minute, "policy holds again with "+dataplanes[i], func() error {
				if dbs[i].Ping(webs[i].Addr(v4)) == nil {
					return errors.New("what is denied passes")
				}
				return nil
			})
		}
		requireReach(t, webs[i], dbs[i], true)
	}
	goOn("after the repair")
}
