package session

import (
	"encoding/binary"
	"fmt"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// checkOpen compares the peer's OPEN with what the session is to be, and with
// ours. The error is, or wraps, a *wire.Notification (RFC 4271 §6.2).
func (c Config) checkOpen(local, peer wire.Open) (wire.Negotiated, error) {
	switch {
	case c.PeerAS == 0 && peer.AS == c.LocalAS:
		return wire.Negotiated{}, refuseOpen(wire.BadPeerAS, "the peer is in our own AS %d", peer.AS)
	case c.PeerAS != 0 && peer.AS != c.PeerAS:
		return wire.Negotiated{}, refuseOpen(wire.BadPeerAS, "the peer says that its AS is %d, not %d", peer.AS, c.PeerAS)
	case peer.AS == c.LocalAS && peer.RouterID == c.RouterID: // RFC 6286 §2.1
		return wire.Negotiated{}, refuseOpen(wire.BadBGPIdentifier, "the peer has our own router ID %s", peer.RouterID)
	}
	n, err := wire.Negotiate(local, peer, c.StrictRole)
	if err != nil {
		return n, err
	}
	if n.HoldTime < c.MinHold {
		return n, refuseOpen(wire.UnacceptableHoldTime, "%s, the least that is taken is %s", n.HoldTime, c.MinHold)
	}
	return n, nil
}

// refusal is why an OPEN is refused: what the peer is told, and in words for an
// operator what the code does not say.
type refusal struct {
	notice *wire.Notification
	words  string
}

func refuseOpen(why wire.Subcode, format string, args ...any) error {
	return &refusal{&wire.Notification{Code: wire.OpenError, Subcode: why}, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return r.words }
func (r *refusal) Unwrap() error { return r.notice }

// facts is what the state machine has to know of an OPEN.
func facts(peer wire.Open, n wire.Negotiated) openFacts {
	return openFacts{id: idNumber(peer.RouterID.As4()), as: peer.AS, restarts: n.GracefulRestart}
}

// idNumber is a BGP identifier as a number, as collisions compare it.
func idNumber(id [4]byte) uint32 { return binary.BigEndian.Uint32(id[:]) }
