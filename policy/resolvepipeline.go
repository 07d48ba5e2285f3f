package policy

import (
	"encoding/binary"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// pipelines is all of a class of endpoints; nil is none.
type pipelines struct {
	normal, forward, untracked [2]*pipelineEntry // by direction
	preDNAT                    *pipelineEntry
}

// pipelineEntry is a pipeline that classes share. It is told while an endpoint is
// subject to it: one that is not in force has a class as well.
type pipelineEntry struct {
	pipeline  *Pipeline
	classes   int
	endpoints int
	isTold    bool
}

func (e *pipelineEntry) id() string {
	if e == nil {
		return ""
	}
	return e.pipeline.ID
}

func pair(of [2]*pipelineEntry) Pair { return Pair{Ingress: of[Ingress].id(), Egress: of[Egress].id()} }

// all returns those that there are.
func (p *pipelines) all() []*pipelineEntry {
	if p == nil {
		return nil
	}
	list := slices.Concat(p.normal[:], p.forward[:], p.untracked[:], []*pipelineEntry{p.preDNAT})
	return slices.DeleteFunc(list, func(e *pipelineEntry) bool { return e == nil })
}

// resolveLocked works out the pipelines of a class of local endpoints. It tells
// whether they are others than before. Classes that the same policies select
// have the same: known are those of this flush.
func (r *Resolver) resolveLocked(c *class, known map[string]*pipelines) bool {
	isHost := c.items[0].local.host != nil
	profiles := r.profilesLocked(c, isHost)
	key := pipelinesKey(c, profiles, isHost)
	p := known[key]
	if p == nil {
		p = r.pipelinesLocked(c, profiles, isHost)
		known[key] = p
	}
	if c.pipelines != nil && *c.pipelines == *p {
		return false
	}
	for _, e := range p.all() {
		e.classes++
	}
	r.releaseLocked(c.pipelines)
	c.pipelines = p
	return true
}

func pipelinesKey(c *class, profiles []resource.ID, isHost bool) string {
	key := []byte{'w'}
	if isHost {
		key[0] = 'h'
	}
	for _, s := range c.matched {
		key = binary.AppendUvarint(key, uint64(s.serial)+1)
	}
	key = append(key, 0) // no serial
	for _, id := range profiles {
		key = appendText(key, id.Name)
	}
	return string(key)
}

func (r *Resolver) pipelinesLocked(c *class, profiles []resource.ID, isHost bool) *pipelines {
	var list []placed
	for _, s := range c.matched {
		for _, e := range s.policies {
			if tier := r.tiers[e.policy.Tier]; tier != nil {
				list = append(list, placed{tier, e.policy})
			}
		}
	}
	slices.SortFunc(list, comparePlaced)
	p := &pipelines{}
	for _, d := range []Direction{Ingress, Egress} {
		p.normal[d] = r.pipelineLocked(normalPoint().pipeline(list, d, profiles))
		if isHost {
			p.forward[d] = r.pipelineLocked(forwardPoint().pipeline(list, d, nil))
			p.untracked[d] = r.pipelineLocked(untrackedPoint().pipeline(list, d, nil))
		}
	}
	if isHost {
		p.preDNAT = r.pipelineLocked(preDNATPoint().pipeline(list, Ingress, nil))
	}
	return p
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
		if p.id.Kind == resource.KindProfile {
			add(p.id.Name)
			isNamed = true
		}
	}
	if name := r.general.defaultProfile(); !isNamed && !isHost && name != "" {
		add(name)
	}
	return list
}

// identify gives a pipeline its ID: equal content, equal ID. A policy's kind
// tells whether it is staged.
func (p *Pipeline) identify() {
	text := make([]byte, 0, 4096)
	text = append(text, byte(p.Direction), byte(p.End))
	text = binary.AppendUvarint(text, uint64(len(p.Tiers)))
	for _, t := range p.Tiers {
		text = append(appendText(text, t.Name), byte(t.End))
		text = binary.AppendUvarint(text, uint64(len(t.Policies)))
		for _, ref := range t.Policies {
			text = appendText(text, string(ref.ID.Kind))
			text = appendText(text, ref.ID.Namespace)
			text = appendText(text, ref.ID.Name)
		}
	}
	for _, id := range p.Profiles {
		text = appendText(text, id.Name)
	}
	p.ID = digest(text)
}

// pipelineLocked returns the entry of a pipeline; nil of nil. One that no class
// comes to have is forgotten with the next flush.
func (r *Resolver) pipelineLocked(p *Pipeline) *pipelineEntry {
	if p == nil {
		return nil
	}
	p.identify()
	e := r.pipelines[p.ID]
	if e == nil {
		e = &pipelineEntry{pipeline: p}
		r.pipelines[p.ID] = e
		r.dirty.pipelines[e] = struct{}{}
	}
	return e
}

// releaseLocked takes back what a class had.
func (r *Resolver) releaseLocked(p *pipelines) {
	for _, e := range p.all() {
		e.classes--
		r.dirty.pipelines[e] = struct{}{}
	}
}

// holdLocked says what an endpoint is subject to from now on; nil is nothing.
func (r *Resolver) holdLocked(l *local, p *pipelines) {
	if l.held == p {
		return
	}
	for _, e := range p.all() {
		e.endpoints++
		r.dirty.pipelines[e] = struct{}{}
	}
	for _, e := range l.held.all() {
		e.endpoints--
		r.dirty.pipelines[e] = struct{}{}
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

// flushPipelineLocked tells a pipeline that endpoints have come to, or that none is
// subject to any more.
func (r *Resolver) flushPipelineLocked(e *pipelineEntry, u *Update) {
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
		delete(r.pipelines, e.pipeline.ID)
	}
}
