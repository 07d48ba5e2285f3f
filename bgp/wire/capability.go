package wire

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// Capabilities are what a speaker can do (RFC 5492). The zero value has none,
// which means IPv4 unicast and nothing else.
type Capabilities struct {
	Multiprotocol bool         // any family was named; else IPv4 unicast is meant
	Families      bgp.Families // RFC 4760 §8
	Others        []FamilyCode // named, and not spoken here

	FourByteAS bool   // RFC 6793 §4.1
	AS         uint32 // its value

	RouteRefresh    bool // RFC 2918
	EnhancedRefresh bool // RFC 7313
	ExtendedMessage bool // RFC 8654
	// ExtendedNextHop: IPv4 unicast with IPv6 next hops (RFC 8950).
	ExtendedNextHop bool

	// AddPathReceive and AddPathSend are the families in which path
	// identifiers are understood and wanted to be sent (RFC 7911 §4).
	AddPathReceive, AddPathSend bgp.Families

	Role bgp.Role // RFC 9234 §4.1

	GracefulRestart *GracefulRestart // nil: not capable
	// LongLived is by family; it means nothing without GracefulRestart (RFC
	// 9494 §3).
	LongLived []LongLived

	Unknown []uint8 // codes not known here, in the order in which they came
}

// GracefulRestart is the capability of RFC 4724 §3.
type GracefulRestart struct {
	Restarting   bool          // R: the speaker has restarted
	Notification bool          // N: it honours RFC 8538
	Time         time.Duration // whole seconds up to 4095
	Families     bgp.Families  // none: it only helps others
	Forwarding   bgp.Families  // F: of these the forwarding state was kept
}

// LongLived is one family of the long-lived graceful restart capability (RFC
// 9494 §3).
type LongLived struct {
	Family     bgp.Family
	Forwarding bool          // F
	Time       time.Duration // whole seconds up to 2^24-1
}

// Codes of capabilities (IANA).
const (
	capMultiprotocol   = 1
	capRouteRefresh    = 2
	capExtendedNextHop = 5
	capExtendedMessage = 6
	capRole            = 9
	capGracefulRestart = 64
	capFourByteAS      = 65
	capAddPath         = 69
	capEnhancedRefresh = 70
	capLongLived       = 71
)

// Names are the capabilities by name, for people, in order of code.
func (c Capabilities) Names() []string {
	var names []string
	add := func(has bool, name string) {
		if has {
			names = append(names, name)
		}
	}
	for _, f := range c.Families.All() {
		names = append(names, f.String()+"-unicast")
	}
	add(c.RouteRefresh, "route-refresh")
	add(c.ExtendedNextHop, "extended-nexthop")
	add(c.ExtendedMessage, "extended-message")
	add(c.Role != bgp.RoleNone, "role")
	add(c.GracefulRestart != nil, "graceful-restart")
	add(c.FourByteAS, "4-octet-as")
	add(c.AddPathReceive|c.AddPathSend != 0, "add-path")
	add(c.EnhancedRefresh, "enhanced-route-refresh")
	add(len(c.LongLived) > 0, "long-lived-graceful-restart")
	return names
}
