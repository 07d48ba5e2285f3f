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

// judge is why no path of s with these attributes is used.
func (r *rib) judge(s *source, set setID) uint8 {
	if leaks(s.want, r.sets.sets[set].otc) {
		return r.refusal(bgp.RouteLeak)
	}
	if why := r.policy.Attributes(&s.want, &r.sets.sets[set].path); why != "" {
		return r.refusal(why)
	}
	return 0
}

// verdict is what is made of a path.
type verdict struct {
	refusal uint8
	flags   flags // admitted and discard
	set     setID // that is used, with a reference to it
}

// verdict is that on a path that s told, given what judge says of its
// attributes.
func (r *rib) verdict(s *source, prefix netip.Prefix, id uint32, told setID, refusal uint8) verdict {
	r.sets.retain(told)
	v := verdict{refusal: refusal, set: told}
	if refusal != 0 {
		return v
	}
	if s.filters {
		p := r.path(prefix, &path{peer: s.id, id: id, set: told})
		switch word, change := s.want.Policy.Import(&p, &s.want); word {
		case bgp.Rejected:
			v.refusal = r.refusal(bgp.Filtered)
			return v
		case bgp.Accepted:
			v.flags |= admitted
			v.set = r.sets.change(v.set, change)
		}
	}
	if r.sets.sets[v.set].shutdown && s.role == external {
		v.set = r.sets.change(v.set, r.lastResort)
	}
	if v.set == 0 {
		r.sets.retain(told)
		return verdict{refusal: r.refusal(bgp.Filtered), set: told}
	}
	if r.sets.sets[v.set].blackhole && s.want.Policy != nil && s.want.Policy.Blackhole {
		v.flags |= discard
	}
	if r.origins != nil {
		p := r.path(prefix, &path{peer: s.id, id: id, set: v.set, flags: v.flags})
		v.refusal = r.refusal(r.origins.Judge(&p, &s.want))
	}
	return v
}

// judgements are those of attributes, which many paths have in common.
type judgements map[judged]uint8

type judged struct {
	peer peerID
	set  setID
}

// judgeRoute judges the paths of route i again.
func (r *rib) judgeRoute(i routeID, known judgements) {
	for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
		r.judgePath(i, at, known)
	}
}

func (r *rib) judgePath(i routeID, at pathID, known judgements) {
	rec, p := r.routes.records.at(i), r.paths.records.at(at)
	told, s := p.set, r.sources[p.peer]
	if p.flags&altered != 0 {
		told = r.originals[at]
	}
	which := judged{p.peer, told}
	refusal, ok := known[which]
	if !ok {
		refusal = r.judge(s, told)
		known[which] = refusal
	}
	if v := r.verdict(s, rec.key.prefix(), p.id, told, refusal); r.assign(rec, at, told, v) {
		r.mark(i)
		r.observePolicy(i)
		r.await(i, v.set)
	}
}

func (r *rib) judgeAll() {
	known := make(judgements)
	for i := range routeID(r.routes.records.len()) {
		r.judgeRoute(i, known)
	}
}

// judgeSource judges all paths of s again.
func (r *rib) judgeSource(s *source) {
	known := make(judgements)
	for _, i := range s.routes {
		for at := r.routes.records.at(i).first; at != 0; at = r.paths.records.at(at).next {
			if r.paths.records.at(at).peer == s.id {
				r.judgePath(i, at, known)
			}
		}
	}
}

// importRules reports whether the filters of p say anything of what is told to
// us.
func importRules(p *bgp.Policy) bool {
	return p != nil && slices.ContainsFunc(p.Filters, func(f *bgp.Filter) bool { return len(f.Import) > 0 })
}

// setPolicy changes the import policy and judges all paths again.
func (r *rib) setPolicy(policy bgp.ImportPolicy) {
	if maps.Equal(r.policy.Own, policy.Own) && r.policy.ASN == policy.ASN && r.policy.RouterID == policy.RouterID {
		return
	}
	r.policy = policy
	r.judgeAll()
}
