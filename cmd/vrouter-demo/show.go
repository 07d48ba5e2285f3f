package main

import (
	"strings"

	"github.com/projectvrouter/vrouter/integration/fabric"
)

// showHost prints what a host makes of it, from the daemon down to the kernel.
func (d *demo) showHost() {
	h := d.racks.Hosts[0]
	d.section("A host", "%s as an operator sees it: the other host of its rack is reached directly, "+
		"the other rack through the ToR.", h.Name())
	for _, args := range [][]string{{"node", "status"}, {"routes"}} {
		out, err := h.Ctl(args...)
		if err != nil {
			d.t.Fatalf("vrouterctl %s at %s: %v\n%s", strings.Join(args, " "), h.Name(), err, out)
		}
		d.text("vrouterctl "+strings.Join(args, " "), out)
	}
	for _, command := range []string{"ip route", "ip -6 route show proto 120", "ip nexthop show proto 120"} {
		d.text(command, h.MustRun(strings.Fields(command)...))
	}
}

// showRouters prints what the neighbours made of what they were told.
func (d *demo) showRouters() {
	d.section("The switch above it", "tor1 has heard a /32 for each workload from its own hosts, and the other rack's from the spine.")
	for _, show := range []struct{ command, head string }{
		{"show bgp ipv4 unicast summary", "Neighbor"},
		{"show bgp ipv4 unicast", "Network"},
	} {
		out, err := d.racks.ToRs[0].Vtysh(d.t.Context(), show.command)
		if err != nil {
			d.t.Fatalf("tor1: %s: %v", show.command, err)
		}
		d.text("vtysh -c '"+show.command+"'", from(out, show.head))
	}
	d.section("The spine", "It holds the single prefixes of all workloads, and nothing else.")
	table, err := fabric.BIRDTable(d.t.Context(), d.racks.Spine)
	if err != nil {
		d.t.Fatalf("spine: %v", err)
	}
	d.text("birdc show route all    (one path a line)", table)
}
