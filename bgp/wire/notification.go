package wire

import (
	"fmt"
)

// Code is the error code of a NOTIFICATION (RFC 4271 §4.5).
type Code uint8

// The error codes.
const (
	HeaderError       Code = 1
	OpenError         Code = 2
	UpdateError       Code = 3
	HoldTimerExpired  Code = 4
	FSMError          Code = 5
	Cease             Code = 6
	RouteRefreshError Code = 7 // RFC 7313 §5
	SendHoldExpired   Code = 8 // RFC 9687 §3
)

// Subcode tells errors of one Code apart. Zero is unspecific.
type Subcode uint8

// Subcodes of HeaderError (RFC 4271 §6.1).
const (
	ConnectionNotSynchronized Subcode = 1
	BadMessageLength          Subcode = 2
	BadMessageType            Subcode = 3
)

// Subcodes of OpenError (RFC 4271 §6.2, RFC 5492 §5, RFC 9234 §4.2).
const (
	UnsupportedVersion    Subcode = 1
	BadPeerAS             Subcode = 2
	BadBGPIdentifier      Subcode = 3
	UnsupportedParameter  Subcode = 4
	UnacceptableHoldTime  Subcode = 6
	UnsupportedCapability Subcode = 7
	RoleMismatch          Subcode = 11
)

// Subcodes of UpdateError (RFC 4271 §6.3).
const (
	MalformedAttributeList  Subcode = 1
	UnrecognizedWellKnown   Subcode = 2
	MissingWellKnown        Subcode = 3
	AttributeFlagsError     Subcode = 4
	AttributeLengthError    Subcode = 5
	InvalidOrigin           Subcode = 6
	InvalidNextHop          Subcode = 8
	OptionalAttributeError  Subcode = 9
	InvalidNetworkField     Subcode = 10
	MalformedASPath         Subcode = 11
	InvalidRefreshLength    Subcode = 1 // of RouteRefreshError (RFC 7313 §5)
	UnexpectedInOpenSent    Subcode = 1 // of FSMError (RFC 6608 §3)
	UnexpectedInOpenConfirm Subcode = 2
	UnexpectedInEstablished Subcode = 3
)

// Subcodes of Cease (RFC 4486 §3, RFC 8538 §3.1, RFC 9384 §3).
const (
	MaxPrefixes              Subcode = 1
	AdministrativeShutdown   Subcode = 2
	PeerDeconfigured         Subcode = 3
	AdministrativeReset      Subcode = 4
	ConnectionRejected       Subcode = 5
	OtherConfigurationChange Subcode = 6
	CollisionResolution      Subcode = 7
	OutOfResources           Subcode = 8
	HardReset                Subcode = 9
	BFDDown                  Subcode = 10
)

// Notification ends a session: sent, received, or the error of what was
// parsed here, always as a pointer.
type Notification struct {
	Code    Code
	Subcode Subcode
	Data    []byte // nil or what the error is about; see the RFC of the code
}

// ParseNotification reads the body of a NOTIFICATION. Unknown codes are no
// error. Data is a copy.
func ParseNotification(body []byte) (*Notification, error) {
	if len(body) < 2 {
		return nil, &Notification{Code: HeaderError, Subcode: BadMessageLength, Data: lengthData(HeaderLen + len(body))}
	}
	n := &Notification{Code: Code(body[0]), Subcode: Subcode(body[1])}
	if len(body) > 2 {
		n.Data = append([]byte(nil), body[2:]...)
	}
	return n, nil
}

// AppendNotification appends n as a message. Data that would make it longer
// than MaxMessage is cut: nobody must fail to read why a session ends.
func AppendNotification(b []byte, n *Notification) []byte {
	b, start := beginMessage(b, TypeNotification)
	b = append(b, byte(n.Code), byte(n.Subcode))
	b = append(b, n.Data[:min(len(n.Data), MaxMessage-minNotification)]...)
	return endMessage(b, start)
}

// Error names the code and subcode, and what a shutdown communication says.
func (n *Notification) Error() string {
	text := codeName(n.Code)
	if n.Subcode != 0 {
		text += ": " + subcodeName(n.Code, n.Subcode)
	}
	if inner, ok := n.Encapsulated(); ok {
		return text + ": " + inner.Error()
	}
	if said, err := n.Communication(); err == nil && said != "" {
		return fmt.Sprintf("%s: %q", text, said)
	}
	return text
}

// Encapsulated is the NOTIFICATION within a Hard Reset (RFC 8538 §3.1).
func (n *Notification) Encapsulated() (*Notification, bool) {
	if n.Code != Cease || n.Subcode != HardReset || len(n.Data) < 2 {
		return nil, false
	}
	inner := &Notification{Code: Code(n.Data[0]), Subcode: Subcode(n.Data[1]), Data: n.Data[2:]}
	if inner.Code == Cease && inner.Subcode == HardReset {
		return nil, false // one within another says nothing, and might never end
	}
	return inner, true
}

// Hard is n within a Hard Reset, which ends graceful restart, too (RFC 8538
// §3.1).
func (n *Notification) Hard() *Notification {
	return &Notification{Code: Cease, Subcode: HardReset, Data: append([]byte{byte(n.Code), byte(n.Subcode)}, n.Data...)}
}

func lengthData(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
