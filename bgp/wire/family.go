package wire

import (
	"fmt"

	"github.com/projectvrouter/vrouter/bgp"
)

// FamilyCode is an address family as IANA numbers it (RFC 4760 §3).
type FamilyCode struct {
	AFI  uint16
	SAFI uint8
}

const (
	afiIPv4     = 1
	afiIPv6     = 2
	safiUnicast = 1
)

// CodeOf is the code of f.
func CodeOf(f bgp.Family) FamilyCode {
	switch f {
	case bgp.IPv4Unicast:
		return FamilyCode{AFI: afiIPv4, SAFI: safiUnicast}
	case bgp.IPv6Unicast:
		return FamilyCode{AFI: afiIPv6, SAFI: safiUnicast}
	}
	return FamilyCode{}
}

// Family is the family that c names; zero: none that is spoken here.
func (c FamilyCode) Family() bgp.Family {
	switch c {
	case FamilyCode{AFI: afiIPv4, SAFI: safiUnicast}:
		return bgp.IPv4Unicast
	case FamilyCode{AFI: afiIPv6, SAFI: safiUnicast}:
		return bgp.IPv6Unicast
	}
	return 0
}

// String is the numbers, as "afi 25 safi 70".
func (c FamilyCode) String() string { return fmt.Sprintf("afi %d safi %d", c.AFI, c.SAFI) }
