package reflector

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// The reasons to refuse a path for its origin.
const (
	Nobodys  bgp.Refusal = "no endpoint has the address, no host the block"
	Anothers bgp.Refusal = "it is on another host"
	DeadHost bgp.Refusal = "its host has lost lease and session"
)

// Reasons is those of the origin check.
func Reasons() []bgp.Refusal { return []bgp.Refusal{Nobodys, Anothers, DeadHost} }

// Owners knows on which host a prefix is; false: nobody has it. It is asked for
// every path, and must not wait.
type Owners interface {
	Owner(p netip.Prefix) (node string, ok bool)
}

// State is what paths are judged by. It is not changed once handed over.
type State struct {
	Mode resource.OriginCheck
	// Trusted says that the store is reachable and has told everything; Heard is
	// when it was found to be so last. That it went away is noticed later, and
	// what was refused between is let pass again.
	Trusted bool
	Heard   time.Time
	// Pools bound what is checked: what lies outside was let in by a filter, or
	// is not let in at all.
	Pools bgp.Pools
	Nodes []*resource.Node
	// Reflectors are nodes whose paths may be others'.
	Reflectors map[string]bool
	// Down are hosts that have lost their lease, and the session with us.
	Down map[string]bool
}

// Origins judges paths by State and Owners. All methods may be called at once.
type Origins struct {
	owners Owners
	state  atomic.Pointer[state]
	held   atomic.Int64 // paths in refused, for a look without the lock

	mu      sync.Mutex // guards the rest
	refused map[pathKey]refused
	counts  map[bgp.Refusal]uint64
	reports map[bgp.Refusal]*Report
	news    chan struct{}
}

// refusedLimit bounds what is remembered of refused paths for the time that the
// store is away, at about 100 bytes each. What is beyond is refused all the same
// while the store is there.
const refusedLimit = 1 << 17

type refused struct {
	why bgp.Refusal
	at  time.Time
}

type pathKey struct {
	prefix netip.Prefix
	peer   netip.Addr
	id     uint32
}

// state is State with its indexes.
type state struct {
	State
	byRouterID map[netip.Addr]string
	byAddress  map[netip.Addr]string
}

// Report is news of refused paths of one reason: how many, and one of them.
type Report struct {
	Reason bgp.Refusal
	Paths  int
	Prefix netip.Prefix
	Peer   netip.Addr
	From   string // the peer's node; empty: none of ours
	Owner  string // node that has the prefix; empty: none
	Only   bool   // it was logged, not refused
}

// NewOrigins returns Origins that refuse nothing until there is a State.
func NewOrigins(owners Owners) *Origins {
	o := &Origins{
		owners: owners, refused: make(map[pathKey]refused), counts: make(map[bgp.Refusal]uint64),
		reports: make(map[bgp.Refusal]*Report), news: make(chan struct{}, 1),
	}
	o.state.Store(&state{})
	return o
}

// Set makes s what paths are judged by. It reports whether all paths are to be
// judged again.
func (o *Origins) Set(s State) (again bool) {
	next := &state{State: s, byRouterID: make(map[netip.Addr]string), byAddress: make(map[netip.Addr]string)}
	for _, n := range s.Nodes { // what one goes by whose IPv4 address came after its start
		next.byRouterID[bgp.RouterID(n.Name, netip.Prefix{})] = n.Name
	}
	for _, n := range slices.Backward(s.Nodes) { // of two with one address, the first
		next.byRouterID[bgp.RouterID(n.Name, n.IPv4)] = n.Name
		for _, p := range []netip.Prefix{n.IPv4, n.IPv6} {
			if p.IsValid() {
				next.byAddress[p.Addr()] = n.Name
			}
		}
	}
	last := o.state.Swap(next)
	again = last.Mode != s.Mode || s.checks() && (!last.Trusted || !last.same(next))
	switch {
	case again && (s.Trusted || !s.checks()):
		o.forget()
	case last.Trusted && !s.Trusted:
		again = o.release(s.Heard)
	}
	return again
}

// release forgets what was refused after that time, and reports whether there
// was anything.
func (o *Origins) release(after time.Time) (any bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, r := range o.refused {
		if r.at.After(after) {
			delete(o.refused, key)
			any = true
		}
	}
	o.held.Store(int64(len(o.refused)))
	return any
}

// forget starts afresh, since all paths are judged again.
func (o *Origins) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused = make(map[pathKey]refused)
	o.held.Store(0)
}

// checks reports whether anything can come to be refused.
func (s State) checks() bool {
	return s.Trusted && (s.Mode == resource.OriginCheckLog || s.Mode == resource.OriginCheckEnforce)
}

// same reports whether s and o judge alike, owners apart.
func (s *state) same(o *state) bool {
	return s.Pools.Equal(o.Pools) && maps.Equal(s.byRouterID, o.byRouterID) && maps.Equal(s.byAddress, o.byAddress) &&
		maps.Equal(s.Reflectors, o.Reflectors) && maps.Equal(s.Down, o.Down)
}

// Judge is why the path of the peer of s is refused; empty: it is not.
func (o *Origins) Judge(p *bgp.Path, s *bgp.Session) bgp.Refusal {
	now := o.state.Load()
	if now.Mode != resource.OriginCheckLog && now.Mode != resource.OriginCheckEnforce {
		return ""
	}
	key := pathKey{p.Prefix, s.Peer, p.PathID}
	if !now.Trusted {
		return now.verdict(o.before(key))
	}
	owner, why := now.judge(o.owners, p, s)
	if why != "" || o.held.Load() > 0 {
		o.note(key, why, Report{
			Reason: why, Prefix: p.Prefix, Peer: s.Peer, From: s.PeerNode, Owner: owner,
			Only: now.Mode == resource.OriginCheckLog,
		})
	}
	return now.verdict(why)
}

// verdict is what becomes of a reason.
func (s *state) verdict(why bgp.Refusal) bgp.Refusal {
	if s.Mode == resource.OriginCheckLog {
		return ""
	}
	return why
}

// before is why a path was refused when the store was there last.
func (o *Origins) before(key pathKey) bgp.Refusal {
	if o.held.Load() == 0 {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused[key].why
}

func (o *Origins) note(key pathKey, why bgp.Refusal, r Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.refused[key].why
	if was == why {
		return
	}
	if why == "" {
		delete(o.refused, key)
	} else if was != "" || len(o.refused) < refusedLimit {
		o.refused[key] = refused{why, time.Now()}
	}
	o.held.Store(int64(len(o.refused)))
	if why == "" {
		return
	}
	o.counts[why]++
	if last := o.reports[why]; last != nil {
		r.Paths = last.Paths
	}
	r.Paths++
	o.reports[why] = &r
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// judge is who owns the prefix of p, and why p is not his.
func (s *state) judge(owners Owners, p *bgp.Path, via *bgp.Session) (owner string, why bgp.Refusal) {
	if held, _ := s.Pools.Holds(p.Prefix); !held {
		return "", ""
	}
	owner, known := owners.Owner(p.Prefix)
	if known && s.from(owner, p, via) {
		if s.Down[owner] {
			return owner, DeadHost
		}
		return owner, ""
	}
	if len(via.Policied().Filters) > 0 {
		if verdict, _ := via.Policy.Import(p, via); verdict == bgp.Accepted {
			return owner, "" // whoever wrote the filter has said that it is the peer's
		}
	}
	if !known {
		return "", Nobodys
	}
	return owner, Anothers
}

// from reports whether the owner has given p. A host can give its own only,
// whatever ORIGINATOR_ID it writes; a reflector of ours tells whose it is
// (RFC 4456 §8); of anybody else what counts is where the packets go.
func (s *state) from(owner string, p *bgp.Path, via *bgp.Session) bool {
	switch {
	case via.PeerNode == owner:
		return true
	case via.PeerNode == "":
		return s.byAddress[p.NextHop] == owner
	case !s.Reflectors[via.PeerNode]:
		return false
	case p.OriginatorID.IsValid():
		return s.byRouterID[p.OriginatorID] == owner
	}
	return s.byAddress[p.NextHop] == owner
}

// News signals that Reports has something.
func (o *Origins) News() <-chan struct{} { return o.news }

// Reports returns what was refused since it was last called, a report for each
// reason, so that a million paths are a few lines.
func (o *Origins) Reports() []Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Report
	for _, why := range Reasons() {
		if r := o.reports[why]; r != nil {
			all = append(all, *r)
		}
	}
	clear(o.reports)
	return all
}

// Counts returns how many paths were refused, or logged, for each reason, ever,
// and how many are now, as far as they are remembered.
func (o *Origins) Counts() (ever, now map[bgp.Refusal]uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now = make(map[bgp.Refusal]uint64)
	for _, r := range o.refused {
		now[r.why]++
	}
	return maps.Clone(o.counts), now
}
