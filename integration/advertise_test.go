package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// advertising is both pools, of which that is told.
func advertising(v4, v6 string) string {
	return fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v4}
spec: {cidr: %s, advertise: %s}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v6}
spec: {cidr: "%s", advertise: %s}
`, fabric.PoolIPv4, v4, fabric.PoolIPv6, v6)
}

// The workload of h2 that has borrowed its addresses from the blocks of h1.
const borrowed4, borrowed6 = "10.65.1.33", "fd00:65::1:21"

// advertised is three hosts in a mesh, an FRR that keeps what they tell, and a
// BIRD that takes blocks only.
type advertised struct {
	*fabric.Segment
	frr       *lab.FRR
	third     *lab.Host
	workloads []*lab.Workload // of h1, h2 and h3, and the borrower on h2
}

func newAdvertised(t *testing.T) *advertised {
	t.Helper()
	needDaemons(t, "program:bird", "program:birdc", "program:zebra", "program:bgpd", "program:vtysh")
	a := &advertised{Segment: fabric.NewSegment(t, "adv", 1)}
	third, thirdAddr := a.Host("third")
	frrHost, frrAddr := a.Host("frr")
	for _, name := range []string{"h1", "h2", "h3"} {
		a.Daemon(name, fabric.Settings{})
	}
	a.third = third
	third.BIRD(blockListener(a.Hosts))
	a.frr = fabric.StartFRR(t, frrHost, frrListener(a.Hosts))
	a.Hosts[0].WaitReady()
	a.Hosts[0].Apply(advertising("Endpoints", "Endpoints") +
		listenerPeers("bird", thirdAddr, birdAS) + listenerPeers("frr", frrAddr, frrAS))
	a.workloads = populate(a.Hosts, 1)
	a.workloads = append(a.workloads, a.Hosts[1].Workload(a.Hosts[2], "borrower", borrowed4, borrowed6))
	for _, d := range a.Hosts {
		d.WaitSettled(2 * (len(a.Hosts) - 1 + 2)) // the other hosts, two routers
	}
	return a
}

// blockListener keeps the networks that hosts tell in its kernel, and no single
// address.
func blockListener(hosts []*fabric.Daemon) string {
	var b strings.Builder
	b.WriteString(`
router id 10.255.0.1;
protocol device { scan time 2; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
`)
	for i, d := range hosts {
		for _, host := range hostAddresses(d) {
			family := familyName(host)
			fmt.Fprintf(&b, "protocol bgp h%d_%s { local as %d; neighbor %s as %d; connect retry time 1; connect delay time 1;\n"+
				"  error wait time 1, 2; %s { import where net.len < %d; export none; }; }\n",
				i+1, family, birdAS, host, resource.DefaultASNumber, family, host.BitLen())
		}
	}
	return b.String()
}

// requireTold waits until FRR has been told exactly this: of each host its
// blocks, or its addresses, or both, and of h2 what it has borrowed.
func (a *advertised) requireTold(t *testing.T, mode string) {
	t.Helper()
	var lines []string
	for i, d := range a.Hosts {
		for _, host := range hostAddresses(d) {
			tell := func(prefix string) {
				lines = append(lines, fabric.Path(prefix, host.String(), resource.DefaultASNumber))
			}
			single := fabric.SinglePrefix(workloadsOf(i, 1, host.Is4())[0])
			if mode != "Blocks" {
				tell(single)
			}
			if mode != "Endpoints" {
				tell(blockOf(single))
			}
			if i == 1 {
				tell(fabric.SinglePrefix(map[bool]string{true: borrowed4, false: borrowed6}[host.Is4()]))
			}
		}
	}
	requireTable(t, "FRR, "+mode, fabric.Table(lines), func() (string, error) { return fabric.FRRTable(t.Context(), a.frr) })
}

// blockOf is the block that an address lies in.
func blockOf(single string) string {
	p := netip.MustParsePrefix(single)
	return netip.PrefixFrom(p.Addr(), p.Bits()-6).Masked().String()
}

// unharmed does something while a workload of h3 pings one of h1 and the one
// that borrows: no ping is lost, and unless routes may go, none goes anywhere.
func (a *advertised) unharmed(t *testing.T, routesStay bool, do func()) {
	t.Helper()
	from := a.workloads[2]
	var pings []*lab.Pinger
	for _, to := range []*lab.Workload{a.workloads[0], a.workloads[3]} {
		for _, v4 := range []bool{true, false} {
			lab.Eventually(t, fabric.Limit, from.Name()+" reaches "+to.Name(), func() error { return from.Ping(to.Addr(v4)) })
			pings = append(pings, from.StartPing(to.Addr(v4), lab.PingOptions{}))
		}
	}
	var monitors []*fabric.Monitor
	for _, d := range a.Hosts {
		monitors = append(monitors, fabric.NewMonitor(t, d.Host))
	}
	do()
	for i, m := range monitors {
		if removed := m.Stop(); routesStay && len(removed) > 0 {
			t.Errorf("%s: routes were removed: %q", a.Hosts[i].Name(), removed)
		}
	}
	for _, p := range pings {
		if r := p.Stop(); r.Missing() > 0 {
			t.Errorf("ping: %s", r)
		}
	}
}

// TestAdvertisedBlocks goes through what pools can advertise, as a router sees
// it, under traffic; has a host that knows blocks only reach an address that is
// borrowed; kills daemons that have blocks; and gives a block up.
func TestAdvertisedBlocks(t *testing.T) {
	a := newAdvertised(t)
	h1, h2 := a.Hosts[0], a.Hosts[1]
	a.requireTold(t, "Endpoints")
	a.unharmed(t, false, func() {
		for _, mode := range []string{"Blocks", "Both", "Endpoints", "Both", "Blocks"} {
			h1.Apply(advertising(mode, mode))
			a.requireTold(t, mode)
		}
	})
	for _, d := range a.Hosts {
		requireBlackholes(t, d, blocksOf(d, a.Hosts))
	}
	t.Run("borrowed", func(t *testing.T) {
		for _, address := range []string{borrowed4, borrowed6} {
			lab.Eventually(t, fabric.Limit, "who knows blocks only reaches "+address, func() error {
				_, err := a.third.Run(t.Context(), "ping", "-c1", "-W1", address)
				return err
			})
		}
		routes := fabric.Routes(a.third)
		if strings.Contains(routes, borrowed4+" ") || !strings.Contains(routes, "10.65.1.0/26 via ") {
			t.Errorf("it has other routes than blocks:\n%s", routes)
		}
	})
	t.Run("restart", func(t *testing.T) {
		a.unharmed(t, true, func() {
			for _, d := range []*fabric.Daemon{h1, h2} {
				d.Kill()
				d.Start()
				for _, each := range a.Hosts {
					each.WaitSettled(2 * (len(a.Hosts) - 1 + 2))
				}
			}
		})
		a.requireTold(t, "Blocks")
	})
	t.Run("given up", func(t *testing.T) { a.giveUp(t) })
}

// giveUp takes from h3 its workload and its blocks: nobody knows of them then.
func (a *advertised) giveUp(t *testing.T) {
	h3 := a.Hosts[2]
	if out, err := h3.Ctl("endpoint", "unregister", "default/lab/"+fabric.WorkloadName(2, 0)+"/eth0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	requireBlackholes(t, h3, blocksOf(h3, a.Hosts))
	for _, block := range blocksOf(h3, a.Hosts) {
		if _, err := h3.IPAM.ReleaseBlock(t.Context(), &vrouterv1.ReleaseBlockRequest{Node: h3.Name(), Cidr: block}); err != nil {
			t.Fatal(err)
		}
	}
	requireBlackholes(t, h3, nil)
	lab.Eventually(t, fabric.Limit, "FRR knows of no block of h3", func() error {
		table, err := fabric.FRRTable(t.Context(), a.frr)
		if err == nil && (strings.Contains(table, "10.65.3.") || strings.Contains(table, "fd00:65::3:")) {
			err = fmt.Errorf("it has\n%s", table)
		}
		return err
	})
}

// blocksOf is the blocks of one of the hosts.
func blocksOf(d *fabric.Daemon, hosts []*fabric.Daemon) []string {
	var blocks []string
	for i, h := range hosts {
		for _, v4 := range []bool{true, false} {
			if h == d {
				blocks = append(blocks, blockOf(fabric.SinglePrefix(workloadsOf(i, 1, v4)[0])))
			}
		}
	}
	return blocks
}

// requireBlackholes waits until the kernel of a host has these blackholes and no
// others in the pools.
func requireBlackholes(t *testing.T, d *fabric.Daemon, want []string) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, d.Name()+" has the blackholes of its blocks", func() error {
		var got []string
		for line := range strings.Lines(fabric.Routes(d.Host)) {
			if words := strings.Fields(line); words[0] == "blackhole" {
				got = append(got, words[1])
			}
		}
		return mismatch(want, got, nil)
	})
}
