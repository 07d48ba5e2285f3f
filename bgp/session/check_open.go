package session

import (
	"encoding/binary"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// checkOpen compares the peer's OPEN with what the session is to be, and with
// ours. The error is a *wire.Notification (RFC 4271 §6.2).
func (c Config) checkOpen(local, peer wire.Open) (wire.Negotiated, error) {
	wrongAS := peer.AS != c.PeerAS
	if c.PeerAS == 0 {
		wrongAS = peer.AS == c.LocalAS
	}
	switch {
	case wrongAS:
		return wire.Negotiated{}, &wire.Notification{Code: wire.OpenError, Subcode: wire.BadPeerAS}
	case peer.AS == c.LocalAS && peer.RouterID == c.RouterID: // RFC 6286 §2.1
		return wire.Negotiated{}, &wire.Notification{Code: wire.OpenError, Subcode: wire.BadBGPIdentifier}
	}
	n, err := wire.Negotiate(local, peer, c.StrictRole)
	if err != nil {
		return n, err
	}
	if n.HoldTime < c.MinHold {
		return n, &wire.Notification{Code: wire.OpenError, Subcode: wire.UnacceptableHoldTime}
	}
	return n, nil
}

// facts is what the state machine has to know of an OPEN.
func facts(peer wire.Open, n wire.Negotiated) openFacts {
	return openFacts{id: idNumber(peer.RouterID.As4()), as: peer.AS, restarts: n.GracefulRestart}
}

// idNumber is a BGP identifier as a number, as collisions compare it.
func idNumber(id [4]byte) uint32 { return binary.BigEndian.Uint32(id[:]) }
