package bgp

import "net/netip"

// martians are the prefixes to which no route leads, whoever tells one: those
// that RFC 6890 has neither forwarded nor reachable, and multicast (RFC 7454
// §6.1). The ranges of documentation and of benchmarks are none: they are routed
// in laboratories.
var martians = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/127"), // unspecified, loopback
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// reserved is routed by those alone who have it as a pool.
var reserved = netip.MustParsePrefix("240.0.0.0/4")

// Martian reports whether nothing is routed to p: it lies in a range that is of
// one host, one link, many hosts, or nobody. What only holds such a range, as
// the default route does, is none. 240.0.0.0/4 is, but for what a pool holds.
func (s Pools) Martian(p netip.Prefix) bool {
	if a := p.Addr(); a.Is4() && !suspect(a.As4()[0]) {
		return false // as almost all
	}
	for _, m := range martians {
		if m.Bits() <= p.Bits() && m.Contains(p.Addr()) {
			return true
		}
	}
	if reserved.Bits() > p.Bits() || !reserved.Contains(p.Addr()) {
		return false
	}
	held, _ := s.Holds(p)
	return !held
}

// suspect reports whether an IPv4 address that begins so may be a martian.
func suspect(first byte) bool { return first == 0 || first == 127 || first == 169 || first >= 224 }
