package lab

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What every workload sees of its host: the addresses of its gateway, the same
// on all hosts, so that a workload can move without noticing.
const (
	GatewayIPv4 = "169.254.1.1"
	GatewayIPv6 = "fe80::ecee:eeff:feee:eeee" // the EUI-64 address of HostMAC
	HostMAC     = "ee:ee:ee:ee:ee:ee"
)

// workloadPort is the interface inside a workload.
const workloadPort = "eth0"

// Workload is a container as an orchestrator leaves it: a namespace, one end
// of a veth pair in it, its addresses and a default route. The host knows
// nothing of it but the other end.
type Workload struct {
	*Host                 // the inside
	On     *Host          // the host it runs on
	IfName string         // the host's end
	Addrs  []netip.Prefix // /32 and /128
}

// Workload makes a workload on h whose host end is called ifName. Addresses
// are single ones: "10.65.0.1", "fd00:65::1".
func (h *Host) Workload(name, ifName string, addrs ...string) *Workload {
	t := h.lab.t
	t.Helper()
	w := &Workload{Host: h.lab.Host(name), On: h, IfName: ifName}
	inner := w.Port(workloadPort)
	for _, s := range addrs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			t.Fatalf("workload %s: %v", name, err)
		}
		p := netip.PrefixFrom(a, a.BitLen())
		w.Addrs = append(w.Addrs, p)
		inner.Addrs = append(inner.Addrs, p.String())
	}
	h.lab.Link(Port{Host: h, Name: ifName, MAC: HostMAC}, inner)
	for _, p := range w.Addrs {
		if err := w.defaultRoute(p.Addr().Is4()); err != nil {
			t.Fatalf("workload %s: default route for %s: %v", name, p, err)
		}
	}
	return w
}

// defaultRoute points to the host's link-local gateway. It is onlink because
// no prefix of the workload covers the gateway.
func (w *Workload) defaultRoute(v4 bool) error {
	link, err := w.nl.LinkByName(workloadPort)
	if err != nil {
		return err
	}
	gw := netip.MustParseAddr(GatewayIPv6)
	if v4 {
		gw = netip.MustParseAddr(GatewayIPv4)
	}
	return w.nl.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index,
		Gw:        gw.AsSlice(),
		Flags:     unix.RTNH_F_ONLINK,
		Protocol:  unix.RTPROT_STATIC,
	})
}

// Addr is the workload's first address of the family.
func (w *Workload) Addr(v4 bool) netip.Addr {
	w.lab.t.Helper()
	for _, p := range w.Addrs {
		if p.Addr().Is4() == v4 {
			return p.Addr()
		}
	}
	w.lab.t.Fatalf("workload %s has no address with IPv4=%t", w.name, v4)
	return netip.Addr{}
}
