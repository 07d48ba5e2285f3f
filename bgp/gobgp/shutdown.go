package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	api "github.com/osrg/gobgp/v3/api"
	"golang.org/x/sys/unix"
)

// connection is both ends of a TCP connection.
type connection struct{ local, peer netip.AddrPort }

// shutdownSockets shuts down the TCP connection of each established session, so
// that the peer sees it end without a NOTIFICATION. GoBGP hands its sockets to
// nobody; they are found among the descriptors of this process by both ends.
func (s *Speaker) shutdownSockets() error {
	wanted := make(map[connection]bool)
	s.mu.Lock()
	for _, e := range s.sessions {
		if e.connection != (connection{}) { // else every socket without addresses were meant
			wanted[e.connection] = true
		}
	}
	s.mu.Unlock()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			errs = append(errs, shutdownIf(fd, wanted))
		}
	}
	return errors.Join(errs...)
}

// shutdownIf shuts fd down if it is one of the wanted connections. It works on
// a duplicate, since fd may be closed and stand for something else meanwhile.
func shutdownIf(fd int, wanted map[connection]bool) error {
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil // closed since it was listed
	}
	defer unix.Close(fd)
	local, err1 := unix.Getsockname(fd)
	peer, err2 := unix.Getpeername(fd)
	if err1 != nil || err2 != nil {
		return nil // not a connected socket
	}
	c := connection{addrPort(local), addrPort(peer)}
	if !wanted[c] {
		return nil
	}
	if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil && !errors.Is(err, unix.ENOTCONN) {
		return fmt.Errorf("shut down connection to %s: %w", c.peer, err)
	}
	return nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

func connectionOf(peer netip.Addr, t *api.Transport) connection {
	local, err := netip.ParseAddr(t.GetLocalAddress())
	if err != nil {
		return connection{}
	}
	return connection{
		local: netip.AddrPortFrom(local.Unmap(), uint16(t.LocalPort)),
		peer:  netip.AddrPortFrom(peer, uint16(t.RemotePort)),
	}
}
