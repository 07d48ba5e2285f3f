package session

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp"
)

// Config says what one session is to be. It is not changed once handed over:
// another Config is another Peer.
type Config struct {
	Name string // for logs

	Peer   netip.AddrPort // the zone of a link-local address counts; port zero: bgp.DefaultPort
	Local  netip.AddrPort // what to dial from; zero parts: the kernel's choice
	Device string         // bind dialled connections to this interface; empty: none

	LocalAS  uint32
	PeerAS   uint32     // zero: any but ours, one in the OPEN
	RouterID netip.Addr // our BGP identifier, an IPv4 address

	Passive bool // wait for the peer's connection, do not dial

	// Multihop is the TTL towards an external peer that is not on our link;
	// zero: 1. Internal peers may be anywhere.
	Multihop uint8
	// TTLSecurity is how many hops away the peer may be, 1 for a neighbour on
	// our link; packets from farther are dropped (RFC 5082). The peer must do
	// the same, for it makes us send with TTL 255. Zero: off.
	TTLSecurity uint8
	// Password is the key of TCP MD5 signatures (RFC 2385); empty: none. For
	// the peer's connections the Listener needs it, too.
	Password bgp.Password

	Hold         time.Duration // offered; zero: bgp.DefaultHold; NoHold: none
	MinHold      time.Duration // an OPEN that makes it less, or none, is refused; zero: any will do
	Keepalive    time.Duration // zero, or too much for the hold time: a third of it
	ConnectRetry time.Duration // zero: bgp.DefaultConnectRetry
	// SendHold is how long the peer may take nothing of what we write (RFC
	// 9687); zero: eight minutes, or twice the hold time if that is more.
	SendHold time.Duration

	// StrictRole refuses a peer that names no role when we do (RFC 9234 §4.2).
	StrictRole bool
}

// NoHold as Config.Hold offers to do without a hold timer (RFC 4271 §4.2).
const NoHold time.Duration = -1

// minSendHold is the default of RFC 9687 §5.
const minSendHold = 8 * time.Minute

// withDefaults is c with its zero values filled in.
func (c Config) withDefaults() Config {
	if c.Peer.Port() == 0 {
		c.Peer = netip.AddrPortFrom(c.Peer.Addr(), bgp.DefaultPort)
	}
	switch c.Hold {
	case 0:
		c.Hold = bgp.DefaultHold
	case NoHold:
		c.Hold = 0
	}
	if c.ConnectRetry == 0 {
		c.ConnectRetry = bgp.DefaultConnectRetry
	}
	return c
}

// Check says everything that is wrong with c.
func (c Config) Check() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	hold := c.withDefaults().Hold
	bad(!c.Peer.Addr().IsValid(), "no peer address")
	local := c.Local.Addr()
	bad(local.IsValid() && local.Is4() != c.Peer.Addr().Is4(), "local address %s and peer %s are of two families", local, c.Peer.Addr())
	bad(c.LocalAS == 0, "0 is not an AS number")
	bad(!c.RouterID.Is4() || c.RouterID.IsUnspecified(), "the router id %s is no IPv4 address", c.RouterID)
	bad(hold < 0 || hold > 0 && hold < 3*time.Second || hold > 65535*time.Second, "hold time %s is neither none nor 3 s to 65535 s", hold)
	bad(hold%time.Second != 0, "hold time %s is not in whole seconds", hold)
	bad(c.MinHold > hold, "hold time %s is below the least one allowed, %s", hold, c.MinHold)
	bad(c.Keepalive < 0 || c.ConnectRetry < 0 || c.SendHold < 0 || c.MinHold < 0, "a time is negative")
	bad(c.TTLSecurity > 0 && c.Multihop > 0, "TTL security and multihop exclude each other")
	bad(len(c.Device) >= unix.IFNAMSIZ, "device %q has too long a name", c.Device)
	errs = append(errs, c.Password.Check())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("session %s with %s: %w", c.Name, c.Peer, err)
	}
	return nil
}

// internal reports whether the peer is known to be of our AS.
func (c Config) internal() bool { return c.LocalAS == c.PeerAS }

// sendTTL is the TTL of what we send: 255 where the peer checks it, 1 to an
// external neighbour so that nothing reaches farther, 64 (the kernel's own)
// elsewhere.
func (c Config) sendTTL() int {
	switch {
	case c.TTLSecurity > 0:
		return 255
	case c.internal():
		return 64
	case c.Multihop > 0:
		return int(c.Multihop)
	}
	return 1
}

// minTTL is the least TTL that is let in; zero: any.
func (c Config) minTTL() int {
	if c.TTLSecurity == 0 {
		return 0
	}
	return 256 - int(c.TTLSecurity)
}

// sendHold is the send hold time of a connection with this hold time.
func (c Config) sendHold(hold time.Duration) time.Duration {
	if c.SendHold > 0 {
		return c.SendHold
	}
	return max(minSendHold, 2*hold)
}

// keepalive is how often to send KEEPALIVE; zero: never.
func (c Config) keepalive(hold time.Duration) time.Duration {
	if c.Keepalive > 0 {
		return min(c.Keepalive, hold/3)
	}
	return hold / 3
}
