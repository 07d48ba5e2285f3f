package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// LeakedHandle is a handle that all addresses of have leaked: its owner is gone,
// or has none of them. It is released whole or not at all.
type LeakedHandle struct {
	ID       string
	Owner    Owner
	Revision int64     // of the owner when it was judged; zero: gone
	Releases []Release // with sequence numbers, block by block; none: it holds nothing
}

// HostBlock is a node's block.
type HostBlock struct {
	Node     string // empty: nobody's
	CIDR     netip.Prefix
	Sequence uint64 // zero: no block says so, only an affinity
}

// Garbage is what a round found ready to go.
type Garbage struct {
	Leaks []LeakedHandle
	Dead  []HostBlock // of nodes that are gone: blocks in use stay, for whoever claims them
	Empty []HostBlock // that nothing is used of, or that are none
	Left  int         // how much more is ready, for later rounds
}

// Collector finds what nobody needs any more. It only decides; Client.Collect
// checks everything again in the transaction that takes it away. What was found
// once must be found again, the same, after a grace period. It belongs to one
// goroutine.
type Collector struct {
	Grace    time.Duration // from the first sight; zero: 5 minutes
	Max      int           // items of a round; zero: 500
	seen     map[suspect]time.Time
	revision int64 // of the last round
}

// suspect identifies what may be garbage; an address given out again or a block
// used again is another one.
type suspect struct {
	kind     string
	id       string
	sequence uint64
}

// The kinds of suspects.
const (
	suspectLeak  = "handle"
	suspectDead  = "dead"
	suspectEmpty = "empty"
)

// The defaults: those of Calico, and a number that a store takes in seconds.
const (
	defaultGrace   = 5 * time.Minute
	defaultCollect = 500
)

// round is a round under way.
type round struct {
	*Collector
	world *World
	now   map[suspect]time.Time // first sights
	found []found
}

// found is garbage that is ready.
type found struct {
	suspect
	first time.Time
	add   func(*Garbage)
}

// Round looks at the world and returns what is ready to go, the longest known
// first. What is returned and does not go is watched anew: it holds up nothing
// else.
func (c *Collector) Round(w *World) *Garbage {
	if w.Revision < c.revision {
		c.Forget() // another store, or a backup of it: nothing that was seen is of it
	}
	c.revision = w.Revision
	r := &round{Collector: c, world: w, now: make(map[suspect]time.Time)}
	r.handles()
	r.blocks()
	c.seen = r.now
	slices.SortFunc(r.found, func(a, b found) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	g := &Garbage{}
	limit := min(len(r.found), cmp.Or(c.Max, defaultCollect))
	for _, f := range r.found[:limit] {
		f.add(g)
		delete(c.seen, f.suspect)
	}
	g.Left = len(r.found) - limit
	return g
}

// Suspects is how many things of each kind may be garbage, and are watched.
type Suspects struct {
	Leaks, Dead, Empty int
}

// Suspects returns what the last round took note of.
func (c *Collector) Suspects() Suspects {
	var n Suspects
	for s := range c.seen {
		switch s.kind {
		case suspectLeak:
			n.Leaks++
		case suspectDead:
			n.Dead++
		case suspectEmpty:
			n.Empty++
		}
	}
	return n
}

// Forget forgets what was seen: all of it is looked at anew.
func (c *Collector) Forget() { c.seen = nil }

// suspect takes note of what may be garbage, and collects what is.
func (r *round) suspect(s suspect, add func(*Garbage)) {
	first, again := r.seen[s]
	if !again {
		first = r.world.Env.Now
	}
	r.now[s] = first
	if r.world.Env.Now.Sub(first) >= cmp.Or(r.Grace, defaultGrace) { // so it was seen before
		r.found = append(r.found, found{s, first, add})
	}
}

// handles finds leaked handles.
func (r *round) handles() {
	for id, h := range r.world.Handles {
		if !h.collectable() || r.world.needed(h) {
			continue
		}
		leak := LeakedHandle{ID: id, Owner: h.Owner, Revision: r.world.owners[h.Owner.Key], Releases: r.world.held[id]}
		last := uint64(0)
		for _, release := range leak.Releases {
			last = max(last, release.Sequence)
		}
		r.suspect(suspect{suspectLeak, id, last}, func(g *Garbage) { g.Leaks = append(g.Leaks, leak) })
	}
}

// blocks finds blocks of dead nodes, and unused ones of which their node has
// more, or that give it nothing: those of no pool, or without an affinity.
func (r *round) blocks() {
	type place struct {
		node   string
		family Family
	}
	affinities := make(map[HostBlock]*BlockAffinity)
	kept := make(map[place]bool)
	for _, a := range r.world.Affinities {
		affinities[HostBlock{Node: a.Node, CIDR: a.CIDR}] = a
		if a.Assigned { // the node uses no other
			kept[place{a.Node, FamilyOf(a.CIDR.Addr())}] = true
		}
	}
	for _, b := range r.world.Blocks { // one that is in use is the one that is kept
		if !b.unused(r.world.Env) {
			kept[place{b.Affinity.Node(), FamilyOf(b.CIDR.Addr())}] = true
		}
	}
	for _, b := range r.world.Blocks {
		node := b.Affinity.Node()
		block := HostBlock{node, b.CIDR, b.Sequence}
		a := affinities[HostBlock{Node: node, CIDR: b.CIDR}]
		at := place{node, FamilyOf(b.CIDR.Addr())}
		switch {
		case b.Affinity != "" && !b.Affinity.Virtual() && !r.world.Nodes[node]:
			r.suspect(suspect{suspectDead, node + " " + b.CIDR.String(), 0}, func(g *Garbage) { g.Dead = append(g.Dead, block) })
		case !b.unused(r.world.Env), a != nil && (a.Assigned || a.State == Pending):
		case a == nil && r.world.unreadable[store.HostBlockKey(node, b.CIDR)]: // it may say so
		case a != nil && a.State == Confirmed && !kept[at] && r.world.Env.poolOfBlock(b.CIDR) != nil:
			kept[at] = true
		default:
			r.suspect(suspect{suspectEmpty, b.CIDR.String(), b.Sequence}, func(g *Garbage) { g.Empty = append(g.Empty, block) })
		}
	}
	r.unexplained(affinities)
}

// unexplained finds affinities that no block explains: nothing ever makes them,
// but a store that was imported may have some, and their nodes take the blocks
// for theirs.
func (r *round) unexplained(affinities map[HostBlock]*BlockAffinity) {
	for _, b := range r.world.Blocks {
		delete(affinities, HostBlock{Node: b.Affinity.Node(), CIDR: b.CIDR})
	}
	for _, a := range r.world.Affinities {
		block := HostBlock{Node: a.Node, CIDR: a.CIDR}
		switch {
		case affinities[block] == nil || AffinityOf(a.Node).Virtual() || r.world.unreadable[store.BlockKey(a.CIDR)]:
		case !r.world.Nodes[a.Node]:
			r.suspect(suspect{suspectDead, a.Node + " " + a.CIDR.String(), 0}, func(g *Garbage) { g.Dead = append(g.Dead, block) })
		case !a.Assigned: // else the node will make the block
			r.suspect(suspect{suspectEmpty, a.Node + " " + a.CIDR.String(), 0}, func(g *Garbage) { g.Empty = append(g.Empty, block) })
		}
	}
}

// CollectLeak releases a leaked handle, if its owner is what it was and it holds
// what it did. It returns what of that one transaction does not hold: commit,
// and go on. Errors: *HandleError (owner or handle have changed), *StaleError,
// *AddressError.
func (s *Step) CollectLeak(leak LeakedHandle) (left []Release, err error) {
	err = s.attempt(func() error {
		if err := s.need([]string{leak.Owner.Key, store.HandleKey(leak.ID)}, nil); err != nil {
			return err
		}
		h, err := s.handle(leak.ID)
		if err != nil {
			return err
		}
		if s.revision(leak.Owner.Key) != leak.Revision || h == nil || h.Owner != leak.Owner {
			return &HandleError{ErrHandleInUse, leak.ID, leak.Owner}
		}
		s.guardKey(leak.Owner.Key)
		left, err = s.collectLeak(h, leak.Releases)
		return err
	})
	return left, err
}

func (s *Step) collectLeak(h *Handle, releases []Release) (left []Release, err error) {
	cidrs := h.blocks()
	for _, r := range releases {
		if !slices.Contains(cidrs, r.Block) { // the handle counts wrong
			cidrs = append(cidrs, r.Block)
		}
	}
	if err := s.needBlocks(cidrs); err != nil {
		return nil, err
	}
	holds := 0
	for _, cidr := range cidrs {
		b, err := s.block(cidr)
		if err != nil {
			return nil, err
		}
		if b != nil {
			holds += len(b.held(h.ID))
		}
	}
	if holds > len(releases) {
		return nil, &HandleError{ErrHandleInUse, h.ID, h.Owner}
	}
	for i, r := range releases {
		if i > 0 && r.Block != releases[i-1].Block && s.full() {
			return releases[i:], nil
		}
		if err := s.release(r); err != nil {
			return nil, err
		}
	}
	s.delete(store.HandleKey(h.ID)) // also one that counts more
	return nil, nil
}

// CollectDead ends the affinity of a dead node to a block, if there is still no
// Node object. The block stays while addresses of it are held. Errors:
// *BlockError.
func (s *Step) CollectDead(b HostBlock) error {
	return s.attempt(func() error {
		key := store.ResourceKey("Node", "", b.Node)
		if err := s.need([]string{key}, nil); err != nil {
			return err
		}
		if s.revision(key) != 0 {
			return &BlockError{ErrBlockInUse, b.CIDR, "node " + b.Node + " is back"}
		}
		s.guardKey(key)
		return s.releaseBlock(b.Node, b.CIDR, Force)
	})
}

// CollectEmpty removes a block, or an affinity without one, if it is as it was
// seen. Errors: *BlockError.
func (s *Step) CollectEmpty(b HostBlock) error {
	return s.attempt(func() error {
		now, err := s.block(b.CIDR)
		switch {
		case err != nil:
			return err
		case b.Sequence == 0 && (now == nil || now.Affinity.Node() != b.Node):
			return s.releaseBlock(b.Node, b.CIDR, IfEmpty)
		case now == nil:
			return nil
		case now.Sequence != b.Sequence || now.Affinity.Node() != b.Node || !now.unused(s.Env):
			return &BlockError{ErrBlockInUse, b.CIDR, "it was used meanwhile"}
		case b.Node == "":
			s.delete(store.BlockKey(b.CIDR))
			return nil
		}
		a, err := s.affinity(b.Node, b.CIDR)
		if err != nil {
			return err
		}
		if a != nil && a.Assigned {
			return &BlockError{ErrBlockInUse, b.CIDR, "it is assigned to node " + b.Node}
		}
		return s.releaseBlock(b.Node, b.CIDR, IfEmpty)
	})
}
