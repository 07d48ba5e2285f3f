package fabric

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// RackAS says how the hosts of the racks are numbered.
type RackAS int

// The ways to number hosts below top-of-rack switches.
const (
	// PerRack gives the hosts of each rack an AS of their own.
	PerRack RackAS = iota
	// Shared gives all hosts one AS; the ToRs replace it (as-override), so
	// that loop detection does not refuse the other racks' routes.
	Shared
)

// Racks is a fabric of two racks with two hosts each, an FRR top-of-rack
// switch per rack and a BIRD spine between them, and etcd behind the spine.
// Every session is eBGP, hosts to ToR and ToR to spine; the mesh is off.
type Racks struct {
	Lab   *lab.Lab
	Etcd  *lab.Etcd
	ToRs  []*lab.FRR
	Spine *lab.BIRD
	Hosts []*Daemon // rack 1 first

	t         lab.T
	as        RackAS
	torHosts  []*lab.Host
	spineHost *lab.Host
	wired     []wiredHost
}

// wiredHost is a host that has its cables but no daemon yet.
type wiredHost struct {
	host   *lab.Host
	rack   int
	v4, v6 string
}

const (
	racks        = 2
	hostsPerRack = 2
	// SpineAS is the AS of the spine.
	SpineAS  = 65000
	sharedAS = 65500
)

// ToRAS is the AS of a rack's top-of-rack switch. Racks count from 1.
func (r *Racks) ToRAS(rack int) uint32 { return uint32(65100 + rack) }

// HostAS is the AS of the hosts of a rack.
func (r *Racks) HostAS(rack int) uint32 {
	if r.as == Shared {
		return sharedAS
	}
	return uint32(65200 + rack)
}

// Rack is the rack that a host of Hosts stands in.
func (r *Racks) Rack(host int) int { return r.wired[host].rack }

// ToRHost is the host that a rack's switch runs in.
func (r *Racks) ToRHost(rack int) *lab.Host { return r.torHosts[rack-1] }

// NewRacks builds the fabric and waits for nothing but etcd and the routers.
func NewRacks(t lab.T, name string, as RackAS) *Racks {
	t.Helper()
	r := &Racks{t: t, as: as, Lab: lab.New(t, name)}
	r.spineHost = r.Lab.Host("spine")
	r.spineHost.Forward()
	etcdHost := r.Lab.Host("etcd")
	r.Lab.Link(r.spineHost.Port("etcd", "10.9.0.1/24"), etcdHost.Port("eth0", "10.9.0.2/24"))
	etcdHost.AddRoute("0.0.0.0/0", "10.9.0.1")
	for rack := 1; rack <= racks; rack++ {
		r.wire(rack)
	}
	r.Etcd = r.Lab.Etcd(lab.EtcdMember{Host: etcdHost, Addr: netip.MustParseAddr("10.9.0.2")})[0]
	r.Spine = r.spineHost.BIRD(r.spineConfig())
	for rack, h := range r.torHosts {
		r.ToRs = append(r.ToRs, StartFRR(t, h, r.torConfig(rack+1)))
	}
	for _, h := range r.wired {
		settings := Settings{
			IPv4: h.v4, IPv6: h.v6, ASNumber: r.HostAS(h.rack), Endpoints: []string{r.Etcd.Endpoint},
			Labels: map[string]string{"rack": fmt.Sprintf("rack%d", h.rack)},
		}
		r.Hosts = append(r.Hosts, New(t, h.host, settings))
	}
	return r
}

// wire makes a rack: the hosts on the segment below their ToR, and the ToR's
// link to the spine. Fabric addresses are routed statically: what BGP carries
// here are the routes to workloads.
func (r *Racks) wire(rack int) {
	tor := r.Lab.Host(fmt.Sprintf("tor%d", rack))
	tor.Forward()
	r.torHosts = append(r.torHosts, tor)
	r.Lab.Link(
		r.spineHost.Port(fmt.Sprintf("tor%d", rack), fmt.Sprintf("10.8.%d.1/24", rack), fmt.Sprintf("fd00:8:%d::1/64", rack)),
		tor.Port("spine", fmt.Sprintf("10.8.%d.2/24", rack), fmt.Sprintf("fd00:8:%d::2/64", rack)))
	r.spineHost.AddRoute(fmt.Sprintf("10.1.%d.0/24", rack), fmt.Sprintf("10.8.%d.2", rack))
	r.spineHost.AddRoute(fmt.Sprintf("fd00:1:%d::/64", rack), fmt.Sprintf("fd00:8:%d::2", rack))
	routeFabric(tor, fmt.Sprintf("10.8.%d.1", rack), fmt.Sprintf("fd00:8:%d::1", rack))
	segment := r.Lab.Switch(fmt.Sprintf("sw%d", rack),
		tor.Port("hosts", fmt.Sprintf("10.1.%d.1/24", rack), fmt.Sprintf("fd00:1:%d::1/64", rack)))
	for i := 1; i <= hostsPerRack; i++ {
		h := wiredHost{
			host: r.Lab.Host(fmt.Sprintf("r%dh%d", rack, i)), rack: rack,
			v4: fmt.Sprintf("10.1.%d.%d/24", rack, 10+i), v6: fmt.Sprintf("fd00:1:%d::%d/64", rack, 10+i),
		}
		segment.Connect(h.host.Port("eth0", h.v4, h.v6))
		r.routeHost(h.host, fmt.Sprintf("10.1.%d.1", rack), fmt.Sprintf("fd00:1:%d::1", rack))
		r.wired = append(r.wired, h)
	}
}

// routeFabric routes all fabric addresses, and nothing else: where no default
// route catches it, a packet to a workload whose route is missing is lost.
func routeFabric(h *lab.Host, v4, v6 string) {
	h.AddRoute("10.1.0.0/16", v4)
	h.AddRoute("10.9.0.0/24", v4)
	h.AddRoute("fd00:1::/32", v6)
}

// routeHost gives a host its static routes. Hosts with an AS a rack refuse the
// routes of the other host of the rack, their AS being in them, and reach it
// through the ToR by a default route.
func (r *Racks) routeHost(h *lab.Host, v4, v6 string) {
	routeFabric(h, v4, v6)
	if r.as == PerRack {
		h.AddRoute("0.0.0.0/0", v4)
		h.AddRoute("::/0", v6)
	}
}

// Apply states the pools, switches the mesh off and has the hosts of each rack
// peer with their ToR.
func (r *Racks) Apply() {
	r.t.Helper()
	r.Hosts[0].Apply(PoolManifest + NoMesh + r.PeerManifest())
}

// PeerManifest has the hosts of each rack peer with their ToR, in both
// families.
func (r *Racks) PeerManifest() string {
	var b strings.Builder
	for rack := 1; rack <= racks; rack++ {
		for _, tor := range []struct{ family, ip string }{
			{"v4", fmt.Sprintf("10.1.%d.1", rack)}, {"v6", fmt.Sprintf("fd00:1:%d::1", rack)},
		} {
			fmt.Fprintf(&b, `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor%d-%s}
spec: {peerIP: "%s", asNumber: %d, nodeSelector: rack == 'rack%d'}
`, rack, tor.family, tor.ip, r.ToRAS(rack), rack)
		}
	}
	return b.String()
}

// torConfig accepts from hosts what lies in the pools, as single addresses,
// and hands on what it learns.
func (r *Racks) torConfig(rack int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("ip prefix-list POOL seq 5 permit %s ge 32", PoolIPv4)
	line("ipv6 prefix-list POOL6 seq 5 permit %s ge 128", PoolIPv6)
	line("route-map POOL permit 10\n match ip address prefix-list POOL")
	line("route-map POOL6 permit 10\n match ipv6 address prefix-list POOL6")
	line("router bgp %d", r.ToRAS(rack))
	line(" bgp router-id 10.255.0.%d\n bgp graceful-restart\n bgp graceful-restart preserve-fw-state", rack)
	line(" bgp bestpath as-path multipath-relax\n no bgp default ipv4-unicast")
	for _, f := range []struct{ group, af, listen, spine, filter string }{
		{"HOSTS", "ipv4", fmt.Sprintf("10.1.%d.0/24", rack), fmt.Sprintf("10.8.%d.1", rack), "POOL"},
		{"HOSTS6", "ipv6", fmt.Sprintf("fd00:1:%d::/64", rack), fmt.Sprintf("fd00:8:%d::1", rack), "POOL6"},
	} {
		line(" neighbor %s peer-group\n neighbor %s remote-as %d", f.group, f.group, r.HostAS(rack))
		line(" bgp listen range %s peer-group %s", f.listen, f.group)
		line(" neighbor %s remote-as %d\n neighbor %s timers connect 1", f.spine, SpineAS, f.spine)
		line(" address-family %s unicast", f.af)
		line("  neighbor %s activate\n  neighbor %s route-map %s in", f.group, f.group, f.filter)
		line("  neighbor %s soft-reconfiguration inbound", f.group) // keeps what the filter refuses, to be seen
		if r.as == Shared {
			line("  neighbor %s as-override", f.group)
		}
		line("  neighbor %s activate\n  neighbor %s route-map %s in\n  neighbor %s route-map %s out",
			f.spine, f.spine, f.filter, f.spine, f.filter)
		line("  maximum-paths 16\n exit-address-family")
	}
	return b.String()
}

func (r *Racks) spineConfig() string {
	var b strings.Builder
	b.WriteString(`
router id 10.255.0.100;
protocol device { scan time 2; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; merge paths on; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; merge paths on; }
`)
	for rack := 1; rack <= racks; rack++ {
		fmt.Fprintf(&b, `
protocol bgp tor%[1]d {
  local 10.8.%[1]d.1 as %[2]d; neighbor 10.8.%[1]d.2 as %[3]d;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export all; };
}
protocol bgp tor%[1]dv6 {
  local fd00:8:%[1]d::1 as %[2]d; neighbor fd00:8:%[1]d::2 as %[3]d;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv6 { import all; export all; };
}
`, rack, SpineAS, r.ToRAS(rack))
	}
	return b.String()
}
