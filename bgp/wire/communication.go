package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxCommunication is how long a shutdown communication may be, in octets
// (RFC 9003 §2). RFC 8203 allowed 128.
const MaxCommunication = 255

// NewShutdown is a Cease of AdministrativeShutdown or AdministrativeReset that
// says why, in UTF-8 of at most MaxCommunication octets; empty says nothing
// (RFC 9003 §2).
func NewShutdown(s Subcode, text string) (*Notification, error) {
	switch {
	case s != AdministrativeShutdown && s != AdministrativeReset:
		return nil, fmt.Errorf("shutdown communication: Cease subcode %d carries none", s)
	case len(text) > MaxCommunication:
		return nil, fmt.Errorf("shutdown communication: %d octets, at most %d are allowed", len(text), MaxCommunication)
	case !utf8.ValidString(text):
		return nil, errors.New("shutdown communication: not UTF-8")
	}
	n := &Notification{Code: Cease, Subcode: s}
	if text != "" {
		n.Data = append([]byte{byte(len(text))}, text...)
	}
	return n, nil
}

// Communication is what a shutdown says; empty: nothing. What follows the
// text is ignored. The error says what is wrong with the text, which is then to
// be shown as hexadecimal, if at all (RFC 9003 §5).
func (n *Notification) Communication() (string, error) {
	if n.Code != Cease || n.Subcode != AdministrativeShutdown && n.Subcode != AdministrativeReset || len(n.Data) == 0 {
		return "", nil
	}
	length := int(n.Data[0])
	if length > len(n.Data)-1 {
		return "", fmt.Errorf("shutdown communication: length %d, %d octets follow", length, len(n.Data)-1)
	}
	text := string(n.Data[1 : 1+length])
	if !utf8.ValidString(text) {
		return "", errors.New("shutdown communication: not UTF-8")
	}
	return text, nil
}
