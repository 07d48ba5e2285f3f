package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// withoutDaemon is how many packets are to pass while no daemon runs.
const withoutDaemon = 2000

// killUnderTraffic kills a daemon while a thousand packets a second pass its
// host in each family, and starts it again.
func (d *demo) killUnderTraffic() {
	h := d.racks.Hosts[0]
	src, dst := d.workloads[0], d.workloads[len(d.workloads)-1]
	d.section("kill -9", "%s pings %s in the other rack, 1,000 times a second over IPv4 and IPv6, while the vrouterd of %s "+
		"dies and comes back.", src.Name(), dst.Name(), h.Name())
	before := d.kernelRoutes(h)
	pings := map[string]*lab.Pinger{}
	for family, v4 := range map[string]bool{"IPv4": true, "IPv6": false} {
		pings[family] = src.StartPing(dst.Addr(v4), lab.PingOptions{})
	}

	start := time.Now()
	note := func(format string, args ...any) {
		d.line("%6s  %s", seconds(time.Since(start)), fmt.Sprintf(format, args...))
	}
	h.Kill()
	note("vrouterd of %s is dead; nothing tells the switch but the closed connection", h.Name())
	d.waitStale(2 * workloadsPerHost)
	note("tor1 has lost both sessions, and keeps the %d routes of %s as stale (graceful restart)", 2*workloadsPerHost, h.Name())
	d.requireSame(h, before)
	note("the kernel of %s holds the same routes as before: the dead remove nothing", h.Name())
	d.waitSent(pings, withoutDaemon)
	note("more than %d packets a family have passed the host without a daemon", withoutDaemon)
	h.Start()
	h.WaitSettled(sessionsPerHost)
	note("vrouterd is back, adopted the routes, and has heard everything from tor1 again")
	d.waitStale(0)
	note("tor1 has no stale route any more")
	d.line("")
	lost := 0
	for _, family := range []string{"IPv4", "IPv6"} {
		r := pings[family].Stop()
		lost += r.Missing()
		d.line("%s: %s", family, r)
	}
	if lost > 0 {
		d.t.Fatalf("%d packets were lost while vrouterd was restarted", lost)
	}
	d.requireSame(h, before)
}

// requireSame fails unless the kernel of a host holds our routes and next-hop
// objects as before, to the last number.
func (d *demo) requireSame(h *fabric.Daemon, before string) {
	if now := d.kernelRoutes(h); now != before {
		d.t.Fatalf("the kernel of %s does not hold the same routes as before:\nbefore:\n%s\nnow:\n%s", h.Name(), before, now)
	}
}

// waitSent waits until each pinger has sent n packets more.
func (d *demo) waitSent(pings map[string]*lab.Pinger, n int) {
	goal := make(map[string]int)
	for family, p := range pings {
		goal[family] = p.Report().Sent + n
	}
	lab.Eventually(d.t, fabric.Limit, fmt.Sprintf("%d packets more are sent", n), func() error {
		for family, p := range pings {
			if sent := p.Report().Sent; sent < goal[family] {
				return fmt.Errorf("%s: %d of %d so far", family, sent, goal[family])
			}
		}
		return nil
	})
}

func (d *demo) kernelRoutes(h *fabric.Daemon) string {
	routes, err := fabric.KernelRoutes(d.t.Context(), h.Host)
	if err != nil {
		d.t.Fatalf("kernel routes of %s: %v", h.Name(), err)
	}
	return routes
}

// waitStale waits until tor1 keeps n routes of a neighbour that is away.
func (d *demo) waitStale(n int) {
	lab.Eventually(d.t, fabric.Limit, fmt.Sprintf("tor1 has %d stale routes", n), func() error {
		out, err := d.racks.ToRs[0].Vtysh(d.t.Context(), "show bgp ipv4 unicast json", "show bgp ipv6 unicast json")
		if err != nil {
			return err
		}
		if got := strings.Count(out, `"stale":true`); got != n {
			return fmt.Errorf("it has %d", got)
		}
		return nil
	})
}
