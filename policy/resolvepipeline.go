package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// pipes is all pipelines of a class of endpoints; nil is none.
type pipes struct {
	normal, forward, untracked [2]*pipeEntry // by direction
	preDNAT                    *pipeEntry
}

// pipeEntry is a pipeline that classes share. It is told while an endpoint is
// subject to it: one that is not in force has a class as well.
type pipeEntry struct {
	pipeline  *Pipeline
	classes   int
	endpoints int
	isTold    bool
}

func (e *pipeEntry) id() string {
	if e == nil {
		return ""
	}
	return e.pipeline.ID
}

func pair(of [2]*pipeEntry) Pair { return Pair{Ingress: of[Ingress].id(), Egress: of[Egress].id()} }

// all returns those that there are.
func (p *pipes) all() []*pipeEntry {
	if p == nil {
		return nil
	}
	list := slices.Concat(p.normal[:], p.forward[:], p.untracked[:], []*pipeEntry{p.preDNAT})
	return slices.DeleteFunc(list, func(e *pipeEntry) bool { return e == nil })
}

// placed is a policy that selects a class, with the tier that it is in.
type placed struct {
	tier   *resource.Tier
	policy *resource.Policy
}

// resolveLocked works out the pipelines of a class of local endpoints. It tells
// whether they are others than before.
func (r *Resolver) resolveLocked(c *class) bool {
	var list []placed
	for _, s := range c.matched {
		for _, e := range s.policies {
			if tier := r.tiers[e.policy.Tier]; tier != nil {
				list = append(list, placed{tier, e.policy})
			}
		}
	}
	slices.SortFunc(list, comparePlaced)
	isHost := c.items[0].local.host != nil
	profiles := r.profilesLocked(c, isHost)
	p := &pipes{}
	for _, d := range []Direction{Ingress, Egress} {
		normal := func(p *resource.Policy) bool { return !p.DoNotTrack && !p.PreDNAT }
		p.normal[d] = r.pipeLocked(makePipeline(list, d, normal, Deny, profiles))
		if !isHost {
			continue
		}
		forward := func(p *resource.Policy) bool { return normal(p) && p.ApplyOnForward }
		p.forward[d] = r.pipeLocked(optional(makePipeline(list, d, forward, Deny, nil)))
		untracked := func(p *resource.Policy) bool { return p.DoNotTrack }
		p.untracked[d] = r.pipeLocked(optional(makePipeline(list, d, untracked, Pass, nil)))
	}
	if isHost {
		preDNAT := func(p *resource.Policy) bool { return p.PreDNAT }
		p.preDNAT = r.pipeLocked(optional(makePipeline(list, Ingress, preDNAT, Pass, nil)))
	}
	if c.pipes != nil && *c.pipes == *p {
		r.releaseLocked(p)
		return false
	}
	r.releaseLocked(c.pipes)
	c.pipes = p
	return true
}

func comparePlaced(a, b placed) int {
	return cmp.Or(
		cmp.Compare(a.tier.Order, b.tier.Order), strings.Compare(a.tier.Name, b.tier.Name),
		cmp.Compare(a.policy.Order, b.policy.Order), strings.Compare(a.policy.Name, b.policy.Name),
		strings.Compare(a.policy.Namespace, b.policy.Namespace), cmp.Compare(a.policy.Kind, b.policy.Kind))
}

// profilesLocked returns those of the class that exist: one that does not has
// no rules. A workload without any has the one of the configuration, for its
// rules alone: labels are the same on all hosts.
func (r *Resolver) profilesLocked(c *class, isHost bool) []resource.ID {
	var list []resource.ID
	isNamed := false
	add := func(name string) {
		id := resource.ID{Kind: resource.KindProfile, Name: name}
		if e := r.policies[id]; e != nil && e.profile != nil {
			list = append(list, id)
		}
	}
	for _, p := range c.parents {
		if p.id.kind == 'p' {
			add(p.id.name)
			isNamed = true
		}
	}
	if name := r.general.defaultProfile(); !isNamed && !isHost && name != "" {
		add(name)
	}
	return list
}

// makePipeline puts policies, which are in order, into the tiers of one point
// and direction. Where untracked packets and destinations before translation
// are judged (end is Pass), tiers never drop by themselves: other policy
// follows. A tier that holds only staged policies does not either.
func makePipeline(list []placed, d Direction, at func(*resource.Policy) bool, end Action, profiles []resource.ID) *Pipeline {
	p := &Pipeline{Direction: d, Profiles: profiles, End: end}
	for _, l := range list {
		if !l.policy.Decides(d) || !at(l.policy) {
			continue
		}
		if last := len(p.Tiers) - 1; last < 0 || p.Tiers[last].Name != l.tier.Name {
			p.Tiers = append(p.Tiers, Tier{Name: l.tier.Name, End: Pass})
		}
		t := &p.Tiers[len(p.Tiers)-1]
		ref := Ref{ID: l.policy.ID, Staged: l.policy.Staged != ""}
		t.Policies = append(t.Policies, ref)
		if !ref.Staged && end == Deny && l.tier.DefaultAction == resource.ActionDeny {
			t.End = Deny
		}
	}
	return p
}

// optional is nil for a pipeline that has nothing to say. What forwarded
// packets have passed all tiers of goes on, and meets no profiles.
func optional(p *Pipeline) *Pipeline {
	if p.End = Pass; len(p.Tiers) == 0 {
		return nil
	}
	return p
}

// identify gives a pipeline its ID: equal content, equal ID.
func (p *Pipeline) identify() {
	texts := []string{p.Direction.String(), p.End.String()}
	for _, t := range p.Tiers {
		texts = append(texts, "tier", t.Name, t.End.String(), fmt.Sprint(len(t.Policies)))
		for _, ref := range t.Policies {
			texts = append(texts, string(ref.ID.Kind), ref.ID.Namespace, ref.ID.Name) // the kind tells if it is staged
		}
	}
	for _, id := range p.Profiles {
		texts = append(texts, "profile", id.Name)
	}
	p.ID = digest(texts...)
}

// pipeLocked returns the entry of a pipeline for a class; nil of nil.
func (r *Resolver) pipeLocked(p *Pipeline) *pipeEntry {
	if p == nil {
		return nil
	}
	p.identify()
	e := r.pipes[p.ID]
	if e == nil {
		e = &pipeEntry{pipeline: p}
		r.pipes[p.ID] = e
	}
	e.classes++
	return e
}

// releaseLocked takes back what a class had.
func (r *Resolver) releaseLocked(p *pipes) {
	for _, e := range p.all() {
		e.classes--
		r.dirty.pipes[e] = struct{}{}
	}
}

// holdLocked says what an endpoint is subject to from now on; nil is nothing.
func (r *Resolver) holdLocked(l *local, p *pipes) {
	if l.held == p {
		return
	}
	for _, e := range p.all() {
		e.endpoints++
		r.dirty.pipes[e] = struct{}{}
	}
	for _, e := range l.held.all() {
		e.endpoints--
		r.dirty.pipes[e] = struct{}{}
	}
	l.held = p
}

// policies returns all policies and profiles of a pipeline.
func (p *Pipeline) policies() []resource.ID {
	var list []resource.ID
	for _, t := range p.Tiers {
		for _, ref := range t.Policies {
			list = append(list, ref.ID)
		}
	}
	return append(list, p.Profiles...)
}

// useByLocked notes that pipelines more or fewer refer to a policy.
func (r *Resolver) useByLocked(id resource.ID, pipelines int) {
	e := r.entryLocked(id)
	before := e.uses
	if e.uses += pipelines; (before == 0) != (e.uses == 0) {
		r.dirty.policies[e] = struct{}{}
	}
}

// flushPipeLocked tells a pipeline that endpoints have come to, or that none is
// subject to any more.
func (r *Resolver) flushPipeLocked(e *pipeEntry, u *Update) {
	if isNeeded := e.endpoints > 0; isNeeded != e.isTold {
		e.isTold = isNeeded
		uses := -1
		if u.Pipelines[e.pipeline.ID] = nil; isNeeded {
			u.Pipelines[e.pipeline.ID], uses = e.pipeline, 1
		}
		for _, id := range e.pipeline.policies() {
			r.useByLocked(id, uses)
		}
	}
	if e.classes+e.endpoints == 0 {
		delete(r.pipes, e.pipeline.ID)
	}
}
