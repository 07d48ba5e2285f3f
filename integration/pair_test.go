package integration_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// pair is two hosts in a mesh with a workload each, and a BIRD that both speak
// with and that keeps their routes in its kernel.
type pair struct {
	*fabric.Segment
	router    *lab.Host
	bird      *lab.BIRD
	workloads []*lab.Workload
}

// pairSessions is the number of sessions of a host of a pair: the other host
// and the router, in both families.
const pairSessions = 4

const routerAS = 65010

// newPair makes a pair, and waits until all of it has settled.
func newPair(t *testing.T, name, bgp string) *pair {
	t.Helper()
	needDaemons(t, "program:bird", "program:birdc")
	p := &pair{Segment: fabric.NewSegment(t, name, 1)}
	host, addr := p.Host("router")
	p.router = host
	for _, name := range []string{"h1", "h2"} {
		p.Daemon(name, fabric.Settings{BGP: bgp})
	}
	p.bird = host.BIRD(p.birdConfig())
	p.Hosts[0].WaitReady()
	p.Hosts[0].Apply(fabric.PoolManifest + routerPeers(addr))
	p.workloads = populate(p.Hosts, 1)
	for _, d := range p.Hosts {
		d.WaitSettled(pairSessions)
	}
	p.requireKnown(t)
	return p
}

// routerPeers has every host speak with the router, in both families.
func routerPeers(v4 netip.Addr) string {
	last := v4.As4()[3]
	var b strings.Builder
	for family, ip := range map[string]string{"v4": v4.String(), "v6": fmt.Sprintf("fd00::%x", last)} {
		fmt.Fprintf(&b, `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: router-%s}
spec: {peerIP: "%s", asNumber: %d}
`, family, ip, routerAS)
	}
	return b.String()
}

func (p *pair) birdConfig() string {
	var b strings.Builder
	b.WriteString(`
router id 10.255.0.1;
protocol device { scan time 2; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
`)
	for i, d := range p.Hosts {
		for channel, addr := range map[string]string{"ipv4": d.Settings.IPv4, "ipv6": d.Settings.IPv6} {
			fmt.Fprintf(&b, `
protocol bgp h%d_%s {
  local as %d; neighbor %s as 64512;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  %s { import all; export none; };
}
`, i+1, channel, routerAS, netip.MustParsePrefix(addr).Addr(), channel)
		}
	}
	return b.String()
}

// requireKnown waits until all kernels, the router's too, have a route to each
// workload, and every host's RIB a path to those of the other.
func (p *pair) requireKnown(t *testing.T) {
	t.Helper()
	hosts := []*lab.Host{p.router}
	for _, d := range p.Hosts {
		hosts = append(hosts, d.Host)
	}
	for _, h := range hosts {
		lab.Eventually(t, fabric.Limit, h.Name()+" knows all workloads", func() error {
			routes := fabric.Forwarding(h)
			if n := len(strings.Split(routes, "\n")); routes == "" || n != 2*len(p.workloads) {
				return fmt.Errorf("%d routes: %s", n, routes)
			}
			return nil
		})
	}
}

// traffic is pings between workloads, while the kernels of hosts are watched.
type traffic struct {
	pingers  []*lab.Pinger
	names    []string
	monitors []*fabric.Monitor
	hosts    []*lab.Host
	before   []string // routes of hosts
}

// watchHosts is traffic without a ping yet.
func watchHosts(t *testing.T, hosts ...*lab.Host) *traffic {
	t.Helper()
	f := &traffic{hosts: hosts}
	for _, h := range hosts {
		f.monitors = append(f.monitors, fabric.NewMonitor(t, h))
		f.before = append(f.before, fabric.Routes(h))
	}
	return f
}

// startTraffic starts a thousand pings a second between the workloads, in each
// direction and family. It returns once each has been answered once.
func (p *pair) startTraffic(t *testing.T) *traffic {
	t.Helper()
	f := watchHosts(t, p.Hosts[0].Host, p.Hosts[1].Host, p.router)
	a, b := p.workloads[0], p.workloads[1]
	for _, v4 := range []bool{true, false} {
		for _, w := range [][2]*lab.Workload{{a, b}, {b, a}} {
			lab.Eventually(t, fabric.Limit, w[0].Name()+" reaches "+w[1].Name(), func() error { return w[0].Ping(w[1].Addr(v4)) })
			f.pingers = append(f.pingers, w[0].StartPing(w[1].Addr(v4), lab.PingOptions{}))
			f.names = append(f.names, fmt.Sprintf("%s to %s", w[0].Name(), w[1].Addr(v4)))
		}
	}
	return f
}

// requireUnharmed stops the traffic: no ping was lost, no route was removed
// anywhere for a moment, and all is as it was.
func (f *traffic) requireUnharmed(t *testing.T) {
	t.Helper()
	sent := 0
	for i, p := range f.pingers {
		r := p.Stop()
		sent += r.Sent
		if r.Missing() > 0 {
			t.Errorf("ping from %s: %s", f.names[i], r)
		}
	}
	for i, m := range f.monitors {
		h := f.hosts[i]
		if removed := m.Stop(); len(removed) > 0 {
			t.Errorf("%s: routes were removed:\n%s", h.Name(), strings.Join(removed, "\n"))
		}
		if after := fabric.Routes(h); after != f.before[i] {
			t.Errorf("%s: routes were\n%s\nand are\n%s", h.Name(), f.before[i], after)
		}
	}
	t.Logf("%d pings, none lost", sent)
	if t.Failed() {
		t.FailNow()
	}
}

// requireCode fails unless err has that gRPC code and those words.
func requireCode(t *testing.T, err error, code codes.Code, words string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), words) {
		t.Fatalf("got %v, wanted %s with %q", err, code, words)
	}
}

// registerOn asks d to register an endpoint on a node, without waiting for it
// to be programmed.
func registerOn(ctx context.Context, d *fabric.Daemon, node, name, ifName string, addrs ...string) error {
	r := fabric.Request(node, name, ifName, addrs...)
	r.Wait = 0
	_, err := d.Endpoint.Register(ctx, r)
	return err
}
