package agent

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
)

// retirePause is how often it is looked at whether sessions that retire are
// still relied on: paths come and go without a signal that could be shared.
const retirePause = time.Second

// retirement keeps sessions with nodes that are no longer wanted until neither
// end relies on them (bgp.Rely), so that nothing is lost between a mesh and
// reflectors, whichever way a fabric changes. Each end says in the status of
// its Node which of them it can do without, and closes a session when both do,
// or the other end has closed it, or the operator's limit has run out.
//
// What retires lives as long as the daemon: after a restart only wanted
// sessions are made, the others' ends go down, and go.
type retirement struct {
	node     string
	limit    time.Duration // zero: what is not wanted ends at once
	forwards bool          // the node has routes in the kernel
	speaker  bgp.Speaker
	log      hclog.Logger
	news     chan struct{} // signalled when another node has said something else
	publish  chan struct{} // signalled when Released may answer otherwise

	// The rest, but what mu guards, belongs to the edge that applies sessions.
	handed []bgp.Session // that the speaker was told last

	mu       sync.Mutex // guards the rest
	kept     map[netip.AddrPort]*retiree
	overdue  []string // what ended by the limit since something retired last
	released []string // what others may know: NODE/FAMILY
	told     map[string][]string
	watched  bool          // kept was not empty when it was judged last
	turned   chan struct{} // closed and replaced when watched changes
}

type retiree struct {
	bgp.Retiring
	since    time.Time
	reliance bgp.Reliance
}

func newRetirement(node string, limit time.Duration, forwards bool, s bgp.Speaker, log hclog.Logger) *retirement {
	return &retirement{
		node: node, limit: limit, forwards: forwards, speaker: s, log: log,
		news: make(chan struct{}, 1), publish: make(chan struct{}, 1), turned: make(chan struct{}),
		kept: make(map[netip.AddrPort]*retiree), told: make(map[string][]string),
	}
}

// step returns the sessions that the speaker shall have: those that are wanted,
// and those that retire. Alive says which nodes there are; refused are ends of
// sessions that must not be.
func (r *retirement) step(wanted []bgp.Session, refused []netip.AddrPort, alive func(node string) bool, now time.Time) []bgp.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun := r.gatherLocked(wanted, refused, alive, now)
	r.judgeLocked(wanted, now)
	if begun > 0 {
		r.log.Info("sessions retire", "sessions", begun, "limit", r.limit)
	}
	all := slices.Clone(wanted)
	for _, k := range r.sortedLocked() {
		all = append(all, k.Session)
	}
	r.handed = all
	return all
}

// gatherLocked says what retires from now on, and what does no more because it
// is wanted again, must not be, or has no other end any longer. It returns how
// many are new.
func (r *retirement) gatherLocked(wanted []bgp.Session, refused []netip.AddrPort, alive func(string) bool, now time.Time) (begun int) {
	stays := make(map[netip.AddrPort]bool, len(wanted))
	for _, w := range wanted {
		stays[w.Endpoint()] = true
	}
	for _, end := range refused {
		stays[end] = true
	}
	for end, k := range r.kept {
		if stays[end] || !alive(k.Session.PeerNode) {
			delete(r.kept, end)
		}
	}
	for _, s := range r.handed {
		end := s.Endpoint()
		if r.kept[end] != nil || stays[end] || s.PeerNode == "" || s.Shutdown || r.limit == 0 || !alive(s.PeerNode) {
			continue
		}
		if len(r.kept) == 0 {
			r.overdue = nil
		}
		r.kept[end] = &retiree{Retiring: bgp.Retiring{Session: s}, since: now}
		begun++
	}
	return begun
}

// judgeLocked ends what nobody relies on, and what has been kept for long
// enough, and says what we can do without.
func (r *retirement) judgeLocked(wanted []bgp.Session, now time.Time) {
	list := r.relyLocked(wanted)
	var released []string
	for _, k := range list {
		free := k.reliance.None(r.forwards)
		switch {
		case free && (!k.Up || k.Released):
			r.log.Info("session has retired", "peer", k.Session.String(), "after", now.Sub(k.since).Round(time.Millisecond))
			delete(r.kept, k.Session.Endpoint())
		case now.Sub(k.since) >= r.limit:
			why := k.waitsFor(r.forwards)
			r.log.Warn("session was ended by the limit", "peer", k.Session.String(), "limit", r.limit, "reason", why)
			r.overdue = append(r.overdue, fmt.Sprintf("session %s was ended after %s although %s", k.Session.Name, r.limit, why))
			delete(r.kept, k.Session.Endpoint())
		case free:
			released = append(released, statement(k.Session.PeerNode, k.Session))
		}
	}
	slices.Sort(released)
	if !slices.Equal(released, r.released) {
		r.released = released
		signal(r.publish)
	}
	if active := len(r.kept) > 0; active != r.watched {
		r.watched = active
		close(r.turned)
		r.turned = make(chan struct{})
	}
}

// relyLocked notes what is known of each session that retires now, and returns
// them in order of name.
func (r *retirement) relyLocked(wanted []bgp.Session) []*retiree {
	list := r.sortedLocked()
	if len(list) == 0 {
		return nil
	}
	up := make(map[netip.AddrPort]bool)
	for _, p := range r.speaker.Peers() {
		up[p.Session.Endpoint()] = p.State == bgp.Established
	}
	retiring := make([]bgp.Retiring, len(list))
	for i, k := range list {
		k.Up = up[k.Session.Endpoint()]
		k.Released = slices.Contains(r.told[k.Session.PeerNode], statement(r.node, k.Session))
		retiring[i] = k.Retiring
	}
	for i, reliance := range bgp.Rely(retiring, wanted, r.speaker.Routes(bgp.Query{})) {
		list[i].reliance = reliance
	}
	return list
}

func (r *retirement) sortedLocked() []*retiree {
	return slices.SortedFunc(maps.Values(r.kept), func(a, b *retiree) int {
		return cmp.Or(cmp.Compare(a.Session.Name, b.Session.Name), a.Session.Endpoint().Compare(b.Session.Endpoint()))
	})
}

// waitsFor says in words why a session is still kept.
func (k *retiree) waitsFor(forwards bool) string {
	var why []string
	if k.reliance.Prefixes > 0 && forwards {
		why = append(why, fmt.Sprintf("nobody else gives %d prefixes of %s", k.reliance.Prefixes, k.Session.PeerNode))
	}
	if k.reliance.Through > 0 {
		why = append(why, fmt.Sprintf("%d other sessions rely on what %s gives", k.reliance.Through, k.Session.PeerNode))
	}
	if k.Up && !k.Released {
		why = append(why, fmt.Sprintf("node %s has not said that it can do without", k.Session.PeerNode))
	}
	return strings.Join(why, ", ")
}

// statement names a session in the status of a node by its other end, which is
// unique as long as nodes have one address a family.
func statement(node string, s bgp.Session) string {
	return node + "/" + bgp.FamilyOf(s.Peer).String()
}

// Active reports whether sessions retire; turned is closed when that changes.
func (r *retirement) Active() (active bool, turned <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watched, r.turned
}

// Released is what other nodes may know: the sessions that we keep for their
// sake alone, in order.
func (r *retirement) Released() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.released)
}

// Tell says what another node can do without; nil: it says nothing.
func (r *retirement) Tell(node string, released []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(r.told[node], released) {
		return
	}
	r.told[node] = released
	signal(r.news)
}

// Keeps reports whether the session with that end retires.
func (r *retirement) Keeps(end netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept[end] != nil
}

// Problems says which sessions have been ended by the limit since something
// retired last, and which will be if nothing changes: they have had half of
// their time.
func (r *retirement) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.overdue)
	for _, k := range r.sortedLocked() {
		if kept := time.Since(k.since); kept >= r.limit/2 {
			all = append(all, fmt.Sprintf("session %s is not wanted for %s, and kept because %s",
				k.Session.Name, kept.Round(time.Second), k.waitsFor(r.forwards)))
		}
	}
	return all
}
