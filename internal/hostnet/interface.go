package hostnet

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kind says what a workload interface is.
type Kind int

// The kinds of workload interfaces.
const (
	Veth     Kind = iota // the host end of a container's pair
	Tap                  // the host end of a virtual machine's network card
	Physical             // a port to a bare-metal machine
)

// Interface is a workload interface of this host.
type Interface struct {
	Name string
	Kind Kind
	// AnySource leaves it to others to say from which addresses the workload
	// may send; else it is from those that are routed to the interface.
	AnySource bool
}

// setting is one sysctl of an interface, its key with %s for the name.
type setting struct{ key, value string }

var interfaceIPv4 = []setting{
	// The workload has a /32 and a gateway that no interface of ours covers;
	// we answer its ARP for the gateway, and for neighbours should it believe
	// itself in a larger subnet.
	{"net/ipv4/conf/%s/proxy_arp", "1"},
	// The default delays each proxied answer by a random time up to 0.8 s.
	{"net/ipv4/neigh/%s/proxy_delay", "0"},
	// With 1 or more the kernel would not answer for 169.254.1.1, which is on lo.
	{"net/ipv4/conf/%s/arp_ignore", "0"},
	{"net/ipv4/conf/%s/forwarding", "1"},
	// A workload must not reach services on the host's 127.0.0.0/8.
	{"net/ipv4/conf/%s/route_localnet", "0"},
}

// Proxy neighbour discovery is not needed: workloads use GatewayIPv6, which is
// the host end's own address.
var interfaceIPv6 = []setting{
	{"net/ipv6/conf/%s/forwarding", "1"},
	// A workload must not give its host addresses or routes.
	{"net/ipv6/conf/%s/accept_ra", "0"},
}

// PrepareInterface makes a workload interface serve as its workload's gateway.
// It can be repeated, and must be when the interface has come back or up. An
// interface that is absent or vanishes meanwhile is no error. One that the host
// needs for itself is refused and left as it is; otherwise the error joins what
// could not be set, and all else is set.
func (h *Host) PrepareInterface(i Interface) error {
	// The look-up also keeps "all" and "default" from being taken for names:
	// no link can be called so.
	link, err := h.nl.LinkByName(i.Name)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", i.Name, err)
	}
	if err := h.refuseOwn(link, i.Kind); err != nil {
		return err
	}
	problems := []error{h.applyTo(link, interfaceIPv4), h.applyTo(link, []setting{{keyInterfaceReversePath, h.reversePath(i)}})}
	if i.Kind != Physical {
		problems = append(problems, h.setGatewayMAC(link))
	}
	if h.hasIPv6(link) {
		problems = append(problems, h.applyTo(link, interfaceIPv6), h.addGatewayIPv6(link))
	}
	return errors.Join(problems...)
}

const keyInterfaceReversePath = "net/ipv4/conf/%s/rp_filter"

// reversePath is how the source of packets is checked. Strict (RFC 3704 §2.2):
// it must be routed back to this interface, so that a workload cannot send from
// the address of another. What all interfaces have holds for one that has less,
// but loose (§2.4) goes before strict.
func (h *Host) reversePath(i Interface) string {
	const off, strict, loose = "0", "1", "2"
	if !i.AnySource {
		return strict
	}
	if all, err := h.sysctls.Get(keyReversePath); err == nil && all != off {
		return loose
	}
	return off
}

// refuseOwn returns an error for an interface that the host needs for itself: a
// slip of the name in a registration must not take the MAC of an uplink. The
// host end of a veth pair or tap has no address of the host; a port to a
// machine may have one.
func (h *Host) refuseOwn(link netlink.Link, kind Kind) error {
	name := link.Attrs().Name
	if link.Attrs().Flags&net.FlagLoopback != 0 {
		return fmt.Errorf("interface %s is the host's loopback, not a workload's", name)
	}
	if kind == Physical {
		return nil
	}
	addrs, err := h.listAddrs(link, netlink.FAMILY_ALL)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		// Others than permanent ones may come from the workload's own router
		// advertisements.
		if a.Scope == unix.RT_SCOPE_UNIVERSE && a.Flags&unix.IFA_F_PERMANENT != 0 {
			return fmt.Errorf("interface %s has address %s of the host: it is no workload's", name, a.IPNet)
		}
	}
	return nil
}

// applyTo writes the settings that differ. One that does not exist is skipped:
// the interface has gone, or the kernel is older than the setting.
func (h *Host) applyTo(link netlink.Link, settings []setting) error {
	var problems []error
	for _, s := range settings {
		if err := h.set(fmt.Sprintf(s.key, link.Attrs().Name), s.value); err != nil && !vanished(err) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// setGatewayMAC leaves a MAC that is right alone: changing that of a link in
// use costs its workload the time until it asks for its gateway again.
func (h *Host) setGatewayMAC(link netlink.Link) error {
	mac, err := net.ParseMAC(GatewayMAC)
	if err != nil {
		return err
	}
	if slices.Equal(link.Attrs().HardwareAddr, mac) {
		return nil
	}
	if err := h.nl.LinkSetHardwareAddr(link, mac); err != nil && !vanished(err) {
		return fmt.Errorf("set MAC of %s to %s: %w", link.Attrs().Name, mac, err)
	}
	return nil
}

// hasIPv6 reports whether the kernel has IPv6 and the operator has not turned
// it off for the interface, which is then left so.
func (h *Host) hasIPv6(link netlink.Link) bool {
	disabled, err := h.sysctls.Get("net/ipv6/conf/" + link.Attrs().Name + "/disable_ipv6")
	return err == nil && disabled == "0"
}

// addGatewayIPv6 adds the link-local address that workloads have as gateway.
// It is usable at once: nobody else on a link of two can have it, and
// detection of duplicates would cost the workload its first second.
func (h *Host) addGatewayIPv6(link netlink.Link) error {
	addrs, err := h.listAddrs(link, netlink.FAMILY_V6)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	for _, a := range addrs {
		if !a.IP.Equal(GatewayIPv6.AsSlice()) {
			continue
		}
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return nil
		}
		// Derived from the MAC and still being probed: no flag changes that.
		if err := h.nl.AddrDel(link, &a); err != nil && !vanished(err) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("delete tentative %s from %s: %w", GatewayIPv6, link.Attrs().Name, err)
		}
	}
	addr := &netlink.Addr{
		IPNet: &net.IPNet{IP: GatewayIPv6.AsSlice(), Mask: net.CIDRMask(64, 128)},
		Flags: unix.IFA_F_NODAD,
		Scope: unix.RT_SCOPE_LINK,
	}
	// Replace, since the kernel may have just added its own.
	if err := h.nl.AddrReplace(link, addr); err != nil && !vanished(err) {
		return fmt.Errorf("add %s to %s: %w", GatewayIPv6, link.Attrs().Name, err)
	}
	return nil
}
