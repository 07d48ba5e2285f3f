package rtnetlink

import (
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

const (
	nhmsgLen        = 8 // struct nhmsg
	nexthopGroupLen = 8 // struct nexthop_grp

	nhaFDB                = 11
	nexthopGroupMultipath = 0 // NEXTHOP_GRP_TYPE_MPATH
)

// object appends the message for a change of a next-hop object or group.
func (m *builder) object(seq uint32, op fib.Op, o *fib.Object) {
	if op == fib.Delete {
		m.begin(unix.RTM_DELNEXTHOP, unix.NLM_F_REQUEST, seq, nhmsgLen)
		m.uint32(unix.NHA_ID, o.ID)
		m.end()
		return
	}
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if op == fib.Replace {
		flags = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	h := m.begin(unix.RTM_NEWNEXTHOP, flags, seq, nhmsgLen)
	h[2] = o.Protocol
	m.uint32(unix.NHA_ID, o.ID)
	if o.IsGroup {
		h[0] = unix.AF_UNSPEC
		at := m.nest(unix.NHA_GROUP)
		for _, member := range o.Group {
			m.b = native.AppendUint32(m.b, member.ID)
			m.b = append(m.b, member.Weight, 0, 0, 0)
		}
		m.unnest(at)
		m.end()
		return
	}
	h[0] = unix.AF_INET
	if o.Family == fib.IPv6 {
		h[0] = unix.AF_INET6
	}
	if o.Hop.Onlink {
		native.PutUint32(h[4:], unix.RTNH_F_ONLINK)
	}
	m.uint32(unix.NHA_OIF, uint32(o.Hop.Index))
	if o.Hop.Gateway.IsValid() {
		m.address(unix.NHA_GATEWAY, o.Hop.Gateway)
	}
	m.end()
}

// parseObject reads a next-hop message. It reports false for one cut short.
func parseObject(b []byte) (o fib.Object, ok bool) {
	if len(b) < nhmsgLen {
		return o, false
	}
	o.Protocol = b[2]
	if b[0] == unix.AF_INET6 {
		o.Family = fib.IPv6
	}
	o.Hop.Onlink = native.Uint32(b[4:])&unix.RTNH_F_ONLINK != 0
	for typ, value := range attrs(b[nhmsgLen:]) {
		switch typ {
		case unix.NHA_ID:
			o.ID = u32(value)
		case unix.NHA_OIF:
			o.Hop.Index = int32(u32(value))
		case unix.NHA_GATEWAY:
			o.Hop.Gateway = addr(value)
		case unix.NHA_GROUP:
			o.IsGroup = true
			for ; len(value) >= nexthopGroupLen; value = value[nexthopGroupLen:] {
				o.Group = append(o.Group, fib.Member{ID: native.Uint32(value), Weight: value[4]})
			}
		case unix.NHA_GROUP_TYPE:
			if len(value) >= 2 && native.Uint16(value) != nexthopGroupMultipath {
				o.Other = true
			}
		case unix.NHA_BLACKHOLE, unix.NHA_ENCAP, nhaFDB, unix.NHA_MASTER:
			o.Other = true
		}
	}
	if o.IsGroup {
		o.Hop, o.Family = fib.Hop{}, fib.IPv4
	}
	return o, o.ID != 0
}
