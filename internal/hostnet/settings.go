package hostnet

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Prepare sets what the host as a whole needs; isWorkload tells which
// interfaces belong to workloads. It can be repeated. The error joins what
// could not be set; all else is set.
func (h *Host) Prepare(isWorkload func(ifName string) bool) error {
	problems := []error{
		h.addGatewayIPv4(),
		// The host routes between its workloads and its uplinks.
		h.set("net/ipv4/ip_forward", "1"),
		// Equal-cost paths by addresses and ports, not by addresses alone:
		// else all flows between two workloads take one uplink.
		h.set("net/ipv4/fib_multipath_hash_policy", "1"),
	}
	if _, err := h.sysctls.Get("net/ipv6/conf/all/forwarding"); err == nil {
		problems = append(problems,
			h.keepRouterAdvertisements(isWorkload),
			h.set("net/ipv6/conf/all/forwarding", "1"),
			h.set("net/ipv6/fib_multipath_hash_policy", "1"))
	}
	return errors.Join(problems...)
}

// addGatewayIPv4 puts 169.254.1.1/32 on lo. Proxy ARP answers only for what
// the kernel routes by another interface, so without it and without a default
// route a workload's gateway would be silent. With link scope it is never
// chosen as a source.
func (h *Host) addGatewayIPv4() error {
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find interface lo: %w", err)
	}
	addrs, err := h.listAddrs(lo, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of lo: %w", err)
	}
	for _, a := range addrs {
		if a.IP.Equal(GatewayIPv4.AsSlice()) {
			return nil
		}
	}
	addr := &netlink.Addr{
		IPNet: &net.IPNet{IP: GatewayIPv4.AsSlice(), Mask: net.CIDRMask(32, 32)},
		Scope: unix.RT_SCOPE_LINK,
	}
	if err := h.nl.AddrAdd(lo, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s to lo: %w", GatewayIPv4, err)
	}
	return nil
}

// keepRouterAdvertisements lets uplinks go on learning their default route:
// accept_ra=1 means "unless forwarding", 2 means "always". That matters only
// when forwarding is about to be turned on. Later it would be dangerous: a
// workload's interface not yet registered has accept_ra=1, too.
func (h *Host) keepRouterAdvertisements(isWorkload func(ifName string) bool) error {
	forwarding, err := h.sysctls.Get("net/ipv6/conf/all/forwarding")
	if err != nil || forwarding != "0" {
		return err
	}
	names, err := h.sysctls.List("net/ipv6/conf")
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		if name == "all" || name == "default" || name == "lo" || isWorkload(name) {
			continue
		}
		key := "net/ipv6/conf/" + name + "/accept_ra"
		value, err := h.sysctls.Get(key)
		if err == nil && value == "1" {
			err = h.set(key, "2")
		}
		if err != nil && !vanished(err) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
