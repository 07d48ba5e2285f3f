package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Port is one end of a link: an interface that Link or Switch makes in a host.
type Port struct {
	Host  *Host
	Name  string   // of the interface, at most 15 bytes
	Addrs []string // "10.1.0.1/24", "fd00::1/64"
	MAC   string   // the kernel's choice if empty
	MTU   int      // the kernel's choice if zero
}

// Port names an interface to be made in h.
func (h *Host) Port(name string, addrs ...string) Port {
	return Port{Host: h, Name: name, Addrs: addrs}
}

// Link connects two hosts by a pair of virtual Ethernet interfaces, both up.
func (l *Lab) Link(a, b Port) {
	l.t.Helper()
	if err := connect(a, b); err != nil {
		l.t.Fatalf("lab %s: link %s.%s to %s.%s: %v", l.id, a.Host.name, a.Name, b.Host.name, b.Name, err)
	}
}

func connect(a, b Port) error {
	macA, err := parseMAC(a.MAC)
	if err != nil {
		return err
	}
	macB, err := parseMAC(b.MAC)
	if err != nil {
		return err
	}
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: a.Name, HardwareAddr: macA, MTU: a.MTU, TxQLen: -1})
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = b.Name, macB, uint32(b.MTU)
	veth.PeerNamespace = netlink.NsFd(b.Host.ns)
	if err := a.Host.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	for _, p := range []Port{a, b} {
		if err := p.configure(); err != nil {
			return err
		}
	}
	return nil
}

func parseMAC(s string) (net.HardwareAddr, error) {
	if s == "" {
		return nil, nil
	}
	return net.ParseMAC(s)
}

func (p Port) configure() error {
	link, err := p.Host.nl.LinkByName(p.Name)
	if err != nil {
		return err
	}
	if err := p.Host.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", p.Name, err)
	}
	for _, a := range p.Addrs {
		if err := p.Host.addAddr(link, a); err != nil {
			return err
		}
	}
	return nil
}

// addAddr adds an address that is usable at once: IPv6 without duplicate
// address detection.
func (h *Host) addAddr(link netlink.Link, cidr string) error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s to %s: %w", cidr, link.Attrs().Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// AddAddr adds an address to an interface of the host, for example a loopback
// address to "lo".
func (h *Host) AddAddr(ifName, cidr string) {
	h.lab.t.Helper()
	link, err := h.nl.LinkByName(ifName)
	if err == nil {
		err = h.addAddr(link, cidr)
	}
	if err != nil {
		h.lab.t.Fatalf("host %s: interface %s: %v", h.name, ifName, err)
	}
}

// AddRoute adds a static route; dst "default" or a prefix, via an address.
func (h *Host) AddRoute(dst, via string) {
	h.lab.t.Helper()
	gw, err := netip.ParseAddr(via)
	if err != nil {
		h.lab.t.Fatalf("host %s: route to %s: %v", h.name, dst, err)
	}
	route := &netlink.Route{Gw: gw.AsSlice(), Protocol: unix.RTPROT_STATIC}
	if dst != "default" {
		p, err := netip.ParsePrefix(dst)
		if err != nil {
			h.lab.t.Fatalf("host %s: route to %s: %v", h.name, dst, err)
		}
		route.Dst = ipNet(p)
	}
	if err := h.nl.RouteAdd(route); err != nil {
		h.lab.t.Fatalf("host %s: route to %s via %s: %v", h.name, dst, via, err)
	}
}

// SetLink sets an interface up or down. Setting one end of a link down takes
// the carrier from the other.
func (h *Host) SetLink(ifName string, up bool) {
	h.lab.t.Helper()
	set := h.nl.LinkSetDown
	if up {
		set = h.nl.LinkSetUp
	}
	link, err := h.nl.LinkByName(ifName)
	if err == nil {
		err = set(link)
	}
	if err != nil {
		h.lab.t.Fatalf("host %s: set %s up=%t: %v", h.name, ifName, up, err)
	}
}

// DeleteLink removes an interface and with it the other end of its link. An
// interface that is already gone is no error.
func (h *Host) DeleteLink(ifName string) {
	h.lab.t.Helper()
	link, err := h.nl.LinkByName(ifName)
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) {
		return
	}
	if err == nil {
		err = h.nl.LinkDel(link)
	}
	if err != nil && !errors.Is(err, syscall.ENODEV) {
		h.lab.t.Fatalf("host %s: delete %s: %v", h.name, ifName, err)
	}
}

// Switch is an Ethernet segment with any number of hosts on it: a bridge in a
// namespace of its own, without spanning tree, so that it forwards at once.
type Switch struct {
	*Host
	ports int
}

// switchBridge is the name of the bridge inside a switch's namespace.
const switchBridge = "br0"

// Switch makes a segment and connects ports to it.
func (l *Lab) Switch(name string, ports ...Port) *Switch {
	l.t.Helper()
	s := &Switch{Host: l.Host(name)}
	snooping := false // would drop neighbour discovery until the first query
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: switchBridge, TxQLen: -1},
		MulticastSnooping: &snooping,
	}
	err := s.nl.LinkAdd(bridge)
	if err == nil {
		err = s.nl.LinkSetUp(bridge)
	}
	if err != nil {
		l.t.Fatalf("lab %s: make switch %s: %v", l.id, name, err)
	}
	for _, p := range ports {
		s.Connect(p)
	}
	return s
}

// Connect attaches one more port and returns the name of the switch's end of
// the link, to cut it by SetLink.
func (s *Switch) Connect(p Port) (ifName string) {
	s.lab.t.Helper()
	s.ports++
	ifName = fmt.Sprintf("p%d", s.ports)
	s.lab.Link(Port{Host: s.Host, Name: ifName, MTU: p.MTU}, p)
	bridge, err := s.nl.LinkByName(switchBridge)
	if err != nil {
		s.lab.t.Fatalf("switch %s: %v", s.name, err)
	}
	end, err := s.nl.LinkByName(ifName)
	if err == nil {
		err = s.nl.LinkSetMaster(end, bridge)
	}
	if err != nil {
		s.lab.t.Fatalf("switch %s: attach %s: %v", s.name, ifName, err)
	}
	return ifName
}
