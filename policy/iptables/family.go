package iptables

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// A family is IPv4 or IPv6, each with tables of its own.
type family struct {
	digit      byte
	index      int // among families()
	bits       int
	nfproto    uint8
	icmp       uint8  // number of its ICMP
	icmpMatch  string // -m and its option
	prohibited string // what REJECT answers with
}

var (
	ipv4 = &family{'4', 0, 32, unix.NFPROTO_IPV4, unix.IPPROTO_ICMP, "-m icmp %s--icmp-type %s", "icmp-admin-prohibited"}
	ipv6 = &family{'6', 1, 128, unix.NFPROTO_IPV6, unix.IPPROTO_ICMPV6, "-m icmp6 %s--icmpv6-type %s", "icmp6-adm-prohibited"}
)

func families() []*family { return []*family{ipv4, ipv6} }

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// String names the family for people.
func (f *family) String() string { return "IPv" + string(f.digit) }

// netsOf returns the networks of one family.
func netsOf(nets []netip.Prefix, f *family) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range nets {
		if familyOf(p.Addr()) == f {
			out = append(out, p)
		}
	}
	return out
}
