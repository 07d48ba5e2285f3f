package reflectorbench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	errMarker = errors.New("message without marker")
	errLength = errors.New("message with a length out of bounds")
)

// nextMessage takes one message off buf; n is its length, 0 when it is not
// complete yet.
func nextMessage(buf []byte) (kind byte, body []byte, n int, err error) {
	if len(buf) < headerLen {
		return 0, nil, 0, nil
	}
	if binary.BigEndian.Uint64(buf)&binary.BigEndian.Uint64(buf[8:]) != 1<<64-1 {
		return 0, nil, 0, errMarker
	}
	n = int(binary.BigEndian.Uint16(buf[16:]))
	if n < headerLen || n > maxMessage {
		return 0, nil, 0, fmt.Errorf("%w: %d", errLength, n)
	}
	if len(buf) < n {
		return 0, nil, 0, nil
	}
	return buf[18], buf[headerLen:n], n, nil
}

// update is an UPDATE taken apart in place: all slices are those of the
// message. What is absent is nil; an AS_PATH without segments is empty.
type update struct {
	withdrawn [2][]byte // NLRI of the body and of MP_UNREACH_NLRI
	announced [2][]byte // NLRI of the body and of MP_REACH_NLRI

	origin, asPath, nextHop, med, localPref []byte
	originatorID, clusterList               []byte
}

var (
	errUpdate    = errors.New("malformed update")
	errAttribute = fmt.Errorf("%w: an attribute goes beyond its field", errUpdate)
	errMP        = fmt.Errorf("%w: a multiprotocol attribute is cut short", errUpdate)
	errFamily    = errors.New("routes of a family that was not negotiated")
)

// parse takes an UPDATE's body apart. It allocates nothing, since every client
// gets every route.
func (u *update) parse(body []byte) error {
	*u = update{}
	withdrawn, rest, ok := cut16(body)
	if !ok {
		return errUpdate
	}
	attrs, nlri, ok := cut16(rest)
	if !ok {
		return errUpdate
	}
	u.withdrawn[0], u.announced[0] = withdrawn, nlri
	for len(attrs) > 0 {
		if len(attrs) < 3 {
			return errAttribute
		}
		flags, kind := attrs[0], attrs[1]
		size, at := int(attrs[2]), 3
		if flags&flagExtended != 0 {
			if len(attrs) < 4 {
				return errAttribute
			}
			size, at = int(binary.BigEndian.Uint16(attrs[2:])), 4
		}
		if len(attrs) < at+size {
			return errAttribute
		}
		if err := u.attribute(kind, attrs[at:at+size:at+size]); err != nil {
			return err
		}
		attrs = attrs[at+size:]
	}
	return nil
}

func (u *update) attribute(kind byte, value []byte) error {
	switch kind {
	case attrOrigin:
		u.origin = value
	case attrASPath:
		u.asPath = value
	case attrNextHop:
		u.nextHop = value
	case attrMED:
		u.med = value
	case attrLocalPref:
		u.localPref = value
	case attrOriginatorID:
		u.originatorID = value
	case attrClusterList:
		u.clusterList = value
	case attrMPReach: // RFC 4760 §3
		if len(value) < 5 || len(value) < 5+int(value[3]) {
			return errMP
		}
		if value[0] != 0 || value[1] != afiIPv6 || value[2] != safiUnicast {
			return errFamily
		}
		end := 4 + int(value[3])
		u.nextHop, u.announced[1] = value[4:end:end], value[end+1:]
		if len(u.nextHop) == 32 { // with a link-local address behind it (RFC 2545 §3)
			u.nextHop = u.nextHop[:16]
		}
	case attrMPUnreach: // RFC 4760 §4
		if len(value) < 3 {
			return errMP
		}
		if value[0] != 0 || value[1] != afiIPv6 || value[2] != safiUnicast {
			return errFamily
		}
		u.withdrawn[1] = value[3:]
	}
	return nil
}

// cut16 splits what a 16-bit length announces from the rest.
func cut16(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n:n], b[n:], true
}

// cutPrefix splits the first prefix off an NLRI field: its length in bits and
// the bytes of its address.
func cutPrefix(nlri []byte) (bits int, addr, rest []byte, ok bool) {
	bits = int(nlri[0])
	n := 1 + (bits+7)/8
	if len(nlri) < n {
		return 0, nil, nil, false
	}
	return bits, nlri[1:n], nlri[n:], true
}

// openHold returns the hold time, in seconds, that an OPEN's body offers (RFC
// 4271 §4.2).
func openHold(body []byte) (uint16, error) {
	if len(body) < 10 || body[0] != 4 {
		return 0, fmt.Errorf("malformed open %x", body)
	}
	return binary.BigEndian.Uint16(body[3:]), nil
}

// notification is a NOTIFICATION in words.
func notification(body []byte) error {
	if len(body) < 2 {
		return errors.New("the target sent a malformed notification")
	}
	return fmt.Errorf("the target sent notification %d/%d %x", body[0], body[1], body[2:])
}
