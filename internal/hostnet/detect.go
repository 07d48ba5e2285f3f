package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Method is how the node's own address of a family is found. The zero value
// finds none.
type Method struct {
	Kind        MethodKind
	Destination string           // of CanReach: an IP address, or a name
	Interfaces  []*regexp.Regexp // of OnInterface and SkipInterface; any part of a name may match
	CIDRs       []netip.Prefix   // of InCIDR
}

// MethodKind is the name of a method; those of Calico mean the same here.
type MethodKind string

// The methods. All look at usable addresses alone: global unicast, of a link
// that is up, not secondary, temporary, deprecated, tentative or a duplicate.
const (
	// FirstFound takes an address of the interface of the default route, else
	// the first of the interface with the lowest index, which does not give way
	// to what is plugged in later. Interfaces of workloads, bridges and tunnels
	// are left out, and so is lo.
	FirstFound MethodKind = "first-found"
	// CanReach takes the source address that the kernel uses towards a
	// destination.
	CanReach MethodKind = "can-reach"
	// OnInterface takes the first address of the interfaces that the first
	// expression matches, then the second, and so on. It leaves out none.
	OnInterface MethodKind = "interface"
	// SkipInterface is FirstFound that leaves out more.
	SkipInterface MethodKind = "skip-interface"
	// InCIDR takes the first address inside the first CIDR, then the second, and
	// so on. An address of its own on lo is often one that several hosts have:
	// it is passed over unless the CIDR is that address.
	InCIDR MethodKind = "cidr"
)

// resolveTime is how long a name's addresses are waited for, at most: a start
// without a resolver must not hang.
const resolveTime = 5 * time.Second

// DetectOptions says how addresses are looked for.
type DetectOptions struct {
	IPv4, IPv6 Method
	// Own are route protocols of ours. Default routes that have one are
	// overlooked: they were learned by a former run, and the answer must not
	// depend on whether there was one.
	Own []uint8
	// Workload tells by the name which interfaces are of workloads; nil: none.
	Workload func(name string) bool
	// Check says what forbids to know a node by an address; nil: nothing does.
	Check func(netip.Prefix) error
	// Lookup resolves a name; nil: the system's resolver does.
	Lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)
}

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
	Interface  string
	Reason     string
	Candidates []Candidate // by index of the interface, then in the order of the kernel
	// Settling: an address that would be chosen is not yet known to be unique
	// (RFC 4862 §5.4). In a second or two it is.
	Settling bool
}

// Detect finds the addresses of the node. That there is none is no error.
func (h *Host) Detect(ctx context.Context, opts DetectOptions) (Detection, error) {
	v4, err4 := h.detect(ctx, netlink.FAMILY_V4, opts.IPv4, &opts)
	v6, err6 := h.detect(ctx, netlink.FAMILY_V6, opts.IPv6, &opts)
	return Detection{IPv4: v4, IPv6: v6}, errors.Join(err4, err6)
}

func (h *Host) detect(ctx context.Context, family int, m Method, opts *DetectOptions) (Found, error) {
	if m.Kind == "" {
		return Found{Reason: "none is looked for"}, nil
	}
	c := chooser{method: m, workload: opts.Workload, check: opts.Check}
	var err error
	switch m.Kind {
	case FirstFound, SkipInterface:
		c.way, err = h.defaultRoute(family, opts.Own)
	case CanReach:
		err = c.askWay(ctx, family, opts.Lookup)
		var none *unreachableError
		if errors.As(err, &none) {
			return Found{Reason: none.Error()}, nil
		}
	}
	if err != nil {
		return Found{}, err
	}
	all, err := h.addresses(family)
	if err != nil {
		return Found{}, err
	}
	return c.choose(all), nil
}

// hostAddress is an address of the host, and the link that has it.
type hostAddress struct {
	netlink.Addr
	prefix   netip.Prefix
	link     string
	up       bool
	loopback bool
}

// addresses returns all addresses of a family, by index of their links.
func (h *Host) addresses(family int) ([]hostAddress, error) {
	links, err := h.listLinks()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	byIndex := make(map[int]*netlink.LinkAttrs, len(links))
	for _, l := range links {
		byIndex[l.Attrs().Index] = l.Attrs()
	}
	kernel, err := h.listAddrs(nil, family)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var all []hostAddress
	for _, a := range kernel {
		prefix, ok := addrPrefix(a)
		link := byIndex[a.LinkIndex]
		if !ok || link == nil { // which has gone meanwhile
			continue
		}
		all = append(all, hostAddress{Addr: a, prefix: prefix, link: link.Name,
			up: link.RawFlags&unix.IFF_UP != 0, loopback: link.RawFlags&unix.IFF_LOOPBACK != 0})
	}
	slices.SortStableFunc(all, func(a, b hostAddress) int { return a.LinkIndex - b.LinkIndex })
	return all, nil
}

// wayOut is the default route.
type wayOut struct {
	links  []int      // the interfaces of its next hops, in order
	source netip.Addr // that it prefers, if it does
}

// defaultRoute is the unicast default route of the main table with the lowest
// metric, or nil. Of several, as routers that advertise themselves on two links
// make them, the order in which they came says nothing: they count as one with
// all their next hops.
func (h *Host) defaultRoute(family int, own []uint8) (*wayOut, error) {
	var best []netlink.Route
	begin := func() { best = nil }
	err := h.eachRoute(family, unix.RT_TABLE_MAIN, begin, func(r *netlink.Route) {
		switch {
		case !isDefault(r) || r.Type != unix.RTN_UNICAST || slices.Contains(own, uint8(r.Protocol)) || len(routeLinks(r)) == 0:
		case len(best) > 0 && r.Priority > best[0].Priority:
		case len(best) > 0 && r.Priority == best[0].Priority:
			best = append(best, *r)
		default:
			best = []netlink.Route{*r}
		}
	})
	if err != nil && !vanished(err) && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	if len(best) == 0 {
		return nil, nil
	}
	way := &wayOut{}
	for i := range best {
		way.links = append(way.links, routeLinks(&best[i])...)
		a, ok := netip.AddrFromSlice(best[i].Src)
		if a = a.Unmap(); ok && (!way.source.IsValid() || a.Less(way.source)) {
			way.source = a
		}
	}
	slices.Sort(way.links)
	return way, nil
}

func isDefault(r *netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	bits, _ := r.Dst.Mask.Size()
	return bits == 0 && r.Dst.IP.IsUnspecified()
}

// routeLinks returns the interfaces of a route.
func routeLinks(r *netlink.Route) []int {
	var links []int
	if r.LinkIndex != 0 {
		links = append(links, r.LinkIndex)
	}
	for _, hop := range r.MultiPath {
		links = append(links, hop.LinkIndex)
	}
	return links
}

func addrPrefix(a netlink.Addr) (netip.Prefix, bool) {
	if a.IPNet == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}
