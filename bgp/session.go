package bgp

import (
	"fmt"
	"net/netip"
	"time"
)

// Family is an address family that a session can carry (RFC 4760).
type Family uint8

// The families spoken. The zero Family is none.
const (
	IPv4Unicast Family = iota + 1
	IPv6Unicast
)

// FamilyOf is the family of an address; none for the zero address. An IPv4
// address mapped into IPv6 counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4(), a.Is4In6():
		return IPv4Unicast
	case a.Is6():
		return IPv6Unicast
	}
	return 0
}

// String is "ipv4" or "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4Unicast:
		return "ipv4"
	case IPv6Unicast:
		return "ipv6"
	}
	return "none"
}

// Kind says what made a session wanted.
type Kind uint8

// The kinds of session, in the order in which they win an address and port.
// The host's own file comes first, so that a session that was made while the
// store was away is not reset when it comes back.
const (
	Config Kind = iota + 1 // the host's configuration file
	Global                 // a BGPPeer that names no node
	Node                   // a BGPPeer with node or nodeSelector, or the way back of one
	Mesh                   // the node-to-node mesh
)

// String is the lower-case name of k.
func (k Kind) String() string {
	switch k {
	case Global:
		return "global"
	case Node:
		return "node"
	case Config:
		return "config"
	case Mesh:
		return "mesh"
	}
	return "none"
}

// DefaultPort is the port of BGP (RFC 4271 §8.2.1).
const DefaultPort = 179

// Session is one session that is wanted. It carries one family, as Calico's
// do. It is a value, never changed once handed over, and comparable.
//
// Peer and PeerPort tell sessions apart. Name, Kind, PeerNode and Origin are
// labels: a session that keeps the rest is the same session, and is not reset
// when they change.
type Session struct {
	Name     string // for status and logs: "mesh/host2/ipv4", "peer/tor1/10.0.0.1"
	Kind     Kind
	PeerNode string // the node at the other end, if it is one of ours
	Origin   string // the BGPPeer behind it, if there is one

	Family   Family
	Peer     netip.Addr
	PeerPort uint16     // zero: DefaultPort
	Local    netip.Addr // source address; zero: the kernel's choice

	LocalAS uint32 // zero: the speaker's
	PeerAS  uint32 // equal to LocalAS: an internal session (iBGP)

	Passive  bool // wait for the peer's connection, do not dial
	Multihop bool // external peer may be more than one hop away

	// ClusterID is our own cluster id (RFC 4456 §7). Valid makes this speaker
	// a reflector; it is the same in every session of a node.
	ClusterID       netip.Addr
	ReflectorClient bool // the peer is a client of ours

	Hold         time.Duration // offered; zero: 90 s (RFC 4271 §10)
	Keepalive    time.Duration // zero: a third of Hold
	ConnectRetry time.Duration // zero: 2 s, because a restarted peer must not wait
}

// Defaults for the timers of a Session.
const (
	DefaultHold         = 90 * time.Second
	DefaultConnectRetry = 2 * time.Second
)

// Internal reports whether s is an iBGP session.
func (s Session) Internal() bool { return s.LocalAS == s.PeerAS }

// Endpoint is what tells s apart from other sessions.
func (s Session) Endpoint() netip.AddrPort {
	port := s.PeerPort
	if port == 0 {
		port = DefaultPort
	}
	return netip.AddrPortFrom(s.Peer, port)
}

// SameAs reports whether s and o differ in labels at most, so that going from
// one to the other resets nothing.
func (s Session) SameAs(o Session) bool {
	return s.unlabelled() == o.unlabelled()
}

func (s Session) unlabelled() Session {
	s.Name, s.Kind, s.PeerNode, s.Origin = "", 0, "", ""
	s.PeerPort = s.Endpoint().Port()
	return s
}

// Check says what is wrong with s, if anything.
func (s Session) Check() error {
	switch {
	case s.Family == 0 || FamilyOf(s.Peer) != s.Family:
		return fmt.Errorf("session %s: peer is no %s address", s, s.Family)
	case s.Local.IsValid() && FamilyOf(s.Local) != s.Family:
		return fmt.Errorf("session %s: local address %s is no %s address", s, s.Local, s.Family)
	case s.Local == s.Peer:
		return fmt.Errorf("session %s: peer is ourselves", s)
	case s.PeerAS == 0 || s.LocalAS == 0:
		return fmt.Errorf("session %s: 0 is not an AS number", s)
	case s.ReflectorClient && (!s.Internal() || !s.ClusterID.IsValid()):
		return fmt.Errorf("session %s: a client needs an internal session and a cluster id", s)
	}
	return nil
}

// String is the name and the endpoint of s.
func (s Session) String() string {
	return fmt.Sprintf("%s (%s)", s.Name, s.Endpoint())
}
