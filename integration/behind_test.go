package integration_test

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestStoreBehindBGP starts a host for the first time whose only way to etcd
// is a route that its ToR tells over BGP.
func TestStoreBehindBGP(t *testing.T) {
	needDaemons(t, "program:bird", "program:birdc")
	l := lab.New(t, "behind")
	host, tor, etcd := l.Host("h1"), l.Host("tor"), l.Host("etcd")
	tor.Forward()
	l.Link(host.Port("eth0", "10.1.0.2/24"), tor.Port("host", "10.1.0.1/24"))
	l.Link(etcd.Port("eth0", "10.9.0.2/24"), tor.Port("etcd", "10.9.0.1/24"))
	etcd.AddRoute("0.0.0.0/0", "10.9.0.1")
	member := l.Etcd(lab.EtcdMember{Host: etcd, Addr: netip.MustParseAddr("10.9.0.2")})[0]
	tor.BIRD(`
router id 10.1.0.1;
protocol device { scan time 2; }
protocol direct { ipv4; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol bgp h1 {
  local 10.1.0.1 as 65001; neighbor 10.1.0.2 as 65101;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where net = 10.9.0.0/24; };
}
`)
	d := fabric.New(t, host, fabric.Settings{
		IPv4: "10.1.0.2/24", ASNumber: 65101, Endpoints: []string{member.Endpoint},
		BGP: "  accept: [10.9.0.0/24]\n  peers:\n  - {name: tor, peerIP: 10.1.0.1, asNumber: 65001}\n",
	})
	d.WaitReady()
	d.WaitEstablished(1)
	d.Apply(fabric.PoolManifest)
	w := d.Workload(d, "w", "10.65.0.1")
	told := func() {
		t.Helper()
		lab.Eventually(t, fabric.Limit, "the ToR has the workload's route", func() error { return tor.Ping(w.Addr(true)) })
	}
	told()

	// Another start, from the local copy, ends in the same. The copy may be a second
	// old, and not know of the workload.
	d.Kill()
	d.Start()
	d.WaitReady()
	d.WaitEstablished(1)
	told()
}
