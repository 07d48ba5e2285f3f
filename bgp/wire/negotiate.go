package wire

import (
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// Negotiated is what two OPENs have in common, seen from the local end.
type Negotiated struct {
	PeerAS   uint32
	External bool
	Families bgp.Families
	// HoldTime is the lesser of both; zero: no KEEPALIVEs, no hold timer (RFC
	// 4271 §4.2).
	HoldTime time.Duration

	FourByteAS      bool
	RouteRefresh    bool
	EnhancedRefresh bool
	ExtendedMessage bool
	ExtendedNextHop bool

	AddPathReceive, AddPathSend bgp.Families

	GracefulRestart bool // both are capable; see the peer's Capabilities
	Notification    bool // of RFC 8538 §3
	LongLived       bool
}

// Negotiate compares the OPEN we sent with the one received. The error is a
// *Notification: an internal peer with our own BGP identifier (RFC 6286 §2.2),
// no family in common (unsupported capability, with the families that we
// wanted), or roles that do not fit (RFC 9234 §4.2); with strict a peer that says
// no role does not fit either.
func Negotiate(local, peer Open, strict bool) (Negotiated, error) {
	l, p := local.Capabilities, peer.Capabilities
	n := Negotiated{
		PeerAS: peer.AS, External: local.AS != peer.AS,
		Families:        l.families() & p.families(),
		HoldTime:        min(local.HoldTime, peer.HoldTime),
		FourByteAS:      p.FourByteAS, // we always have it
		RouteRefresh:    l.RouteRefresh && p.RouteRefresh,
		ExtendedMessage: l.ExtendedMessage && p.ExtendedMessage,
		ExtendedNextHop: l.ExtendedNextHop && p.ExtendedNextHop,
		GracefulRestart: l.GracefulRestart != nil && p.GracefulRestart != nil,
	}
	n.EnhancedRefresh = l.EnhancedRefresh && p.EnhancedRefresh
	n.AddPathReceive = l.AddPathReceive & p.AddPathSend & n.Families
	n.AddPathSend = l.AddPathSend & p.AddPathReceive & n.Families
	if n.GracefulRestart {
		n.Notification = l.GracefulRestart.Notification && p.GracefulRestart.Notification
		n.LongLived = len(l.LongLived) > 0 && len(p.LongLived) > 0
	}
	if !n.External && local.RouterID == peer.RouterID {
		return n, openError(BadBGPIdentifier)
	}
	if n.Families == 0 {
		var wanted []byte
		for _, f := range l.families().All() {
			wanted = appendFamily(append(wanted, capMultiprotocol, 4), f, true)
		}
		return n, openError(UnsupportedCapability, wanted...)
	}
	if n.External && l.Role != bgp.RoleNone && !l.Role.Fits(p.Role) && (strict || p.Role != bgp.RoleNone) {
		return n, openError(RoleMismatch)
	}
	return n, nil
}

// families is what c carries: IPv4 unicast if it names none (RFC 4760 §8).
func (c Capabilities) families() bgp.Families {
	if c.Families == 0 && !c.Multiprotocol {
		return bgp.FamiliesOf(bgp.IPv4Unicast)
	}
	return c.Families
}

// Options is how UPDATEs of the peer are to be read.
func (n Negotiated) Options() Options {
	return Options{
		External: n.External, FourByteAS: n.FourByteAS, Families: n.Families,
		AddPath: n.AddPathReceive, ExtendedNextHop: n.ExtendedNextHop,
	}
}

// Form is how UPDATEs to the peer are to be written.
func (n Negotiated) Form() Form {
	f := Form{TwoByteAS: !n.FourByteAS, ExtendedNextHop: n.ExtendedNextHop, AddPath: n.AddPathSend, Max: MaxMessage}
	if n.ExtendedMessage {
		f.Max = MaxExtended
	}
	return f
}
