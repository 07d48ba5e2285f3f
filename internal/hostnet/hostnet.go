// Package hostnet looks after what a host must be set to so that its
// workloads reach and are reached: sysctls and addresses of the host and of
// workload interfaces, stale conntrack entries, the node's own address, and a
// check of what kernel and host lack or have set against us.
//
// What it keeps true: a workload sees the same gateway on every host
// (169.254.1.1 and fe80::ecee:eeff:feee:eeee behind one MAC), whatever uplinks
// and default routes the host has; a value is written only when it differs;
// what cannot be written is reported and does not hold up the rest; an
// interface that vanishes half-way is no error. Nothing is undone on leaving:
// established paths outlive the daemon.
//
// What it does not do: routes (fib), rules (policy), watching. The kernel owns
// the state; callers call again when an interface comes, returns or goes up,
// because the kernel drops IPv6 addresses of an interface that goes down.
// RFC 1027 (proxy ARP), RFC 3704 (reverse path), RFC 4861 (neighbours).
package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What every workload sees of its host. GatewayIPv6 is the EUI-64 address of
// GatewayMAC, so that a host end with that MAC has it anyway.
var (
	GatewayIPv4 = netip.MustParseAddr("169.254.1.1")
	GatewayIPv6 = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
)

// GatewayMAC is the MAC of the host end of every veth and tap: a workload that
// moves to another host keeps a true neighbour entry.
const GatewayMAC = "ee:ee:ee:ee:ee:ee"

// Host is the machine, seen from the network namespace in which Open was
// called. It keeps no state but its sockets and is safe for concurrent use.
type Host struct {
	log     hclog.Logger
	sysctls Sysctls
	nl      *netlink.Handle
}

// Open opens the sockets to the kernel.
func Open(log hclog.Logger, sysctls Sysctls) (*Host, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink socket: %w", err)
	}
	return &Host{log: log, sysctls: sysctls, nl: nl}, nil
}

// Close closes the sockets.
func (h *Host) Close() { h.nl.Close() }

// set writes one sysctl if it differs, and logs that.
func (h *Host) set(key, value string) error {
	old, err := h.sysctls.Set(key, value)
	if err == nil && old != value {
		h.log.Debug("sysctl set", "key", key, "value", value, "before", old)
	}
	return err
}

// vanished reports whether err says that the interface asked about is gone, or
// that the kernel does not have the family.
func vanished(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOENT)
}
