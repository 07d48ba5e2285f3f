package policytest

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// hostName is the node under test. The interfaces of its workloads are cali1 to
// cali4; cali9 is named like one of them and belongs to no endpoint.
const hostName = "h1"

// place is what lies behind an interface of the host; empty: the host itself.
type place struct {
	prefix netip.Prefix
	behind string
}

// places is the routing table of the host, the longest prefixes first, and
// always in the same order.
func places() []place {
	var list []place
	for behind, prefixes := range map[string]string{
		"":      "192.0.2.1/32 198.51.100.1/32 169.254.169.254/32 2001:db8:a::1/128 2001:db8:b::1/128",
		"cali1": "10.65.0.1/32 fd00:65::1/128",
		"cali2": "10.65.0.2/32 fd00:65::2/128",
		"cali3": "10.65.0.3/32 fd00:65::3/128",
		"cali4": "10.65.0.4/32 fd00:65::4/128",
		"cali9": "10.65.0.9/32 fd00:65::9/128",
		"eth0":  "192.0.2.0/24 203.0.113.0/24 10.65.1.0/24 2001:db8:a::/64 2001:db8:113::/48 fd00:65:1::/64",
		"eth1":  "0.0.0.0/0 ::/0",
	} {
		for _, text := range strings.Fields(prefixes) {
			list = append(list, place{netip.MustParsePrefix(text), behind})
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(b.prefix.Bits()-a.prefix.Bits(), a.prefix.Compare(b.prefix))
	})
	return list
}

// behind returns the interface of the host that an address is reached by.
func behind(a netip.Addr) string {
	for _, p := range places() {
		if p.prefix.Contains(a) {
			return p.behind
		}
	}
	return ""
}

// uplinks are the addresses of the host's own interfaces.
func uplinks() map[string][]netip.Addr {
	return map[string][]netip.Addr{
		"eth0": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:a::1")},
		"eth1": {netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:b::1")},
	}
}

// flight is a packet of a probe: in one family, over each host on its way.
type flight struct {
	probe    Probe
	journeys []Journey // of the host under test first, if it is on the way
}

// journey is what happens at the host under test; nil if it is not on the way.
func (f flight) journey() *Journey {
	if f.journeys[0].Node != hostName {
		return nil
	}
	return &f.journeys[0]
}

// flights returns the packets of a probe among these objects.
func flights(objects []resource.Object, p Probe) ([]flight, error) {
	from, err := find(objects, p.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	to, err := find(objects, p.To)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	var list []flight
	for _, src := range from.addrs {
		for _, dst := range to.addrs {
			if src.Is4() == dst.Is4() && p.fits(src) {
				list = append(list, p.flight(src, dst, from, to))
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no family fits", p)
	}
	return list, nil
}

// fits tells whether a probe can be of the family of a.
func (p Probe) fits(a netip.Addr) bool {
	switch {
	case p.Protocol == policy.ProtocolICMP && !a.Is4(), p.Protocol == policy.ProtocolICMPv6 && a.Is4():
		return false
	}
	return p.IPVersion == 0 || (p.IPVersion == 4) == a.Is4()
}

// end is one end of a probe.
type end struct {
	addrs []netip.Addr
	// workload is set for one that is not on the host under test.
	workload *resource.WorkloadEndpoint
}

// find returns the end that text names.
func find(objects []resource.Object, text string) (end, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return end{addrs: []netip.Addr{a}}, nil
	}
	if at, ok := strings.CutPrefix(text, "host:"+hostName+"/"); ok {
		if addrs := uplinks()[at]; addrs != nil {
			return end{addrs: addrs}, nil
		}
	}
	namespace, name, _ := strings.Cut(text, "/")
	for _, o := range objects {
		w, ok := o.(*resource.WorkloadEndpoint)
		if !ok || w.Namespace != namespace || w.Endpoint.Workload != name {
			continue
		}
		if w.Node == hostName {
			return end{addrs: w.Addresses}, nil
		}
		return end{addrs: w.Addresses, workload: w}, nil
	}
	return end{}, fmt.Errorf("%q is no workload, no interface of the host, no address", text)
}

// flight is the packet of a probe from one address to another.
func (p Probe) flight(src, dst netip.Addr, from, to end) flight {
	packet := policy.Packet{
		Source: src, Destination: dst, Protocol: uint8(p.Protocol), SourcePort: p.SourcePort, DestinationPort: p.Port,
	}
	switch {
	case p.ICMPType != nil:
		packet.ICMPType = *p.ICMPType
	case p.Protocol == policy.ProtocolICMP:
		packet.ICMPType = 8
	case p.Protocol == policy.ProtocolICMPv6:
		packet.ICMPType = 128
	}
	if p.ICMPCode != nil {
		packet.ICMPCode = *p.ICMPCode
	}
	if packet.SourcePort == 0 && hasPorts(packet.Protocol) {
		packet.SourcePort = p.anyPort()
	}
	j := Journey{Node: hostName, In: behind(src), Out: behind(dst), Packet: packet}
	if p.Interface != "" {
		j.In = p.Interface
	}
	if p.PreDNATPort != 0 {
		j.PreDNAT = netip.AddrPortFrom(nodePortAddr(dst), p.PreDNATPort)
	}
	f := flight{probe: p}
	if j.In != j.Out {
		f.journeys = append(f.journeys, j)
	}
	if w := from.workload; w != nil {
		f.journeys = append(f.journeys, Journey{Node: w.Node, In: w.Interface, Out: "eth0", Packet: packet})
	}
	if w := to.workload; w != nil {
		f.journeys = append(f.journeys, Journey{Node: w.Node, In: "eth0", Out: w.Interface, Packet: packet})
	}
	return f
}

// hasPorts tells whether packets of a protocol have ports that rules know.
func hasPorts(protocol uint8) bool {
	return protocol == policy.ProtocolTCP || protocol == policy.ProtocolUDP || protocol == policy.ProtocolSCTP
}

// anyPort is a source port that no other probe of the case is likely to have:
// each is a connection of its own.
func (p Probe) anyPort() uint16 {
	h := fnv.New32a()
	h.Write([]byte(p.String()))
	return uint16(32768 + h.Sum32()%28000)
}
