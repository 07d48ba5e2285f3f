package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// enforced is the configuration of hosts that enforce policy.
const enforced = "policy: enforce\n"

// labelled registers a workload of a host with labels, and no profile.
func labelled(t *testing.T, d *fabric.Daemon, name string, labels map[string]string, host, number int) *lab.Workload {
	t.Helper()
	v4, v6 := fabric.Address(host, number)
	addrs := []string{v4, v6}
	w := d.Host.Workload(name, "cali"+name, addrs...)
	r := fabric.Request(d.Name(), name, "cali"+name, addrs...)
	r.Profiles, r.Labels = nil, labels
	if got, err := d.Endpoint.Register(t.Context(), r); err != nil || got.Stage != vrouterv1.Stage_STAGE_ADVERTISED {
		t.Fatalf("register %s: %v, %v", name, got, err)
	}
	return w
}

// requireReach waits until a reaches b, or does not, in both families.
func requireReach(t *testing.T, a, b *lab.Workload, want bool) {
	t.Helper()
	for _, v4 := range []bool{true, false} {
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s reaches %s: %t", a.Name(), b.Name(), want), func() error {
			err := a.Ping(b.Addr(v4))
			if want {
				return err
			}
			if err == nil {
				return errors.New("it does")
			}
			return nil
		})
	}
}

// enforcing starts two hosts that enforce policy, with a pool.
func enforcing(s *fabric.Segment) (h1, h2 *fabric.Daemon) {
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Extra: enforced})
	}
	h1, h2 = s.Hosts[0], s.Hosts[1]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest)
	h2.WaitReady()
	return h1, h2
}

// Two hosts enforce what policies say of workloads by their labels, also while
// these change, and nothing else.
func TestPolicyBetweenHosts(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "policy", 1)
	h1, h2 := enforcing(s)
	web := labelled(t, h1, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h1, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h2, "db", map[string]string{"role": "db"}, 1, 0)
	requireReach(t, web, db, false) // neither has a profile

	h1.Apply(webToDB)
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	requireReach(t, db, web, false)

	for _, d := range s.Hosts { // what is in force outlives the daemons
		d.Kill()
	}
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	for _, d := range s.Hosts {
		d.Start()
		d.WaitReady()
	}
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.db}
spec:
  selector: role == "db"
  ingress:
  - {action: Allow, source: {selector: role == "other"}}
`)
	requireReach(t, other, db, true)
	requireReach(t, web, db, false)
}

// What leaves for outside has the host's address where the pool says so; what
// goes to another workload keeps its own. A host answers its workloads where
// its configuration says so.
func TestNATOutgoing(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "nat", 1)
	outside, addr := s.Host("outside")
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Extra: enforced})
	}
	h1, h2 := s.Hosts[0], s.Hosts[1]
	h1.WaitReady()
	h1.Apply(strings.ReplaceAll(fabric.PoolManifest, "spec: {", "spec: {natOutgoing: true, "))
	h2.WaitReady()
	all := populate(s.Hosts, 1)
	// The outside knows no way to the pool.
	lab.Eventually(t, fabric.Limit, "a workload reaches the outside", func() error { return all[0].Ping(addr) })
	if err := outside.Ping(all[0].Addr(true)); err == nil {
		t.Fatal("the outside reaches a workload, so that the answer proves nothing")
	}
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.pool-only}
spec:
  selector: all()
  types: [Ingress]
  ingress:
  - {action: Allow, source: {nets: ["` + fabric.PoolIPv4 + `"]}}
  - {action: Allow, source: {nets: ["` + fabric.PoolIPv6 + `"]}}
`)
	requireAllPairs(t, all)

	own := netip.MustParsePrefix(h1.Settings.IPv4).Addr()
	if err := all[0].Ping(own); err == nil {
		t.Fatal("a workload reaches its host by default")
	}
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {defaultEndpointToHostAction: Accept}
`)
	lab.Eventually(t, fabric.Limit, "a workload reaches its host", func() error { return all[0].Ping(own) })
}

// A host endpoint closes a host but for its failsafe ports, BGP among them, and
// its own policies; what is forwarded passes.
func TestHostEndpoint(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "hep", 1)
	outside, addr := s.Host("outside")
	h1, _ := enforcing(s)
	all := populate(s.Hosts, 1)
	own := netip.MustParsePrefix(h1.Settings.IPv4).Addr()
	lab.Eventually(t, fabric.Limit, "the outside reaches the host", func() error { return outside.Ping(own) })
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h1-uplink, labels: {role: host}}
spec: {node: h1, expectedIPs: ["` + own.String() + `"]}
`)
	lab.Eventually(t, fabric.Limit, "the host endpoint is in force", func() error {
		if outside.Ping(own) == nil {
			return errors.New("the outside reaches the host")
		}
		return nil
	})
	requireAllPairs(t, all)
	for _, d := range s.Hosts {
		d.Kill() // sessions are opened anew through the failsafe ports
		d.Start()
		d.WaitReady()
		d.WaitEstablished(2)
	}
	h1.Apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.outside}
spec:
  selector: role == "host"
  ingress:
  - {action: Allow, protocol: ICMP, source: {nets: ["` + addr.String() + `/32"]}}
`)
	lab.Eventually(t, fabric.Limit, "the outside reaches the host again", func() error { return outside.Ping(own) })
	requireAllPairs(t, all)
}

// What passes goes on passing, and what does not never does, at any instant:
// while daemons are killed, stopped and started, and policy, sets and settings
// change around it. Every packet is the first of its flow.
func TestPolicyHoldsAtEveryInstant(t *testing.T) {
	for _, dataplane := range []string{"nftables", "iptables-nft", "iptables-legacy"} {
		t.Run(dataplane, func(t *testing.T) { policyHolds(t, enforced+"dataplane: "+dataplane+"\n") })
	}
}

func policyHolds(t *testing.T, config string) {
	needDaemons(t)
	s := fabric.NewSegment(t, "instant", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{Extra: config})
	}
	h1, h2 := s.Hosts[0], s.Hosts[1]
	h1.WaitReady()
	h1.Apply(fabric.PoolManifest + webToDB)
	h2.WaitReady()
	web := labelled(t, h1, "web", map[string]string{"role": "web"}, 0, 0)
	other := labelled(t, h1, "other", map[string]string{"role": "other"}, 0, 1)
	db := labelled(t, h2, "db", map[string]string{"role": "db"}, 1, 0)
	requireReach(t, web, db, true)
	requireReach(t, other, db, false)
	requireReach(t, db, web, false)

	var passes, stays []*lab.Pinger
	for _, v4 := range []bool{true, false} {
		fresh := lab.PingOptions{NewFlows: true, Interval: 2 * time.Millisecond} // with four of them, 1 kHz each way
		passes = append(passes, web.StartPing(db.Addr(v4), fresh))
		stays = append(stays, other.StartPing(db.Addr(v4), fresh))
	}
	settled := func() {
		for _, d := range s.Hosts {
			d.WaitReady()
			d.WaitEstablished(2)
		}
	}
	for _, d := range s.Hosts {
		d.Kill()
		d.Start()
		settled()
	}
	h2.Stop()
	h2.Start()
	settled()
	for i := range 10 {
		labelled(t, s.Hosts[i%2], fmt.Sprint("more", i), map[string]string{"role": "web", "n": fmt.Sprint(i)}, i%2, 10+i)
		h1.Apply(fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.more}
spec:
  order: %d
  selector: role == "db"
  ingress:
  - {action: Allow, source: {selector: n == "%d"}}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {disableConntrackInvalidCheck: %t, allowDHCPFromWorkloads: %t}
`, 100+i, i, i%2 == 0, i%3 == 0))
	}
	for _, d := range s.Hosts {
		d.Kill()
	}
	for _, d := range s.Hosts {
		d.Start()
	}
	settled()
	for _, p := range passes {
		if r := p.Stop(); r.Missing() != 0 || r.Sent < 1000 {
			t.Errorf("what is allowed: %s", r)
		}
	}
	for _, p := range stays {
		if r := p.Stop(); r.Received != 0 || r.Sent < 1000 {
			t.Errorf("%d packets that are denied passed of %d", r.Received, r.Sent)
		}
	}
}

// webToDB lets web reach db, and nobody else reach anybody.
const webToDB = `
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.db}
spec:
  selector: role == "db"
  ingress:
  - {action: Allow, source: {selector: role == "web"}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.egress}
spec: {selector: all(), types: [Egress], egress: [{action: Allow}]}
`
