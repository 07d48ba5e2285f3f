package policytest

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// Protocols that packets are made of, beside those of package policy.
const (
	protocolIPIP = 4
	protocolGRE  = 47
)

// magic begins the payload of every packet of ours; its number follows.
const magic = "vrouter!"

// build makes an IP packet that begins a connection, with a number in its
// payload by which it is known again.
func build(p policy.Packet, number uint32) []byte {
	payload := binary.BigEndian.AppendUint32([]byte(magic), number)
	payload = append(payload, make([]byte, 16)...) // enough for a second fragment
	return header(p, transport(p, payload, number))
}

// number reads that of a packet of ours from what follows its IP header. A
// packet inside the error message of ICMP is not where ours has its payload.
func number(protocol uint8, transport []byte) (uint32, bool) {
	skip := payloadOffset(protocol)
	if len(transport) < skip+len(magic)+4 || string(transport[skip:skip+len(magic)]) != magic {
		return 0, false
	}
	return binary.BigEndian.Uint32(transport[skip+len(magic):]), true
}

// payloadOffset is where our payload begins behind the IP header.
func payloadOffset(protocol uint8) int {
	switch protocol {
	case policy.ProtocolTCP:
		return 20
	case policy.ProtocolUDP, policy.ProtocolICMP, policy.ProtocolICMPv6:
		return 8
	case policy.ProtocolSCTP:
		return 12 + 20 + 4 // common header, INIT, header of a parameter
	case protocolGRE:
		return 4
	}
	return 0
}

// transport makes all that follows the IP header.
func transport(p policy.Packet, payload []byte, number uint32) []byte {
	ports := binary.BigEndian.AppendUint16(nil, p.SourcePort)
	ports = binary.BigEndian.AppendUint16(ports, p.DestinationPort)
	switch p.Protocol {
	case policy.ProtocolTCP: // RFC 9293: a SYN with data
		b := binary.BigEndian.AppendUint32(ports, number)
		b = append(b, 0, 0, 0, 0, 5<<4, 0x02, 0x40, 0, 0, 0, 0, 0)
		return checksummed(p, append(b, payload...), 16)
	case policy.ProtocolUDP: // RFC 768
		b := binary.BigEndian.AppendUint16(ports, uint16(8+len(payload)))
		return checksummed(p, append(append(b, 0, 0), payload...), 6)
	case policy.ProtocolICMP, policy.ProtocolICMPv6: // RFC 792, 4443: number is identifier and sequence
		b := binary.BigEndian.AppendUint32([]byte{p.ICMPType, p.ICMPCode, 0, 0}, bits.RotateLeft32(number, 16))
		return checksummed(p, append(b, payload...), 2)
	case policy.ProtocolSCTP:
		return sctpInit(ports, payload, number)
	case protocolGRE: // RFC 2784, of an experimental protocol
		return append([]byte{0, 0, 0x88, 0xb5}, payload...)
	}
	return payload
}

// sctpInit makes an INIT (RFC 9260 §3.3.2) with a parameter that a receiver
// who does not know it skips.
func sctpInit(ports, payload []byte, number uint32) []byte {
	b := slices.Concat(ports, make([]byte, 8)) // no verification tag, no checksum yet
	b = append(b, 1, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+4+len(payload)))
	b = binary.BigEndian.AppendUint32(b, number|1)               // initiate tag, not zero
	b = append(b, 0, 1, 0, 0, 0, 1, 0, 1)                        // window, streams out and in
	b = binary.BigEndian.AppendUint32(b, number)                 // initial TSN
	b = append(b, 0xbf, 0xff)                                    // type of parameter: skip, do not report
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(payload))) // its length
	b = append(b, payload...)                                    //
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))  // RFC 9260 appendix A
	binary.LittleEndian.PutUint32(b[8:], sum)
	return b
}

// checksummed writes the Internet checksum (RFC 1071) at an offset.
func checksummed(p policy.Packet, b []byte, at int) []byte {
	var pseudo []byte
	if p.Protocol != policy.ProtocolICMP {
		pseudo = append(p.Source.AsSlice(), p.Destination.AsSlice()...)
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
		pseudo = append(pseudo, 0, 0, 0, p.Protocol)
	}
	binary.BigEndian.PutUint16(b[at:], internetChecksum(append(pseudo, b...)))
	return b
}

func internetChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// header puts an IP header before a payload.
func header(p policy.Packet, payload []byte) []byte {
	hops := byte(64)
	if p.Protocol == policy.ProtocolICMPv6 && p.ICMPType >= 133 && p.ICMPType <= 137 {
		hops = 255 // RFC 4861 §11.2
	}
	if p.Source.Is6() {
		b := []byte{6 << 4, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
		b = append(b, p.Protocol, hops)
		b = append(append(b, p.Source.AsSlice()...), p.Destination.AsSlice()...)
		return append(b, payload...)
	}
	b := []byte{4<<4 | 5, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 1, 0x40, 0, hops, p.Protocol, 0, 0) // identification, do not fragment
	b = append(append(b, p.Source.AsSlice()...), p.Destination.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], internetChecksum(b))
	return append(b, payload...)
}

// arrived is a packet of ours as it came out of the host.
type arrived struct {
	number              uint32
	source, destination netip.Addr
}

// parse reads an IP packet; it is one of ours or not.
func parse(b []byte) (arrived, bool) {
	var a arrived
	var protocol uint8
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && len(b) >= int(b[0]&15)*4:
		a.source, _ = netip.AddrFromSlice(b[12:16])
		a.destination, _ = netip.AddrFromSlice(b[16:20])
		protocol, b = b[9], b[int(b[0]&15)*4:]
	case len(b) >= 40 && b[0]>>4 == 6:
		a.source, _ = netip.AddrFromSlice(b[8:24])
		a.destination, _ = netip.AddrFromSlice(b[24:40])
		protocol, b = b[6], b[40:]
		for isExtension(protocol) && len(b) >= 8 && len(b) >= 8+int(b[1])*8 {
			protocol, b = b[0], b[8+int(b[1])*8:]
		}
	default:
		return a, false
	}
	var ok bool
	a.number, ok = number(protocol, b)
	return a, ok
}

// isExtension tells whether a next header is one that we put there: options of
// hops or of the destination, or a fragment's, whose second octet is zero.
func isExtension(next uint8) bool { return next == 0 || next == 60 || next == 44 }
