package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// The routers beside a mesh, each in an AS of its own.
const birdAS, frrAS = 65011, 65012

// TestMeshTellsRoutersOwnWorkloadsOnly has every host of a mesh speak with a
// BIRD and an FRR that accept and keep whatever they hear.
func TestMeshTellsRoutersOwnWorkloadsOnly(t *testing.T) {
	needDaemons(t, "program:bird", "program:birdc", "program:zebra", "program:bgpd", "program:vtysh")
	s := fabric.NewSegment(t, "listen", 1)
	birdHost, birdAddr := s.Host("bird")
	frrHost, frrAddr := s.Host("frr")
	for _, name := range []string{"h1", "h2", "h3"} {
		s.Daemon(name, fabric.Settings{})
	}
	bird := birdHost.BIRD(birdListener(s.Hosts))
	frr := fabric.StartFRR(t, frrHost, frrListener(s.Hosts))
	s.Hosts[0].WaitReady()
	s.Hosts[0].Apply(fabric.PoolManifest +
		listenerPeers("bird", birdAddr, birdAS) + listenerPeers("frr", frrAddr, frrAS))
	workloads := populate(s.Hosts, 2)
	for _, d := range s.Hosts {
		d.WaitEstablished(2 * (len(s.Hosts) - 1 + 2)) // the other hosts, two routers
	}
	requireAllPairs(t, workloads)

	var lines []string
	for i, d := range s.Hosts {
		for _, host := range hostAddresses(d) {
			for _, w := range workloadsOf(i, 2, host.Is4()) {
				lines = append(lines, fabric.Path(fabric.SinglePrefix(w), host.String(), resource.DefaultASNumber))
			}
		}
	}
	want := fabric.Table(lines)
	requireTable(t, "BIRD", want, func() (string, error) { return fabric.BIRDTable(t.Context(), bird) })
	requireTable(t, "FRR", want, func() (string, error) { return fabric.FRRTable(t.Context(), frr) })
}

// listenerPeers has every node speak with a router, in both families.
func listenerPeers(name string, v4 netip.Addr, as int) string {
	var b strings.Builder
	for i, ip := range []string{v4.String(), fmt.Sprintf("fd00::%x", v4.As4()[3])} {
		fmt.Fprintf(&b, "\n---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: %s-%d}\n"+
			"spec: {peerIP: %q, asNumber: %d}\n", name, i, ip, as)
	}
	return b.String()
}

// birdListener accepts everything, from every host.
func birdListener(hosts []*fabric.Daemon) string {
	var b strings.Builder
	b.WriteString("router id 10.255.0.1;\nprotocol device { scan time 2; }\n")
	for i, d := range hosts {
		for _, host := range hostAddresses(d) {
			family := familyName(host)
			fmt.Fprintf(&b, "protocol bgp h%d_%s { local as %d; neighbor %s as %d; %s { import all; export none; };"+
				" connect retry time 1; error wait time 1, 2; }\n",
				i+1, family, birdAS, host, resource.DefaultASNumber, family)
		}
	}
	return b.String()
}

// frrListener accepts everything, from every host.
func frrListener(hosts []*fabric.Daemon) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("router bgp %d\n bgp router-id 10.255.0.2\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast", frrAS)
	for _, d := range hosts {
		for _, host := range hostAddresses(d) {
			line(" neighbor %s remote-as %d\n neighbor %s timers connect 1", host, resource.DefaultASNumber, host)
			line(" address-family %s unicast\n  neighbor %s activate\n exit-address-family", familyName(host), host)
		}
	}
	return b.String()
}

// familyName is BIRD's and FRR's name for the family of an address.
func familyName(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}
