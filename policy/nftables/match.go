package nftables

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// reg is the register that all but concatenations use.
const reg = unix.NFT_REG_1

// A family is IPv4 or IPv6, and where its header has what.
type family struct {
	version  uint8
	nfproto  byte
	name     string  // in the language of nft
	typ      setType // of anonymous sets
	members  setType
	ports    setType
	bits     int
	src, dst uint32 // offsets of the addresses
}

var (
	ipv4 = &family{4, unix.NFPROTO_IPV4, "ip", ipv4Type, member4Type, port4Type, 32, 12, 16}
	ipv6 = &family{6, unix.NFPROTO_IPV6, "ip6", ipv6Type, member6Type, port6Type, 128, 8, 24}
)

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// An end is the source or the destination of a packet.
type end bool

const (
	source      end = false
	destination end = true
)

func (e end) addr() string {
	if e == destination {
		return "daddr"
	}
	return "saddr"
}

func (e end) port() string {
	if e == destination {
		return "dport"
	}
	return "sport"
}

func (e end) addrOffset(f *family) uint32 {
	if e == destination {
		return f.dst
	}
	return f.src
}

func (e end) portOffset() uint32 {
	if e == destination {
		return 2
	}
	return 0
}

func not(negated bool) string {
	if negated {
		return "!= "
	}
	return ""
}

func cmpOp(negated bool) expr.CmpOp {
	if negated {
		return expr.CmpOpNeq
	}
	return expr.CmpOpEq
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }

func compare(negated bool, data []byte) expr.Any {
	return &expr.Cmp{Op: cmpOp(negated), Register: reg, Data: data}
}

// matchFamily holds for packets of one family.
func matchFamily(f *family) clause {
	return clause{
		text:  fmt.Sprintf("meta nfproto ipv%d", f.version),
		exprs: []expr.Any{meta(expr.MetaKeyNFPROTO), equal([]byte{f.nfproto})},
	}
}

// matchProtocol compares the number of the transport protocol, beyond
// extension headers.
func matchProtocol(protocol uint8, negated bool) clause {
	return clause{
		text:  fmt.Sprintf("meta l4proto %s%d", not(negated), protocol),
		exprs: []expr.Any{meta(expr.MetaKeyL4PROTO), compare(negated, []byte{protocol})},
	}
}

// matchICMP compares the first bytes of the transport header, type and code.
func matchICMP(icmp *policy.ICMP, negated bool) clause {
	data := []byte{icmp.Type}
	text := fmt.Sprintf("@th,0,8 %s%d", not(negated), icmp.Type)
	if icmp.Code != nil {
		data = append(data, *icmp.Code)
		text = fmt.Sprintf("@th,0,16 %s%d", not(negated), uint16(icmp.Type)<<8|uint16(*icmp.Code))
	}
	return clause{text: text, exprs: []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Len: uint32(len(data))},
		compare(negated, data),
	}}
}

// matchPrefix compares an address with a prefix; the family must have been
// matched before.
func matchPrefix(e end, p netip.Prefix, negated bool) clause {
	f := familyOf(p.Addr())
	c := clause{exprs: loadAddr(e, f, p.Bits(), reg)}
	c.text = fmt.Sprintf("%s %s %s%s", f.name, e.addr(), not(negated), p)
	c.exprs = append(c.exprs, compare(negated, p.Addr().AsSlice()))
	return c
}

// loadAddr loads the first bits of an address.
func loadAddr(e end, f *family, bits int, to uint32) []expr.Any {
	size := uint32(f.bits / 8)
	out := []expr.Any{&expr.Payload{
		DestRegister: to, Base: expr.PayloadBaseNetworkHeader, Offset: e.addrOffset(f), Len: size,
	}}
	if bits < f.bits {
		out = append(out, &expr.Bitwise{
			SourceRegister: to, DestRegister: to, Len: size, Mask: mask(bits, f.bits), Xor: make([]byte, size),
		})
	}
	return out
}

// mask has ones in the first of all bits.
func mask(ones, all int) []byte {
	b := make([]byte, all/8)
	for i := range ones {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return b
}

// matchNets compares an address with prefixes, all of one family.
func matchNets(e end, nets []netip.Prefix, negated bool) clause {
	nets = widest(nets)
	if len(nets) == 1 {
		return matchPrefix(e, nets[0], negated)
	}
	f := familyOf(nets[0].Addr())
	c := clause{exprs: loadAddr(e, f, f.bits, reg)}
	c.text = fmt.Sprintf("%s %s %s%s", f.name, e.addr(), not(negated), braces(nets))
	c.exprs = append(c.exprs, &expr.Lookup{SourceRegister: reg, Invert: negated})
	c.anon = &anonymous{typ: f.typ.intervals(), elements: prefixElements(nets)}
	return c
}

// matchSet looks the first bits of an address up among the members of a set.
func matchSet(e end, f *family, bits int, id policy.SetID) clause {
	c := lookUp(e, f, bits, id, false)
	c.exprs = append(loadNumber(id), c.exprs...)
	return c
}

// matchNotSet holds when none of these lengths of an address is a member of a
// set. The clauses follow each other, because the first loads the set's number.
func matchNotSet(e end, f *family, lengths []int, id policy.SetID) []clause {
	out := make([]clause, len(lengths))
	for i, bits := range lengths {
		out[i] = lookUp(e, f, bits, id, true)
	}
	if len(out) > 0 {
		out[0].exprs = append(loadNumber(id), out[0].exprs...)
	}
	return out
}

// lookUp is a look into a set whose number is loaded.
func lookUp(e end, f *family, bits int, id policy.SetID, negated bool) clause {
	length := ""
	if bits < f.bits {
		length = fmt.Sprintf("/%d", bits)
	}
	name := setOf(numberOf(id), policy.Addresses, f, bits).name()
	return clause{
		text: fmt.Sprintf("%s . %s %s%s %s@%s", id, f.name, e.addr(), length, not(negated), name),
		exprs: append(loadAddr(e, f, bits, memberReg),
			&expr.Lookup{SourceRegister: unix.NFT_REG32_00, SetName: name, Invert: negated}),
	}
}

// memberReg is where the part of a key begins that is not the set's number.
const memberReg = unix.NFT_REG32_02

// loadNumber loads the number of a set, in words of which nft knows the type.
func loadNumber(id policy.SetID) []expr.Any {
	n := numberOf(id)
	return []expr.Any{
		&expr.Immediate{Register: unix.NFT_REG32_00, Data: n[:4]},
		&expr.Immediate{Register: unix.NFT_REG32_01, Data: n[4:]},
	}
}

// matchPorts compares a port of TCP, UDP or SCTP with ranges.
func matchPorts(e end, ranges []policy.PortRange, negated bool) clause {
	ranges = joined(ranges)
	c := clause{exprs: []expr.Any{&expr.Payload{
		DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: e.portOffset(), Len: 2,
	}}}
	if len(ranges) == 1 {
		first, last := bigEndian(ranges[0].First), bigEndian(ranges[0].Last)
		c.text = fmt.Sprintf("th %s %s%s", e.port(), not(negated), dashed(ranges[0]))
		if ranges[0].First == ranges[0].Last {
			c.exprs = append(c.exprs, compare(negated, first))
		} else {
			c.exprs = append(c.exprs, &expr.Range{Op: cmpOp(negated), Register: reg, FromData: first, ToData: last})
		}
		return c
	}
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = dashed(r)
	}
	c.text = fmt.Sprintf("th %s %s{ %s }", e.port(), not(negated), strings.Join(texts, ", "))
	c.exprs = append(c.exprs, &expr.Lookup{SourceRegister: reg, Invert: negated})
	c.anon = &anonymous{typ: portType.intervals(), elements: portElements(ranges)}
	return c
}

// matchPortSet looks up address, protocol and port of one end.
func matchPortSet(e end, f *family, id policy.SetID, negated bool) clause {
	next := memberReg + uint32(f.bits/32)
	name := setOf(numberOf(id), policy.Ports, f, f.bits).name()
	c := clause{text: fmt.Sprintf("%s . %s %s . meta l4proto . th %s %s@%s",
		id, f.name, e.addr(), e.port(), not(negated), name)}
	c.exprs = append(loadNumber(id), loadAddr(e, f, f.bits, memberReg)...)
	c.exprs = append(c.exprs,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: next},
		&expr.Payload{
			DestRegister: next + 1, Base: expr.PayloadBaseTransportHeader, Offset: e.portOffset(), Len: 2,
		},
		&expr.Lookup{SourceRegister: unix.NFT_REG32_00, SetName: name, Invert: negated})
	return c
}

// A device is the interface that a packet came in or goes out by.
type device expr.MetaKey

const (
	iif = device(expr.MetaKeyIIFNAME)
	oif = device(expr.MetaKeyOIFNAME)
)

func (d device) String() string {
	if d == iif {
		return "iifname"
	}
	return "oifname"
}

// matchInterface compares an interface's name.
func matchInterface(d device, name string, negated bool) clause {
	return clause{
		text:  fmt.Sprintf("%s %s%q", d, not(negated), name),
		exprs: []expr.Any{meta(expr.MetaKey(d)), compare(negated, []byte(ifaceKey(name)))},
	}
}

// matchInterfacePrefix compares the beginning of an interface's name.
func matchInterfacePrefix(d device, prefix string) clause {
	c := clause{text: fmt.Sprintf("%s %q", d, prefix+"*")}
	if prefix != "" { // else any interface
		c.exprs = []expr.Any{meta(expr.MetaKey(d)), equal([]byte(prefix))}
	}
	return c
}

// matchWorkload holds when the interface is that of an endpoint.
func matchWorkload(d device) clause {
	return clause{
		text:  fmt.Sprintf("%s @%s", d, workloadSet),
		exprs: []expr.Any{meta(expr.MetaKey(d)), &expr.Lookup{SourceRegister: reg, SetName: workloadSet}},
	}
}

// matchState holds for packets in one of these states of connection tracking.
func matchState(text string, bits uint32) clause {
	return clause{text: "ct state " + text, exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg},
		&expr.Bitwise{
			SourceRegister: reg, DestRegister: reg, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}}
}

// matchMark holds for packets with the bit.
func matchMark(bit uint32) clause {
	return clause{text: fmt.Sprintf("meta mark & 0x%x != 0", bit), exprs: markBits(bit, expr.CmpOpNeq)}
}

// matchNoMark holds for packets without the bit.
func matchNoMark(bit uint32) clause {
	return clause{text: fmt.Sprintf("meta mark & 0x%x == 0", bit), exprs: markBits(bit, expr.CmpOpEq)}
}

func markBits(bit uint32, zero expr.CmpOp) []expr.Any {
	return []expr.Any{
		meta(expr.MetaKeyMARK),
		&expr.Bitwise{
			SourceRegister: reg, DestRegister: reg, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bit), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: zero, Register: reg, Data: make([]byte, 4)},
	}
}

// matchSource holds when a packet that came in by an interface could be
// answered by it: the source check of RFC 3704, for both families.
func matchSource() clause {
	return clause{text: "fib saddr . iif oif exists", exprs: []expr.Any{
		&expr.Fib{Register: reg, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true},
		compare(true, make([]byte, 4)),
	}}
}

// matchICMPTypes holds for a range of types.
func matchICMPTypes(first, last uint8) clause {
	return clause{text: fmt.Sprintf("@th,0,8 %d-%d", first, last), exprs: []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: []byte{first}, ToData: []byte{last}},
	}}
}
