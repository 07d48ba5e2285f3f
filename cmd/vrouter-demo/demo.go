package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// demo is a running fabric and what is in it.
type demo struct {
	*printer
	t         lab.T
	racks     *fabric.Racks
	workloads []*lab.Workload // in the order of the hosts
}

const (
	// workloadsPerHost makes pairs on one host, in one rack and across racks.
	workloadsPerHost = 2
	// sessionsPerHost is one with the ToR in each family.
	sessionsPerHost = 2
)

// demonstrate is the demo from its first daemon to its last packet.
func demonstrate(t lab.T, p *printer) {
	d := &demo{printer: p, t: t}
	d.build()
	d.register()
	d.pingAll()
	d.police()
	d.showHost()
	d.showRouters()
	d.killUnderTraffic()
}

func (d *demo) build() {
	d.section("The fabric", "Every box is a network namespace with real daemons in it; all sessions are eBGP, IPv4 and IPv6.")
	d.line(`                    etcd`)
	d.line(`                     |`)
	d.line(`             spine (BIRD, AS 65000)`)
	d.line(`            /                      \`)
	d.line(` tor1 (FRR, AS 65101)       tor2 (FRR, AS 65102)`)
	d.line(`   |            |             |            |`)
	d.line(` r1h1         r1h2          r2h1         r2h2    (vrouterd, AS 65500)`)
	start := time.Now()
	d.racks = fabric.NewRacks(d.t, "demo", fabric.Shared)
	d.racks.Hosts[0].WaitReady()
	d.racks.Apply()
	for _, h := range d.racks.Hosts {
		h.WaitReady()
		h.WaitEstablished(sessionsPerHost)
	}
	d.line("")
	d.line("All sessions are up after %s.", seconds(time.Since(start)))
}

// register makes the workloads, and registers each through the daemon of
// another host.
func (d *demo) register() {
	d.section("Workloads", "Each is registered over gRPC at another host's daemon; "+
		"the call returns when the route is in the kernel and advertised.")
	hosts := d.racks.Hosts
	for i, h := range hosts {
		via := hosts[(i+1)%len(hosts)]
		for j := range workloadsPerHost {
			name := fabric.WorkloadName(i, j)
			v4, v6 := fabric.Address(i, j)
			start := time.Now()
			d.workloads = append(d.workloads, h.Workload(via, name, v4, v6))
			d.line("%s on %s, registered at %s: %-10s %-12s  %s", name, h.Name(), via.Name(), v4, v6, seconds(time.Since(start)))
		}
	}
	start := time.Now()
	for _, h := range hosts {
		d.waitLearned(h)
	}
	d.line("")
	d.line("Every host holds the routes to all others' workloads %s later.", seconds(time.Since(start)))
}

// waitLearned waits until the kernel of a host holds a route of each family to
// each workload of the others.
func (d *demo) waitLearned(h *fabric.Daemon) {
	want := 2 * workloadsPerHost * (len(d.racks.Hosts) - 1)
	lab.Eventually(d.t, fabric.Limit, fmt.Sprintf("%s has learned %d routes", h.Name(), want), func() error {
		out, err := fabric.Learned(d.t.Context(), h.Host)
		if err != nil {
			return err
		}
		if n := strings.Count(out, "\n"); n != want {
			return fmt.Errorf("it has %d:\n%s", n, out)
		}
		return nil
	})
}
