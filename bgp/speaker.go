package bgp

import (
	"context"
	"iter"
	"net/netip"
	"time"
)

// Speaker is a BGP speaker. Start comes first and once, Stop last; in between
// all methods may be called from any goroutine. Pools, then originations, then
// sessions: so the first End-of-RIB that a peer receives is truthful.
//
// A Speaker is told what should be and makes it so. Saying it again has no
// effect, and no method waits for a peer.
type Speaker interface {
	// Start listens and returns; ctx bounds the starting only. Nothing is
	// dialled before SetSessions. The error names the address that could not
	// be bound.
	Start(ctx context.Context, c Settings) error

	// SetPools states the pools that bound import and export. A path that no
	// longer fits is withdrawn from those it was sent to and told as gone; one
	// that fits now is sent and told.
	SetPools([]Pool)

	// SetSessions states all sessions that are wanted. A session that is
	// SameAs before is left alone, but for what its policy and role change;
	// another one with the same Endpoint is closed and opened anew, as in a
	// restart if both ends had agreed on graceful restart and are of the same
	// ASes and addresses as before: paths are kept until they are told again.
	// That may be put off until both ends have sent their End-of-RIB, or a few
	// seconds, if the session has just been opened: a connection that is lost
	// before would take the paths along (RFC 4724 §4.2). Until then Peers shows
	// the settings in force, with the policy, role and labels of the new ones.
	// One that is shut down or not listed is closed at once, and its paths go
	// with it. The error joins what is wrong with single sessions, and does not
	// hold up the others.
	SetSessions([]Session) error

	// Originate says that we have a route to p. A changed attribute replaces
	// the route without a withdrawal. Outside the pools it is kept, and sent
	// when a pool comes to hold it.
	Originate(p netip.Prefix, a Attributes) error
	// Withdraw says that we have no route to p any longer. None before is no
	// error.
	Withdraw(p netip.Prefix) error

	// Changed is signalled when Drain has news. One signal may stand for
	// many.
	Changed() <-chan struct{}
	// Drain returns each prefix whose set of equally best learned paths is
	// another than told before, with the whole of the set, in order of
	// prefix. A prefix that changed many times is told once. What we
	// originate is not told; where we originate a prefix that others have
	// too, theirs may be told as gone.
	Drain() []PathSet

	// Peers is the state of every session wanted, in order of its name.
	Peers() []PeerState
	// PeersChanged is signalled when a session changed its state or sent
	// End-of-RIB.
	PeersChanged() <-chan struct{}

	// Statistics is the size of the table and the state of the update groups.
	Statistics() Statistics

	// Routes is the RIB in order of prefix and peer. Each prefix is as it stands
	// when its turn comes.
	Routes(Query) iter.Seq[Entry]
	// WatchRoutes follows what Routes yields.
	WatchRoutes(Query) RouteWatch

	// Stop closes all sessions and stops listening. Graceful closes TCP
	// without a NOTIFICATION, so that peers keep our routes for the restart
	// time (RFC 4724 §4.2); otherwise each peer is told Cease and drops them.
	// Dying without a Stop is graceful too.
	Stop(ctx context.Context, graceful bool) error
}

// Settings of a Speaker, for its whole life.
type Settings struct {
	ASN      uint32
	RouterID netip.Addr // an IPv4 address, unique in the AS (RFC 6286)

	ListenPort      uint16       // zero: DefaultPort
	ListenAddresses []netip.Addr // none: all

	// RestartTime is how long peers shall keep our routes without a session,
	// in whole seconds up to 4095 (RFC 4724 §3); zero: DefaultRestartTime.
	RestartTime time.Duration
	// Restarting has the families whose routes our predecessor left in the
	// kernel: their sessions start with the restart and forwarding flags.
	Restarting map[Family]bool
	// Deferral bounds how long a restarted speaker waits for the End-of-RIB of
	// its peers before it sends its own routes; zero: DefaultDeferral.
	Deferral time.Duration
	// StaleTime bounds how long a peer that has come back may leave its old
	// paths neither sent again nor withdrawn; then the session is opened anew
	// and they go. Zero: DefaultStaleTime.
	StaleTime time.Duration
}

// Defaults of Settings.
const (
	DefaultRestartTime = 120 * time.Second
	DefaultDeferral    = 20 * time.Second
	DefaultStaleTime   = 120 * time.Second
)

// WithDefaults is s with its zero values filled in.
func (s Settings) WithDefaults() Settings {
	if s.ListenPort == 0 {
		s.ListenPort = DefaultPort
	}
	if s.RestartTime == 0 {
		s.RestartTime = DefaultRestartTime
	}
	if s.Deferral == 0 {
		s.Deferral = DefaultDeferral
	}
	if s.StaleTime == 0 {
		s.StaleTime = DefaultStaleTime
	}
	return s
}

// Query chooses entries of the RIB; its zero value chooses all.
type Query struct {
	Family Family       // zero: both
	Within netip.Prefix // only this prefix and what it holds; zero: all
	Peer   netip.Addr   // only what this peer told; zero: all, own ones too
}

// Match reports whether q chooses a path to p told by peer (zero: our own).
func (q Query) Match(p netip.Prefix, peer netip.Addr) bool {
	if q.Family != 0 && q.Family != FamilyOf(p.Addr()) {
		return false
	}
	if q.Within.IsValid() && (q.Within.Bits() > p.Bits() || !q.Within.Contains(p.Addr())) {
		return false
	}
	return !q.Peer.IsValid() || q.Peer == peer
}

// Entry is one path in the RIB.
type Entry struct {
	Path
	Own  bool // ours: Path has the prefix and our attributes, and no peer
	Best bool // among those that Drain tells; of an own entry: it is sent
	// Unreachable says that there is no way to its next hop, so that it is not
	// best.
	Unreachable bool
	// Refused says why a policy does not let the path pass; empty: it does.
	Refused Refusal
	Session string // name of the session that gave it; empty: ours
	// Raw is the attributes as octets of UPDATEs in canonical form: ascending,
	// AS numbers of four octets, NEXT_HOP of any family (of our own, perhaps
	// none). It is not to be changed; nil: the Speaker keeps none.
	Raw []byte
}
