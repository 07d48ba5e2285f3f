package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// unreachableError is a destination that this host has no way to, or a name
// that nobody knows.
type unreachableError struct {
	destination string
	tried       []string
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no source towards %s: %s", e.destination, strings.Join(e.tried, "; "))
}

// lookup resolves a name, as net.Resolver.LookupNetIP does.
type lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)

// askWay learns from which address the kernel sends towards the destination of
// the method. Of the addresses of a name the lowest that can be reached counts:
// servers tell them in turns. An *unreachableError says that none can.
func (c *chooser) askWay(ctx context.Context, family int, lookup lookup) error {
	destination := c.method.Destination
	none := &unreachableError{destination: destination}
	targets, named, err := resolve(ctx, family, destination, lookup)
	if err != nil {
		none.tried = append(none.tried, err.Error())
		return none
	}
	for _, target := range targets {
		source, err := sourceOf(target)
		var errno unix.Errno
		if errors.As(err, &errno) { // what the kernel says of the way there
			none.tried = append(none.tried, fmt.Sprintf("%s: %v", target, errno))
			continue
		}
		if err != nil {
			return err
		}
		c.source, c.target, c.towards = source, target, destination
		if named {
			c.towards = fmt.Sprintf("%s (%s)", destination, target)
		}
		return nil
	}
	return none
}

// resolve returns the addresses of a destination in their order, and whether it
// is a name.
func resolve(ctx context.Context, family int, destination string, lookup lookup) (all []netip.Addr, named bool, err error) {
	if a, err := netip.ParseAddr(destination); err == nil {
		return []netip.Addr{a}, false, nil
	}
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	network := "ip4"
	if family == netlink.FAMILY_V6 {
		network = "ip6"
	}
	found, err := lookup(ctx, network, destination)
	if err != nil {
		return nil, true, err
	}
	for _, a := range found {
		all = append(all, a.Unmap())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all, true, nil
}

// anyPort is a port to which nothing is sent.
const anyPort = 80

// preferPublic is IPV6_PREFER_SRC_PUBLIC of linux/in6.h.
const preferPublic = 2

// sourceOf asks the kernel from which address it would send to a. Connecting a
// datagram socket looks up the way, and sends nothing.
func sourceOf(a netip.Addr) (netip.Addr, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: anyPort, Addr: a.As16()})
	if a.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: anyPort, Addr: a.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 { // RFC 5014: a temporary address would be preferred
		err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_ADDR_PREFERENCES, preferPublic)
		if err != nil {
			return netip.Addr{}, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Connect(fd, to); err != nil {
		return netip.Addr{}, os.NewSyscallError("connect", err)
	}
	from, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, os.NewSyscallError("getsockname", err)
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(from.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(from.Addr), nil
	}
	return netip.Addr{}, fmt.Errorf("the source towards %s is of an unknown family", a)
}
