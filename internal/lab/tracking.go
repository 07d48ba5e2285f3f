package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ForgetConnections has the host's connection tracking begin anew.
func (h *Host) ForgetConnections() error {
	nl, err := netlink.NewHandleAt(h.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("host %s: open netfilter: %w", h.name, err)
	}
	defer nl.Close()
	if err := nl.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("host %s: flush connections: %w", h.name, err)
	}
	return nil
}
