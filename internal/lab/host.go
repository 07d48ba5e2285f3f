package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace with its own addresses, routes and sysctls, and
// no way out but the links the lab gives it.
type Host struct {
	lab  *Lab
	name string
	ns   netns.NsHandle
	nl   *netlink.Handle
}

// Host makes a host with its loopback up. It starts as a fresh machine does:
// it does not forward, and no reverse-path filter is on. IPv6 addresses are
// usable at once (no duplicate address detection), so that nothing waits for it.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	h := &Host{lab: l, name: name, ns: netns.None()}
	if err := h.create(); err != nil {
		l.t.Fatalf("lab %s: make host %s: %v", l.id, name, err)
	}
	l.hosts = append(l.hosts, h)
	return h
}

func (h *Host) create() error {
	ns, err := createNamespace(h.Namespace())
	if err != nil {
		return err
	}
	h.ns = ns
	if h.nl, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	// A new namespace copies its IPv4 settings from the machine's own.
	for key, value := range map[string]string{
		"net/ipv4/conf/all/forwarding":        "0",
		"net/ipv4/conf/default/forwarding":    "0",
		"net/ipv4/conf/all/rp_filter":         "0",
		"net/ipv4/conf/default/rp_filter":     "0",
		"net/ipv6/conf/all/accept_dad":        "0",
		"net/ipv6/conf/default/accept_dad":    "0",
		"net/ipv6/conf/default/dad_transmits": "0",
	} {
		if err := h.writeSysctl(key, value); err != nil {
			return err
		}
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	return h.nl.LinkSetUp(lo)
}

func (h *Host) close() {
	if h.nl != nil {
		h.nl.Close()
		h.nl = nil
	}
	if h.ns.IsOpen() {
		_ = h.ns.Close()
	}
}

// Name is the host's name within its lab.
func (h *Host) Name() string { return h.name }

// Lab is the lab the host belongs to.
func (h *Host) Lab() *Lab { return h.lab }

// Namespace is the name of the host's network namespace, for `ip netns exec`.
func (h *Host) Namespace() string { return h.lab.id + "-" + h.name }

// NetNS is the host's network namespace. It stays the lab's; do not close it.
func (h *Host) NetNS() netns.NsHandle { return h.ns }

// Netlink acts on the host's links, addresses and routes. It stays the lab's.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Dir is a directory of the host's own below that of the lab.
func (h *Host) Dir() string {
	h.lab.t.Helper()
	dir := filepath.Join(h.lab.dir, h.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.lab.t.Fatalf("host %s: %v", h.name, err)
	}
	return dir
}

// Do runs f inside the host on a locked thread. Goroutines that f starts are
// outside; sockets that f opens stay inside for good. In f, read
// /proc/thread-self/net: /proc/net shows the namespace of the main thread.
func (h *Host) Do(f func() error) error {
	return onThread(h.ns, f)
}

// DialContext connects from inside the host; address must be a literal, since
// the resolver works in threads of its own. It fits grpc.WithContextDialer.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens inside the host.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// SetSysctl writes a sysctl, such as "net.ipv4.ip_forward" or, for interfaces
// with a dot in their name, "net/ipv4/conf/eth0.1/rp_filter".
func (h *Host) SetSysctl(key, value string) {
	h.lab.t.Helper()
	if err := h.writeSysctl(key, value); err != nil {
		h.lab.t.Fatalf("host %s: %v", h.name, err)
	}
}

// Sysctl reads a sysctl.
func (h *Host) Sysctl(key string) string {
	h.lab.t.Helper()
	var data []byte
	err := h.Do(func() (err error) {
		data, err = os.ReadFile(sysctlPath(key))
		return err
	})
	if err != nil {
		h.lab.t.Fatalf("host %s: %v", h.name, err)
	}
	return strings.TrimSpace(string(data))
}

func (h *Host) writeSysctl(key, value string) error {
	return h.Do(func() error {
		if err := os.WriteFile(sysctlPath(key), []byte(value), 0); err != nil {
			return fmt.Errorf("set sysctl: %w", err)
		}
		return nil
	})
}

// sysctlPath follows sysctl(8): the first separator decides.
func sysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return filepath.Join("/proc/sys", key)
}

// Forward makes the host a router: it forwards both families and spreads
// equal-cost paths by ports, as the switches of a data centre do.
func (h *Host) Forward() {
	h.lab.t.Helper()
	h.SetSysctl("net.ipv4.ip_forward", "1")
	h.SetSysctl("net.ipv6.conf.all.forwarding", "1")
	h.SetSysctl("net.ipv4.fib_multipath_hash_policy", "1")
	h.SetSysctl("net.ipv6.fib_multipath_hash_policy", "1")
}

// Delete ends the host before its lab does: its namespace goes, and with it
// its links and their other ends. Processes in it are the caller's to stop.
func (h *Host) Delete() {
	h.lab.t.Helper()
	h.close()
	if err := deleteNamespace(h.Namespace()); err != nil {
		h.lab.t.Fatalf("delete host %s: %v", h.name, err)
	}
}
