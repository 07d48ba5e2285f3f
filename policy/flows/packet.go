package flows

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/projectvrouter/vrouter/policy"
)

var errShort = errors.New("packet ends within its headers")

// parse reads the headers of an IP packet, of which b is the beginning, and
// returns its length in octets as the header says.
func parse(b []byte) (p policy.Packet, length int, err error) {
	if len(b) == 0 {
		return p, 0, errShort
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b)
	case 6:
		return parse6(b)
	}
	return p, 0, errors.New("packet is neither IPv4 nor IPv6")
}

// parse4 is for RFC 791.
func parse4(b []byte) (p policy.Packet, length int, err error) {
	const least = 20
	if len(b) < least {
		return p, 0, errShort
	}
	header := int(b[0]&0xf) * 4
	if header < least {
		return p, 0, errors.New("IPv4 header is too short")
	}
	p.Protocol = b[9]
	p.Source, p.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if fragment := binary.BigEndian.Uint16(b[6:8]) & 0x1fff; fragment == 0 && len(b) > header {
		transport(&p, b[header:])
	}
	return p, int(binary.BigEndian.Uint16(b[2:4])), nil
}

// Extension headers of IPv6 that are followed by another (RFC 8200 §4, RFC 4302).
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	auth        = 51
	destination = 60
)

// parse6 is for RFC 8200. A chain of headers that was cut off leaves the
// protocol at what it was cut off at.
func parse6(b []byte) (p policy.Packet, length int, err error) {
	const header = 40
	if len(b) < header {
		return p, 0, errShort
	}
	length = header + int(binary.BigEndian.Uint16(b[4:6]))
	p.Source, p.Destination = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.Protocol = b[6]
	for b = b[header:]; len(b) >= 8; {
		size := 8
		switch p.Protocol {
		case hopByHop, routing, destination:
			size += int(b[1]) * 8
		case auth:
			size = (int(b[1]) + 2) * 4
		case fragment:
			if binary.BigEndian.Uint16(b[2:4])>>3 != 0 {
				p.Protocol = b[0]
				return p, length, nil
			}
		default:
			transport(&p, b)
			return p, length, nil
		}
		p.Protocol = b[0]
		if size > len(b) {
			return p, length, nil
		}
		b = b[size:]
	}
	transport(&p, b)
	return p, length, nil
}

// transport reads ports, or type and code.
func transport(p *policy.Packet, b []byte) {
	switch p.Protocol {
	case policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP, policy.ProtocolUDPLite:
		if len(b) >= 4 {
			p.SourcePort, p.DestinationPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case policy.ProtocolICMP, policy.ProtocolICMPv6:
		if len(b) >= 2 {
			p.ICMPType, p.ICMPCode = b[0], b[1]
		}
	}
}
