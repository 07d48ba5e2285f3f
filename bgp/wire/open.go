package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// Version is the version of BGP spoken.
const Version = 4

// ASTrans stands for an AS number that does not fit into two octets (RFC 6793
// §9).
const ASTrans = 23456

// Optional parameters (RFC 4271 §4.2, RFC 5492 §4, RFC 9072 §2).
const (
	parameterCapabilities = 2
	parameterExtended     = 255
)

// Open is an OPEN message (RFC 4271 §4.2).
type Open struct {
	AS           uint32 // of four octets if the capability has it
	HoldTime     time.Duration
	RouterID     netip.Addr
	Capabilities Capabilities
}

// ParseOpen reads and checks the body of an OPEN (RFC 4271 §6.2). The error is
// a *Notification. Whether AS and RouterID are those expected is not checked.
func ParseOpen(body []byte) (Open, error) {
	if len(body) < minOpen-HeaderLen {
		return Open{}, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: lengthData(HeaderLen + len(body))}
	}
	if body[0] != Version {
		return Open{}, openError(UnsupportedVersion, 0, Version)
	}
	hold := binary.BigEndian.Uint16(body[3:])
	o := Open{
		AS:       uint32(binary.BigEndian.Uint16(body[1:])),
		HoldTime: time.Duration(hold) * time.Second,
		RouterID: netip.AddrFrom4([4]byte(body[5:9])),
	}
	switch {
	case o.AS == 0: // RFC 7607 §2
		return Open{}, openError(BadPeerAS)
	case hold == 1 || hold == 2:
		return Open{}, openError(UnacceptableHoldTime)
	case o.RouterID.IsUnspecified(): // RFC 6286 §2.1
		return Open{}, openError(BadBGPIdentifier)
	}
	if err := o.Capabilities.parseParameters(body[9:]); err != nil {
		return Open{}, err
	}
	if c := o.Capabilities; c.FourByteAS {
		if c.AS == 0 { // RFC 7607 §2
			return Open{}, openError(BadPeerAS)
		}
		o.AS = c.AS
	}
	return o, nil
}

func openError(s Subcode, data ...byte) *Notification {
	return &Notification{Code: OpenError, Subcode: s, Data: data}
}

// parseParameters reads from the octet of the parameters' length on.
func (c *Capabilities) parseParameters(b []byte) error {
	length, b, head := int(b[0]), b[1:], 2
	if length != 0 && len(b) >= 3 && b[0] == parameterExtended {
		// RFC 9072 §2: the first length is to be ignored.
		length, b, head = int(binary.BigEndian.Uint16(b[1:])), b[3:], 3
	}
	if length != len(b) {
		return openError(0)
	}
	for len(b) > 0 {
		if len(b) < head {
			return openError(0)
		}
		kind, n := b[0], int(b[1])
		if head == 3 {
			n = int(binary.BigEndian.Uint16(b[1:]))
		}
		if n > len(b)-head {
			return openError(0)
		}
		if kind != parameterCapabilities {
			return openError(UnsupportedParameter)
		}
		if err := c.parse(b[head : head+n]); err != nil {
			return err
		}
		b = b[head+n:]
	}
	return nil
}

// AppendOpen appends o as a message. All capabilities go into one parameter,
// of the extended form if they need it (RFC 9072). An AS that does not fit needs
// the capability of four octets, which is always sent (RFC 6793 §4.1).
func AppendOpen(b []byte, o Open) ([]byte, error) {
	hold := o.HoldTime / time.Second
	switch {
	case o.AS == 0:
		return b, errors.New("encode OPEN: 0 is not an AS number")
	case !o.RouterID.Is4() || o.RouterID.IsUnspecified():
		return b, errors.New("encode OPEN: the BGP identifier is no IPv4 address")
	case hold == 1 || hold == 2 || hold < 0 || hold > 65535:
		return b, errors.New("encode OPEN: hold time is neither 0 nor 3 to 65535 s")
	}
	o.Capabilities.FourByteAS, o.Capabilities.AS = true, o.AS
	list, err := o.Capabilities.append(nil)
	if err != nil {
		return b, err
	}
	as := uint16(ASTrans)
	if o.AS <= 65535 {
		as = uint16(o.AS)
	}
	b, start := beginMessage(b, TypeOpen)
	b = append(b, Version)
	b = binary.BigEndian.AppendUint16(b, as)
	b = binary.BigEndian.AppendUint16(b, uint16(hold))
	b = append(b, o.RouterID.AsSlice()...)
	if len(list)+2 <= 255 {
		b = append(b, byte(len(list)+2), parameterCapabilities, byte(len(list)))
	} else {
		b = append(b, 255, parameterExtended)
		b = binary.BigEndian.AppendUint16(b, uint16(len(list)+3))
		b = append(b, parameterCapabilities)
		b = binary.BigEndian.AppendUint16(b, uint16(len(list)))
	}
	b = append(b, list...)
	if len(b)-start > MaxMessage {
		return b[:start], errors.New("encode OPEN: capabilities do not fit into a message")
	}
	return endMessage(b, start), nil
}
