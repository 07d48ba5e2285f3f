package session

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp"
)

// classCS6 is DSCP CS6, network control, as the octet of the IP header (RFC
// 4594 §3.1).
const classCS6 = 48 << 2

func setTTL(fd int, v6 bool, ttl int) error {
	if v6 {
		return os.NewSyscallError("set hop limit", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl))
	}
	return os.NewSyscallError("set TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl))
}

// setMinTTL drops what comes with a lower TTL (RFC 5082); zero drops nothing.
func setMinTTL(fd int, v6 bool, ttl int) error {
	if v6 {
		return os.NewSyscallError("set least hop limit", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, ttl))
	}
	return os.NewSyscallError("set least TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, ttl))
}

func setTrafficClass(fd int, v6 bool) error {
	if v6 {
		return os.NewSyscallError("set traffic class", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, classCS6))
	}
	return os.NewSyscallError("set TOS", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, classCS6))
}

func setFDUserTimeout(fd int, d time.Duration) error {
	return os.NewSyscallError("set TCP user timeout",
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())))
}

func bindToDevice(fd int, device string) error {
	return os.NewSyscallError("bind to "+device, unix.BindToDevice(fd, device))
}

func reuseAddress(fd int) error {
	return os.NewSyscallError("reuse address", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
}

// bindWithoutPort lets the kernel choose the port when it knows the peer, too.
func bindWithoutPort(fd int) error {
	return os.NewSyscallError("bind address without port", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1))
}

// keyOf is the whole of an address as the peers that a key is for.
func keyOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// setKey sets the TCP MD5 key for peers in p; without a password it removes it.
func setKey(fd int, p netip.Prefix, w bgp.Password) error {
	// Prefixlen with its flag even for one address: the kernel then holds
	// both forms in one list, and finds the longest.
	sig := unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: uint8(p.Bits())}
	sig.Keylen = uint16(copy(sig.Key[:], w))
	putSockaddr(&sig.Addr, p.Masked().Addr())
	return os.NewSyscallError("set TCP MD5 key", unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, &sig))
}

// putSockaddr writes a with port 0 as struct sockaddr_in or sockaddr_in6.
func putSockaddr(s *unix.SockaddrStorage, a netip.Addr) {
	if a.Is4() {
		s.Family = unix.AF_INET
		v4 := a.As4()
		copy(s.Data[2:], v4[:]) // after the port
		return
	}
	s.Family = unix.AF_INET6
	v6 := a.As16()
	copy(s.Data[6:], v6[:]) // after port and flow label
}

// unread reports whether the kernel has octets that were not read yet.
func unread(sock net.Conn) bool {
	t, ok := sock.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = onFD(raw, func(fd int) error { // an error: closed, nothing to read
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n > 0
}
