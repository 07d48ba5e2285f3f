package resource

import (
	"encoding/binary"
	"net/netip"
	"slices"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// node checks a Node. Its lists of addresses and interfaces inform, and must
// only be well formed.
func (p *problems) node(meta Meta, spec *vrouterv1.NodeSpec) *Node {
	n := &Node{Meta: meta}
	if bgp := spec.GetBgp(); bgp != nil {
		if bgp.AsNumber != nil {
			as, err := parseAS(bgp.AsNumber)
			p.err("spec.bgp.asNumber", err)
			n.ASNumber = as
		}
		n.IPv4 = p.nodeAddress("spec.bgp.ipv4Address", bgp.Ipv4Address, true)
		n.IPv6 = p.nodeAddress("spec.bgp.ipv6Address", bgp.Ipv6Address, false)
		n.RouteReflectorClusterID = p.clusterID(bgp.RouteReflectorClusterId)
		p.unsupported(bgp.GetIpv4IpipTunnelAddr() != "", "spec.bgp.ipv4IPIPTunnelAddr", "")
	}
	for _, prefix := range []netip.Prefix{n.IPv4, n.IPv6} {
		if prefix.IsValid() {
			n.Addresses = append(n.Addresses, prefix.Addr())
		}
	}
	n.Drain = p.drain(spec.GetDrain())
	p.unsupported(spec.GetWireguard() != nil, "spec.wireguard", "")
	p.unsupported(spec.GetIpv4VxlanTunnelAddr() != "", "spec.ipv4VXLANTunnelAddr", "")
	p.unsupported(spec.GetIpv6VxlanTunnelAddr() != "", "spec.ipv6VXLANTunnelAddr", "")
	p.unsupported(spec.GetVxlanTunnelMacAddr() != "", "spec.vxlanTunnelMACAddr", "")
	p.unsupported(spec.GetVxlanTunnelMacAddrV6() != "", "spec.vxlanTunnelMACAddrV6", "")
	for i, a := range spec.GetAddresses() {
		at := index("spec.addresses", i)
		prefix, err := parsePrefix(a.GetAddress())
		p.err(join(at, "address"), err)
		if err == nil && !slices.Contains(n.Addresses, prefix.Addr()) {
			n.Addresses = append(n.Addresses, prefix.Addr())
		}
		switch a.GetType() {
		case "", "CalicoNodeIP", "InternalIP", "ExternalIP":
		default:
			p.addf(join(at, "type"), "%q is none of CalicoNodeIP, InternalIP, ExternalIP", a.GetType())
		}
	}
	for i, raw := range spec.GetInterfaces() {
		n.Interfaces = append(n.Interfaces, p.nodeInterface(index("spec.interfaces", i), raw))
	}
	return n
}

func (p *problems) nodeInterface(path string, raw *vrouterv1.NodeInterface) NodeInterface {
	link := NodeInterface{Name: raw.GetName()}
	p.err(join(path, "name"), checkInterfaceName(link.Name))
	for i, a := range raw.GetAddresses() {
		prefix, err := parsePrefix(a)
		p.err(index(join(path, "addresses"), i), err)
		if err == nil && !slices.Contains(link.Addresses, prefix.Addr()) {
			link.Addresses = append(link.Addresses, prefix.Addr())
		}
	}
	return link
}

// nodeAddress checks an address of a node, where there is one.
func (p *problems) nodeAddress(path string, text *string, v4 bool) netip.Prefix {
	if text == nil || *text == "" {
		return netip.Prefix{}
	}
	prefix, err := ParseNodeAddress(*text, v4)
	p.err(path, err)
	return prefix
}

// broadcast returns the last address of an IPv4 subnet.
func broadcast(prefix netip.Prefix) netip.Addr {
	a := prefix.Addr().As4()
	hostBits := uint32(1)<<(32-prefix.Bits()) - 1
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|hostBits)
	return netip.AddrFrom4(a)
}

func (p *problems) clusterID(text *string) netip.Addr {
	if text == nil || *text == "" {
		return netip.Addr{}
	}
	id, err := ParseClusterID(*text)
	p.err("spec.bgp.routeReflectorClusterID", err)
	return id
}
