package engine

import (
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// Origins is the port to who knows which host a prefix belongs to. It is asked
// for every path that passes the import policy. What it refuses is kept, and is
// neither told nor sent, until it says otherwise.
type Origins interface {
	// Judge is the reason why the path p of the peer of s is refused; empty: it
	// is not. There are few reasons, and each is a constant. It is called with
	// the engine's lock held: it may call nothing of the Engine and must not
	// wait. Neither p nor s is to be changed or kept.
	Judge(p *bgp.Path, s *bgp.Session) bgp.Refusal
}

// SetOrigins sets who judges the origin of paths, and judges all again; nil:
// nobody.
func (e *Engine) SetOrigins(o Origins) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rib.origins = o
	e.rib.judgeAll()
	e.touched()
}

// OriginsChanged says that Origins may judge paths to these prefixes, or to what
// they hold, otherwise than before; without any, all paths.
func (e *Engine) OriginsChanged(prefixes ...netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(prefixes) == 0 {
		e.rib.judgeAll()
	}
	known := make(judgements)
	for _, p := range prefixes {
		for i := range e.rib.within(p) {
			e.rib.judgeRoute(i, known)
		}
	}
	e.touched()
}

// refusal is the index of a reason. They are few; were they more than an index
// can tell apart, the last stands for the rest.
func (r *rib) refusal(why bgp.Refusal) uint8 {
	if n := slices.Index(r.refusals, why); n >= 0 {
		return uint8(n)
	}
	if len(r.refusals) > math.MaxUint8 {
		return math.MaxUint8
	}
	r.refusals = append(r.refusals, why)
	return uint8(len(r.refusals) - 1)
}

// judge is why a path of s with these attributes is refused, pools apart.
func (r *rib) judge(s *source, set setID) uint8 {
	if leaks(s.want, r.sets.sets[set].otc) {
		return r.refusal(bgp.RouteLeak)
	}
	_, why := r.policy.Import(s.want, r.sets.sets[set].path)
	if why == bgp.NotInPool { // all others are looked at before
		return 0
	}
	return r.refusal(why)
}

// judgeOrigin is why Origins refuses a path.
func (r *rib) judgeOrigin(s *source, prefix netip.Prefix, id uint32, set setID) uint8 {
	p := r.path(prefix, &path{peer: s.id, id: id, set: set})
	return r.refusal(r.origins.Judge(&p, &s.want))
}

// judgements are those of attributes, which many paths have in common.
type judgements map[judged]uint8

type judged struct {
	peer peerID
	set  setID
}

// judgeRoute judges the paths of route i again.
func (r *rib) judgeRoute(i routeID, known judgements) {
	rec := r.routes.records.at(i)
	for at := rec.first; at != 0; at = r.paths.records.at(at).next {
		p := r.paths.records.at(at)
		which := judged{p.peer, p.set}
		refusal, ok := known[which]
		if !ok {
			refusal = r.judge(r.sources[p.peer], p.set)
			known[which] = refusal
		}
		if r.origins != nil && refusal == 0 {
			refusal = r.judgeOrigin(r.sources[p.peer], rec.key.prefix(), p.id, p.set)
		}
		if refusal != p.refusal {
			r.count(rec, p, -1)
			p.refusal = refusal
			r.count(rec, p, +1)
			r.mark(i)
		}
	}
}

func (r *rib) judgeAll() {
	known := make(judgements)
	for i := range routeID(r.routes.records.len()) {
		r.judgeRoute(i, known)
	}
}

// setPolicy changes the import policy and judges all paths again.
func (r *rib) setPolicy(policy bgp.ImportPolicy) {
	if maps.Equal(r.policy.Own, policy.Own) && r.policy.ASN == policy.ASN && r.policy.RouterID == policy.RouterID {
		return
	}
	r.policy = policy
	r.judgeAll()
}
