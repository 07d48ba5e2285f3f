package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// defaultRouteFilters accept a default route, and no other route from outside
// the pools, from the ToR.
const defaultRouteFilters = `
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: default-route}
spec:
  importV4: [{cidr: 0.0.0.0/0, matchOperator: Equal, action: %[1]s}]
  importV6: [{cidr: "::/0", matchOperator: Equal, action: %[1]s}]
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec:
  peerIP: 10.1.0.1
  asNumber: 65001
  families: [IPv4, IPv6]
  multihop: 1
  filters: [default-route]
`

// TestDefaultRouteByFilter has a ToR, which runs FRR, tell a default route of
// each family and a network of the fabric over one session: what the filter
// accepts is programmed, and leads to the world behind the ToR; a route of the
// host's own, even of a worse metric, is left alone; and the filter takes back
// what it gave, while the session stays up.
func TestDefaultRouteByFilter(t *testing.T) {
	needDaemons(t, "program:zebra", "program:bgpd", "program:vtysh")
	l := lab.New(t, "default")
	host, tor, world := l.Host("h1"), l.Host("tor"), l.Host("world")
	tor.Forward()
	l.Link(host.Port("eth0", "10.1.0.2/24", "fd00:1::2/64"), tor.Port("host", "10.1.0.1/24", "fd00:1::1/64"))
	l.Link(world.Port("eth0", "10.9.0.2/24", "fd00:9::2/64"), tor.Port("world", "10.9.0.1/24", "fd00:9::1/64"))
	world.AddRoute("0.0.0.0/0", "10.9.0.1")
	world.AddRoute("::/0", "fd00:9::1")
	// What is told is counted: FRR would tell the host's own routes, too, seconds later.
	fabric.StartFRR(t, tor, `bgp as-path access-list others deny _65101_
bgp as-path access-list others permit .*
router bgp 65001
bgp router-id 10.1.0.1
no bgp default ipv4-unicast
no bgp ebgp-requires-policy
neighbor 10.1.0.2 remote-as 65101
neighbor 10.1.0.2 passive
address-family ipv4 unicast
neighbor 10.1.0.2 activate
neighbor 10.1.0.2 filter-list others out
neighbor 10.1.0.2 default-originate
network 10.9.0.0/24
exit-address-family
address-family ipv6 unicast
neighbor 10.1.0.2 activate
neighbor 10.1.0.2 filter-list others out
neighbor 10.1.0.2 default-originate
neighbor 10.1.0.2 route-map v6 out
network fd00:9::/64
exit-address-family
exit
route-map v6 permit 10
set ipv6 next-hop global fd00:1::1
exit
`)
	d := fabric.New(t, host, fabric.Settings{IPv4: "10.1.0.2/24", IPv6: "fd00:1::2/64", ASNumber: 65101})
	d.WaitReady()
	d.Apply(fabric.PoolManifest + "---" + fmt.Sprintf(defaultRouteFilters, "Accept"))
	d.WaitEstablished(1)
	learned := "default via 10.1.0.1\ndefault via fd00:1::1\n"
	requireLearned(t, host, learned)
	for _, a := range []string{"10.9.0.2", "fd00:9::2"} {
		lab.Eventually(t, fabric.Limit, "the host reaches the world", func() error { return host.Ping(netip.MustParseAddr(a)) })
	}
	if out, err := d.Ctl("node", "status", "-o", "wide"); err != nil || !strings.Contains(out, "default-route") {
		t.Errorf("node status does not show the filter: %v\n%s", err, out)
	}

	// A route of the host's own, as DHCP gives it.
	host.MustRun("ip", "route", "add", "default", "via", "10.1.0.9", "metric", "1024")
	requireLearned(t, host, "default via fd00:1::1\n")
	host.MustRun("ip", "route", "del", "default", "via", "10.1.0.9", "metric", "1024")
	requireLearned(t, host, learned)

	// A workload's route goes to the ToR, and the world reaches it.
	w := d.Workload(d, "w", "10.65.0.1", "fd00:65::1")
	lab.Eventually(t, fabric.Limit, "the world reaches the workload", func() error { return world.Ping(w.Addr(true)) })

	d.Apply(fmt.Sprintf(defaultRouteFilters, "Reject"))
	requireLearned(t, host, "")
	lab.Eventually(t, fabric.Limit, "the session has told four routes, of which none is accepted", func() error {
		r, err := d.Status()
		if err != nil {
			return err
		}
		if p := r.Peers[0]; p.State != "Established" || p.Established != 1 || p.PrefixesReceived != 4 || p.PrefixesAccepted != 0 {
			return fmt.Errorf("it is %v", p)
		}
		return nil
	})
}
