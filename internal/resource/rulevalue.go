package resource

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// protocol is an IP protocol that the API has a name for.
type protocol struct {
	name   string
	number uint8 // of IANA
	ports  bool  // rules may match its ports
}

// IANA's numbers of protocols.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// protocols returns the protocols that have names, as Calico spells them.
// UDPLite has ports, but no dataplane of Calico's matches them.
func protocols() []protocol {
	return []protocol{
		{"TCP", protocolTCP, true}, {"UDP", protocolUDP, true}, {"SCTP", 132, true},
		{"ICMP", protocolICMP, false}, {"ICMPv6", protocolICMPv6, false}, {"UDPLite", 136, false},
	}
}

// ProtocolName returns the name that the API has for a protocol, or its number.
func ProtocolName(number uint8) string {
	for _, p := range protocols() {
		if p.number == number {
			return p.name
		}
	}
	return fmt.Sprint(number)
}

// hasPorts tells whether rules may match the ports of the protocol.
func hasPorts(number uint8) bool {
	for _, p := range protocols() {
		if p.number == number {
			return p.ports
		}
	}
	return false
}

// parseProtocol reads a protocol by name, in any case, or by number.
func parseProtocol(v *structpb.Value) (uint8, error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		n, err := wholeNumber(k.NumberValue, math.MaxUint8)
		if err == nil && n == 0 {
			err = errors.New("0 is not a protocol")
		}
		return uint8(n), err
	case *structpb.Value_StringValue:
		for _, p := range protocols() {
			if strings.EqualFold(p.name, k.StringValue) {
				return p.number, nil
			}
		}
		if n, err := parseDecimal(k.StringValue, math.MaxUint8); err == nil && n != 0 {
			return uint8(n), nil
		}
		return 0, fmt.Errorf("%q is none of TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number", k.StringValue)
	}
	return 0, errors.New("must be a number or a text")
}

// parsePortProtocol reads the protocol of a port of an endpoint: one that has
// ports, by name, or any by number.
func parsePortProtocol(v *structpb.Value) (uint8, error) {
	if v.GetKind() == nil {
		return 0, errors.New("TCP, UDP, SCTP, or a number is needed")
	}
	if text, ok := v.GetKind().(*structpb.Value_StringValue); ok {
		n, err := parseProtocol(v)
		if err != nil || !digits(text.StringValue) && !hasPorts(n) {
			return 0, fmt.Errorf("%q is none of TCP, UDP, SCTP, or a number", text.StringValue)
		}
		return n, nil
	}
	return parseProtocol(v)
}

// parsePort reads a port of a rule: a number, FIRST:LAST, or a name.
func parsePort(v *structpb.Value) (Port, error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		n, err := wholeNumber(k.NumberValue, math.MaxUint16)
		if err == nil && n == 0 {
			err = errors.New("0 is not a port")
		}
		return Port{First: uint16(n), Last: uint16(n)}, err
	case *structpb.Value_StringValue:
		return parsePortText(k.StringValue)
	}
	return Port{}, errors.New("must be a number or a text")
}

func parsePortText(s string) (Port, error) {
	if digits(s) {
		n, err := parsePortNumber(s)
		return Port{First: n, Last: n}, err
	}
	first, last, isRange := strings.Cut(s, ":")
	if !isRange {
		if err := checkCalicoName(s); err != nil {
			return Port{}, fmt.Errorf("neither a number nor FIRST:LAST, and as a name: %w", err)
		}
		return Port{Name: s}, nil
	}
	low, err := parsePortNumber(first)
	if err != nil {
		return Port{}, fmt.Errorf("range %q: %w", s, err)
	}
	high, err := parsePortNumber(last)
	if err != nil {
		return Port{}, fmt.Errorf("range %q: %w", s, err)
	}
	if low > high {
		return Port{}, fmt.Errorf("range %q ends before it begins", s)
	}
	return Port{First: low, Last: high}, nil
}

func parsePortNumber(s string) (uint16, error) {
	n, err := parseDecimal(s, math.MaxUint16)
	if err == nil && n == 0 {
		err = errors.New("0 is not a port")
	}
	return uint16(n), err
}

func digits(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) {
			return false
		}
	}
	return s != ""
}

// canonicalizeProtocol writes a name as Calico does, and a number in text
// as a number.
func canonicalizeProtocol(v *structpb.Value) {
	text, ok := v.GetKind().(*structpb.Value_StringValue)
	if !ok {
		return
	}
	n, err := parseProtocol(v)
	switch {
	case err != nil:
	case digits(text.StringValue):
		v.Kind = &structpb.Value_NumberValue{NumberValue: float64(n)}
	default:
		text.StringValue = ProtocolName(n)
	}
}

// canonicalizePort writes a port as a number, and a range without needless
// zeros or colon.
func canonicalizePort(v *structpb.Value) {
	port, err := parsePort(v)
	switch {
	case err != nil:
	case port.Name == "" && port.First == port.Last:
		v.Kind = &structpb.Value_NumberValue{NumberValue: float64(port.First)}
	default:
		v.Kind = &structpb.Value_StringValue{StringValue: port.String()}
	}
}
