package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// hops returns the hosts that a packet passes, each with the alternatives of the
// interface between it and the others; or why nobody can say.
func (c *Cluster) hops(p Probe, from, to end, packet policy.Packet) (hops [][]hop, problem string, err error) {
	var before netip.AddrPort
	if p.PreDNATPort != 0 {
		a := c.addressOf(to.node, packet.Destination.Is4())
		if !a.IsValid() {
			return nil, fmt.Sprintf("no address of the host of %s is stored, at which the destination would be translated", to.name), nil
		}
		before = netip.AddrPortFrom(a, p.PreDNATPort)
	}
	if from.node != "" && from.node == to.node {
		h := hop{node: from.node, in: c.inside(from), out: c.inside(to), packet: packet, before: before}
		if h.in.isHost {
			h.before = netip.AddrPort{} // what the host itself sends meets no policy before translation
		}
		if h.in.isHost && h.out.isHost {
			return nil, "", nil // over lo, which has no policy
		}
		if p.Interface != "" {
			h.in, err = c.enter(from.node, p.Interface)
		}
		return [][]hop{{h}}, "", err
	}
	if from.node != "" {
		sent := packet
		if before.IsValid() {
			sent.Destination, sent.DestinationPort = before.Addr(), before.Port()
		}
		in := c.inside(from)
		if p.Interface != "" {
			if in, err = c.enter(from.node, p.Interface); err != nil {
				return nil, "", err
			}
		}
		hops = append(hops, alternatives(c.uplinks(from, to, ""), func(at place) hop {
			return hop{node: from.node, in: in, out: at, packet: sent}
		}))
		if to.node == "" {
			if packet.Destination.IsLinkLocalUnicast() && in.workload != nil {
				// As for metadata: the host answers itself, or sends it on.
				own := hop{node: from.node, in: in, out: place{isHost: true}, packet: sent}
				hops[0] = append(hops[0], own)
			}
			return hops, "", nil
		}
		if packet.Source, err = c.translated(from, packet); err != nil {
			return nil, "", err
		}
		if !packet.Source.IsValid() {
			return nil, fmt.Sprintf("natOutgoing translates the source to an address of host %s, and none is stored", from.node), nil
		}
	}
	arriving := func(at place) hop {
		return hop{node: to.node, in: at, out: c.inside(to), packet: packet, before: before}
	}
	given := ""
	if from.node == "" && p.Interface != "" {
		given = p.Interface
		at, err := c.enter(to.node, given)
		if err != nil || at.workload != nil || at.isNobodys {
			return append(hops, []hop{arriving(at)}), "", err
		}
	}
	return append(hops, alternatives(c.uplinks(to, from, given), arriving)), "", nil
}

// enter is an interface of a host that a packet is said to come by. One that is
// named as workloads' are and is no endpoint's is nobody's.
func (c *Cluster) enter(node, iface string) (place, error) {
	if w := c.interfaces[hostPlace{node, iface}]; w != nil {
		return place{workload: w}, nil
	}
	v, err := c.view(node)
	if err != nil {
		return place{}, err
	}
	isWorkloads := slices.ContainsFunc(v.state.Settings.WorkloadPrefixes, func(prefix string) bool { return strings.HasPrefix(iface, prefix) })
	return place{iface: iface, isNobodys: isWorkloads}, nil
}

// inside is an end as its host sees it.
func (c *Cluster) inside(e end) place {
	if e.workload != nil {
		return place{workload: e.workload}
	}
	return place{isHost: true, iface: e.iface}
}

// alternatives makes a hop for each interface of a host that a packet may pass.
func alternatives(interfaces []string, make func(place) hop) []hop {
	var list []hop
	for _, name := range interfaces {
		list = append(list, make(place{iface: name}))
	}
	return list
}

// uplinks returns the interfaces of a host, by name or address, that packets to
// or from another end may pass, as far as what is stored tells them: that which
// the end itself is; within the cluster that of the node's address; else any
// that has a host endpoint, or another.
func (c *Cluster) uplinks(at, other end, given string) []string {
	if given == "" {
		given = at.iface
		if at.workload != nil {
			given = ""
		}
	}
	if given == "" && other.kind != kindOutside {
		given = c.fabricInterface(at.node)
	}
	var named, byAddress []string
	holder := c.holder(at.node, given)
	for _, h := range c.hosts[at.node] {
		switch {
		case h.Interface == policy.AnyInterface:
		case h.Interface != "":
			named = append(named, h.Interface)
		case holder == nil || h.Name < holder.Name:
			// Its address may be of the given interface, where the first by
			// name counts.
			for _, a := range h.Expected {
				byAddress = append(byAddress, a.String())
			}
		}
	}
	if given != "" {
		if holder != nil && holder.Interface == "" {
			return []string{given}
		}
		return append([]string{given}, byAddress...)
	}
	all := slices.Concat(named, byAddress)
	slices.Sort(all)
	return append(slices.Compact(all), "")
}

// holder returns the host endpoint that has an interface by its name, or an
// address; nil: none does.
func (c *Cluster) holder(node, at string) *resource.HostEndpoint {
	var first *resource.HostEndpoint
	for _, h := range c.hosts[node] {
		isAt := h.Interface == at || h.Interface == "" && slices.ContainsFunc(h.Expected, func(a netip.Addr) bool { return a.String() == at })
		if at != "" && isAt && (first == nil || h.Name < first.Name) {
			first = h
		}
	}
	return first
}

// fabricInterface returns the interface with the node's own address; empty: no
// host endpoint is known by it.
func (c *Cluster) fabricInterface(node string) string {
	n := c.nodes[node]
	if n == nil {
		return ""
	}
	for _, h := range c.hosts[node] {
		for _, p := range []netip.Prefix{n.IPv4, n.IPv6} {
			if !p.IsValid() || !slices.Contains(h.Expected, p.Addr()) || h.Interface == policy.AnyInterface {
				continue
			}
			if h.Interface != "" {
				return h.Interface
			}
			return p.Addr().String()
		}
	}
	return ""
}

// addressOf returns the address of a node in a family; invalid: none is stored.
func (c *Cluster) addressOf(node string, isV4 bool) netip.Addr {
	n := c.nodes[node]
	switch {
	case n == nil:
		return netip.Addr{}
	case isV4:
		return n.IPv4.Addr()
	}
	return n.IPv6.Addr()
}

// translated returns the source of a packet after natOutgoing of its host.
// Invalid: it would be an address that is not stored.
func (c *Cluster) translated(from end, p policy.Packet) (netip.Addr, error) {
	v, err := c.view(from.node)
	if err != nil || from.workload == nil {
		return p.Source, err
	}
	w := &walk{Cluster: c, view: v}
	nat := v.state.Settings.NAT
	switch {
	case !w.contains(policy.MasqueradeSet, p.Source), w.contains(policy.PoolSet, p.Destination),
		nat.SpareNodes && w.contains(policy.NodeSet, p.Destination):
		return p.Source, nil
	case p.Source.Is4() && nat.Address.IsValid():
		return nat.Address, nil
	case p.Source.Is6() && nat.Address6.IsValid():
		return nat.Address6, nil
	}
	return c.addressOf(from.node, p.Source.Is4()), nil
}
