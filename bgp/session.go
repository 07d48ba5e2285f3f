package bgp

import (
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"
)

// Kind says what made a session wanted.
type Kind uint8

// The kinds of session, in the order in which they win an address and port.
// The host's own file comes first, so that a session that was made while the
// store was away is not reset when it comes back.
const (
	Config     Kind = iota + 1 // the host's configuration file
	Global                     // a BGPPeer that names no node
	Node                       // a BGPPeer with node or nodeSelector, or the way back of one
	Reflection                 // a group of reflectors
	Mesh                       // the node-to-node mesh
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
	case Reflection:
		return "group"
	case Mesh:
		return "mesh"
	}
	return "none"
}

// DefaultPort is the port of BGP (RFC 4271 §8.2.1).
const DefaultPort = 179

// Session is one session that is wanted, or with a Range one for each router
// that connects from there. It is a value, never changed once handed over, and
// comparable.
//
// Peer and PeerPort, or Range, tell sessions apart. Name, Kind, PeerNode and
// Origin are labels; Policy, ClusterID, ReflectorClient and Passive are nothing
// that an OPEN speaks of, and are applied to the living session: one that keeps
// the rest is the same session, and is not reset when they change.
type Session struct {
	Name     string // for status and logs: "mesh/host2/ipv4", "peer/tor1/10.0.0.1", "group/g/rr1/ipv4"
	Kind     Kind
	PeerNode string // the node at the other end, if it is one of ours
	Origin   string // the BGPPeer behind it, if there is one

	Peer     netip.Addr
	PeerPort uint16 // zero: DefaultPort
	// Range, in place of Peer, lets in whoever connects from it. Each becomes a
	// session of its own, with Peer set and the name extended by its address.
	// What is dialled or let in by an address of its own is not of a Range; of
	// several the longest counts.
	Range      netip.Prefix
	RangeLimit int        // how many at once; zero: DefaultRangeLimit
	Local      netip.Addr // source address; zero: the kernel's choice

	// Families that it carries; zero: that of Peer or Range.
	Families Families
	// NextHop4 and NextHop6 are what our own routes are told with; zero: our
	// address in the connection, where that is of the family or ExtendedNextHop
	// was agreed on.
	NextHop4, NextHop6 netip.Addr
	// ExtendedNextHop offers IPv4 routes with IPv6 next hops (RFC 8950).
	ExtendedNextHop bool

	LocalAS uint32 // zero: the speaker's
	PeerAS  uint32 // equal to LocalAS: an internal session (iBGP); zero: any other, an external one

	Passive bool // wait for the peer's connection, do not dial
	// Multihop is how many hops away an external peer may be (the TTL of what
	// we send); zero: 1. Internal peers may be anywhere.
	Multihop uint8
	// TTLSecurity drops packets from farther than so many hops, 1 for a
	// neighbour on our link (RFC 5082), and excludes Multihop. Zero: off.
	TTLSecurity uint8
	Password    Password // of TCP MD5 signatures (RFC 2385); empty: none

	// ClusterID is our own cluster id (RFC 4456 §7). Valid makes this speaker
	// a reflector; it is the same in every session of a node.
	ClusterID       netip.Addr
	ReflectorClient bool // the peer is a client of ours

	Hold         time.Duration // offered; zero: 90 s (RFC 4271 §10); negative: none
	Keepalive    time.Duration // zero: a third of Hold
	ConnectRetry time.Duration // zero: 2 s, because a restarted peer must not wait
	// RestartTime is how long the peer shall keep our routes without a session;
	// zero: that of Settings; negative: not at all, which leaves LongLived.
	RestartTime time.Duration
	// LongLived is how long after that both ends keep each other's routes as
	// stale ones that lose to any other (RFC 9494), ours as asked of the peer,
	// the peer's for the lesser of this and what it asks; zero: not at all.
	LongLived time.Duration

	// AddPathSend is how many paths of a prefix the peer is sent (RFC 7911),
	// the best ones; AllPaths: all; zero or 1: the best only.
	AddPathSend int
	// AddPathReceive asks the peer for more than its best paths.
	AddPathReceive bool

	Role       Role // ours towards an external peer (RFC 9234); RoleNone: not told
	StrictRole bool // refuse a peer that tells none

	// Shutdown keeps the session down; the peer is told ShutdownMessage (RFC
	// 9003), up to 255 octets of UTF-8.
	Shutdown        bool
	ShutdownMessage string

	// Policy is what the session lets through; nil: the zero Policy.
	Policy *Policy
}

// AllPaths as Session.AddPathSend sends every path.
const AllPaths = -1

// DefaultRangeLimit is how many sessions a Range may have at once.
const DefaultRangeLimit = 1024

// Defaults for the timers of a Session.
const (
	DefaultHold         = 90 * time.Second
	DefaultConnectRetry = 2 * time.Second
)

// Internal reports whether s is an iBGP session.
func (s Session) Internal() bool { return s.LocalAS == s.PeerAS }

// Carried is the families of s.
func (s Session) Carried() Families {
	if s.Families != 0 {
		return s.Families
	}
	if s.Peer.IsValid() {
		return FamiliesOf(FamilyOf(s.Peer))
	}
	return FamiliesOf(FamilyOf(s.Range.Addr()))
}

// Endpoint is what tells s apart from other sessions that are not of a Range.
func (s Session) Endpoint() netip.AddrPort {
	port := s.PeerPort
	if port == 0 {
		port = DefaultPort
	}
	return netip.AddrPortFrom(s.Peer, port)
}

// Policied is the policy of s, never nil.
func (s Session) Policied() *Policy {
	if s.Policy == nil {
		return &Policy{}
	}
	return s.Policy
}

// options are those of the policy of s.
func (s *Session) options() Options {
	if s.Policy == nil {
		return Options{}
	}
	return s.Policy.Options
}

// SameAs reports whether s and o differ in labels, policy, the role of a
// reflector and who dials at most, so that going from one to the other resets
// nothing.
func (s Session) SameAs(o Session) bool {
	return s.connection() == o.connection()
}

// Adopt is s with all of o that may change while a session is up, and so SameAs
// s.
func (s Session) Adopt(o Session) Session {
	s.Name, s.Kind, s.PeerNode, s.Origin, s.Policy = o.Name, o.Kind, o.PeerNode, o.Origin, o.Policy
	s.ClusterID, s.ReflectorClient, s.Passive = o.ClusterID, o.ReflectorClient, o.Passive
	return s
}

// connection is s without what may change while it is up, and with its
// defaults.
func (s Session) connection() Session {
	s.Name, s.Kind, s.PeerNode, s.Origin, s.Policy = "", 0, "", "", nil
	s.ClusterID, s.ReflectorClient, s.Passive = netip.Addr{}, false, false
	s.PeerPort = s.Endpoint().Port()
	s.Families = s.Carried()
	if !s.Shutdown {
		s.ShutdownMessage = "" // nobody is told it
	}
	return s
}

// Check says what is wrong with s, if anything.
func (s Session) Check() error {
	to := FamilyOf(s.Peer)
	if s.Range.IsValid() {
		to = FamilyOf(s.Range.Addr())
	}
	switch {
	case s.Range.IsValid() == s.Peer.IsValid():
		return fmt.Errorf("session %s: one of peer and range is needed", s)
	case s.Range.IsValid() && s.Range != s.Range.Masked():
		return fmt.Errorf("session %s: range %s has host bits", s, s.Range)
	case s.Local.IsValid() && FamilyOf(s.Local) != to:
		return fmt.Errorf("session %s: local address %s is no %s address", s, s.Local, to)
	case s.Local.IsValid() && s.Local == s.Peer:
		return fmt.Errorf("session %s: peer is ourselves", s)
	case s.LocalAS == 0:
		return fmt.Errorf("session %s: 0 is not an AS number", s)
	case s.ReflectorClient && (!s.Internal() || !s.ClusterID.IsValid()):
		return fmt.Errorf("session %s: a client needs an internal session and a cluster id", s)
	case s.TTLSecurity > 0 && s.Multihop > 0:
		return fmt.Errorf("session %s: TTL security and multihop exclude each other", s)
	}
	return s.checkOffer()
}

// Bounds of what fits into an OPEN (RFC 4724 §3, RFC 9494 §3) and into a
// shutdown communication (RFC 9003 §2).
const (
	maxRestartTime     = 4095 * time.Second
	maxLongLived       = (1<<24 - 1) * time.Second
	maxShutdownMessage = 255
)

// checkOffer says what of s could not be told to a peer.
func (s Session) checkOffer() error {
	switch {
	case s.NextHop4.IsValid() && !s.NextHop4.Is4() && !s.ExtendedNextHop:
		return fmt.Errorf("session %s: next hop %s is no IPv4 address", s, s.NextHop4)
	case s.NextHop6.IsValid() && FamilyOf(s.NextHop6) != IPv6Unicast:
		return fmt.Errorf("session %s: next hop %s is no IPv6 address", s, s.NextHop6)
	case s.RestartTime > maxRestartTime:
		return fmt.Errorf("session %s: restart time %s is above %s", s, s.RestartTime, maxRestartTime)
	case s.LongLived < 0 || s.LongLived > maxLongLived:
		return fmt.Errorf("session %s: long-lived stale time %s is not 0 to %s", s, s.LongLived, maxLongLived)
	case len(s.ShutdownMessage) > maxShutdownMessage || !utf8.ValidString(s.ShutdownMessage):
		return fmt.Errorf("session %s: the shutdown message is not UTF-8 of up to %d octets", s, maxShutdownMessage)
	}
	return nil
}

// String is the name and the endpoint of s.
func (s Session) String() string {
	if s.Range.IsValid() {
		return fmt.Sprintf("%s (%s)", s.Name, s.Range)
	}
	return fmt.Sprintf("%s (%s)", s.Name, s.Endpoint())
}
