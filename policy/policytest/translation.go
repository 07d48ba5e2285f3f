package policytest

import (
	"fmt"
	"net/netip"
	"strings"
)

// translation is what the host under test does with ports base+80 and base+81
// of TCP and UDP at its address: it sends them on to an address, port 80 or 81.
type translation struct {
	base uint16
	to   netip.Addr
}

func translations() []translation {
	var list []translation
	for n, texts := range [][]string{{"10.65.0.2", "fd00:65::2"}, {"10.65.0.4", "fd00:65::4"}, {"10.65.1.1", "fd00:65:1::1"}} {
		for _, text := range texts {
			list = append(list, translation{uint16(30000 + 1000*n), netip.MustParseAddr(text)})
		}
	}
	return list
}

// nodePortAddr is the address of the host at which it translates destinations.
func nodePortAddr(like netip.Addr) netip.Addr {
	for _, a := range uplinks()["eth0"] {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// translate has the host forward ports of its own to workloads, as a proxy for
// services does, by rules in a table that is none of the dataplane's.
func (b *bed) translate() {
	var rules strings.Builder
	for _, family := range []string{"ip", "ip6"} {
		fmt.Fprintf(&rules, "table %s conformance {\n chain prerouting {\n  type nat hook prerouting priority dstnat;\n", family)
		for _, t := range translations() {
			if t.to.Is4() != (family == "ip") {
				continue
			}
			for _, port := range []uint16{80, 81} {
				for _, protocol := range []string{"tcp", "udp"} {
					fmt.Fprintf(&rules, "  %s daddr %s %s dport %d dnat to %s\n",
						family, nodePortAddr(t.to), protocol, t.base+port, netip.AddrPortFrom(t.to, port))
				}
			}
		}
		rules.WriteString(" }\n}\n")
	}
	b.host.MustRun("nft", "-f", b.lab.File("translate.nft", rules.String()))
}
