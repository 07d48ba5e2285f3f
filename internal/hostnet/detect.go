package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Candidate is an address that was considered as the node's own.
type Candidate struct {
	Interface string
	Prefix    netip.Prefix // the address with the prefix length of its network
	Chosen    bool
	Reason    string // why it was chosen, or why not
}

// Detection is the node's addresses, and how they were found. A family without
// a usable address has the zero prefix, and a Reason.
type Detection struct {
	IPv4, IPv6 Found
}

// Found is what was found for one family.
type Found struct {
	Prefix     netip.Prefix
	Reason     string
	Candidates []Candidate // in the order of the kernel
}

// Detect finds the addresses of the node where the configuration gives none:
// per family, an address of the interface of the default route. Default routes
// with a protocol in own are overlooked: they were learned by a former run, and
// the answer must not depend on whether there was one.
func (h *Host) Detect(own ...uint8) (Detection, error) {
	v4, err4 := h.detect(netlink.FAMILY_V4, own)
	v6, err6 := h.detect(netlink.FAMILY_V6, own)
	return Detection{IPv4: v4, IPv6: v6}, errors.Join(err4, err6)
}

func (h *Host) detect(family int, own []uint8) (Found, error) {
	route, err := h.defaultRoute(family, own)
	if err != nil || route == nil {
		return Found{Reason: "there is no default route"}, err
	}
	link, err := h.nl.LinkByIndex(routeLink(route))
	if vanished(err) {
		return Found{Reason: "the interface of the default route has gone"}, nil
	}
	if err != nil {
		return Found{}, fmt.Errorf("find interface of the default route: %w", err)
	}
	addrs, err := h.nl.AddrList(link, family)
	if err != nil {
		return Found{}, fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	var preferred netip.Addr
	if a, ok := netip.AddrFromSlice(route.Src); ok {
		preferred = a.Unmap()
	}
	return choose(link.Attrs().Name, addrs, preferred), nil
}

// defaultRoute is the unicast default route of the main table with the lowest
// metric, or nil. Routes are read one by one: there may be a million.
func (h *Host) defaultRoute(family int, own []uint8) (*netlink.Route, error) {
	var best *netlink.Route
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	err := h.nl.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if !isDefault(&r) || r.Type != unix.RTN_UNICAST || slices.Contains(own, uint8(r.Protocol)) || routeLink(&r) == 0 {
			return true
		}
		if best == nil || r.Priority < best.Priority {
			best = &r
		}
		return true
	})
	if err != nil && !vanished(err) && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return best, nil
}

func isDefault(r *netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	bits, _ := r.Dst.Mask.Size()
	return bits == 0 && r.Dst.IP.IsUnspecified()
}

// routeLink is the interface of a route, the first of several.
func routeLink(r *netlink.Route) int {
	if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

// choose picks one of the addresses of an interface: the source that the
// default route prefers; else the first with a real network, because a lone
// /32 or /128 is often a floating address that moves; else the first.
func choose(ifName string, addrs []netlink.Addr, preferred netip.Addr) Found {
	var f Found
	best, bestRank := -1, 0
	for _, a := range addrs {
		prefix, ok := addrPrefix(a)
		if !ok {
			continue
		}
		c := Candidate{Interface: ifName, Prefix: prefix, Reason: unusable(prefix.Addr(), a)}
		if c.Reason == "" {
			c.Reason = "another comes first"
			if rank := rankOf(prefix, preferred); best < 0 || rank < bestRank {
				best, bestRank = len(f.Candidates), rank
			}
		}
		f.Candidates = append(f.Candidates, c)
	}
	if best < 0 {
		f.Reason = fmt.Sprintf("interface %s of the default route has no usable address", ifName)
		return f
	}
	c := &f.Candidates[best]
	c.Chosen = true
	c.Reason = [...]string{
		"preferred source of the default route",
		"first address of the default route's interface",
		"first address of the default route's interface, which has none with a network",
	}[bestRank]
	f.Prefix, f.Reason = c.Prefix, c.Reason
	return f
}

// rankOf orders usable addresses; it indexes the reasons in choose.
func rankOf(p netip.Prefix, preferred netip.Addr) int {
	switch {
	case p.Addr() == preferred:
		return 0
	case !p.IsSingleIP():
		return 1
	}
	return 2
}

// unusable says why a node cannot be known by an address; empty if it can.
func unusable(a netip.Addr, kernel netlink.Addr) string {
	has := func(flag int) bool { return kernel.Flags&flag != 0 }
	switch {
	case !a.IsGlobalUnicast():
		return "not a global unicast address"
	case kernel.Scope != unix.RT_SCOPE_UNIVERSE:
		return "its scope is not global"
	// The flags of a secondary IPv4 and of a temporary IPv6 address are one.
	case a.Is4() && has(unix.IFA_F_SECONDARY):
		return "secondary"
	case has(unix.IFA_F_TEMPORARY):
		return "temporary (RFC 8981)"
	case has(unix.IFA_F_DEPRECATED):
		return "deprecated"
	case has(unix.IFA_F_DADFAILED):
		return "duplicate of an address on the link"
	case has(unix.IFA_F_TENTATIVE):
		return "tentative: not yet known to be unique"
	}
	return ""
}

func addrPrefix(a netlink.Addr) (netip.Prefix, bool) {
	if a.IPNet == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}
