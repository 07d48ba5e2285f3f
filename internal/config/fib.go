package config

import "time"

const (
	// nexthopIDs is how many next-hop ids are ours from the base on.
	nexthopIDs = 1 << 20

	// metricIPv6Default is the metric that the kernel gives to an IPv6 route
	// without one.
	metricIPv6Default = 1024

	tableMain  = 254
	tableLocal = 255
)

func (c *checker) fib(raw *rawFIB) FIB {
	f := FIB{
		Protocols:      c.protocols(&raw.Protocols),
		Metric:         uint32(c.integer("fib.metric", raw.Metric, 118, 1, 1<<32-1)),
		Table:          uint32(c.integer("fib.table", raw.Table, tableMain, 1, 1<<32-1)),
		NexthopObjects: c.oneOf("fib.nexthopObjects", raw.NexthopObjects, "auto", "off") == "auto",
		NexthopIDBase:  uint32(c.integer("fib.nexthopIDBase", raw.NexthopIDBase, 0x76720000, 1, 1<<32-nexthopIDs)),
		ReadBack:       c.duration("fib.readBack", raw.ReadBack, time.Minute, time.Second, 24*time.Hour),
	}
	if f.Metric == metricIPv6Default {
		c.problem("fib.metric", "1024 is the metric that the kernel gives to IPv6 routes of others")
	}
	if f.Table == tableLocal {
		c.problem("fib.table", "255 is the kernel's own table of local addresses")
	}
	return f
}

func (c *checker) protocols(raw *rawProtocols) Protocols {
	seen := map[uint8]string{}
	number := func(name string, value *integer, or uint64) uint8 {
		path := "fib.protocols." + name
		n := uint8(c.integer(path, value, or, 5, 255))
		if other := protocolOwner(n); other != "" {
			c.problem(path, "%d is the number of %s", n, other)
		} else if other, ok := seen[n]; ok {
			c.problem(path, "%d is the number of %s, too", n, other)
		}
		seen[n] = name
		return n
	}
	return Protocols{
		Workload:  number("workload", raw.Workload, 118),
		Overlay:   number("overlay", raw.Overlay, 119),
		BGP:       number("bgp", raw.BGP, 120),
		Blackhole: number("blackhole", raw.Blackhole, 121),
	}
}

// protocolOwner names the daemon that a route protocol number belongs to, as
// iproute2 lists them; empty when it is free. Numbers below 5 are the kernel's
// and the administrator's.
func protocolOwner(n uint8) string {
	return map[uint8]string{
		8: "gated", 9: "router advertisements", 10: "mrt", 11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp",
		15: "ntk", 16: "dhcp", 17: "mrouted", 18: "keepalived", 42: "babel", 99: "openr",
		186: "FRR's bgp", 187: "FRR's isis", 188: "FRR's ospf", 189: "FRR's rip", 192: "FRR's eigrp",
	}[n]
}
