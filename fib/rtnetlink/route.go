package rtnetlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

const (
	rtmsgLen     = 12 // struct rtmsg
	rtnexthopLen = 8  // struct rtnexthop

	rtaNexthopID = 30 // RTA_NH_ID
)

func familyNumber(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// route appends the message for a change of an entry.
func (m *builder) route(seq uint32, op fib.Op, e *fib.Entry) {
	typ, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_REQUEST)
	switch op {
	case fib.Create:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	case fib.Replace:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	case fib.Delete:
		typ = unix.RTM_DELROUTE
	}
	h := m.begin(typ, flags, seq, rtmsgLen)
	h[0] = familyNumber(e.Prefix.Addr())
	h[1] = uint8(e.Prefix.Bits())
	h[3] = e.TOS
	if e.Table < 256 {
		h[4] = uint8(e.Table)
	}
	h[5] = e.Protocol
	h[6] = unix.RT_SCOPE_UNIVERSE
	h[7] = unix.RTN_UNICAST
	if e.Kind == fib.KindBlackhole {
		h[7] = unix.RTN_BLACKHOLE
	}
	if op == fib.Delete {
		h[6], h[7] = unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC // any
	} else if len(e.Hops) > 0 && !e.Hops[0].Gateway.IsValid() && h[0] == unix.AF_INET {
		h[6] = unix.RT_SCOPE_LINK
	}
	if e.Object == 0 && len(e.Hops) == 1 && e.Hops[0].Onlink {
		native.PutUint32(h[8:], unix.RTNH_F_ONLINK)
	}
	m.address(unix.RTA_DST, e.Prefix.Addr())
	m.uint32(unix.RTA_PRIORITY, e.Metric)
	if e.Table >= 256 {
		m.uint32(unix.RTA_TABLE, e.Table)
	}
	if e.Src.IsValid() {
		m.address(unix.RTA_PREFSRC, e.Src)
	}
	if e.Object != 0 {
		m.uint32(rtaNexthopID, e.Object)
	} else {
		m.hops(e)
	}
	m.end()
}

func (m *builder) hops(e *fib.Entry) {
	if len(e.Hops) == 1 {
		m.gateway(e.Prefix, e.Hops[0].Gateway)
		m.uint32(unix.RTA_OIF, uint32(e.Hops[0].Index))
		return
	}
	if len(e.Hops) == 0 {
		return
	}
	at := m.nest(unix.RTA_MULTIPATH)
	for _, hop := range e.Hops {
		start := len(m.b)
		var flags uint8
		if hop.Onlink {
			flags = unix.RTNH_F_ONLINK
		}
		m.b = append(m.b, 0, 0, flags, hop.Weight)
		m.b = native.AppendUint32(m.b, uint32(hop.Index))
		m.gateway(e.Prefix, hop.Gateway)
		native.PutUint16(m.b[start:], uint16(len(m.b)-start))
	}
	m.unnest(at)
}

// gateway appends RTA_GATEWAY or, for an IPv6 gateway of an IPv4 prefix,
// RTA_VIA (RFC 8950 next hops).
func (m *builder) gateway(prefix netip.Prefix, gateway netip.Addr) {
	switch {
	case !gateway.IsValid():
	case gateway.Is4() == prefix.Addr().Is4():
		m.address(unix.RTA_GATEWAY, gateway)
	default:
		at := m.nest(unix.RTA_VIA)
		m.b = native.AppendUint16(m.b, uint16(familyNumber(gateway)))
		m.b = append(m.b, gateway.AsSlice()...)
		m.unnest(at)
	}
}

// parseRoute reads a route message. It reports false for what is no route of a
// table: cached entries, multicast, other families, or a message cut short.
func parseRoute(b []byte, hops []fib.Hop) (e fib.Entry, ok bool) {
	if len(b) < rtmsgLen || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return e, false
	}
	flags := native.Uint32(b[8:])
	if flags&unix.RTM_F_CLONED != 0 {
		return e, false
	}
	e = fib.Entry{TOS: b[3], Table: uint32(b[4]), Protocol: b[5], Kind: kindOf(b[7])}
	dst := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	single := fib.Hop{Onlink: flags&unix.RTNH_F_ONLINK != 0}
	e.Hops = hops[:0]
	for typ, value := range attrs(b[rtmsgLen:]) {
		switch typ {
		case unix.RTA_DST:
			dst = addr(value)
		case unix.RTA_TABLE:
			e.Table = u32(value)
		case unix.RTA_PRIORITY:
			e.Metric = u32(value)
		case unix.RTA_PREFSRC:
			e.Src = addr(value)
		case rtaNexthopID:
			e.Object = u32(value)
		case unix.RTA_OIF:
			single.Index = int32(u32(value))
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			single.Gateway = parseGateway(typ, value)
		case unix.RTA_MULTIPATH:
			e.Hops = parseMultipath(value, e.Hops)
		}
	}
	if single.Index != 0 && len(e.Hops) == 0 && e.Kind == fib.KindUnicast {
		e.Hops = append(e.Hops, single)
	}
	if !dst.IsValid() || int(b[1]) > dst.BitLen() || dst.Is4() != (b[0] == unix.AF_INET) {
		return e, false
	}
	e.Prefix = netip.PrefixFrom(dst, int(b[1]))
	return e, true
}

func kindOf(rtn uint8) fib.Kind {
	switch rtn {
	case unix.RTN_UNICAST:
		return fib.KindUnicast
	case unix.RTN_BLACKHOLE:
		return fib.KindBlackhole
	}
	return fib.KindOther
}

func parseGateway(typ uint16, value []byte) netip.Addr {
	if typ == unix.RTA_VIA {
		if len(value) < 2 {
			return netip.Addr{}
		}
		value = value[2:]
	}
	return addr(value)
}

func parseMultipath(b []byte, hops []fib.Hop) []fib.Hop {
	for len(b) >= rtnexthopLen {
		n := int(native.Uint16(b))
		if n < rtnexthopLen || n > len(b) {
			break
		}
		hop := fib.Hop{Onlink: b[2]&unix.RTNH_F_ONLINK != 0, Weight: b[3], Index: int32(native.Uint32(b[4:]))}
		for typ, value := range attrs(b[rtnexthopLen:n]) {
			if typ == unix.RTA_GATEWAY || typ == unix.RTA_VIA {
				hop.Gateway = parseGateway(typ, value)
			}
		}
		hops = append(hops, hop)
		b = b[min((n+align-1)&^(align-1), len(b)):]
	}
	return hops
}
