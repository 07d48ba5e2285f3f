package wire

import "encoding/binary"

// MessageType is the type of a message (RFC 4271 §4.1).
type MessageType uint8

// The message types.
const (
	TypeOpen         MessageType = 1
	TypeUpdate       MessageType = 2
	TypeNotification MessageType = 3
	TypeKeepalive    MessageType = 4
	TypeRouteRefresh MessageType = 5 // RFC 2918
)

// Sizes of messages in octets, header included.
const (
	HeaderLen       = 19
	MaxMessage      = 4096  // RFC 4271 §4.1
	MaxExtended     = 65535 // with extended messages; OPEN and KEEPALIVE keep MaxMessage (RFC 8654 §4)
	minOpen         = 29
	minUpdate       = 23
	minNotification = 21
	minRouteRefresh = 23
)

// String is the name of t in the RFCs.
func (t MessageType) String() string {
	switch t {
	case TypeOpen:
		return "OPEN"
	case TypeUpdate:
		return "UPDATE"
	case TypeNotification:
		return "NOTIFICATION"
	case TypeKeepalive:
		return "KEEPALIVE"
	case TypeRouteRefresh:
		return "ROUTE-REFRESH"
	}
	return "unknown"
}

// CheckHeader checks the header that b begins with, at least HeaderLen octets
// (RFC 4271 §6.1): marker, length, type, length for the type. Extended says
// that extended messages were negotiated. The length includes the header; the
// error is a *Notification.
func CheckHeader(b []byte, extended bool) (MessageType, int, error) {
	if binary.BigEndian.Uint64(b) != ^uint64(0) || binary.BigEndian.Uint64(b[8:]) != ^uint64(0) {
		return 0, 0, &Notification{Code: HeaderError, Subcode: ConnectionNotSynchronized}
	}
	length, t := int(binary.BigEndian.Uint16(b[16:])), MessageType(b[18])
	low, high := HeaderLen, MaxMessage
	if extended && t != TypeOpen && t != TypeKeepalive {
		high = MaxExtended
	}
	known := true
	switch t {
	case TypeOpen:
		low = minOpen
	case TypeUpdate:
		low = minUpdate
	case TypeNotification:
		low = minNotification
	case TypeKeepalive:
		high = HeaderLen
	case TypeRouteRefresh:
		low = minRouteRefresh
	default:
		known = false
	}
	switch {
	case length < low || length > high:
		return 0, 0, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: []byte{b[16], b[17]}}
	case !known:
		return 0, 0, &Notification{Code: HeaderError, Subcode: BadMessageType, Data: []byte{b[18]}}
	}
	return t, length, nil
}

// AppendKeepalive appends a KEEPALIVE (RFC 4271 §4.4).
func AppendKeepalive(b []byte) []byte {
	b, start := beginMessage(b, TypeKeepalive)
	return endMessage(b, start)
}

// AppendMessage appends a message of the type t with the body.
func AppendMessage(b []byte, t MessageType, body []byte) []byte {
	b, start := beginMessage(b, t)
	return endMessage(append(b, body...), start)
}

// beginMessage appends a header whose length endMessage sets.
func beginMessage(b []byte, t MessageType) ([]byte, int) {
	start := len(b)
	for range 16 {
		b = append(b, 0xff)
	}
	return append(b, 0, 0, byte(t)), start
}

func endMessage(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+16:], uint16(len(b)-start))
	return b
}
