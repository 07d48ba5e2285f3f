package hostnet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FlushConntrack deletes the connections that have one of addrs on either end
// in either direction, so that the next holder of an address does not inherit
// what its predecessor was allowed or translated to. It returns how many went.
// The kernel's table is read once per family, however many addresses there
// are. A kernel without connection tracking has nothing to delete.
func (h *Host) FlushConntrack(addrs ...netip.Addr) (int, error) {
	// Asking by netlink would load the module, and start tracking.
	if _, err := h.sysctls.Get("net/netfilter/nf_conntrack_max"); err != nil {
		return 0, nil
	}
	v4, v6 := endpointFilter{}, endpointFilter{}
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4[a] = true
		} else {
			v6[a] = true
		}
	}
	n4, err := h.flush(unix.AF_INET, v4)
	if err != nil {
		return n4, err
	}
	n6, err := h.flush(unix.AF_INET6, v6)
	return n4 + n6, err
}

func (h *Host) flush(family netlink.InetFamily, filter endpointFilter) (int, error) {
	if len(filter) == 0 {
		return 0, nil
	}
	n, err := h.nl.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter)
	if err != nil {
		return int(n), fmt.Errorf("delete conntrack entries of %d addresses: %w", len(filter), err)
	}
	return int(n), nil
}

// endpointFilter matches connections by their four addresses.
type endpointFilter map[netip.Addr]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f endpointFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, ip := range []net.IP{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		if a, ok := netip.AddrFromSlice(ip); ok && f[a.Unmap()] {
			return true
		}
	}
	return false
}
