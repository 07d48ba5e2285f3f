package integration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// rackWorkloads is the number of workloads on each host of the racks.
const rackWorkloads = 2

func TestRacksWithAnASEach(t *testing.T) { testRacks(t, fabric.PerRack) }

func TestRacksWithOneASAndOverride(t *testing.T) { testRacks(t, fabric.Shared) }

func testRacks(t *testing.T, as fabric.RackAS) {
	needDaemons(t, "program:bird", "program:birdc", "program:zebra", "program:bgpd", "program:vtysh")
	r := fabric.NewRacks(t, "racks", as)
	r.Hosts[0].WaitReady()
	r.Apply()
	workloads := populate(r.Hosts, rackWorkloads)
	requireAllPairs(t, workloads)

	for i, d := range r.Hosts {
		rack := r.Rack(i)
		requireSessions(t, d, fmt.Sprintf(""+
			"- 10.1.%[1]d.1 node specific, AS %[2]d, Established\n"+
			"- fd00:1:%[1]d::1 node specific, AS %[2]d, Established\n", rack, r.ToRAS(rack)))
		requireLearned(t, d.Host, learnedInRacks(r, as, i))
		for _, addr := range hostAddresses(d) {
			requireTable(t, fmt.Sprintf("what tor%d heard from %s", rack, addr), heardFrom(r, i, addr), func() (string, error) {
				return fabric.FRRReceived(t.Context(), r.ToRs[rack-1], addr)
			})
		}
	}
	for rack := 1; rack <= len(r.ToRs); rack++ {
		requireTable(t, fmt.Sprintf("tor%d", rack), torTable(r, rack), func() (string, error) {
			return fabric.FRRTable(t.Context(), r.ToRs[rack-1])
		})
	}
	requireTable(t, "the spine", spineTable(r), func() (string, error) {
		return fabric.BIRDTable(t.Context(), r.Spine)
	})
}

// TestRestartBelowSwitchLosesNothing kills a daemon whose only peer is a ToR
// that has started just before, and says so: FRR sets the restart flag of its
// capability for two minutes. No host has a default route that would hide it if
// routes went until the ToR has told them again.
func TestRestartBelowSwitchLosesNothing(t *testing.T) {
	needDaemons(t, "program:bird", "program:birdc", "program:zebra", "program:bgpd", "program:vtysh")
	r := fabric.NewRacks(t, "rekill", fabric.Shared)
	r.Hosts[0].WaitReady()
	r.Apply()
	workloads := populate(r.Hosts, rackWorkloads)
	for i, d := range r.Hosts {
		requireLearned(t, d.Host, learnedInRacks(r, fabric.Shared, i))
	}
	requireAllPairs(t, workloads)
	monitors := make(map[string]*fabric.Monitor)
	for _, h := range []*lab.Host{r.Hosts[0].Host, r.ToRHost(1), r.ToRHost(2), r.Hosts[3].Host} {
		monitors[h.Name()] = fabric.NewMonitor(t, h)
	}
	src, dst := workloads[0], workloads[len(workloads)-1]
	pings := []*lab.Pinger{
		src.StartPing(dst.Addr(true), lab.PingOptions{}), src.StartPing(dst.Addr(false), lab.PingOptions{}),
	}

	r.Hosts[0].Kill()
	r.Hosts[0].Start()
	r.Hosts[0].WaitSettled(2)
	requireTable(t, "tor1", torTable(r, 1), func() (string, error) {
		return fabric.FRRTable(t.Context(), r.ToRs[0])
	})

	for _, p := range pings {
		if report := p.Stop(); report.Missing() > 0 {
			t.Errorf("ping: %s", report)
		}
	}
	for name, m := range monitors {
		if removed := m.Stop(); len(removed) > 0 {
			t.Errorf("routes removed from the kernel of %s: %q", name, removed)
		}
	}
}

// requireTable waits until a router holds exactly these paths.
func requireTable(t *testing.T, what, want string, read func() (string, error)) {
	t.Helper()
	lab.Eventually(t, fabric.Limit, what+": exactly the paths expected", func() error {
		got, err := read()
		return mismatch(want, got, err)
	})
}

func hostAddresses(d *fabric.Daemon) []netip.Addr {
	return []netip.Addr{netip.MustParsePrefix(d.Settings.IPv4).Addr(), netip.MustParsePrefix(d.Settings.IPv6).Addr()}
}

// workloadsOf is the addresses of one family of the workloads on host i, in
// the order of their making.
func workloadsOf(i, n int, v4 bool) []string {
	var addrs []string
	for j := range n {
		a4, a6 := fabric.Address(i, j)
		if v4 {
			addrs = append(addrs, a4)
		} else {
			addrs = append(addrs, a6)
		}
	}
	return addrs
}

// heardFrom is what a host must have told its ToR: its own workloads, with
// itself as next hop.
func heardFrom(r *fabric.Racks, i int, host netip.Addr) string {
	var lines []string
	for _, w := range workloadsOf(i, rackWorkloads, host.Is4()) {
		lines = append(lines, fabric.Path(fabric.SinglePrefix(w), host.String(), r.HostAS(r.Rack(i))))
	}
	return fabric.Table(lines)
}

// torTable is all that a ToR must hold: the workloads of its hosts from these,
// the other rack's from the spine, each once.
func torTable(r *fabric.Racks, rack int) string {
	var lines []string
	for i, d := range r.Hosts {
		other := r.Rack(i)
		for _, host := range hostAddresses(d) {
			nextHop, path := host.String(), []uint32{r.HostAS(other)}
			if other != rack {
				nextHop = spineAddress(rack, host.Is4())
				path = []uint32{fabric.SpineAS, r.ToRAS(other), r.HostAS(other)}
			}
			for _, w := range workloadsOf(i, rackWorkloads, host.Is4()) {
				lines = append(lines, fabric.Path(fabric.SinglePrefix(w), nextHop, path...))
			}
		}
	}
	return fabric.Table(lines)
}

// spineTable is all that the spine must hold: every workload from its ToR.
func spineTable(r *fabric.Racks) string {
	var lines []string
	for i := range r.Hosts {
		rack := r.Rack(i)
		for _, v4 := range []bool{true, false} {
			for _, w := range workloadsOf(i, rackWorkloads, v4) {
				lines = append(lines, fabric.Path(fabric.SinglePrefix(w), torAddress(rack, v4), r.ToRAS(rack), r.HostAS(rack)))
			}
		}
	}
	return fabric.Table(lines)
}

// learnedInRacks is what the kernel of host i must hold from BGP: the other
// rack's workloads through its ToR, and those of the other host of its rack
// through that host itself; but where a rack has its AS, loop detection refuses
// the latter, and packets to them go to the ToR by the default route.
func learnedInRacks(r *fabric.Racks, as fabric.RackAS, i int) string {
	rack := r.Rack(i)
	var lines []string
	for j, d := range r.Hosts {
		if j == i || r.Rack(j) == rack && as == fabric.PerRack {
			continue
		}
		for _, host := range hostAddresses(d) {
			via := host.String()
			if r.Rack(j) != rack {
				via = gatewayAddress(rack, host.Is4())
			}
			for _, w := range workloadsOf(j, rackWorkloads, host.Is4()) {
				lines = append(lines, w+" via "+via+"\n")
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// gatewayAddress is the ToR's address below it.
func gatewayAddress(rack int, v4 bool) string {
	if v4 {
		return fmt.Sprintf("10.1.%d.1", rack)
	}
	return fmt.Sprintf("fd00:1:%d::1", rack)
}

// spineAddress is the spine's address on its link to a ToR.
func spineAddress(rack int, v4 bool) string {
	if v4 {
		return fmt.Sprintf("10.8.%d.1", rack)
	}
	return fmt.Sprintf("fd00:8:%d::1", rack)
}

// torAddress is the ToR's address on its link to the spine.
func torAddress(rack int, v4 bool) string {
	if v4 {
		return fmt.Sprintf("10.8.%d.2", rack)
	}
	return fmt.Sprintf("fd00:8:%d::2", rack)
}
